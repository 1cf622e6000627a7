/// LayerNorm folded into the product behind it: moments, folded weights and the epilogue of every form, against plain loops in double.
#include <array>
#include <cmath>
#include <string>

#include <mgm/kernels/norm/norm_fold.cuh>
#include <mgm/ops/linear.hpp>

#include "support/refusals.hpp"

namespace norm_fold_test {

using namespace mgm;
using support::Dev;
using support::Layout;
using support::Matrix;

template <class T>
class NormFolded : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(NormFolded, Types);

constexpr double kUnit = 0x1p-24;
// rows of both kernels against channels: 1, primes, a warp's 32 and its neighbours, widths of models
constexpr std::array<Size, 2> kShapes[] = {{1, 1},   {2, 2},   {3, 3},   {4, 5},   {5, 7},    {1, 16},   {3, 17},  {2, 31},  {4, 32},
                                           {5, 33},  {1, 63},  {2, 64},  {3, 65},  {7, 97},   {4, 127},  {1, 128}, {2, 129}, {8, 192},
                                           {3, 255}, {1, 256}, {2, 511}, {1, 768}, {2, 1023}, {3, 1024}, {1, 1025}};

/// The only row of a matrix.
template <class T>
View<T const, 1, Dev> only_row(Matrix<T> const& m) {
  return {m.view().data(), {m.view().extent(1)}, {m.view().stride(1)}};
}

struct RowMoments {
  double mean = 0, rstd = 0;
};
template <class Row>
RowMoments moments(Row row, Size channels, double eps) {
  RowMoments out;
  double squares = 0;
  for (Size c = 0; c < channels; ++c) out.mean += row(c) / double(channels);
  for (Size c = 0; c < channels; ++c) squares += std::pow(row(c) - out.mean, 2);
  out.rstd = 1 / std::sqrt(squares / double(channels) + eps);
  return out;
}

TYPED_TEST(NormFolded, MomentsMatchDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [rows, channels] : support::shapes(kShapes))
      for (Layout const layout : support::kLayouts) {
        SCOPED_TRACE(text(support::type_of<T>(), " ", rows, "x", channels, ", layout ", static_cast<int>(layout)));
        support::Numbers numbers(std::uint64_t(rows * 8191 + channels));
        Matrix<T> const x(ctx, layout, rows, channels, [&] { return numbers.uniform() + 0.25; });
        Matrix<float> out(ctx, layout, rows, 2);
        kernels::row_moments<T, Dev>(ctx.stream(), x.view(), 1e-5f, out.view());
        out.fetch();
        EXPECT_TRUE(out.intact());
        for (Size m = 0; m < rows; ++m) {
          auto const want = moments([&](Size c) { return double(float(x(m, c))); }, channels, double(1e-5f));
          // elements of at most 1.25; a lane adds K/32 of them, then five levels and a quotient
          double const sums = (double(channels) / 32 + 6) * kUnit, off = 1.25 * sums + kUnit;
          ASSERT_NEAR(double(out(m, 0)), want.mean, off);
          // squares: the sum's roundings, two of each difference, and the square of the mean's error; halved by the root; root and quotient
          double const rstd = want.rstd * ((sums + 3 * kUnit + off * off * want.rstd * want.rstd) / 2 + 3 * kUnit);
          ASSERT_NEAR(double(out(m, 1)), want.rstd, rstd);
        }
      }
  });
}

