/// Ordinary convolutions, channels-last.
#pragma once
#include <mgm/core/map_source.hpp>
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
  Conv2d(Context<Dev>&, Config c)
      : weight({c.out, c.in, c.side, c.side}, Layout::taps_inner, Extents<2>{c.out, Size{c.side} * c.side * c.in}),
        bias(Extents{c.out}),
        side(c.side) {}

  /// The window must have this convolution's side. The epilogue's bias replaces the layer's own when given; its residual has a row a pixel.
  [[nodiscard]] Tensor<T, 3, Dev> operator()(Context<Dev>& ctx, MapSource<T, Dev> const& x, Window const& window,
                                             Epilogue<T, Dev> e = {}) const {
    auto out = ctx.template empty<T>(Extents{window.out_rows, window.out_cols, weight.shape()[0]});  // (h, w, out)
    into(ctx, x, window, out.reshape(Extents{window.out_rows * window.out_cols, weight.shape()[0]}), e);
    return out;
  }
  [[nodiscard]] Tensor<T, 3, Dev> operator()(Context<Dev>& ctx, In<T, 3, Dev> x, Window const& window, Epilogue<T, Dev> e = {}) const {
    return (*this)(ctx, MapSource<T, Dev>{.first = x}, window, e);
  }
  /// The same into rows of the caller's, (out_rows·out_cols, out) of T or float.
  template <class TOut>
  void into(Context<Dev>& ctx, MapSource<T, Dev> const& x, Window const& window, Out<TOut, 2, Dev> out, Epilogue<T, Dev> e = {}) const {
    require<ShapeError>(window.side == side, "convolution: the window has a side of ", window.side, ", the weights ", side);
    if (!e.bias.data()) e.bias = bias.view();
    Size const pixels = window.out_rows * window.out_cols;
    if (x.plain()) {
      if (ops::vendor_conv<T, TOut>(ctx, x.first, weight.view(), window, e, out)) return;
      if (ops::choose_conv({window, x.rows(), x.cols(), x.first.contiguous()}) == ops::ConvForm::product)
        return ops::linear(ctx, x.first.reshape(Extents{pixels, x.channels()}), weight.view(), e, out);
    }
    ops::conv<T, TOut, Dev>(ctx, x, window, weight.view(), e, out);
  }
  template <class TOut>
  void into(Context<Dev>& ctx, In<T, 3, Dev> x, Window const& window, Out<TOut, 2, Dev> out, Epilogue<T, Dev> e = {}) const {
    into(ctx, MapSource<T, Dev>{.first = x}, window, out, e);
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
