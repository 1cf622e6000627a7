/// LayerNorm's statistics of the fine cells x = [up(S_0); up(S_1); …], which are never made: the general form, one warp a cell.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/attention/mining_stages.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

struct MiningStatisticsTraits {
  static constexpr int kWarps = 4, kThreads = 32 * kWarps;  // cells per block; not measured yet
  static constexpr int kRegisters = 80;                     // of a thread, at most: nvcc-gate
};

template <class T, class Dev>
MGM_GLOBAL(MiningStatisticsTraits::kThreads)
void mining_statistics_kernel(MiningStages<T, Dev> stages, float eps, View<float, 2, Dev> mean, View<float, 2, Dev> rstd) {
  Size const n = Size{simt::block_idx().x} * MiningStatisticsTraits::kWarps + simt::warp_idx();
  if (n >= mean.count()) return;                                               // whole warps leave together
  Size const row = n / mean.extent(1), col = n % mean.extent(1);
  float const channels = static_cast<float>(channels_of(stages));
  float sum = 0, squares = 0;
  for (int l = 0; l < stages.count; ++l) {
    CellPixels<T> const x(stages.at[l], row, col);
    for (Size c = simt::lane_idx(); c < stages.at[l].map.extent(2); c += simt::kWarp) sum += x(c);
  }
  float const middle = simt::warp_sum(sum) / channels;
  for (int l = 0; l < stages.count; ++l) {                                     // a second pass: E[x²] − E[x]² loses what a large mean hides
    CellPixels<T> const x(stages.at[l], row, col);
    for (Size c = simt::lane_idx(); c < stages.at[l].map.extent(2); c += simt::kWarp) {
      float const d = x(c) - middle;
      squares = simt::fma(d, d, squares);
    }
  }
  float const deviation = simt::sqrt(simt::warp_sum(squares) / channels + eps);
  if (simt::lane_idx() == 0) mean(row, col) = middle, rstd(row, col) = 1 / deviation;
}

/// mean and rstd = 1/sqrt(var + eps) over all F = Σ C_l channels of each fine cell, from the stage maps alone; sums in float.
/// mean, rstd (rows, cols) of the fine grid, any strides, as many as each of the 1 to 8 stages has taps; channels of maps dense.
/// Enqueues and returns. Throws ShapeError, ArgumentError and LimitError naming the argument.
template <Real T, KernelDevice Dev>
void mining_statistics(simt::Stream<Dev> stream, std::span<MiningStage<T, Dev> const> stages, float eps, Out<float, 2, Dev> mean,
                       Out<float, 2, Dev> rstd) {
  using Tr = MiningStatisticsTraits;
  auto const given = check_stages<T, Dev>("mining_statistics", stages, mean.extent(0), mean.extent(1));
  check_shape("mining_statistics: rstd", rstd, mean.extent(0), mean.extent(1));
  check_output("mining_statistics: mean", mean), check_output("mining_statistics: rstd", rstd);
  check_apart("mining_statistics: rstd", rstd, "mean", mean);
  for (auto const& stage : stages)
    check_apart("mining_statistics: mean", mean, "a map", stage.map), check_apart("mining_statistics: rstd", rstd, "a map", stage.map);
  if (mean.count() == 0) return;
  simt::launch(stream, {.name = "mining_statistics", .grid = simt::ceil_div(mean.count(), Tr::kWarps), .block = Tr::kThreads},
               mining_statistics_kernel<T, Dev>, given, eps, mean, rstd);
}

/// `cells` cells of `channels` from maps of `map_elements` in all: each map read once, four neighbour products an element.
constexpr Cost mining_statistics_cost(Size cells, Size map_elements, Size bytes) {
  return {map_elements * bytes + 8 * cells, 8 * map_elements};
}

}  // namespace mgm::inline v0::kernels
