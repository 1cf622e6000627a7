/// Scaled dot-product attention and rotary positions.
#pragma once
#include <algorithm>
#include <vector>

#include <mgm/cpu/attention.hpp>
#include <mgm/cpu/rope.hpp>
#include <mgm/kernels/instances/attention.hpp>
#include <mgm/mem/context.hpp>

namespace mgm::inline v0::ops {

/// out[i,h] = Σ_j softmax_j(scale · q[i,h]·k[j,g])·v[j,g],  g = h / (heads / kv_heads).
/// q, out (Tq, heads, d); k, v (Tk, kv_heads, d), last axis contiguous. Causal: query i stands at position Tk − Tq + i and sees no later
/// key. Softmax in float. Throws ShapeError.
template <Real T, Device Dev>
void attention(Context<Dev>& ctx, In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, float scale, bool causal, Out<T, 3, Dev> out) {
  Size const heads = q.extent(1), kv_heads = k.extent(1);
  check_shape("attention: k", k, any, any, q.extent(2));
  check_shape("attention: v", v, k.extent(0), kv_heads, q.extent(2));
  check_shape("attention: out", out, q.extent(0), heads, q.extent(2));
  require<ShapeError>(kv_heads >= 1 && heads % kv_heads == 0, "attention: ", heads, " heads cannot share ", kv_heads, " key/value heads");
  require<ShapeError>(!causal || k.extent(0) >= q.extent(0), "attention: ", q.extent(0), " causal queries need as many keys, found ",
                      k.extent(0));
  if constexpr (std::same_as<Dev, Cpu>) {
    cpu::attention<T>(ctx.executor(), q, k, v, scale, causal, out);
  } else {
    auto const work = ctx.template empty<float>(Extents{kernels::attention_workspace<T, Dev>(ctx.tuned(), q, k, v, out)});
    kernels::attention<T, Dev>(ctx.stream(), ctx.tuned(), q, k, v, scale, causal, work, out);
  }
}

/// The same for causal queries the last of which stands at position last(0), a number in the device's memory: k and v have room for more
/// keys, which may be anything. The bits are those of `attention` with k and v cut behind it. Where attention_takes_last; throws as above.
template <Real T, KernelDevice Dev>
void attention_upto(Context<Dev>& ctx, In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, float scale, View<std::int64_t const, 1, Dev> last,
                    Out<T, 3, Dev> out) {
  auto const work = ctx.template empty<float>(Extents{kernels::attention_workspace<T, Dev>(ctx.tuned(), q, k, v, out)});
  kernels::attention<T, Dev>(ctx.stream(), ctx.tuned(), q, k, v, scale, true, work, out, last);
}
/// Whether `attention_upto` takes one query of `heads` heads against these keys: all but more than 32 heads a key/value head in 16 bits.
template <Real T, KernelDevice Dev>
[[nodiscard]] bool attention_takes_last(Context<Dev> const& ctx, Size heads, View<T const, 3, Dev> k) {
  View<T const, 3, Dev> const one(nullptr, {1, heads, k.extent(2)});
  return kernels::attention_takes_last<T, Dev>(ctx.tuned(), one, k, k, one);
}

/// Cosines and sines of φ = p·theta^(−2i/width) for positions p = first, first + 1, …, where kernels read them: (rows, 2, width/2), made
/// once for all layers that turn these rows. Angles in double, on the host, so that the last position is as exact as the first. Throws
/// ShapeError for an odd width.
template <Device Dev>
[[nodiscard]] Tensor<float const, 3, Dev> rope_table(Context<Dev>& ctx, Size rows, Size width, Size first, float theta) {
  require<ShapeError>(width % 2 == 0, "rope: the head width must be even, found ", width);
  Extents const shape{rows, Size{2}, width / 2};
  if constexpr (std::same_as<Dev, Cpu>) {
    auto table = ctx.template empty<float>(shape);
    cpu::rope_table(ctx.executor(), first, theta, table);
    return table;
  } else {
    std::vector<float> table(static_cast<std::size_t>(shape.count()));
    cpu::rope_table(ctx.host_executor(), first, theta, View<float, 3, Cpu>(table.data(), shape));
    return ctx.on_device(View<float const, 3, Cpu>(table.data(), shape));
  }
}

/// The same for the first `rows` positions, each row's bits those of a table of that row alone: what a step takes, in memory of its own.
template <KernelDevice Dev>
[[nodiscard]] Tensor<float const, 3, Dev> rope_step_table(Context<Dev>& ctx, Size rows, Size width, float theta) {
  require<ShapeError>(width % 2 == 0, "rope: the head width must be even, found ", width);
  Extents const shape{rows, Size{2}, width / 2};
  std::vector<float> table(static_cast<std::size_t>(shape.count()));
  View<float, 3, Cpu> const host(table.data(), shape);
  cpu::rope_single_rows(ctx.host_executor(), theta, host);
  auto out = ctx.template lasting<float>(shape);  // (S, 2, d/2)
  ctx.copy_to_device(host, out.view());
  return out;
}

/// Rotates x (T, heads, d) in place: with the head split in halves a, b, a' = a·cos φ − b·sin φ, b' = b·cos φ + a·sin φ (Su et al. 2021,
/// half-rotation pairing), φ by `table` (T, 2, d/2). Throws ShapeError.
template <Real T, Device Dev>
void rope(Context<Dev>& ctx, Out<T, 3, Dev> x, In<float, 3, Dev> table) {
  check_shape("rope: table", table, x.extent(0), 2, x.extent(2) / 2);
  if constexpr (std::same_as<Dev, Cpu>)
    cpu::rope<T>(ctx.executor(), x, table);
  else
    kernels::rope<T, Dev>(ctx.stream(), x, table);
}

/// Rotates q (T, heads, d) in place as `rope` does, writes rotated k (T, kv_heads, d) to `keys` and v to `values`, rows of a cache. k and v
/// may lie there already. On a GPU one launch. Throws ShapeError.
template <Real T, Device Dev>
void rope_append(Context<Dev>& ctx, Out<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, In<float, 3, Dev> table,
                 std::type_identity_t<View<T, 3, Dev>> keys, std::type_identity_t<View<T, 3, Dev>> values) {
  Size const rows = q.extent(0), width = q.extent(2);
  check_shape("rope: table", table, rows, 2, width / 2);
  check_shape("rope: k", k, rows, any, width), check_shape("rope: v", v, rows, k.extent(1), width);
  check_shape("rope: keys", keys, rows, k.extent(1), width), check_shape("rope: values", values, rows, k.extent(1), width);
  if constexpr (std::same_as<Dev, Cpu>) {
    auto const copy = [&](View<T const, 3, Cpu> from, View<T, 3, Cpu> to) {
      for (Size t = 0; from.data() != to.data() && t < rows; ++t)
        for (Size h = 0; h < from.extent(1); ++h) std::copy_n(from.row(t, h), width, to.row(t, h));
    };
    copy(k, keys), copy(v, values);
    cpu::rope<T>(ctx.executor(), q, table), cpu::rope<T>(ctx.executor(), keys, table);
  } else {
    kernels::rope_append<T, Dev>(ctx.stream(), q, k, v, table, keys, values);
  }
}

/// The same to rows of a cache that only the device knows: token t goes to row positions[t] of keys and values (S, kv_heads, d), and is
/// turned by that row of table (S, 2, d/2). A position outside of them makes q NaN and stores nothing. Throws ShapeError, ArgumentError.
template <Real T, KernelDevice Dev>
void rope_append_at(Context<Dev>& ctx, Out<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, In<float, 3, Dev> table,
                    View<std::int64_t const, 1, Dev> positions, std::type_identity_t<View<T, 3, Dev>> keys,
                    std::type_identity_t<View<T, 3, Dev>> values) {
  kernels::rope_append_at<T, Dev>(ctx.stream(), q, k, v, table, positions, keys, values);
}

}  // namespace mgm::inline v0::ops
