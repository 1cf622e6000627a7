/// y = x·Wᵀ + b, and what may be fused to it.
#pragma once
#include <mgm/mem/parameter.hpp>
#include <mgm/ops/linear.hpp>

namespace mgm::inline v0::nn {

/// Affine map of rows: (N, in) -> (N, out), all T, sums in float. The epilogue's bias is the layer's own. Throws ShapeError.
template <Real T, Device Dev = DefaultDevice>
struct Linear {
  struct Config {
    Size in, out;
    bool has_bias = true;
  };
  Linear(Context<Dev>&, Config c) : weight(Extents{c.out, c.in}), has_bias(c.has_bias) {
    if (has_bias) bias = Parameter<T, 1, Dev>(Extents{c.out});
  }

  [[nodiscard]] Tensor<T, 2, Dev> operator()(Context<Dev>& ctx, In<T, 2, Dev> x, Epilogue<T, Dev> e = {}) const {
    auto out = ctx.template empty<T>(Extents{x.extent(0), weight.shape()[0]});  // (N, out)
    into(ctx, x, out.view(), e);
    return out;
  }
  /// The same into the caller's memory, as T or float; `out` may be the epilogue's residual or factor.
  template <class TOut>
  void into(Context<Dev>& ctx, In<T, 2, Dev> x, Out<TOut, 2, Dev> out, Epilogue<T, Dev> e = {}) const {
    e.bias = bias.view();
    ops::linear(ctx, x, weight.view(), e, out);
  }

  /// This product as one of several of the same rows, for ops::project.
  [[nodiscard]] Projection<T, Dev> to(View<T, 2, Dev> out) const { return {weight.view(), bias.view(), out}; }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", weight);
    if (has_bias) visit("bias", bias);
  }

  Parameter<T, 2, Dev> weight;  // (out, in)
  Parameter<T, 1, Dev> bias{};  // (out)
  bool has_bias;
};

}  // namespace mgm::inline v0::nn