TYPED_TEST(NormFolded, WeightsMatchDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [rows, channels] : support::shapes(kShapes))
      for (Layout const layout : support::kLayouts) {
        SCOPED_TRACE(text(support::type_of<T>(), " ", rows, "x", channels, ", layout ", static_cast<int>(layout)));
        support::Numbers numbers(std::uint64_t(rows * 8191 + channels));
        auto const make = [&] { return numbers.uniform(); };
        Matrix<T> const w(ctx, layout, rows, channels, make), gain(ctx, layout, 1, channels, make), shift(ctx, layout, 1, channels, make);
        Matrix<T> const bias(ctx, layout, 1, rows, make);
        Matrix<T> folded(ctx, layout, rows, channels);
        Matrix<float> columns(ctx, layout, 2, rows);
        bool const biased = channels % 2 == 0;
        kernels::fold_norm<T, Dev>(ctx.stream(), w.view(), only_row(gain), only_row(shift),
                                   biased ? only_row(bias) : View<T const, 1, Dev>{}, folded.view(), columns.view());
        folded.fetch(), columns.fetch();
        EXPECT_TRUE(folded.intact() && columns.intact());
        double const rounding = (double(channels) / 32 + 7) * kUnit;  // a lane adds K/32 terms, then five levels, and the bias
        for (Size n = 0; n < rows; ++n) {
          double sum = 0, size = 0, shifted = biased ? double(float(bias(0, n))) : 0, shifted_size = std::abs(shifted);
          for (Size k = 0; k < channels; ++k) {
            float const weight = float(w(n, k));
            ASSERT_EQ(float(folded(n, k)), float(T(weight * float(gain(0, k)))));
            sum += double(float(folded(n, k))), size += std::abs(double(float(folded(n, k))));
            shifted += double(weight) * double(float(shift(0, k))), shifted_size += std::abs(double(weight) * double(float(shift(0, k))));
          }
          ASSERT_NEAR(double(columns(0, n)), sum, rounding * size);
          ASSERT_NEAR(double(columns(1, n)), shifted, rounding * shifted_size);
        }
      }
  });
}

/// Whole numbers, means and sums, and halves for the deviations: every form's epilogue is exact.
TYPED_TEST(NormFolded, EveryFormOfTheProductUnfoldsExactly) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    // skinny, general (odd K), small tiles ragged and full, K in parts, large tiles
    for (auto const& [m, n, k] :
         {std::array<Size, 3>{1, 24, 64}, {16, 9, 64}, {17, 23, 63}, {64, 64, 64}, {65, 40, 72}, {33, 16, 2048}, {1153, 1537, 8}})
      for (Layout const layout : {Layout::odd, Layout::aligned, Layout::dense}) {
        if (m > 1000 && layout != Layout::dense) continue;
        SCOPED_TRACE(text(support::type_of<T>(), " ", m, "x", n, "x", k, ", layout ", static_cast<int>(layout)));
        support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
        auto const whole = [&] { return double(numbers.whole(0, 3) == 0 ? numbers.whole(-2, 2) : 0); };
        Matrix<T> const x(ctx, layout, m, k, whole), w(ctx, layout, n, k, whole), bias(ctx, layout, 1, n, whole);
        Matrix<float> const rows(ctx, layout, m, 2, [&] { return numbers.whole(1, 2) * 0.5; }), columns(ctx, layout, 2, n, whole);
        Matrix<float> out(ctx, layout, m, n);
        auto const sign = [&] { return numbers.whole(0, 1) == 0 ? 2 : -1; };
        Matrix<T> const scale(ctx, layout, 1, n, sign), factor(ctx, layout, m, n, sign), residual(ctx, layout, m, n, whole);
        Epilogue<T, Dev> const e{.bias = only_row(bias),
                                 .scale = only_row(scale),
                                 .factor = factor.view(),
                                 .residual = residual.view(),
                                 .alpha = 2,
                                 .norm = {rows.view(), columns.view()}};
        ops::linear<T, float, Dev>(ctx, x.view(), w.view(), e, out.view());
        out.fetch();
        EXPECT_TRUE(out.intact());
        for (Size i = 0; i < m; ++i)
          for (Size j = 0; j < n; ++j) {
            double sum = 0;
            for (Size c = 0; c < k; ++c) sum += double(float(x(i, c))) * double(float(w(j, c)));
            double const normed = double(rows(i, 1)) * (sum - double(rows(i, 0)) * double(columns(0, j))) + double(columns(1, j));
            double const want = double(float(residual(i, j))) +
                                double(float(factor(i, j))) * double(float(scale(0, j))) * (2 * normed + double(float(bias(0, j))));
            ASSERT_EQ(double(out(i, j)), want) << "at " << i << ", " << j;
          }
      }
  });
}

