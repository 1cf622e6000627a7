/// Depthwise 7×7 convolution and the LayerNorm that follows it in ConvNeXt (Liu et al. 2022, arXiv:2201.03545), in one pass.
///   out(y, x) = LN(conv(y, x); gain, norm_bias, eps)
///   conv(y, x, c) = bias(c) + Σ_{i,j<7} weight(7i + j, c) · in(y + i − 3, x + j − 3, c)
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

struct DepthwiseNormTraits {
  static constexpr int kWarps = 4, kThreads = 32 * kWarps;  // pixels per block, one warp each; not measured yet
  static constexpr int kRegisters = 128;                    // of a thread, at most: nvcc-gate
  static constexpr int kKept = 3072;  // channels whose sums are kept, the widest ConvNeXt's; those of more are made anew
};

/// Where one pixel's 49 taps lie: those that the map has.
template <class T, class Dev>
struct Conv7Window {
  View<T const, 3, Dev> x;
  int top, left, first_row, last_row, first_col, last_col;  // tap (i, j) reads pixel (top + i, left + j); [first, last) exist
  MGM_DEVICE Conv7Window(View<T const, 3, Dev> map, int row, int col)
      : x(map), top(row - 3), left(col - 3), first_row(top < 0 ? -top : 0), last_row(end(top, map.extent(0))),
        first_col(left < 0 ? -left : 0), last_col(end(left, map.extent(1))) {}
  MGM_DEVICE static int end(int from, Size extent) { return extent - from < 7 ? static_cast<int>(extent) - from : 7; }
  /// The convolution's sum at channel c, taps in reading order.
  MGM_DEVICE float sum(View<T const, 2, Dev> weight, float bias, Size c) const {
    float sum = bias;
    for (int i = first_row; i < last_row; ++i)
      for (int j = first_col; j < last_col; ++j)
        sum = simt::fma(simt::widen(weight(7 * i + j, c)), simt::widen(x(top + i, left + j, c)), sum);
    return sum;
  }
};

template <class T, class Dev>
MGM_GLOBAL(DepthwiseNormTraits::kThreads)
void depthwise_conv7_norm_kernel(View<T const, 3, Dev> x, View<T const, 2, Dev> weight, View<T const, 1, Dev> bias,
                                 View<T const, 1, Dev> gain, View<T const, 1, Dev> norm_bias, float eps, int kept, View<T, 3, Dev> out) {
  using Tr = DepthwiseNormTraits;
  Size const n = Size{simt::block_idx().x} * Tr::kWarps + simt::warp_idx();
  if (n >= x.extent(0) * x.extent(1)) return;                                  // whole warps leave together
  int const channels = static_cast<int>(x.extent(2)), lane = simt::lane_idx();
  int const row = static_cast<int>(n / x.extent(1)), col = static_cast<int>(n % x.extent(1));
  Conv7Window<T, Dev> const window(x, row, col);
  float* const sums = &simt::shared<float>() + simt::warp_idx() * kept;       // each lane reads back what it wrote: no barrier
  auto const conv = [&](int c) { return c < kept ? sums[c] : window.sum(weight, simt::widen(bias(c)), c); };
  float sum = 0, squares = 0;
  for (int c = lane; c < channels; c += simt::kWarp) {
    float const v = window.sum(weight, simt::widen(bias(c)), c);
    if (c < kept) sums[c] = v;
    sum += v;
  }
  float const mean = simt::warp_sum(sum) / float(channels);
  for (int c = lane; c < channels; c += simt::kWarp) {
    float const d = conv(c) - mean;
    squares = simt::fma(d, d, squares);
  }
  float const rstd = 1 / simt::sqrt(simt::warp_sum(squares) / float(channels) + eps);
  for (int c = lane; c < channels; c += simt::kWarp)
    out(row, col, c) = simt::narrow<T>(simt::fma((conv(c) - mean) * rstd, simt::widen(gain(c)), simt::widen(norm_bias(c))));
}

namespace detail {
template <Real T, KernelDevice Dev>
void check_depthwise(View<T const, 3, Dev> x, View<T const, 2, Dev> weight, View<T const, 1, Dev> bias, View<T const, 1, Dev> gain,
                     View<T const, 1, Dev> norm_bias, View<T, 3, Dev> out) {
  Size const channels = x.extent(2);
  check_input("depthwise_conv7_norm: x", x), check_input("depthwise_conv7_norm: weight", weight);
  check_input("depthwise_conv7_norm: bias", bias), check_input("depthwise_conv7_norm: gain", gain);
  check_input("depthwise_conv7_norm: norm_bias", norm_bias);
  check_shape("depthwise_conv7_norm: weight", weight, 49, channels), check_shape("depthwise_conv7_norm: bias", bias, channels);
  check_shape("depthwise_conv7_norm: gain", gain, channels), check_shape("depthwise_conv7_norm: norm_bias", norm_bias, channels);
  check_shape("depthwise_conv7_norm: out", out, x.extent(0), x.extent(1), channels);
  check_output("depthwise_conv7_norm: out", out), check_apart("depthwise_conv7_norm: out", out, "x", x);
  check_apart("depthwise_conv7_norm: out", out, "weight", weight), check_apart("depthwise_conv7_norm: out", out, "bias", bias);
  check_apart("depthwise_conv7_norm: out", out, "gain", gain), check_apart("depthwise_conv7_norm: out", out, "norm_bias", norm_bias);
  for (int i = 0; i < 3; ++i)
    require<LimitError>(x.extent(i) < (Size{1} << 31) - 8, "depthwise_conv7_norm: x: extents must be below 2³¹ − 8, found ",
                        shape_text(x.extents()));
}
}  // namespace detail

/// out = LN(conv(x)), zeros outside the map; the sums are normalised before they are rounded.
/// x, out (H, W, C); weight (49, C), tap by tap; bias, gain, norm_bias (C); any strides; sums in float. `out` must not be x.
/// Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void depthwise_conv7_norm(simt::Stream<Dev> stream, In<T, 3, Dev> x, In<T, 2, Dev> weight, In<T, 1, Dev> bias, In<T, 1, Dev> gain,
                          In<T, 1, Dev> norm_bias, float eps, Out<T, 3, Dev> out) {
  using Tr = DepthwiseNormTraits;
  detail::check_depthwise<T, Dev>(x, weight, bias, gain, norm_bias, out);
  if (out.count() == 0) return;
  int const kept = static_cast<int>(std::min<Size>(x.extent(2), Tr::kKept));
  simt::launch(stream,
               {.name = "depthwise_conv7_norm", .grid = simt::ceil_div(x.extent(0) * x.extent(1), Tr::kWarps), .block = Tr::kThreads,
                .shared = Size{Tr::kWarps} * kept * Size{sizeof(float)}},
               depthwise_conv7_norm_kernel<T, Dev>, x, weight, bias, gain, norm_bias, eps, kept, out);
}

/// h·w pixels of c channels: the map in and out, 49 taps and three rows of weights; 98 flops for the sums, 8 for the norm.
constexpr Cost depthwise_conv7_norm_cost(Size h, Size w, Size c, Size bytes) { return {(2 * h * w + 52) * c * bytes, 106 * h * w * c}; }

}  // namespace mgm::inline v0::kernels
