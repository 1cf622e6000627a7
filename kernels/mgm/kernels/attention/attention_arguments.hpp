/// What all forms of attention ask of their arguments, and what they must move and compute.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>

namespace mgm::inline v0::kernels {

/// Head widths that attention takes, in elements.
inline constexpr Size kMaxHeadWidth = 512;

/// q, out (Tq, heads, d); k, v (Tk, kv_heads, d); heads a multiple of kv_heads; Tk at least 1, and at least Tq where `causal`; d at most
/// 512; `out` apart from all. Throws ShapeError and ArgumentError naming the argument.
template <class T, KernelDevice Dev>
void check_attention(In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, bool causal, Out<T, 3, Dev> out) {
  check_input("attention: q", q), check_input("attention: k", k), check_input("attention: v", v), check_output("attention: out", out);
  Size const queries = q.extent(0), heads = q.extent(1), width = q.extent(2), keys = k.extent(0), kv_heads = k.extent(1);
  check_shape("attention: k", k, any, any, width);
  check_shape("attention: v", v, keys, kv_heads, width);
  check_shape("attention: out", out, queries, heads, width);
  require<ShapeError>(width <= kMaxHeadWidth, "attention: q: heads of ", width, " channels; at most ", kMaxHeadWidth, " are taken");
  check_apart("attention: out", out, "q", q), check_apart("attention: out", out, "k", k), check_apart("attention: out", out, "v", v);
  if (out.count() == 0) return;
  require<ShapeError>(kv_heads >= 1 && heads % kv_heads == 0, "attention: k: ", kv_heads, " key/value heads cannot be shared by ", heads,
                      " query heads; the latter must be a multiple");
  require<ShapeError>(kv_heads <= 65535, "attention: k: at most 65535 key/value heads fit a grid, found ", kv_heads);
  require<ShapeError>(keys >= 1, "attention: k: no keys; each query needs one at least");
  require<ShapeError>(!causal || keys >= queries, "attention: k: ", queries, " causal queries need as many keys, found ", keys);
}

/// `last` is absent or one number in the device's memory, and goes with causal queries. Throws ShapeError and ArgumentError.
template <class T, KernelDevice Dev>
void check_last(View<std::int64_t const, 1, Dev> last, bool causal, Out<T, 3, Dev> out) {
  if (last.data() == nullptr) return;
  check_input("attention: last", last), check_shape("attention: last", last, 1), check_apart("attention: out", out, "last", last);
  require<ArgumentError>(causal, "attention: last: a last position is for causal queries");
}

/// q, k, v and out once; two products over the pairs that are seen.
constexpr Cost attention_cost(Size queries, Size keys, Size heads, Size kv_heads, Size width, bool causal, Size bytes) {
  Size const pairs = causal ? queries * keys - queries * (queries - 1) / 2 : queries * keys;
  return {2 * (queries * heads + keys * kv_heads) * width * bytes, 4 * pairs * heads * width};
}

}  // namespace mgm::inline v0::kernels
