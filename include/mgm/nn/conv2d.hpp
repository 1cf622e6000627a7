/// Ordinary convolutions, channels-last: the taps of a stretch of pixels are gathered, and one product makes these pixels.
#pragma once
#include <algorithm>

#include <mgm/core/window.hpp>
#include <mgm/mem/parameter.hpp>
#include <mgm/ops/conv.hpp>
#include <mgm/ops/conv_form.hpp>
#include <mgm/ops/linear.hpp>

namespace mgm::inline v0::nn {

/// (H, W, in) -> (out_rows, out_cols, out), sums in float. `side` 1 is a product of the pixels as they lie.
template <Real T, Device Dev = DefaultDevice>
struct Conv2d {
  struct Config {
    Size in, out;
    int side = 3;
  };
  static constexpr Size kGathered = Size{1} << 22;  // elements of the gathered taps that live at a time

  Conv2d(Context<Dev>&, Config c)
      : weight({c.out, c.in, c.side, c.side}, Layout::taps_inner, Extents<2>{c.out, Size{c.side} * c.side * c.in}),
        bias(Extents{c.out}),
        side(c.side) {}

  /// The window must have this convolution's side. The epilogue's bias replaces the layer's own when given; its residual has a row a pixel.
  [[nodiscard]] Tensor<T, 3, Dev> operator()(Context<Dev>& ctx, In<T, 3, Dev> x, Window const& window, Epilogue<T, Dev> e = {}) const {
    auto out = ctx.template empty<T>(Extents{window.out_rows, window.out_cols, weight.shape()[0]});  // (h, w, out)
    into(ctx, x, window, out.reshape(Extents{window.out_rows * window.out_cols, weight.shape()[0]}), e);
    return out;
  }
  /// The same into rows of the caller's, (out_rows·out_cols, out) of T or float.
  template <class TOut>
  void into(Context<Dev>& ctx, In<T, 3, Dev> x, Window const& window, Out<TOut, 2, Dev> out, Epilogue<T, Dev> e = {}) const {
    require<ShapeError>(window.side == side, "convolution: the window has a side of ", window.side, ", the weights ", side);
    if (!e.bias.data()) e.bias = bias.view();
    Size const pixels = window.out_rows * window.out_cols, width = weight.shape()[1];
    if (ops::vendor_conv<T, TOut>(ctx, x, weight.view(), window, e, out)) return;
    if (ops::choose_conv({window, x.extent(0), x.extent(1), x.contiguous()}) == ops::ConvForm::product)
      return ops::linear(ctx, x.reshape(Extents{pixels, width}), weight.view(), e, out);
    Size const stretch = std::clamp<Size>(kGathered / std::max<Size>(width, 1), 1, std::max<Size>(pixels, 1));
    for (Size first = 0; first < pixels; first += stretch) {
      Size const count = std::min(stretch, pixels - first);
      auto rows = ctx.template empty<T>(Extents{count, width});  // (pixels, side²·in)
      ops::unfold(ctx, x, window, first, rows.view());
      auto part = e;
      if (e.residual.data()) part.residual = e.residual.slice(0, first, count);
      if (e.factor.data()) part.factor = e.factor.slice(0, first, count);
      ops::linear(ctx, rows, weight.view(), part, out.slice(0, first, count));
    }
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", weight);
    visit("bias", bias);
  }

  Parameter<T, 2, Dev> weight;  // (out, side²·in)
  Parameter<T, 1, Dev> bias;    // (out)
  int side;
};

}  // namespace mgm::inline v0::nn
