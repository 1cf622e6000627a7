/// From an image encoder's states to the tokens that a UNet's cross-attentions read (IP-Adapter: Ye et al. 2023, arXiv:2308.06721).
#pragma once
#include <cmath>
#include <vector>

#include <mgm/nn/linear.hpp>
#include <mgm/nn/norm.hpp>
#include <mgm/ops/attention.hpp>
#include <mgm/ops/elementwise.hpp>

namespace mgm::inline v0::models {

/// LN(rows of W·e + b): one vector (1, in) -> (tokens, text).
template <Real T, Device Dev = DefaultDevice>
struct LinearImageProjection {
  struct Config {
    Size in, tokens, text;
  };
  LinearImageProjection(Context<Dev>& ctx, Config c) : config(c), proj(ctx, {c.in, c.tokens * c.text}), norm(ctx, {c.text}) {}

  [[nodiscard]] Tensor<T, 2, Dev> operator()(Context<Dev>& ctx, In<T, 2, Dev> e) const {
    check_shape("image projection: embedding", e, 1, config.in);
    auto const rows = proj(ctx, e);                                       // (1, tokens·text)
    return norm(ctx, rows.reshape(Extents{config.tokens, config.text}));  // (tokens, text)
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("proj", proj);
    visit("norm", norm);
  }

  Config config;
  nn::Linear<T, Dev> proj;
  nn::LayerNorm<T, Dev> norm;
};

/// Learned queries that read all states, layer after layer (perceiver resampler: Alayrac et al. 2022, arXiv:2204.14198):
///   z += Wo·softmax(q·kᵀ/√64)·v,  q = Wq LN(z), [k, v] = Wkv [LN(x); LN(z)];   z += W₂·gelu(W₁·LN(z));   out = LN(W·z + b)
/// x = W·states + b.   states (M, in) -> (queries, text). Heads are 64 wide.
template <Real T, Device Dev = DefaultDevice>
class Resampler {
 public:
  struct Config {
    Size in, width, heads, depth, queries, ffn, text;
  };
  static constexpr Size kHead = 64;

  Resampler(Context<Dev>& ctx, Config c)
      : config_(c),
        latents_(Extents<3>{1, c.queries, c.width}),
        in_(ctx, {c.in, c.width}),
        out_(ctx, {c.width, c.text}),
        norm_(ctx, {c.text}) {
    for (Size i = 0; i < c.depth; ++i) layers_.emplace_back(ctx, c);
  }

  [[nodiscard]] Tensor<T, 2, Dev> operator()(Context<Dev>& ctx, In<T, 2, Dev> states) const {
    check_shape("resampler: states", states, any, config_.in);
    auto const x = in_(ctx, states);  // (M, W)
    Size const seen = x.extent(0), all = seen + config_.queries;
    auto z = ctx.template empty<T>(Extents{config_.queries, config_.width});  // (Q, W)
    ops::copy<T, Dev>(ctx, latents_.view().reshape(z.extents()), z);
    auto read = ctx.template empty<T>(Extents{all, config_.width});  // (M + Q, W)
    auto const heads = [&](auto const& t) { return t.reshape(Extents{t.extent(0), config_.heads, kHead}); };
    for (auto const& layer : layers_) {
      auto const own = read.slice(0, seen, config_.queries);  // (Q, W)
      ops::layer_norm<T, Dev>(ctx, x, layer.norm1.weight.view(), layer.norm1.bias.view(), layer.norm1.eps, read.slice(0, 0, seen));
      ops::layer_norm<T, Dev>(ctx, z, layer.norm2.weight.view(), layer.norm2.bias.view(), layer.norm2.eps, own);
      auto const q = layer.q(ctx, own);  // (Q, 64·heads)
      Size const inner = q.extent(1);
      auto const k = ctx.template empty<T>(Extents{all, inner}), v = ctx.template empty<T>(k.extents());  // (M + Q, 64·heads)
      auto const rows = [&](Size first) { return layer.kv.weight.view().slice(0, first, inner); };
      ops::linear(ctx, read, rows(0), Epilogue<T, Dev>{}, k.view());
      ops::linear(ctx, read, rows(inner), Epilogue<T, Dev>{}, v.view());
      auto const mixed = ctx.template empty<T>(q.extents());  // (Q, 64·heads)
      ops::attention<T, Dev>(ctx, heads(q), heads(k), heads(v), 1 / std::sqrt(static_cast<float>(kHead)), false, heads(mixed));
      layer.out.into(ctx, mixed, z.view(), {.residual = z});
      auto const wide = layer.up(ctx, layer.norm3(ctx, z), {.activation = Activation::gelu});  // (Q, ffn)
      layer.down.into(ctx, wide, z.view(), {.residual = z});
      ctx.step();
    }
    return norm_(ctx, out_(ctx, z));  // (Q, text)
  }

  [[nodiscard]] Config const& config() const { return config_; }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("latents", latents_);
    visit("proj_in", in_);
    visit("layers", layers_);
    visit("proj_out", out_);
    visit("norm_out", norm_);
  }

 private:
  struct Layer {
    Layer(Context<Dev>& ctx, Config c)
        : norm1(ctx, {c.width}),
          norm2(ctx, {c.width}),
          norm3(ctx, {c.width}),
          q(ctx, {c.width, kHead * c.heads, false}),
          kv(ctx, {c.width, 2 * kHead * c.heads, false}),
          out(ctx, {kHead * c.heads, c.width, false}),
          up(ctx, {c.width, c.ffn, false}),
          down(ctx, {c.ffn, c.width, false}) {}
    template <class Visit>
    void parameters(Visit&& visit) {
      visit("0.norm1", norm1);
      visit("0.norm2", norm2);
      visit("0.to_q", q);
      visit("0.to_kv", kv);
      visit("0.to_out", out);
      visit("1.0", norm3);
      visit("1.1", up);
      visit("1.3", down);
    }
    nn::LayerNorm<T, Dev> norm1, norm2, norm3;
    nn::Linear<T, Dev> q, kv, out, up, down;
  };

  Config config_;
  Parameter<T, 3, Dev> latents_;  // (1, Q, W)
  nn::Linear<T, Dev> in_, out_;
  nn::LayerNorm<T, Dev> norm_;
  std::vector<Layer> layers_;
};

}  // namespace mgm::inline v0::models
