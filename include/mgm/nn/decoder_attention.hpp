/// Causal self-attention of a decoder, with rotary positions, grouped key/value heads and a cache.
#pragma once
#include <cmath>

#include <mgm/nn/kv_cache.hpp>
#include <mgm/nn/linear.hpp>
#include <mgm/ops/attention.hpp>

namespace mgm::inline v0::nn {

/// Where a step stands when only the device knows: its position, and what has been made ready for all that it may be.
template <Device Dev>
struct StepPlace {
  View<std::int64_t const, 1, Dev> position;  ///< (1)
  View<float const, 3, Dev> turns;            ///< (S, 2, d/2), the rotary table of all positions (ops::rope_step_table)
  Size reach;                                 ///< the position is below it; at most S and the cache's positions
};

/// out = Wo·softmax(rope(q)·rope(k)ᵀ/√d + causal)·v for rows at positions cache.size(), …; appends their keys and values to `layer` of
/// the cache (the caller advances it once all layers are done).   n (P, H), residual and result (P, H); `turns` (P, 2, d/2), the rotary
/// table of these positions, which all layers share (ops::rope_table).
template <Real T, Device Dev = DefaultDevice>
struct DecoderAttention {
  struct Config {
    Size width, heads, kv_heads, head_width;
  };
  DecoderAttention(Context<Dev>& ctx, Config c)
      : config(c),
        q(ctx, {c.width, c.heads * c.head_width, false}),
        k(ctx, {c.width, c.kv_heads * c.head_width, false}),
        v(ctx, {c.width, c.kv_heads * c.head_width, false}),
        o(ctx, {c.heads * c.head_width, c.width, false}) {}

  void operator()(Context<Dev>& ctx, In<T, 2, Dev> n, Size layer, KvCache<T, Dev> const& cache, In<float, 3, Dev> turns,
                  Out<T, 2, Dev> x) const {
    Size const rows = n.extent(0), past = cache.size(), d = config.head_width;
    auto const flat = [&](View<T, 3, Dev> t) { return View<T, 2, Dev>(t.data(), {rows, config.kv_heads * d}, {t.stride(0), 1}); };
    auto const keys = cache.keys(layer, past, rows), values = cache.values(layer, past, rows);  // (P, kv_heads, d)
    auto queries = ctx.template empty<T>(Extents{rows, config.heads * d});                     // (P, heads·d)
    ops::project<T, Dev>(ctx, n, q.to(queries), k.to(flat(keys)), v.to(flat(values)));
    auto const heads = queries.reshape(Extents{rows, config.heads, d});  // (P, heads, d)
    ops::rope_append(ctx, heads, keys, values, turns, keys, values);
    auto mixed = ctx.template empty<T>(Extents{rows, config.heads * d});  // (P, heads·d)
    ops::attention<T, Dev>(ctx, heads, cache.keys(layer, 0, past + rows), cache.values(layer, 0, past + rows),
                           1 / std::sqrt(static_cast<float>(d)), true, mixed.reshape(Extents{rows, config.heads, d}));
    o.into(ctx, mixed, x, {.residual = x});
  }

  /// The same for one row, n and x (1, H), whose position is in the device's memory: the same bits. Nothing of the host goes into it but
  /// shapes, so it can be recorded.
  void step(Context<Dev>& ctx, In<T, 2, Dev> n, Size layer, KvCache<T, Dev> const& cache, StepPlace<Dev> const& at, Out<T, 2, Dev> x) const
    requires KernelDevice<Dev>
  {
    Size const d = config.head_width;
    auto const keys = cache.keys(layer, 0, at.reach), values = cache.values(layer, 0, at.reach);  // (reach, kv_heads, d)
    auto queries = ctx.template empty<T>(Extents{Size{1}, config.heads * d});                     // (1, heads·d)
    Extents const narrow{Size{1}, config.kv_heads * d};
    auto key = ctx.template empty<T>(narrow), value = ctx.template empty<T>(narrow);              // (1, kv_heads·d)
    ops::project<T, Dev>(ctx, n, q.to(queries), k.to(key), v.to(value));
    auto const heads = queries.reshape(Extents{Size{1}, config.heads, d});                        // (1, heads, d)
    Extents const one{Size{1}, config.kv_heads, d};
    ops::rope_append_at<T, Dev>(ctx, heads, key.reshape(one), value.reshape(one), at.turns.slice(0, 0, at.reach), at.position, keys, values);
    auto mixed = ctx.template empty<T>(Extents{Size{1}, config.heads * d});                       // (1, heads·d)
    ops::attention_upto<T, Dev>(ctx, heads, keys, values, 1 / std::sqrt(static_cast<float>(d)), at.position,
                                mixed.reshape(Extents{Size{1}, config.heads, d}));
    o.into(ctx, mixed, x, {.residual = x});
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("q_proj", q);
    visit("k_proj", k);
    visit("v_proj", v);
    visit("o_proj", o);
  }

  Config config;
  Linear<T, Dev> q, k, v, o;
};

}  // namespace mgm::inline v0::nn
