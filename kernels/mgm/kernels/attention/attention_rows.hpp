/// How queries stand as rows where the heads that share a key/value head are worked on together, and how much each row sees.
#pragma once
#include <cstdint>

#include <mgm/kernels/attention/attention_arguments.hpp>

namespace mgm::inline v0::kernels {

/// Row r of key/value head g is query r / group of head g·group + r % group. 32 bits: a division costs a fifth of one of 64.
struct AttentionRows {
  int rows, keys, queries, group;
  bool causal;

  /// Of q (Tq, heads, d) and k (Tk, kv_heads, d), which fit each other. Throws ShapeError where more than 2³⁰ rows or keys are to be
  /// counted.
  static AttentionRows of(Extents<3> const& q, Extents<3> const& k, bool causal) {
    Size const group = q[1] / k[1], most = Size{1} << 30;
    require<ShapeError>(q[0] <= most && group <= most && q[0] * group <= most && k[0] <= most, "attention: q ", shape_text(q), ", k ",
                        shape_text(k), ": at most 2^30 keys, and queries of the heads that share them");
    return {static_cast<int>(q[0] * group), static_cast<int>(k[0]), static_cast<int>(q[0]), static_cast<int>(group), causal};
  }
  /// The same where the last query stands at position last(0), which only the device knows, so that no more keys than those up to it are
  /// there; as it is where `last` is empty. A position outside of the keys counts as the nearest that all queries have room before.
  template <Device Dev>
  [[nodiscard]] MGM_HD AttentionRows upto(View<std::int64_t const, 1, Dev> last) const {
    AttentionRows out = *this;
    if (last.data() == nullptr) return out;
    std::int64_t const count = last(0) + 1;
    out.keys = static_cast<int>(count > keys ? keys : count < queries ? queries : count);
    return out;
  }
  [[nodiscard]] MGM_HD int query(int row) const { return row / group; }
  [[nodiscard]] MGM_HD int head(int kv_head, int row) const { return kv_head * group + row % group; }
  /// Keys that a row sees: never fewer than the row before; none beyond the last row.
  [[nodiscard]] MGM_HD int seen(int row) const { return row >= rows ? 0 : causal ? keys - queries + row / group + 1 : keys; }
  /// The same; rows beyond the last, which are not stored, see all.
  [[nodiscard]] MGM_HD int seen_or_all(int row) const { return row >= rows ? keys : seen(row); }
};

}  // namespace mgm::inline v0::kernels
