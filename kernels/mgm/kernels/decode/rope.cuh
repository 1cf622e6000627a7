/// Rotary positions: with a head split in halves a, b and the angle φ of its position and channel,
///   a' = a·cos φ − b·sin φ,   b' = b·cos φ + a·sin φ           (Su et al. 2021, arXiv:2104.09864; half-rotation pairing)
/// In place, or on the way to the cache: queries and keys are turned and keys and values are appended in one launch, to rows that the host
/// names or the device. One thread a pair. The angles come as a table, made in double on the host: far positions are as exact as near ones.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>

namespace mgm::inline v0::kernels {

struct RopeTraits {
  static constexpr int kThreads = 256;  // not measured yet
  static constexpr int kRegisters = 48;  // of a thread, at most: nvcc-gate
};

/// Pair i of head h of one token x (heads, d), turned by `turns` (2, d/2), goes to the same place of `out`, which may be x.
template <class T, class Dev>
MGM_DEVICE void rope_turn(View<T const, 2, Dev> x, View<float const, 2, Dev> turns, Size h, Size i, View<T, 2, Dev> out) {
  Size const half = x.extent(1) / 2;
  float const cosine = turns(0, i), sine = turns(1, i), a = simt::widen(x(h, i)), b = simt::widen(x(h, half + i));
  out(h, i) = simt::narrow<T>(simt::fma(a, cosine, -(b * sine)));
  out(h, half + i) = simt::narrow<T>(simt::fma(b, cosine, a * sine));
}
/// Where pair `pair` of x (T, heads, d) is, counted over tokens, heads and halves.
struct RopePair {
  Size t, h, i;
  MGM_DEVICE static RopePair of(Size pair, Size heads, Size half) { return {pair / (heads * half), pair / half % heads, pair % half}; }
};

template <class T, class Dev>
MGM_GLOBAL(RopeTraits::kThreads)
void rope_kernel(View<T, 3, Dev> x, View<float const, 3, Dev> table) {
  Size const at = Size{simt::block_idx().x} * RopeTraits::kThreads + simt::thread_idx();
  if (at >= x.count() / 2) return;
  auto const [t, h, i] = RopePair::of(at, x.extent(1), x.extent(2) / 2);
  rope_turn<T, Dev>(x[t], table[t], h, i, x[t]);
}

/// The row of a cache that a token goes to: the same as the token's, or what `positions` says, where they are given; below zero for none.
template <class Dev>
MGM_DEVICE Size rope_row(View<std::int64_t const, 1, Dev> positions, Size t, Size rows) {
  Size const row = positions.data() ? positions(t) : t;
  return row < rows ? row : -1;
}

template <class T, class Dev>
MGM_GLOBAL(RopeTraits::kThreads)
void rope_append_kernel(View<T, 3, Dev> q, View<T const, 3, Dev> k, View<T const, 3, Dev> v, View<float const, 3, Dev> table,
                        View<std::int64_t const, 1, Dev> positions, View<T, 3, Dev> keys, View<T, 3, Dev> values) {
  Size const of_q = q.count() / 2, of_k = k.count() / 2, half = k.extent(2) / 2;
  Size const at = Size{simt::block_idx().x} * RopeTraits::kThreads + simt::thread_idx();
  if (at < of_q) {
    auto const [t, h, i] = RopePair::of(at, q.extent(1), half);
    Size const row = rope_row(positions, t, table.extent(0));
    if (row >= 0) rope_turn<T, Dev>(q[t], table[row], h, i, q[t]);
    else q(t, h, i) = q(t, h, half + i) = simt::narrow<T>(NAN);
  } else if (at < of_q + 2 * of_k) {
    bool const is_key = at < of_q + of_k;
    auto const [t, h, i] = RopePair::of(is_key ? at - of_q : at - of_q - of_k, k.extent(1), half);
    Size const row = rope_row(positions, t, table.extent(0));
    if (row < 0) return;
    if (is_key) rope_turn<T, Dev>(k[t], table[row], h, i, keys[row]);
    else values(row, h, i) = v(t, h, i), values(row, h, half + i) = v(t, h, half + i);
  }
}

namespace detail {
/// `out` shares no byte with `in`; both may be columns of one matrix, as the parts of a fused product are.
template <class T, class U, Device Dev>
void check_apart_or_beside(std::string_view what, View<T, 3, Dev> out, std::string_view from, View<U, 3, Dev> in) {
  Size const row = out.stride(0), of_out = (out.extent(1) - 1) * out.stride(1) + (out.extent(2) - 1) * out.stride(2) + 1;
  Size const of_in = (in.extent(1) - 1) * in.stride(1) + (in.extent(2) - 1) * in.stride(2) + 1;
  if (sizeof(T) == sizeof(U) && row > 0 && row == in.stride(0)) {
    auto const bytes = static_cast<Size>(reinterpret_cast<std::uintptr_t>(in.data()) - reinterpret_cast<std::uintptr_t>(out.data()));
    Size const apart = (bytes / Size{sizeof(T)} % row + row) % row;
    if (bytes % Size{sizeof(T)} == 0 && apart >= of_out && apart + of_in <= row) return;
  }
  check_apart(what, out, from, in);
}
inline void check_rope_grid(std::string_view what, Size pairs) {
  require<ShapeError>(simt::ceil_div(pairs, RopeTraits::kThreads) <= 0x7FFFFFFF, what, ": ", pairs, " pairs are beyond one grid");
}
}  // namespace detail

/// x (T, heads, d), any strides, d even; table (T, 2, d/2): cosines, then sines. Products in float, one rounding to T. Enqueues and
/// returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void rope(simt::Stream<Dev> stream, Out<T, 3, Dev> x, In<float, 3, Dev> table) {
  check_output("rope: x", x), check_input("rope: table", table);
  require<ShapeError>(x.extent(2) % 2 == 0, "rope: x: the head width must be even, found ", x.extent(2));
  check_shape("rope: table", table, x.extent(0), 2, x.extent(2) / 2);
  check_apart("rope: x", x, "table", table);
  if (x.count() == 0) return;
  detail::check_rope_grid("rope: x", x.count() / 2);
  simt::launch(stream, {.name = "rope", .grid = simt::ceil_div(x.count() / 2, RopeTraits::kThreads), .block = RopeTraits::kThreads},
               rope_kernel<T, Dev>, x, table);
}

