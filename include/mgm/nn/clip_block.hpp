/// One layer of CLIP's transformers, for pictures and for text (Radford et al. 2021, arXiv:2103.00020).
#pragma once
#include <cmath>

#include <mgm/nn/linear.hpp>
#include <mgm/nn/norm.hpp>
#include <mgm/ops/attention.hpp>

namespace mgm::inline v0::nn {

/// h += Wo·attention(LN₁ h);  h += fc2(act(fc1(LN₂ h))).
/// h (views·tokens, C): tokens attend within their own view, to all of it, or with `causal` to none that comes later.
/// Works in place.
template <Real T, Device Dev = DefaultDevice>
struct ClipBlock {
  struct Config {
    Size width, heads, ffn;
    float eps = 1e-5f;
    Activation activation = Activation::quick_gelu;
    bool causal = false;  ///< text: a token sees those before it and itself
  };
  ClipBlock(Context<Dev>& ctx, Config c)
      : config(c),
        norm1(ctx, {c.width, c.eps}), norm2(ctx, {c.width, c.eps}),
        q(ctx, {c.width, c.width}), k(ctx, {c.width, c.width}), v(ctx, {c.width, c.width}), out(ctx, {c.width, c.width}),
        fc1(ctx, {c.width, c.ffn}), fc2(ctx, {c.ffn, c.width}) {}

  void operator()(Context<Dev>& ctx, Size views, Out<T, 2, Dev> h) const {
    Size const width = config.width, d = width / config.heads, tokens = h.extent(0) / views;
    {
      auto const n = norm1(ctx, h);                                            // (views·tokens, C)
      auto const queries = q(ctx, n), keys = k(ctx, n), values = v(ctx, n);    // (views·tokens, C)
      auto mixed = ctx.template empty<T>(Extents{h.extent(0), width});         // (views·tokens, C)
      for (Size i = 0; i < views; ++i) {
        auto const heads = [&](auto const& t) { return t.slice(0, i * tokens, tokens).reshape(Extents{tokens, config.heads, d}); };
        ops::attention<T, Dev>(ctx, heads(queries), heads(keys), heads(values), 1 / std::sqrt(static_cast<float>(d)), config.causal,
                               heads(mixed));
      }
      out.into(ctx, mixed, h, {.residual = h});
    }
    auto const wide = fc1(ctx, norm2(ctx, h), {.activation = config.activation});  // (views·tokens, ffn)
    fc2.into(ctx, wide, h, {.residual = h});
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("layer_norm1", norm1);
    visit("self_attn.q_proj", q);
    visit("self_attn.k_proj", k);
    visit("self_attn.v_proj", v);
    visit("self_attn.out_proj", out);
    visit("layer_norm2", norm2);
    visit("mlp.fc1", fc1);
    visit("mlp.fc2", fc2);
  }

  Config config;
  LayerNorm<T, Dev> norm1, norm2;
  Linear<T, Dev> q, k, v, out, fc1, fc2;
};

}  // namespace mgm::inline v0::nn
