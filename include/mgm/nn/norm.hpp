/// LayerNorm and RMSNorm as layers.
#pragma once
#include <mgm/core/map_source.hpp>
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

/// A map as the next convolution is to read it, with the two numbers a channel that this takes.
template <Real T, Device Dev = DefaultDevice>
struct NormedMap {
  Tensor<float, 2, Dev> affine;  // (2, C)
  MapSource<T, Dev> map;
};

/// GroupNorm over a map, then SiLU if asked for: (N, C) -> (N, C).
template <Real T, Device Dev = DefaultDevice>
struct GroupNorm {
  struct Config {
    Size width, groups = 32;
    float eps = 1e-5f;
  };
  GroupNorm(Context<Dev>&, Config c) : weight(Extents{c.width}), bias(Extents{c.width}), groups(c.groups), eps(c.eps) {
    require<ConfigError>(c.groups >= 1 && c.width % c.groups == 0, "group norm: ", c.width, " channels do not divide into ", c.groups,
                         " groups");
  }

  [[nodiscard]] Tensor<T, 2, Dev> operator()(Context<Dev>& ctx, In<T, 2, Dev> x, bool silu = false) const {
    auto out = ctx.template empty<T>(x.extents());  // (N, C)
    ops::group_norm(ctx, x, groups, weight.view(), bias.view(), eps, silu, out.view());
    return out;
  }
  /// SiLU of the norm of a map (H, W, Ca), with `more` (H, W, Cb) behind it if given, for a convolution: no map is written. Borrows both.
  [[nodiscard]] NormedMap<T, Dev> then_silu(Context<Dev>& ctx, In<T, 3, Dev> x, In<T, 3, Dev> more = {}) const {
    auto affine = ctx.template empty<float>(Extents{Size{2}, weight.shape()[0]});  // (2, C)
    auto const rows = [](View<T const, 3, Dev> map) {
      return map.data() ? map.reshape(Extents{map.extent(0) * map.extent(1), map.extent(2)}) : View<T const, 2, Dev>{};
    };
    ops::group_affine<T, Dev>(ctx, rows(x), rows(more), groups, weight.view(), bias.view(), eps, affine.view());
    MapSource<T, Dev> const map{.first = x, .second = more, .scale = affine.view()[0], .shift = affine.view()[1], .silu = true};
    return {std::move(affine), map};
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", weight);
    visit("bias", bias);
  }

  Parameter<T, 1, Dev> weight, bias;  // (C)
  Size groups;
  float eps;
};

}  // namespace mgm::inline v0::nn
