/// Convolutions: over windows of a map, over patches that do not overlap (gathered, then a product), and the depthwise 7×7.
#pragma once
#include <algorithm>

#include <mgm/cpu/conv.hpp>
#include <mgm/cpu/depthwise.hpp>
#include <mgm/cpu/patches.hpp>
#include <mgm/kernels/instances/conv.hpp>
#include <mgm/mem/context.hpp>
#include <mgm/ops/conv_form.hpp>
#include <mgm/ops/linear.hpp>

namespace mgm::inline v0::ops {

/// Rows of non-overlapping p×p patches in (ky, kx, c) order.   image (H, W, C) -> out (⌊H/p⌋·⌊W/p⌋, p·p·C). Throws ShapeError.
template <Real T, Device Dev>
void patches(Context<Dev>& ctx, In<T, 3, Dev> image, Size p, Out<T, 2, Dev> out) {
  require<ShapeError>(p >= 1, "patches: the side must be at least 1, found ", p);
  check_shape("patches: out", out, (image.extent(0) / p) * (image.extent(1) / p), p * p * image.extent(2));
  if constexpr (std::same_as<Dev, Cpu>) cpu::patches<T>(ctx.executor(), image, static_cast<int>(p), out);
  else kernels::patches<T, Dev>(ctx.stream(), image, p, out);
}

/// Rows of patches, as `patches` makes them, of the LayerNorm over channels of x, in one pass. Kernels only: the processor's own paths keep
/// the normalised map in a cache anyway.   x (H, W, C); gain, bias (C); out (⌊H/p⌋·⌊W/p⌋, p·p·C). Throws ShapeError.
template <Real T, KernelDevice Dev>
void norm_patches(Context<Dev>& ctx, In<T, 3, Dev> x, In<T, 1, Dev> gain, In<T, 1, Dev> bias, float eps, Size p, Out<T, 2, Dev> out) {
  kernels::norm_patches<T, Dev>(ctx.stream(), x, gain, bias, eps, p, out);
}

/// LayerNorm over channels of the depthwise 7×7 convolution, zero padding 3, in one pass.
/// x, out (H, W, C); weight (49, C) tap by tap; bias, gain, norm_bias (C). Sums in float. Throws ShapeError.
template <Real T, Device Dev>
void depthwise_conv7_norm(Context<Dev>& ctx, In<T, 3, Dev> x, In<T, 2, Dev> weight, In<T, 1, Dev> bias, In<T, 1, Dev> gain,
                          In<T, 1, Dev> norm_bias, float eps, Out<T, 3, Dev> out) {
  Size const channels = x.extent(2);
  check_shape("depthwise_conv7_norm: weight", weight, 49, channels);
  check_shape("depthwise_conv7_norm: bias", bias, channels);
  check_shape("depthwise_conv7_norm: gain", gain, channels);
  check_shape("depthwise_conv7_norm: norm_bias", norm_bias, channels);
  check_shape("depthwise_conv7_norm: out", out, x.extent(0), x.extent(1), channels);
  if constexpr (std::same_as<Dev, Cpu>) cpu::depthwise_conv7_norm<T>(ctx.executor(), x, weight, bias, gain, norm_bias, eps, out);
  else if (ctx.tuned()) kernels::depthwise_conv7_norm_tuned<T, Dev>(ctx.stream(), x, weight, bias, gain, norm_bias, eps, out);
  else kernels::depthwise_conv7_norm<T, Dev>(ctx.stream(), x, weight, bias, gain, norm_bias, eps, out);
}

namespace detail {
/// Elements of the gathered taps that live at a time where a convolution is made of gathered rows.
inline constexpr Size kGathered = Size{1} << 22;

/// The kernels' convolution, by the form that choose_conv names; a library's, where it is preferred, of a map that is joined and normalised
/// first.
template <Real T, class TOut, KernelDevice Dev>
void conv(Context<Dev>& ctx, MapSource<T, Dev> const& x, Window const& window, In<T, 2, Dev> w, Epilogue<T, Dev> const& e,
          Out<TOut, 2, Dev> out) {
  if constexpr (std::same_as<Dev, Cuda>) {
    if (!x.plain() && ctx.convolutions() != nullptr && ctx.prefer() == Prefer::vendor) {
      auto made = ctx.template empty<T>(Extents{x.rows(), x.cols(), x.channels()});  // (H, W, C)
      kernels::unfold<T, Dev>(ctx.stream(), x, Window::same(1, x.rows(), x.cols()), 0,
                              made.reshape(Extents{x.rows() * x.cols(), x.channels()}));
      if (vendor_conv<T, TOut, Dev>(ctx, made, w, window, e, out)) return;
    }
  }
  bool const tuned_16 = ctx.tuned() && sizeof(T) == 2;
  if (choose_conv({.window = window, .rows = x.rows(), .cols = x.cols(), .contiguous = x.plain(), .tuned_16 = tuned_16}) == ConvForm::implicit)
    return kernels::conv_general<T, TOut, Dev>(ctx.stream(), x, window, w, e, out);
  Size const pixels = out.extent(0), width = w.extent(1);
  Size const stretch = std::clamp<Size>(kGathered / std::max<Size>(width, 1), 1, std::max<Size>(pixels, 1));
  for (Size first = 0; first < pixels; first += stretch) {
    Size const count = std::min(stretch, pixels - first);
    auto rows = ctx.template empty<T>(Extents{count, width});  // (pixels, side²·C)
    kernels::unfold<T, Dev>(ctx.stream(), x, window, first, rows.view());
    auto part = e;
    if (e.residual.data()) part.residual = e.residual.slice(0, first, count);
    if (e.factor.data()) part.factor = e.factor.slice(0, first, count);
    detail::gemm<T, TOut, Dev>(ctx, rows, w, part, out.slice(0, first, count));
  }
}
}  // namespace detail

/// out[pixel] = epilogue(Σ over the window's taps and channels of w·x).   x as core/map_source.hpp says, read where it lies; w (N, side²·C)
/// in (ky, kx, c) order; out (out_rows·out_cols, N) of T or float, a row a pixel; sums in float. Throws ShapeError. 2·pixels·N·side²·C
/// flops; reads w once for about 8 MiB of the map.
template <Real T, class TOut, Device Dev>
void conv(Context<Dev>& ctx, std::type_identity_t<MapSource<T, Dev>> const& x, Window const& window, In<T, 2, Dev> w,
          Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  Size const channels = x.channels();
  require<ShapeError>(window.side >= 1 && window.stride >= 1 && channels >= 1, "conv: a window of side ", window.side, " and stride ",
                      window.stride, " over ", channels, " channels; each must be at least 1");
  if (x.second.data()) check_shape("conv: second map", x.second, x.rows(), x.cols(), any);
  if (x.scale.data()) check_shape("conv: scale", x.scale, channels), check_shape("conv: shift", x.shift, channels);
  check_shape("conv: weight", w, out.extent(1), Size{window.side} * window.side * channels);
  check_shape("conv: out", out, window.out_rows * window.out_cols, w.extent(0));
  detail::check_epilogue("conv", e, out.extent(0), out.extent(1));
  kernels::check_no_norm("conv", e);
  if constexpr (std::same_as<Dev, Cpu>) cpu::conv<T>(ctx.executor(), x, window, w, e, out);
  else detail::conv<T, TOut, Dev>(ctx, x, window, w, e, out);
}

}  // namespace mgm::inline v0::ops