TYPED_TEST(NormFolded, IsTheNormedProduct) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    constexpr float kEps = 1e-5f;
    for (auto const& [m, n, k, mean] :
         {std::array<Size, 4>{2, 8, 64, 0}, {5, 12, 256, 0}, {40, 24, 64, 1}, {33, 20, 192, 8}, {3, 8, 64, 8}}) {
      SCOPED_TRACE(text(support::type_of<T>(), " ", m, "x", n, "x", k, ", mean ", mean));
      support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
      auto const make = [&] { return numbers.uniform(); };
      Matrix<T> const x(ctx, Layout::dense, m, k, [&] { return numbers.uniform() + double(mean); }), w(ctx, Layout::dense, n, k, make);
      Matrix<T> const gain(ctx, Layout::dense, 1, k, [&] { return numbers.uniform() + 1; }), shift(ctx, Layout::dense, 1, k, make);
      Matrix<T> const bias(ctx, Layout::dense, 1, n, make);
      Matrix<T> folded(ctx, Layout::dense, n, k), out(ctx, Layout::dense, m, n);
      Matrix<float> rows(ctx, Layout::dense, m, 2), columns(ctx, Layout::dense, 2, n);
      kernels::fold_norm<T, Dev>(ctx.stream(), w.view(), only_row(gain), only_row(shift), only_row(bias), folded.view(), columns.view());
      kernels::row_moments<T, Dev>(ctx.stream(), x.view(), kEps, rows.view());
      ops::linear<T, T, Dev>(ctx, x.view(), folded.view(), {.norm = {rows.view(), columns.view()}}, out.view());
      out.fetch();
      for (Size i = 0; i < m; ++i) {
        auto const norm = moments([&](Size c) { return double(float(x(i, c))); }, k, double(kEps));
        for (Size j = 0; j < n; ++j) {
          double want = double(float(bias(0, j))), size = std::abs(want), raw = 0, weights = 0;
          for (Size c = 0; c < k; ++c) {
            double const weight = double(float(w(j, c))), scaled = weight * double(float(gain(0, c)));
            double const normed = (double(float(x(i, c))) - norm.mean) * norm.rstd;
            want += normed * scaled + weight * double(float(shift(0, c)));
            size += std::abs(normed * scaled), raw += std::abs(double(float(x(i, c))) * scaled) + std::abs(norm.mean * scaled);
            weights += std::abs(weight);
          }
          // w' is rounded to T, which the product and Σ w' see alike; their sums are off by K + 8 roundings at most, scaled by rstd: what a
          // mean that is large beside the deviation costs is in `raw`; so are moments (above), shifts
          double const bound =
              support::kRoundoff<T> * (size + std::abs(want)) + (double(k) + 8) * kUnit * (norm.rstd * raw + weights + size);
          ASSERT_NEAR(double(float(out(i, j))), want, bound) << "at " << i << ", " << j;
        }
      }
    }
  });
}

TEST(NormFold, MayBeDoneInPlace) {
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(5);
    auto const make = [&] { return numbers.uniform(); };
    Matrix<float> w(ctx, Layout::dense, 6, 40, make);
    Matrix<float> const before = w, gain(ctx, Layout::dense, 1, 40, make);
    Matrix<float> columns(ctx, Layout::dense, 2, 6);
    View<float const, 1, Dev> const gains = only_row(gain);
    kernels::fold_norm<float, Dev>(ctx.stream(), w.view(), gains, gains, {}, w.view(), columns.view());
    w.fetch(), columns.fetch();
    for (Size n = 0; n < 6; ++n) {
      double shifted = 0;
      for (Size k = 0; k < 40; ++k) {
        ASSERT_EQ(w(n, k), before(n, k) * gain(0, k));
        shifted += double(before(n, k)) * double(gain(0, k));
      }
      ASSERT_NEAR(double(columns(1, n)), shifted, 7 * kUnit * 40);  // a lane adds two terms of at most 1, then five levels
    }
  });
}

