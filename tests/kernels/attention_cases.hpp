/// Shapes, inputs and bounds that the tests of all forms of attention share.
#pragma once
#include <algorithm>
#include <string>

#include "support/device.hpp"

namespace support {

struct AttentionCase {
  mgm::Size queries, keys, heads, kv_heads, width;
  bool causal = true;
  [[nodiscard]] std::string name() const {
    return mgm::text(queries, " queries, ", keys, " keys, heads ", heads, "/", kv_heads, " of ", width, causal ? ", causal" : ", full");
  }
  /// Keys that query i sees.
  [[nodiscard]] mgm::Size seen(mgm::Size i) const { return causal ? keys - queries + i + 1 : keys; }
};

/// Inputs in [-1, 1) and a poisoned output, all off any alignment unless `guard` and `offset` are multiples of 8.
template <class T>
struct AttentionInputs {
  Guarded<T, 3> q, k, v, out;
  explicit AttentionInputs(AttentionCase const& c, mgm::Size guard = 3, mgm::Size offset = 1)
      : q({c.queries, c.heads, c.width}, guard, offset), k({c.keys, c.kv_heads, c.width}, guard, offset), v({c.keys, c.kv_heads, c.width}, guard, offset),
        out({c.queries, c.heads, c.width}, guard, offset) {
    Numbers numbers(static_cast<std::uint64_t>(c.queries * 3001 + c.keys * 31 + c.heads + c.width));
    auto const dense = [&] { return numbers.uniform(); };
    q.fill(dense), k.fill(dense), v.fill(dense);
  }
};

/// How far a row may be off. With u = 2⁻²⁴ and A = max_j scale·Σ_c|q||k|:
/// - a score's sum of d products errs by d·u·A, its scaling by u·A; s − top by 2·A·u, exp by 4u: each p errs by e = ((d + 3)·A + 4)·u relatively;
/// - each of the `chunks` rescalings multiplies by exp(peak − top): (2·A + 5)·u where the peak moved, at most; nothing where it did not;
/// - both the numerator and the mass carry them; their sums err by (keys + chunks)·u and the quotient by u;
/// - all is relative to max|v|; `probability` is the roundoff of the type in which p meets v; the result is rounded to T.
/// The sum is doubled nowhere; second-order terms are covered by the factor 1.01 + the last constant.
template <class T>
double attention_bound(double reach, mgm::Size width, mgm::Size keys, mgm::Size chunks, double largest, double want, double probability = 0) {
  double const u = 0x1p-24, p = ((double(width) + 3) * reach + 4) * u + double(chunks) * (2 * reach + 5) * u + probability;
  double const error = largest * 1.01 * (2 * p + 2 * double(keys + chunks) * u + u);
  return error + kRoundoff<T> * (std::abs(want) + error) + 0x1p-24;
}

/// Compares all of `got` with plain loops in double; chunks of `chunk` keys meet a rescaling each.
template <class T>
void expect_attention(AttentionCase const& c, AttentionInputs<T> const& in, Guarded<T, 3> const& got, double scale, mgm::Size chunk, double probability = 0) {
  EXPECT_TRUE(got.intact()) << type_of<T>() << ": " << c.name();
  mgm::Size const group = c.heads / c.kv_heads;
  double worst = 0;
  std::string where;
  for (mgm::Size i = 0; i < c.queries; ++i)
    for (mgm::Size h = 0; h < c.heads; ++h) {
      mgm::Size const seen = c.seen(i);
      auto const want = attention_row<T>(in.q.view(), in.k.view(), in.v.view(), scale, i, h, seen);
      double reach = 0, largest = 0;
      for (mgm::Size j = 0; j < seen; ++j) {
        double size = 0;
        for (mgm::Size x = 0; x < c.width; ++x) {
          size += std::abs(double(float(in.q.view()(i, h, x))) * double(float(in.k.view()(j, h / group, x))));
          largest = std::max(largest, std::abs(double(float(in.v.view()(j, h / group, x)))));
        }
        reach = std::max(reach, size * scale);
      }
      for (mgm::Size x = 0; x < c.width; ++x) {
        double const expected = want[static_cast<std::size_t>(x)], error = std::abs(double(float(got.view()(i, h, x))) - expected);
        double const share = error / attention_bound<T>(reach, c.width, seen, (seen + chunk - 1) / chunk, largest, expected, probability);
        if (!(share <= worst)) worst = share, where = mgm::text("query ", i, ", head ", h, ", channel ", x);  // NaN comes through
      }
    }
  EXPECT_LE(worst, 1) << type_of<T>() << ": " << c.name() << " at " << where;
}

/// Inputs whose result is exact: in each row one score is 128 and the others are 0, whose exponentials vanish beside it (e⁻¹²⁸ is below
/// the least float), so that the result is one row of v, bit for bit. `target` is that row.
template <class T>
void one_hot(AttentionCase const& c, AttentionInputs<T>& in, mgm::Size target) {
  Numbers numbers(static_cast<std::uint64_t>(c.keys + c.width));
  for (mgm::Size i = 0; i < c.queries; ++i)
    for (mgm::Size h = 0; h < c.heads; ++h)
      for (mgm::Size x = 0; x < c.width; ++x) in.q.view()(i, h, x) = T(x == c.width / 2 ? 16.0f : float(numbers.whole(-4, 4)));
  for (mgm::Size j = 0; j < c.keys; ++j)
    for (mgm::Size g = 0; g < c.kv_heads; ++g)
      for (mgm::Size x = 0; x < c.width; ++x) {
        in.k.view()(j, g, x) = T(j == target && x == c.width / 2 ? 8.0f : 0.0f);
        in.v.view()(j, g, x) = T(numbers.whole(0, 3) == 0 ? float(numbers.whole(-4, 4)) : 0.0f);
      }
}
template <class T>
void expect_one_hot(AttentionCase const& c, AttentionInputs<T> const& in, Guarded<T, 3> const& got, mgm::Size target) {
  EXPECT_TRUE(got.intact()) << type_of<T>() << ": " << c.name();
  for (mgm::Size i = 0; i < c.queries; ++i)
    for (mgm::Size h = 0; h < c.heads; ++h)
      for (mgm::Size x = 0; x < c.width; ++x)
        ASSERT_EQ(float(got.view()(i, h, x)), float(in.v.view()(target, h / (c.heads / c.kv_heads), x)))
            << type_of<T>() << ": " << c.name() << " at query " << i << ", head " << h << ", channel " << x;
}

}  // namespace support
