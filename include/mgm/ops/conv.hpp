/// What convolutions are made of here: gathered patches (then a product) and the depthwise 7×7.
#pragma once
#include <mgm/cpu/depthwise.hpp>
#include <mgm/cpu/patches.hpp>
#include <mgm/cpu/unfold.hpp>
#include <mgm/kernels/instances/conv.hpp>
#include <mgm/mem/context.hpp>

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

/// The taps beneath output pixels first, first + 1, … of a window over a map, in (ky, kx, c) order, zero outside: a convolution is one product
/// of such rows.   map (H, W, C), channels dense -> out (n, side²·C). Throws ShapeError.
template <Real T, Device Dev>
void unfold(Context<Dev>& ctx, In<T, 3, Dev> map, Window const& window, Size first, Out<T, 2, Dev> out) {
  check_shape("unfold: out", out, any, Size{window.side} * window.side * map.extent(2));
  if constexpr (std::same_as<Dev, Cpu>) cpu::unfold<T>(ctx.executor(), map, window, first, out);
  else kernels::unfold<T, Dev>(ctx.stream(), map, window, first, out);
}

}  // namespace mgm::inline v0::ops
