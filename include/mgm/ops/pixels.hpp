/// What devices of kernels do with pixels: the two passes of Pillow's resize, and the bilinear views (kernels/pixels/). On the CPU pictures
/// are made ready by io/pixels.hpp; models/device_pixels.hpp joins the two.
#pragma once
#include <mgm/kernels/instances/untyped.hpp>
#include <mgm/mem/context.hpp>

namespace mgm::inline v0::ops {

using kernels::BilinearAxis;
using kernels::ChannelOrder;
using kernels::ResizeAxis;
using kernels::ResizeMargin;

/// Rows of `in` to the width of `axis`; bytes, or with `levels` (3, 256) what they stand for. Throws as kernels::resize_across.
template <class TOut, KernelDevice Dev>
void resize_across(Context<Dev>& ctx, View<std::uint8_t const, 3, Dev> in, ChannelOrder order, ResizeAxis<Dev> const& axis,
                   ResizeMargin<Dev> const& margin, View<float const, 2, Dev> levels, View<TOut, 3, Dev> out) {
  if constexpr (std::same_as<TOut, float>) kernels::resize_across<Dev>(ctx.stream(), in, order, axis, margin, levels, out);
  else kernels::resize_across<Dev>(ctx.stream(), in, order, axis, margin, out);
}
/// Columns of `in` to the height of `axis`; the rest alike.
template <class TOut, KernelDevice Dev>
void resize_down(Context<Dev>& ctx, View<std::uint8_t const, 3, Dev> in, ChannelOrder order, ResizeAxis<Dev> const& axis,
                 ResizeMargin<Dev> const& margin, View<float const, 2, Dev> levels, View<TOut, 3, Dev> out) {
  if constexpr (std::same_as<TOut, float>) kernels::resize_down<Dev>(ctx.stream(), in, order, axis, margin, levels, out);
  else kernels::resize_down<Dev>(ctx.stream(), in, order, axis, margin, out);
}
/// Between pictures stored as tiles. Throws as kernels::bilinear.
template <KernelDevice Dev>
void bilinear(Context<Dev>& ctx, View<float const, 4, Dev> in, int in_grid, BilinearAxis<Dev> const& axis, View<float, 4, Dev> out,
              int out_grid) {
  kernels::bilinear<Dev>(ctx.stream(), in, in_grid, axis, out, out_grid);
}

}  // namespace mgm::inline v0::ops
