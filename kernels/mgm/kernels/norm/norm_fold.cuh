/// LayerNorm folded into the product behind it (NormFold, core/epilogue.hpp): the normed rows are never written and read again.
///   LN(x)·wᵀ + b = rstd·(x·w'ᵀ − mean·Σ w') + (Σ w·shift + b),   w' = w·diag(gain)
/// `fold_norm` makes w' and the columns' numbers once, when weights are loaded; `row_moments` the rows' before each product, whose epilogue
/// then takes both. Σ w' is of w' as it is stored, so that what rounding it costs is no more than in any weight.
/// Shapes  x (M, K), w and folded (N, K), gain and shift (K), bias (N), rows (M, 2), columns (2, N).
/// Cost    reading x once more for its moments (twice, the second time from the caches), against writing and reading the normed rows.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

struct RowMomentsTraits {
  static constexpr int kWarps = 4, kThreads = 32 * kWarps;  // rows per block, a warp each; not measured yet
  static constexpr int kRegisters = 40;                     // of a thread, at most: nvcc-gate
};
struct FoldNormTraits {  // folding is done once, when weights are loaded
  static constexpr int kWarps = 4, kThreads = 32 * kWarps, kRegisters = 96;
};

template <class T, class Dev>
MGM_GLOBAL(RowMomentsTraits::kThreads)
void row_moments_kernel(View<T const, 2, Dev> x, float eps, View<float, 2, Dev> rows) {
  Size const m = Size{simt::block_idx().x} * RowMomentsTraits::kWarps + simt::warp_idx();
  int const channels = static_cast<int>(x.extent(1)), lane = simt::lane_idx();
  if (m >= x.extent(0)) return;  // whole warps leave together
  float sum = 0, squares = 0;
  for (int c = lane; c < channels; c += simt::kWarp) sum += simt::widen(x(m, c));
  float const mean = simt::warp_sum(sum) / float(channels);
  for (int c = lane; c < channels; c += simt::kWarp) {  // a second pass, as layer_norm's
    float const d = simt::widen(x(m, c)) - mean;
    squares = simt::fma(d, d, squares);
  }
  float const rstd = 1 / simt::sqrt(simt::warp_sum(squares) / float(channels) + eps);
  if (lane == 0) rows(m, 0) = mean, rows(m, 1) = rstd;
}

template <class T, class Dev>
MGM_GLOBAL(FoldNormTraits::kThreads)
void fold_norm_kernel(View<T const, 2, Dev> w, View<T const, 1, Dev> gain, View<T const, 1, Dev> shift, View<T const, 1, Dev> bias,
                      View<T, 2, Dev> folded, View<float, 2, Dev> columns) {
  Size const n = Size{simt::block_idx().x} * FoldNormTraits::kWarps + simt::warp_idx();
  int const channels = static_cast<int>(w.extent(1)), lane = simt::lane_idx();
  if (n >= w.extent(0)) return;
  float sum = 0, shifted = 0;
  for (int k = lane; k < channels; k += simt::kWarp) {
    float const weight = simt::widen(w(n, k));
    T const scaled = simt::narrow<T>(weight * simt::widen(gain(k)));
    sum += simt::widen(scaled), shifted = simt::fma(weight, simt::widen(shift(k)), shifted);
    folded(n, k) = scaled;
  }
  sum = simt::warp_sum(sum), shifted = simt::warp_sum(shifted);
  if (lane == 0) columns(0, n) = sum, columns(1, n) = shifted + (bias.data() ? simt::widen(bias(n)) : 0.0f);
}

/// rows(m) = (mean, 1/sqrt(var + eps)) of row m of x.   x (M, K), any strides, rows (M, 2). Enqueues and returns. Throws ShapeError,
/// ArgumentError and LimitError naming the argument.
template <Real T, KernelDevice Dev>
void row_moments(simt::Stream<Dev> stream, In<T, 2, Dev> x, float eps, std::type_identity_t<View<float, 2, Dev>> rows) {
  check_input("row_moments: x", x), check_int("row_moments: x", x.extent(1)), check_output("row_moments: rows", rows),
      check_shape("row_moments: rows", rows, x.extent(0), 2);
  check_apart("row_moments: rows", rows, "x", x);
  require<ShapeError>(x.extent(1) > 0 || x.extent(0) == 0, "row_moments: x: rows without elements have no mean");
  if (rows.count() == 0) return;
  simt::launch(stream,
               {.name = "row_moments", .grid = simt::ceil_div(x.extent(0), RowMomentsTraits::kWarps), .block = RowMomentsTraits::kThreads},
               row_moments_kernel<T, Dev>, x, eps, rows);
}

/// folded = w·diag(gain), columns = (Σ folded; Σ w·shift + bias).   w, folded (N, K), any strides, `folded` may be w; gain, shift (K), bias
/// (N) or null, columns (2, N). Enqueues and returns. Throws ShapeError, ArgumentError and LimitError naming the argument.
template <Real T, KernelDevice Dev>
void fold_norm(simt::Stream<Dev> stream, In<T, 2, Dev> w, In<T, 1, Dev> gain, In<T, 1, Dev> shift, In<T, 1, Dev> bias,
               Out<T, 2, Dev> folded, std::type_identity_t<View<float, 2, Dev>> columns) {
  check_input("fold_norm: w", w), check_int("fold_norm: w", w.extent(1)), check_input("fold_norm: gain", gain),
      check_input("fold_norm: shift", shift);
  check_output("fold_norm: folded", folded), check_output("fold_norm: columns", columns);
  check_shape("fold_norm: gain", gain, w.extent(1)), check_shape("fold_norm: shift", shift, w.extent(1));
  check_shape("fold_norm: folded", folded, w.extent(0), w.extent(1)), check_shape("fold_norm: columns", columns, 2, w.extent(0));
  if (bias.data()) check_input("fold_norm: bias", bias), check_shape("fold_norm: bias", bias, w.extent(0));
  check_same_or_apart("fold_norm: folded", folded, "w", w), check_apart("fold_norm: columns", columns, "folded", folded);
  auto const inputs_apart = [&](std::string_view what, auto out) {
    check_apart(what, out, "gain", gain), check_apart(what, out, "shift", shift), check_apart(what, out, "bias", bias);
  };
  inputs_apart("fold_norm: folded", folded), inputs_apart("fold_norm: columns", columns),
      check_apart("fold_norm: columns", columns, "w", w);
  if (columns.count() == 0) return;
  simt::launch(stream,
               {.name = "fold_norm", .grid = simt::ceil_div(w.extent(0), FoldNormTraits::kWarps), .block = FoldNormTraits::kThreads},
               fold_norm_kernel<T, Dev>, w, gain, shift, bias, folded, columns);
}

constexpr Cost row_moments_cost(Size m, Size k, Size bytes) { return {m * k * bytes + 8 * m, 4 * m * k}; }
constexpr Cost fold_norm_cost(Size n, Size k, Size bytes) { return {(2 * n + 2) * k * bytes + 8 * n, 4 * n * k}; }

}  // namespace mgm::inline v0::kernels
