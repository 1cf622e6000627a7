/// Patch info mining (Li et al. 2024, arXiv:2403.18814), reassociated: keys and values are never projected, the concatenated map is never
/// made. The general form. Token i reads the M cells x_ij beneath it, x = [up(S_0); up(S_1); …] of F channels, straight from the maps:
///   p_i = softmax_j( scale · r_ij Σ_c u_i[c] (x_ij[c] − μ_ij) ),   z_i = gain ⊙ Σ_j p_ij r_ij (x_ij − μ_ij) + bias
/// u = key gain ⊙ (Wkᵀ q). What all cells of a token have in common left the softmax: no key bias, no product with Wk or Wv over cells.
/// This form takes every shape; mining_fused.cuh is the one that the published models' shapes take.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/attention/mining_stages.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

struct MiningTraits {
  static constexpr int kWarps = 4, kThreads = 32 * kWarps;  // of one token's block; not measured yet
  static constexpr int kRegisters = 128;                    // of a thread, at most: nvcc-gate
  static constexpr int kCells = 2048;                       // whose weights are kept; a token with more has its scores made anew
  struct Shared {
    float weight[kCells];                                   // of the cells in hand: scores, then p·r
  };
};

/// The limits to which the definition moves infinite scores: the working type's largest numbers.
template <Real T>
MGM_HD constexpr float largest_score() {
  if constexpr (std::same_as<T, half>) return 65504.0f;
  else if constexpr (std::same_as<T, bf16>) return 0x1.FEp127f;
  else return 0x1.FFFFFEp127f;
}

/// The cells beneath one token, and what all of its threads do together.
template <class T, class Dev>
struct MinedToken {
  using Tr = MiningTraits;
  MiningStages<T, Dev> const& stages;
  View<float const, 1, Dev> u;               // (F)
  View<float const, 2, Dev> mean, rstd;      // (cell rows, cell cols)
  float scale;
  float* weight;                             // (min(M, kCells)), shared

  [[nodiscard]] MGM_DEVICE int row(int j) const { return j / static_cast<int>(mean.extent(1)); }
  [[nodiscard]] MGM_DEVICE int col(int j) const { return j % static_cast<int>(mean.extent(1)); }
  [[nodiscard]] MGM_DEVICE int cells() const { return static_cast<int>(mean.count()); }
  [[nodiscard]] MGM_DEVICE int end(int from) const { return cells() - from < Tr::kCells ? cells() : from + Tr::kCells; }

  /// weight[j − from] = score of cell j, for all cells of [from, to): one warp a cell. NaN becomes 0, infinities the largest numbers.
  MGM_DEVICE void scores(int from, int to, int top, int left) const {
    simt::sync_block();                      // nobody reads the weights of before any more
    for (int j = from + simt::warp_idx(); j < to; j += Tr::kWarps) {
      float const middle = mean(row(j), col(j));
      float sum = 0;
      for (Size l = 0, first = 0; l < stages.count; first += stages.at[l++].map.extent(2)) {
        CellPixels<T> const x(stages.at[l], top + row(j), left + col(j));
        for (Size c = simt::lane_idx(); c < stages.at[l].map.extent(2); c += simt::kWarp) sum = simt::fma(u(first + c), x(c) - middle, sum);
      }
      float const score = scale * rstd(row(j), col(j)) * simt::warp_sum(sum);
      if (simt::lane_idx() == 0)
        weight[j - from] = score == score ? simt::max(-largest_score<T>(), simt::min(score, largest_score<T>())) : 0;
    }
    simt::sync_block();
  }
};

