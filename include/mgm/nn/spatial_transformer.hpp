/// The transformer between the UNet's convolutions: pixels attend to each other and to the words of the prompt (Rombach et al. 2022).
#pragma once
#include <cmath>
#include <span>
#include <vector>

#include <mgm/nn/linear.hpp>
#include <mgm/nn/norm.hpp>
#include <mgm/ops/attention.hpp>
#include <mgm/ops/diffusion.hpp>
#include <mgm/ops/elementwise.hpp>

namespace mgm::inline v0::nn {

/// What queries attend to, projected: a source that stays the same from step to step is projected once.
template <Real T, Device Dev = DefaultDevice>
struct KeyValues {
  Tensor<T const, 2, Dev> keys, values;  // (M, C)
};
/// All that one cross-attention reads: the text, and the tokens of a picture where an adapter gives them.
template <Real T, Device Dev = DefaultDevice>
using Sources = std::vector<KeyValues<T, Dev>>;

/// x += Wo·Σ_s softmax(q·k_sᵀ/√d)·v_s + b,  q = Wq n, k = Wk s, v = Wv s; self-attention when the one s is n.   n, x (N, C); s (M, source).
/// Several sources have a softmax each (decoupled cross-attention: Ye et al. 2023, arXiv:2308.06721).
template <Real T, Device Dev = DefaultDevice>
struct CrossAttention {
  struct Config {
    Size width, source, heads;
    bool has_bias = false;  ///< of q, k and v
  };
  CrossAttention(Context<Dev>& ctx, Config c)
      : heads(c.heads), q(ctx, {c.width, c.width, c.has_bias}), k(ctx, {c.source, c.width, c.has_bias}), v(ctx, {c.source, c.width, c.has_bias}),
        out(ctx, {c.width, c.width}) {
    require<ConfigError>(c.heads >= 1 && c.width % c.heads == 0, "attention: width ", c.width, " is not divisible by ", c.heads, " heads");
  }

  [[nodiscard]] KeyValues<T, Dev> project(Context<Dev>& ctx, In<T, 2, Dev> source) const { return {k(ctx, source), v(ctx, source)}; }
  void operator()(Context<Dev>& ctx, In<T, 2, Dev> n, In<T, 2, Dev> source, Out<T, 2, Dev> x) const {
    auto const one = project(ctx, source);
    (*this)(ctx, n, std::span(&one, 1), x);
  }
  void operator()(Context<Dev>& ctx, In<T, 2, Dev> n, std::span<KeyValues<T, Dev> const> sources, Out<T, 2, Dev> x) const {
    Size const width = n.extent(1), d = width / heads;
    auto const split = [&](auto const& t) { return t.reshape(Extents{t.extent(0), heads, d}); };
    auto const queries = q(ctx, n);                                                   // (N, C)
    auto const attend = [&](KeyValues<T, Dev> const& s) {
      auto mixed = ctx.template empty<T>(n.extents());                                // (N, C)
      ops::attention<T, Dev>(ctx, split(queries), split(s.keys), split(s.values), 1 / std::sqrt(static_cast<float>(d)), false, split(mixed));
      return mixed;
    };
    auto const sum = attend(sources.front());                                         // (N, C)
    for (auto const& s : sources.subspan(1)) ops::add<T, Dev>(ctx, sum, attend(s), sum);
    out.into(ctx, sum, x, {.residual = x});
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("to_q", q);
    visit("to_k", k);
    visit("to_v", v);
    visit("to_out.0", out);
  }

  Size heads;
  Linear<T, Dev> q, k, v, out;
};

/// x += attn(LN₁ x);  x += attn(LN₂ x, sources);  x += W₂(value ⊙ gelu(gate)), value and gate the halves of W₁(LN₃ x).   x (N, C), in place.
template <Real T, Device Dev = DefaultDevice>
struct TransformerBlock {
  struct Config {
    Size width, text, heads;
  };
  TransformerBlock(Context<Dev>& ctx, Config c)
      : norm1(ctx, {c.width}), norm2(ctx, {c.width}), norm3(ctx, {c.width}), self(ctx, {c.width, c.width, c.heads}),
        cross(ctx, {c.width, c.text, c.heads}), up(ctx, {c.width, 8 * c.width}), down(ctx, {4 * c.width, c.width}) {}

  void operator()(Context<Dev>& ctx, Sources<T, Dev> const& sources, Out<T, 2, Dev> x) const {
    auto const n = norm1(ctx, x);                                                     // (N, C)
    self(ctx, n, n, x);
    cross(ctx, norm2(ctx, x), std::span(sources), x);
    auto const last = norm3(ctx, x);                                                  // (N, C)
    auto hidden = ctx.template empty<T>(Extents{x.extent(0), up.weight.shape()[0] / 2});  // (N, 4C)
    ops::geglu<T, Dev>(ctx, last, up.weight.view(), up.bias.view(), hidden.view());
    down.into(ctx, hidden, x, {.residual = x});
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("norm1", norm1);
    visit("attn1", self);
    visit("norm2", norm2);
    visit("attn2", cross);
    visit("norm3", norm3);
    visit("ff.net.0.proj", up);
    visit("ff.net.2", down);
  }

  LayerNorm<T, Dev> norm1, norm2, norm3;
  CrossAttention<T, Dev> self, cross;
  Linear<T, Dev> up, down;
};

/// x += proj_out(blocks(proj_in(GroupNorm x))), pixels as tokens.   x (H, W, C), in place; sources: for each block what its cross-attention
/// reads. The projections are linear; files that have them as 1×1 convolutions hold the same numbers. Each block
/// is a step of the stage. Throws ShapeError, Cancelled.
template <Real T, Device Dev = DefaultDevice>
struct SpatialTransformer {
  struct Config {
    Size width, text, heads, depth = 1, groups = 32;
  };
  SpatialTransformer(Context<Dev>& ctx, Config c)
      : norm(ctx, {c.width, c.groups, 1e-6f}), proj_in(ctx, {c.width, c.width}), proj_out(ctx, {c.width, c.width}) {
    for (Size i = 0; i < c.depth; ++i) blocks.emplace_back(ctx, typename TransformerBlock<T, Dev>::Config{c.width, c.text, c.heads});
  }

  void operator()(Context<Dev>& ctx, std::span<Sources<T, Dev> const> sources, Out<T, 3, Dev> x) const {
    require<ShapeError>(sources.size() == blocks.size(), "transformer: sources for ", sources.size(), " blocks, there are ", blocks.size());
    auto const rows = x.reshape(Extents{x.extent(0) * x.extent(1), x.extent(2)});     // (H·W, C)
    auto y = proj_in(ctx, norm(ctx, rows));                                           // (H·W, C)
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i](ctx, sources[i], y.view()), ctx.step();
    proj_out.into(ctx, y, rows, {.residual = rows});
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("norm", norm);
    visit("proj_in", proj_in);
    visit("transformer_blocks", blocks);
    visit("proj_out", proj_out);
  }

  GroupNorm<T, Dev> norm;
  Linear<T, Dev> proj_in, proj_out;
  std::vector<TransformerBlock<T, Dev>> blocks;
};

}  // namespace mgm::inline v0::nn