/// Turns q (T, heads, d) in place, writes turned k (T, kv_heads, d) to `keys` and v to `values`, rows of a cache of the same shape. Any
/// strides; k may be `keys` and v `values` themselves, and q, k, v columns of one matrix. table as in rope, which gives the same bits.
/// Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void rope_append(simt::Stream<Dev> stream, Out<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, In<float, 3, Dev> table,
                 std::type_identity_t<View<T, 3, Dev>> keys, std::type_identity_t<View<T, 3, Dev>> values) {
  check_output("rope_append: q", q), check_input("rope_append: k", k), check_input("rope_append: v", v),
      check_input("rope_append: table", table);
  check_output("rope_append: keys", keys), check_output("rope_append: values", values);
  Size const rows = q.extent(0), kv_heads = k.extent(1), width = q.extent(2);
  require<ShapeError>(width % 2 == 0, "rope_append: q: the head width must be even, found ", width);
  check_shape("rope_append: k", k, rows, any, width), check_shape("rope_append: v", v, rows, kv_heads, width);
  check_shape("rope_append: keys", keys, rows, kv_heads, width), check_shape("rope_append: values", values, rows, kv_heads, width);
  check_shape("rope_append: table", table, rows, 2, width / 2);
  if (q.count() + k.count() == 0) return;
  View<T const, 3, Dev> const turned = keys, copied = values;
  detail::check_apart_or_beside("rope_append: q", q, "k", k), detail::check_apart_or_beside("rope_append: q", q, "v", v);
  detail::check_apart_or_beside("rope_append: q", q, "keys", turned), detail::check_apart_or_beside("rope_append: q", q, "values", copied);
  bool const turned_there = keys.data() == k.data() && keys.strides() == k.strides(),
             copied_there = values.data() == v.data() && values.strides() == v.strides();
  if (!turned_there) detail::check_apart_or_beside("rope_append: keys", keys, "k", k);
  if (!copied_there) detail::check_apart_or_beside("rope_append: values", values, "v", v);
  detail::check_apart_or_beside("rope_append: keys", keys, "v", v), detail::check_apart_or_beside("rope_append: values", values, "k", k);
  detail::check_apart_or_beside("rope_append: keys", keys, "values", copied);
  check_apart("rope_append: q", q, "table", table), check_apart("rope_append: keys", keys, "table", table);
  check_apart("rope_append: values", values, "table", table);
  Size const pairs = (q.count() + (copied_there ? 1 : 2) * k.count()) / 2;
  detail::check_rope_grid("rope_append: q", pairs);
  if (k.count() == 0) return rope<T, Dev>(stream, q, table);
  simt::launch(stream, {.name = "rope_append", .grid = simt::ceil_div(pairs, RopeTraits::kThreads), .block = RopeTraits::kThreads},
               rope_append_kernel<T, Dev>, q, k, v, table, View<std::int64_t const, 1, Dev>(), keys, values);
}