template <class T, class Dev>
MGM_GLOBAL(MiningTraits::kThreads)
void mining_kernel(View<float const, 2, Dev> u, MiningGrid grid, MiningStages<T, Dev> stages, View<float const, 2, Dev> mean,
                   View<float const, 2, Dev> rstd, float scale, View<T const, 1, Dev> gain, View<T const, 1, Dev> bias, View<T, 2, Dev> z,
                   View<float, 2, Dev> probabilities) {
  using Tr = MiningTraits;
  Size const n = simt::block_idx().x;
  int const rows = static_cast<int>(mean.extent(0) / grid.rows), cols = static_cast<int>(mean.extent(1) / grid.cols);
  int const top = static_cast<int>(n / grid.cols) * rows, left = static_cast<int>(n % grid.cols) * cols, lane = simt::lane_idx();
  MinedToken<T, Dev> const token{stages, u[n], mean.slice(0, top, rows).slice(1, left, cols), rstd.slice(0, top, rows).slice(1, left, cols),
                                 scale, simt::shared<typename Tr::Shared>().weight};
  int const cells = token.cells();

  float peak = -INFINITY, mass = 0;                          // of the softmax, the same in every thread
  for (int from = 0; from < cells; from += Tr::kCells) {
    int const to = token.end(from);
    token.scores(from, to, top, left);
    float here = -INFINITY, sum = 0;
    for (int j = from + lane; j < to; j += simt::kWarp) here = simt::max(here, token.weight[j - from]);
    float const higher = simt::max(peak, simt::warp_max(here));
    for (int j = from + lane; j < to; j += simt::kWarp) sum += simt::exp(token.weight[j - from] - higher);
    mass = mass * simt::exp(peak - higher) + simt::warp_sum(sum), peak = higher;
  }

  Size first = 0;
  int in_hand = -1;                                          // the first cell of those whose weights lie ready
  for (int l = 0; l < stages.count; first += stages.at[l++].map.extent(2))
    for (Size c0 = 0; c0 < stages.at[l].map.extent(2); c0 += Tr::kThreads) {
      Size const c = c0 + simt::thread_idx();
      float sum = 0;
      for (int from = 0; from < cells; from += Tr::kCells) {
        int const to = token.end(from);
        if (in_hand != from) {                               // once, unless the token has too many cells to keep
          if (cells > Tr::kCells) token.scores(from, to, top, left);
          else simt::sync_block();                           // all have read the scores
          for (int j = from + simt::thread_idx(); j < to; j += Tr::kThreads) {
            float const p = simt::exp(token.weight[j - from] - peak) / mass;
            if (probabilities.data()) probabilities(n, j) = p;
            token.weight[j - from] = p * token.rstd(token.row(j), token.col(j));
          }
          simt::sync_block();
          in_hand = from;
        }
        if (c >= stages.at[l].map.extent(2)) continue;
        for (int j = from; j < to; ++j) {
          CellPixels<T> const x(stages.at[l], top + token.row(j), left + token.col(j));
          sum = simt::fma(token.weight[j - from], x(c) - token.mean(token.row(j), token.col(j)), sum);
        }
      }
      if (c < stages.at[l].map.extent(2))
        z(n, first + c) = simt::narrow<T>(simt::fma(sum, simt::widen(gain(first + c)), simt::widen(bias(first + c))));
    }
}

/// z and, when given, p of all tokens of one view, row by row.
/// u (N, F) in float, N = grid.rows·grid.cols; 1 to 8 stages of F channels together, channels dense, their taps those of this view's cells;
/// mean, rstd (rows, cols) of these cells, as `mining_statistics` makes them; gain, bias (F) of the values' norm; z (N, F);
/// `probabilities` (N, M) or empty; other strides any. Sums in float. Scores that are NaN become 0, infinite ones the largest numbers of T.
/// Enqueues and returns. Throws ShapeError, ArgumentError and LimitError naming the argument.
template <Real T, KernelDevice Dev>
void mining(simt::Stream<Dev> stream, In<float, 2, Dev> u, MiningGrid grid, std::span<MiningStage<T, Dev> const> stages,
            In<float, 2, Dev> mean, In<float, 2, Dev> rstd, float scale, In<T, 1, Dev> gain, In<T, 1, Dev> bias, Out<T, 2, Dev> z,
            std::type_identity_t<View<float, 2, Dev>> probabilities = {}) {
  if (grid.rows == 0 || grid.cols == 0) return;
  auto const given = check_mining<T, Dev>("mining", u, {grid}, stages, mean.extent(0), mean.extent(1), gain, bias, z, probabilities);
  check_input("mining: mean", mean), check_input("mining: rstd", rstd), check_shape("mining: rstd", rstd, mean.extent(0), mean.extent(1));
  check_apart("mining: z", z, "mean", mean), check_apart("mining: z", z, "rstd", rstd);
  if (probabilities.data())
    check_apart("mining: probabilities", probabilities, "mean", mean), check_apart("mining: probabilities", probabilities, "rstd", rstd);
  simt::launch(stream,
               {.name = "mining", .grid = grid.rows * grid.cols, .block = MiningTraits::kThreads, .shared = sizeof(MiningTraits::Shared)},
               mining_kernel<T, Dev>, u, grid, given, mean, rstd, scale, gain, bias, z, probabilities);
}

/// `tokens` tokens of `channels` from maps of `map_elements` in all, of which a token reads `pixels` elements (52 224 at 768 px): one
/// pass of dots, one of sums.
constexpr Cost mining_cost(Size tokens, Size channels, Size map_elements, Size pixels, Size bytes) {
  return {map_elements * bytes + tokens * channels * (bytes + 4), 4 * tokens * pixels};
}

}  // namespace mgm::inline v0::kernels
