/// One ConvNeXt block (Liu et al. 2022, arXiv:2201.03545), channels-last.
#pragma once
#include <mgm/nn/linear.hpp>
#include <mgm/nn/norm.hpp>
#include <mgm/ops/conv.hpp>

namespace mgm::inline v0::nn {

/// x += gamma ⊙ fc2(GELU(fc1(LN(depthwise7×7(x))))).   x (H, W, C), in place. Stochastic depth is a matter of training: never here.
template <Real T, Device Dev = DefaultDevice>
struct ConvNeXtBlock {
  struct Config {
    Size width;
    float eps = 1e-6f;
  };
  ConvNeXtBlock(Context<Dev>& ctx, Config c)
      : depthwise({c.width, 1, 7, 7}, Layout::taps_outer, Extents<2>{49, c.width}),
        depthwise_bias(Extents{c.width}),
        gamma(Extents{c.width}),
        norm(ctx, {c.width, c.eps}),
        fc1(ctx, {c.width, 4 * c.width}), fc2(ctx, {4 * c.width, c.width}) {}

  void operator()(Context<Dev>& ctx, Out<T, 3, Dev> x) const {
    Size const pixels = x.extent(0) * x.extent(1), width = x.extent(2);
    auto y = ctx.template empty<T>(x.extents());                               // (H, W, C)
    ops::depthwise_conv7_norm(ctx, x, depthwise.view(), depthwise_bias.view(), norm.weight.view(), norm.bias.view(), norm.eps, y.view());
    auto const wide = fc1(ctx, y.reshape(Extents{pixels, width}), {.activation = Activation::gelu});  // (H·W, 4C)
    auto const rows = x.reshape(Extents{pixels, width});                       // (H·W, C)
    fc2.into(ctx, wide, rows, {.scale = gamma.view(), .residual = rows});
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("conv_dw.weight", depthwise);
    visit("conv_dw.bias", depthwise_bias);
    visit("norm", norm);
    visit("mlp.fc1", fc1);
    visit("mlp.fc2", fc2);
    visit("gamma", gamma);
  }

  Parameter<T, 2, Dev> depthwise;              // (49, C)
  Parameter<T, 1, Dev> depthwise_bias, gamma;  // (C)
  LayerNorm<T, Dev> norm;
  Linear<T, Dev> fc1, fc2;
};

}  // namespace mgm::inline v0::nn
