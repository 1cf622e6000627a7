/// Shapes, inputs and bounds that the tests of all forms of attention share.
#pragma once
#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

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

/// Whether the machine watches all accesses, which takes a hundred times as long.
#if defined(MGM_TEST_STRICT)
inline constexpr bool kWatched = true;
#else
inline constexpr bool kWatched = false;
#endif

/// Calls `test` with each case; with --full also with so many more that there are 200: extents of the cases in other company, one less,
/// equal or one more, widths in steps of `step`, none larger than the largest. With every fifth case where the machine watches all
/// accesses.
template <std::size_t kCount, class Test>
void each_case(AttentionCase const (&cases)[kCount], mgm::Size step, Test&& test) {
  std::vector<AttentionCase> all(std::begin(cases), std::end(cases));
  auto const work = [](AttentionCase const& c) { return c.queries * c.keys * c.heads * c.width; };
  mgm::Size most = 0, queries = 0, width = 0;
  for (AttentionCase const& c : cases)
    most = std::max(most, work(c)), queries = std::max(queries, c.queries), width = std::max(width, c.width);
  Numbers numbers(2026);
  auto const any_case = [&] { return cases[static_cast<std::size_t>(numbers.whole(0, int(kCount) - 1))]; };
  while (full_suite() && all.size() < 200) {
    AttentionCase c = any_case();                                                        // heads, and whether causal
    c.queries = std::clamp<mgm::Size>(any_case().queries + numbers.whole(-1, 1), 1, queries);
    c.keys = std::max<mgm::Size>(any_case().keys + numbers.whole(-1, 1), c.causal ? c.queries : 1);
    c.width = std::clamp<mgm::Size>(any_case().width + step * numbers.whole(-1, 1), step, width);
    if (work(c) <= most) all.push_back(c);
  }
  for (std::size_t i = 0; i < all.size(); ++i)
    if (!kWatched || i % 5 == 4) test(all[i]);
}

/// Inputs in [-1, 1) and a poisoned output, all off any alignment unless `guard` and `offset` are multiples of 8.
template <class T>
struct AttentionInputs {
  Guarded<T, 3> q, k, v, out;
  explicit AttentionInputs(AttentionCase const& c, mgm::Size guard = 3, mgm::Size offset = 1)
      : q({c.queries, c.heads, c.width}, guard, offset),
        k({c.keys, c.kv_heads, c.width}, guard, offset),
        v({c.keys, c.kv_heads, c.width}, guard, offset),
        out({c.queries, c.heads, c.width}, guard, offset) {
    Numbers numbers(static_cast<std::uint64_t>(c.queries * 3001 + c.keys * 31 + c.heads + c.width));
    auto const dense = [&] { return numbers.uniform(); };
    q.fill(dense), k.fill(dense), v.fill(dense);
  }
};

/// What a form of attention rounds, for a row that sees so many keys: roundings (in units of 2⁻²⁴) of a score's sum of products, of the
/// sums over keys, how often a state is rescaled at most, the type in which p meets v, and its least number.
struct AttentionRounding {
  double dot = 0, sums = 0, rescalings = 0, probability = 0, smallest = 0;
};

/// How far a row may be off. With u = 2⁻²⁴ and A = max_j scale·Σ_c|q||k|:
/// - a score errs by (dot + 1)·A·u, s − top by 2·A·u, exp by 4u: each p errs by e = ((dot + 3)·A + 4)·u relatively;
/// - each rescaling multiplies by exp(peak − top), which errs by (2·A + 5)·u where the peak moved; where it did not, by nothing;
/// - both the numerator and the mass carry them (hence 2·e), and the roundings of their sums; the quotient errs by u;
/// - where p is rounded before it meets v, the numerator alone carries it: relatively, or by the least number where p is below all others,
///   against a mass that is 1 or more;
/// - all is relative to max|v|; the result is rounded to T. Terms of second order are covered by the factor 1.01.
template <class T>
double attention_bound(AttentionRounding const& r, double reach, double largest, double want) {
  double const u = 0x1p-24, e = ((r.dot + 3) * reach + 4) * u + r.rescalings * (2 * reach + 5) * u;
  double const error = largest * 1.01 * (2 * e + 2 * r.sums * u + u + r.probability + r.smallest);
  return error + kRoundoff<T> * (std::abs(want) + error) + 0x1p-24;
}

/// Compares all of `got` with plain loops in double; `rounding(seen)` is an AttentionRounding.
template <class T, class Rounding>
void expect_attention(AttentionCase const& c, AttentionInputs<T> const& in, Guarded<T, 3> const& got, double scale, Rounding rounding) {
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
        double const share = error / attention_bound<T>(rounding(seen), reach, largest, expected);
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
