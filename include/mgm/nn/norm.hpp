/// LayerNorm and RMSNorm as layers.
#pragma once
#include <mgm/mem/parameter.hpp>
#include <mgm/ops/norm.hpp>

namespace mgm::inline v0::nn {

/// (x − mean) / sqrt(var + eps) · weight + bias over the last axis: (N, C) -> (N, C).
template <Real T, Device Dev = DefaultDevice>
struct LayerNorm {
  struct Config {
    Size width;
    float eps = 1e-5f;
  };
  LayerNorm(Context<Dev>&, Config c) : weight(Extents{c.width}), bias(Extents{c.width}), eps(c.eps) {}

  [[nodiscard]] Tensor<T, 2, Dev> operator()(Context<Dev>& ctx, In<T, 2, Dev> x) const {
    auto out = ctx.template empty<T>(x.extents());  // (N, C)
    ops::layer_norm(ctx, x, weight.view(), bias.view(), eps, out);
    return out;
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", weight);
    visit("bias", bias);
  }

  Parameter<T, 1, Dev> weight, bias;  // (C)
  float eps;
};

/// x / sqrt(mean(x²) + eps) · (weight + offset) over the last axis: (N, C) -> (N, C). Gemma stores offsets around zero: offset 1.
template <Real T, Device Dev = DefaultDevice>
struct RmsNorm {
  struct Config {
    Size width;
    float eps = 1e-5f, offset = 0;
  };
  RmsNorm(Context<Dev>&, Config c) : weight(Extents{c.width}), eps(c.eps), offset(c.offset) {}

  [[nodiscard]] Tensor<T, 2, Dev> operator()(Context<Dev>& ctx, In<T, 2, Dev> x) const {
    auto out = ctx.template empty<T>(x.extents());  // (N, C)
    ops::rms_norm(ctx, x, weight.view(), eps, offset, out);
    return out;
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", weight);
  }

  Parameter<T, 1, Dev> weight;  // (C)
  float eps, offset;
};

}  // namespace mgm::inline v0::nn