TEST(NormFoldArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<float>(Extents{Size{4}, Size{8}}), w = ctx.template empty<float>(Extents{Size{6}, Size{8}});
    auto folded = ctx.template empty<float>(Extents{Size{6}, Size{8}}), rows = ctx.template empty<float>(Extents{Size{4}, Size{2}});
    auto columns = ctx.template empty<float>(Extents{Size{2}, Size{6}}), out = ctx.template empty<float>(Extents{Size{4}, Size{6}});
    auto gain = ctx.template empty<float>(Extents{Size{8}}), shift = ctx.template empty<float>(Extents{Size{8}});
    auto const moments = [&](View<float const, 2, Dev> a, View<float, 2, Dev> b) {
      kernels::row_moments<float, Dev>(ctx.stream(), a, 1e-5f, b);
    };
    auto const fold = [&](View<float const, 2, Dev> a, View<float const, 1, Dev> g, View<float const, 1, Dev> s, View<float, 2, Dev> to,
                          View<float, 2, Dev> c) { kernels::fold_norm<float, Dev>(ctx.stream(), a, g, s, {}, to, c); };
    support::expect_bad_views_refused("row_moments: x", support::input(x), [&](auto bad) { moments(bad, rows.view()); });
    support::expect_bad_views_refused("row_moments: rows", rows.view(), [&](auto bad) { moments(x, bad); });
    support::expect_bad_views_refused("fold_norm: w", support::input(w),
                                      [&](auto bad) { fold(bad, gain, shift, folded.view(), columns.view()); });
    support::expect_bad_views_refused("fold_norm: gain", support::input(gain),
                                      [&](auto bad) { fold(w, bad, shift, folded.view(), columns.view()); });
    support::expect_bad_views_refused("fold_norm: shift", support::input(shift),
                                      [&](auto bad) { fold(w, gain, bad, folded.view(), columns.view()); });
    support::expect_bad_views_refused("fold_norm: folded", folded.view(), [&](auto bad) { fold(w, gain, shift, bad, columns.view()); });
    support::expect_bad_views_refused("fold_norm: columns", columns.view(), [&](auto bad) { fold(w, gain, shift, folded.view(), bad); });
    support::expect_refused("row_moments: rows: expected shape (4, 2)", [&] { moments(x, columns.view()); });
    support::expect_refused("row_moments: rows: overlaps x", [&] { moments(x, {x.data(), {4, 2}}); });
    support::expect_refused("fold_norm: columns: overlaps gain", [&] {
      fold(w, gain, shift, folded.view(), {gain.data(), {2, 6}, {1, 2}});
    });
    View<float const, 2, Dev> const wide(x.data(), {1, Size{1} << 31}, {0, 0});
    support::expect_refused("row_moments: x: at most 2147483647", [&] { moments(wide, rows.view().slice(0, 0, 1)); });
    support::expect_refused("fold_norm: w: at most 2147483647", [&] { fold(wide, gain, shift, folded.view(), columns.view()); });
    View<float const, 1, Dev> const short_bias(gain.data(), {5});
    support::expect_refused("fold_norm: bias: expected shape (6)", [&] {
      kernels::fold_norm<float, Dev>(ctx.stream(), w, gain, shift, short_bias, folded.view(), columns.view());
    });
    moments({nullptr, {0, 8}}, {nullptr, {0, 2}});  // nothing
    auto const unfold = [&](NormFold<Dev> norm) {
      kernels::gemm<float, float, Dev>(ctx.stream(), false, x, w, {.norm = norm}, out.view());
    };
    support::expect_refused("gemm: norm.rows: expected shape (4, 2)", [&] { unfold({columns.view(), columns.view()}); });
    support::expect_refused("gemm: norm.columns: expected shape (2, 6)", [&] { unfold({rows.view(), rows.view()}); });
    support::expect_refused("gemm: norm.rows", [&] { unfold({{}, columns.view()}); });
    View<float const, 2, Dev> const over(out.data(), {4, 2});
    support::expect_refused("gemm: out: overlaps norm.rows", [&] { unfold({over, columns.view()}); });
  });
}

TEST(NormFoldCost, ReadsOnce) {
  EXPECT_EQ(kernels::row_moments_cost(577, 1024, 2).bytes, 577 * 1024 * 2 + 577 * 8);
  EXPECT_EQ(kernels::fold_norm_cost(3072, 1024, 2).bytes, (2 * 3072 + 2) * 1024 * 2 + 3072 * 8);
}

}  // namespace norm_fold_test