/// The same for tokens whose positions only the device knows: token t is turned by row positions[t] of table (S, 2, d/2), and goes to that
/// row of `keys` and `values` (S, kv_heads, d), apart from all else. No two tokens have one position. One outside of the S rows is not
/// stored, and its q becomes NaN: the host cannot see it. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void rope_append_at(simt::Stream<Dev> stream, Out<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, In<float, 3, Dev> table,
                    View<std::int64_t const, 1, Dev> positions, std::type_identity_t<View<T, 3, Dev>> keys,
                    std::type_identity_t<View<T, 3, Dev>> values) {
  check_output("rope_append_at: q", q), check_input("rope_append_at: k", k), check_input("rope_append_at: v", v);
  check_input("rope_append_at: table", table), check_input("rope_append_at: positions", positions);
  check_output("rope_append_at: keys", keys), check_output("rope_append_at: values", values);
  Size const tokens = q.extent(0), kv_heads = k.extent(1), width = q.extent(2), rows = table.extent(0);
  require<ShapeError>(width % 2 == 0, "rope_append_at: q: the head width must be even, found ", width);
  check_shape("rope_append_at: k", k, tokens, any, width), check_shape("rope_append_at: v", v, tokens, kv_heads, width);
  check_shape("rope_append_at: table", table, any, 2, width / 2), check_shape("rope_append_at: positions", positions, tokens);
  check_shape("rope_append_at: keys", keys, rows, kv_heads, width), check_shape("rope_append_at: values", values, rows, kv_heads, width);
  if (q.count() + k.count() == 0) return;
  View<T const, 3, Dev> const copied = values;
  detail::check_apart_or_beside("rope_append_at: q", q, "k", k), detail::check_apart_or_beside("rope_append_at: q", q, "v", v);
  check_apart("rope_append_at: keys", keys, "k", k), check_apart("rope_append_at: keys", keys, "v", v);
  check_apart("rope_append_at: values", values, "k", k), check_apart("rope_append_at: values", values, "v", v);
  check_apart("rope_append_at: keys", keys, "q", q), check_apart("rope_append_at: values", values, "q", q);
  detail::check_apart_or_beside("rope_append_at: keys", keys, "values", copied);
  Size const pairs = q.count() / 2 + k.count();
  detail::check_rope_grid("rope_append_at: q", pairs);
  simt::launch(stream, {.name = "rope_append_at", .grid = simt::ceil_div(pairs, RopeTraits::kThreads), .block = RopeTraits::kThreads},
               rope_append_kernel<T, Dev>, q, k, v, table, positions, keys, values);
}

/// x read and written, the table read once.
constexpr Cost rope_cost(Size rows, Size heads, Size width, Size bytes) {
  return {2 * rows * heads * width * bytes + rows * width * 4, 3 * rows * heads * width};
}
/// q, k and v read and written, the table read once. (Positions on the device: 8 bytes a row more.)
constexpr Cost rope_append_cost(Size rows, Size heads, Size kv_heads, Size width, Size bytes) {
  return {2 * rows * (heads + 2 * kv_heads) * width * bytes + rows * width * 4, 3 * rows * (heads + kv_heads) * width};
}

}  // namespace mgm::inline v0::kernels
