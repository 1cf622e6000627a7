/// Resampling of 8-bit pixels along one axis as Pillow does it, in integers, so that every bit is the host's (io/resize.hpp).
///   out[d] = clamp((2²¹ + Σ_t k_t·in[first + t] + margin_d·shade) >> 22)
/// A picture is resized by two passes with 8-bit pixels between them. It may lie on a larger canvas of one colour that is never stored:
/// what a tap would read there is one weight, `margin`, times the colour as the pass before left it.
/// Shapes  in (H, W, channels), out (H, M, 3) across or (M, W, 3) down; M spans.   Units  weights in 2⁻²².
/// Method  one thread an output pixel; neighbours write neighbours. The last pass may look up normalised floats instead of storing bytes.
/// Cost    in and out once; 6 integer operations a tap and pixel.
#pragma once
#include <climits>
#include <cstdint>
#include <type_traits>

#include <mgm/core/cost.hpp>
#include <mgm/kernels/elementwise/elementwise.cuh>

namespace mgm::inline v0::kernels {

/// How n samples of one axis become m, in the device's memory. Output d reads `count` samples from `first` on, with the weights from `at`
/// on.
template <Device Dev>
struct ResizeAxis {
  View<int const, 2, Dev> spans;                      // (m, 3): first, count, at
  View<std::int32_t const, 1, Dev> weights;           // (all of them)
  View<std::int32_t const, 1, Dev> margin;            // (m): Σ of the weights that fall beside the picture
};
/// What the margin of a pass shows: `colour`, resampled by a pass before this one whose weights summed to `total`, if there was one.
template <Device Dev>
struct ResizeMargin {
  std::uint8_t colour[3] = {};
  View<std::int32_t const, 1, Dev> total{};           // of the other axis: one a row (across) or a column (down); null: no pass before
};
/// Which byte of a pixel is red, green, blue.
struct ChannelOrder {
  int at[3] = {0, 1, 2};
};

inline constexpr std::int32_t kResizeHalf = 1 << 21;
MGM_DEVICE std::uint8_t resize_round(std::int32_t sum) {
  std::int32_t const level = sum >> 22;
  return static_cast<std::uint8_t>(level < 0 ? 0 : level > 255 ? 255 : level);
}

template <bool kDown, class TOut, class Dev>
MGM_GLOBAL(MapTraits::kThreads)
void resize_kernel(MapShape shape, View<std::uint8_t const, 3, Dev> in, ChannelOrder order, ResizeAxis<Dev> axis, ResizeMargin<Dev> margin,
                   View<float const, 2, Dev> levels, View<TOut, 3, Dev> out) {
  Size const step = in.stride(kDown ? 0 : 1), channel = in.stride(2);
  for (Size y = shape.first_row(); y < shape.rows; y += shape.row_step())
    for (Size x = shape.first_piece(); x < shape.pieces; x += shape.piece_step()) {
      Size const d = kDown ? y : x, other = kDown ? x : y;
      int const first = axis.spans(d, 0), count = axis.spans(d, 1), at = axis.spans(d, 2);
      std::int32_t const beside = axis.margin(d);
      std::int32_t sum[3];                                                                // (3)
      MGM_UNROLL for (int c = 0; c < 3; ++c) {
        std::int32_t shade = margin.colour[c];
        if (margin.total.data()) shade = resize_round(kResizeHalf + margin.total(other) * shade);
        sum[c] = kResizeHalf + beside * shade;
      }
      std::uint8_t const* from = kDown ? in.row(first, x) : in.row(y, first);
      for (int t = 0; t < count; ++t, from += step) {
        std::int32_t const k = axis.weights(at + t);
        MGM_UNROLL for (int c = 0; c < 3; ++c) sum[c] += k * from[order.at[c] * channel];
      }
      MGM_UNROLL for (int c = 0; c < 3; ++c) {
        std::uint8_t const level = resize_round(sum[c]);
        if constexpr (std::is_same_v<TOut, std::uint8_t>) out(y, x, c) = level;
        else out(y, x, c) = levels(c, level);
      }
    }
}

namespace detail {
template <bool kDown, class TOut, KernelDevice Dev>
void resize_pass(simt::Stream<Dev> stream, View<std::uint8_t const, 3, Dev> in, ChannelOrder order, ResizeAxis<Dev> const& axis,
                 ResizeMargin<Dev> const& margin, View<float const, 2, Dev> levels, View<TOut, 3, Dev> out) {
  constexpr int kAlong = kDown ? 0 : 1, kOther = 1 - kAlong;
  Size const outputs = axis.spans.extent(0);
  check_input("resize: in", in), check_input("resize: spans", axis.spans), check_input("resize: weights", axis.weights);
  check_input("resize: margin", axis.margin);
  check_shape("resize: spans", axis.spans, any, 3), check_shape("resize: margin", axis.margin, outputs);
  check_shape("resize: out", out, kDown ? outputs : in.extent(0), kDown ? in.extent(1) : outputs, 3);
  if (margin.total.data()) check_input("resize: total", margin.total), check_shape("resize: total", margin.total, in.extent(kOther));
  for (int const at : order.at)
    require<ArgumentError>(at >= 0 && at < in.extent(2), "resize: order: channel ", at, " of pixels that have ", in.extent(2));
  if constexpr (std::is_same_v<TOut, float>) check_input("resize: levels", levels), check_shape("resize: levels", levels, 3, 256);
  check_output("resize: out", out), check_apart("resize: out", out, "in", in), check_apart("resize: out", out, "weights", axis.weights);
  if (out.count() == 0) return;
  auto const shape = MapShape::of(out.extent(0), out.extent(1));
  simt::launch(stream, {.name = kDown ? "resize_down" : "resize_across", .grid = shape.grid(), .block = MapTraits::kThreads},
               resize_kernel<kDown, TOut, Dev>, shape, in, order, axis, margin, levels, out);
}
}  // namespace detail

/// Rows become `axis.spans` pixels wide: in (H, W, channels) -> out (H, M, 3), any strides; red, green, blue are `order`'s bytes of a
/// pixel. Spans must lie in [0, W), weights be those of the spans: nothing reads them on the host. Enqueues and returns.
/// Throws ShapeError and ArgumentError naming the argument.
template <KernelDevice Dev>
void resize_across(simt::Stream<Dev> stream, View<std::uint8_t const, 3, Dev> in, ChannelOrder order, ResizeAxis<Dev> const& axis,
                   ResizeMargin<Dev> const& margin, View<std::uint8_t, 3, Dev> out) {
  detail::resize_pass<false, std::uint8_t, Dev>(stream, in, order, axis, margin, {}, out);
}
/// Columns become `axis.spans` pixels high: in (H, W, channels) -> out (M, W, 3); the rest as `resize_across`.
template <KernelDevice Dev>
void resize_down(simt::Stream<Dev> stream, View<std::uint8_t const, 3, Dev> in, ChannelOrder order, ResizeAxis<Dev> const& axis,
                 ResizeMargin<Dev> const& margin, View<std::uint8_t, 3, Dev> out) {
  detail::resize_pass<true, std::uint8_t, Dev>(stream, in, order, axis, margin, {}, out);
}
/// The same two as the last pass, which stores levels(c, byte) of levels (3, 256) in place of the byte: normalisation without a pass.
template <KernelDevice Dev>
void resize_across(simt::Stream<Dev> stream, View<std::uint8_t const, 3, Dev> in, ChannelOrder order, ResizeAxis<Dev> const& axis,
                   ResizeMargin<Dev> const& margin, View<float const, 2, Dev> levels, View<float, 3, Dev> out) {
  detail::resize_pass<false, float, Dev>(stream, in, order, axis, margin, levels, out);
}
template <KernelDevice Dev>
void resize_down(simt::Stream<Dev> stream, View<std::uint8_t const, 3, Dev> in, ChannelOrder order, ResizeAxis<Dev> const& axis,
                 ResizeMargin<Dev> const& margin, View<float const, 2, Dev> levels, View<float, 3, Dev> out) {
  detail::resize_pass<true, float, Dev>(stream, in, order, axis, margin, levels, out);
}

/// One pass: `pixels_in`, `pixels_out` of 3 channels, `taps` a pixel, `bytes` of an output's element.
constexpr Cost resize_cost(Size pixels_in, Size pixels_out, Size taps, Size bytes) {
  return {3 * (pixels_in + pixels_out * bytes), 6 * taps * pixels_out};
}

}  // namespace mgm::inline v0::kernels
