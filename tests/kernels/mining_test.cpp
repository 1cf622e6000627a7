/// Mining from stage maps against the definition in double, and bit for bit where the sums are exact.
#include <mgm/kernels/attention/mining.cuh>
#include <mgm/kernels/attention/mining_statistics.cuh>

#include "kernels/mining_case.hpp"
#include "support/refusals.hpp"

namespace mining_test {

using namespace mgm;
using support::Dev;
using support::MiningShape;

template <class T>
class Mining : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Mining, Types);

constexpr double kU = 0x1p-24;
/// Of an interpolated value, in units of kU times the largest pixel: two weights from double, three roundings of a product of weights,
/// four of the sum, and one to spare for second order.
constexpr double kCellRoundings = 10;

// one cell, one cell a token, primes, floored maps, one map, a map finer than the cells, more channels than a block has threads, oblong
// grids and cells, one token, the global view, the largest number of stages
std::vector<MiningShape> const kShapes{
    {{1, 1}, {1, 1}, {{1, 1, 1}}},
    {{1, 1}, {1, 1}, {{1, 1, 2}, {1, 1, 3}}},
    {{4, 4}, {1, 1}, {{4, 4, 1}, {2, 2, 1}}},
    {{1, 1}, {2, 2}, {{2, 2, 8}}},
    {{1, 2}, {2, 3}, {{2, 6, 5}, {1, 3, 7}}},
    {{3, 3}, {8, 8}, {{24, 24, 16}, {12, 12, 24}, {6, 6, 40}, {3, 3, 72}}},
    {{5, 5}, {3, 3}, {{15, 15, 5}, {7, 7, 3}, {3, 3, 17}, {1, 1, 33}}},
    {{2, 2}, {3, 3}, {{6, 6, 70}, {9, 9, 31}}},
    {{1, 3}, {4, 4}, {{4, 12, 32}, {2, 6, 64}, {1, 3, 128}}},
    {{3, 1}, {4, 2}, {{12, 2, 31}, {6, 1, 33}}},
    {{2, 2}, {4, 4}, {{8, 8, 129}, {4, 4, 127}}},
    {{2, 1}, {5, 7}, {{10, 7, 13}, {5, 4, 11}}},
    {{1, 1}, {8, 8}, {{8, 8, 4}, {4, 4, 8}, {2, 2, 16}, {1, 1, 32}}},
    {{2, 2}, {8, 8}, {{16, 16, 3}, {8, 8, 6}, {4, 4, 12}, {2, 2, 24}}},
    {{2, 3}, {2, 2}, {{4, 6, 65}, {2, 3, 63}}},
    {{1, 1}, {11, 13}, {{11, 13, 6}, {5, 6, 9}}},
    {{3, 2}, {6, 6}, {{18, 12, 10}, {9, 6, 20}}},
    {{1, 5}, {1, 2}, {{1, 10, 257}}},
    {{2, 2}, {2, 2}, {{4, 4, 2}, {4, 4, 3}, {4, 4, 5}, {2, 2, 7}, {2, 2, 1}, {2, 2, 4}, {1, 1, 6}, {1, 1, 8}}},
    {{2, 2}, {4, 4}, {{8, 8, 9}, {16, 16, 5}, {3, 5, 7}}},
    {{3, 3}, {4, 4}, {{6, 6, 16}, {3, 3, 32}}, 24, 24},
    {{1, 1}, {7, 1}, {{7, 1, 40}, {2, 1, 23}}},
    {{7, 1}, {1, 4}, {{7, 4, 21}}},
    {{2, 2}, {8, 8}, {{16, 16, 48}, {8, 8, 96}, {4, 4, 192}, {2, 2, 384}}, 0, 0, 8, 8},
    {{1, 1}, {16, 16}, {{16, 16, 12}, {2, 2, 24}}},
};

/// Roundings of a sum of `channels` terms through lanes and the warp, stage by stage.
double depth(MiningShape const& s) {
  double d = 6;
  for (auto const& map : s.maps) d += std::ceil(double(map[2]) / 32);
  return d;
}

using Statistics = std::array<support::Guarded<float, 2>, 2>;  // mean, rstd

template <class T>
Statistics statistics(Context<Dev>& ctx, support::MiningCase<T> const& c) {
  support::Guarded<float, 2> const empty(Extents{c.fine.n0, c.fine.n1});
  support::OnDevice const mean(ctx, empty);
  support::OnDevice const rstd(ctx, empty);
  kernels::mining_statistics<T, Dev>(ctx.stream(), c.view(), 1e-5f, mean.view(), rstd.view());
  return {mean.back(), rstd.back()};
}

template <class T>
void check_statistics(support::MiningCase<T> const& c, Statistics const& got) {
  EXPECT_TRUE(got[0].intact() && got[1].intact());
  double const channels = double(c.fine.n2), roundings = depth(c.shape);
  for (Size y = 0; y < c.fine.n0; ++y)
    for (Size x = 0; x < c.fine.n1; ++x) {
      double const* const v = c.cell(y, x);
      double mean = 0, var = 0;
      for (Size i = 0; i < c.fine.n2; ++i) mean += v[i] / channels;
      for (Size i = 0; i < c.fine.n2; ++i) var += (v[i] - mean) * (v[i] - mean) / channels;
      double const rstd = 1 / std::sqrt(var + double(1e-5f));
      // the value's roundings, the sum's, the quotient's; the variance errs by twice the deviation times those of a difference
      double const mean_error = (kCellRoundings + roundings + 1) * kU * c.widest,
                   d_error = mean_error + (kCellRoundings + 2) * kU * c.widest;
      double const r_error = d_error * rstd + std::pow(d_error * rstd, 2) + (roundings / 2 + 5) * kU;
      ASSERT_NEAR(got[0].view()(y, x), mean, mean_error) << support::type_of<T>() << " " << c.shape.text() << " mean at " << y << ", " << x;
      ASSERT_NEAR(got[1].view()(y, x), rstd, r_error * rstd)
          << support::type_of<T>() << " " << c.shape.text() << " rstd at " << y << ", " << x;
    }
}

TYPED_TEST(Mining, StatisticsMatchDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(3);
    for (auto const& s : support::mining_shapes(kShapes, 1)) {
      support::MiningCase<T> const c(ctx, s, support::dense_maps<T>(numbers, s));
      check_statistics(c, statistics(ctx, c));
    }
    support::MiningCase<T> const far(ctx, kShapes[5], support::dense_maps<T>(numbers, kShapes[5], 100));
    check_statistics(far, statistics(ctx, far));
  });
}

/// What mining reads beside the maps, and what it writes.
template <class T>
struct Queries {
  support::Guarded<float, 2> u, mean, rstd;
  support::Guarded<T, 1> gain, bias;
  float scale;
  Queries(support::Numbers& numbers, MiningShape const& s, float size)
      : u(support::dense<float>(numbers, Extents{s.tokens(), s.channels()}, s.guard, s.offset)),
        mean(support::dense<float>(numbers, Extents{s.rows(), s.cols()})),
        rstd(Extents{s.rows(), s.cols()}),
        gain(support::dense<T>(numbers, Extents{s.channels()}, 0, s.offset)),
        bias(support::dense<T>(numbers, Extents{s.channels()}, 0, s.offset)),
        scale(size / std::sqrt(float(s.channels()))) {
    rstd.fill([&] { return 1.5 + numbers.uniform(); });
  }
};
template <class T>
struct Mined {
  support::Guarded<T, 2> z;
  support::Guarded<float, 2> p;
};
template <class T>
Mined<T> mine(Context<Dev>& ctx, support::MiningCase<T> const& c, Queries<T> const& q) {
  auto const& s = c.shape;
  support::OnDevice const u(ctx, q.u);
  support::OnDevice const mean(ctx, q.mean);
  support::OnDevice const rstd(ctx, q.rstd);
  support::OnDevice const gain(ctx, q.gain);
  support::OnDevice const bias(ctx, q.bias);
  support::OnDevice const z(ctx, support::poisoned<T>(Extents{s.tokens(), s.channels()}, s.guard, s.offset));
  support::OnDevice const p(ctx, support::poisoned<float>(Extents{s.tokens(), s.candidates()}));
  kernels::mining<T, Dev>(ctx.stream(), u.view(), s.grid, c.view(), mean.view(), rstd.view(), q.scale, gain.view(), bias.view(), z.view(),
                          p.view());
  return {z.back(), p.back()};
}

/// Compares with the definition, given these means and deviations.
template <class T>
void check(support::MiningCase<T> const& c, Queries<T> const& q, Mined<T> const& got) {
  auto const& s = c.shape;
  EXPECT_TRUE(got.z.intact() && got.p.intact());
  Size const cells = s.candidates(), channels = s.channels();
  double const value_error = (kCellRoundings + 2) * kU * (c.widest + 1), roundings = depth(s);  // of x − μ, |μ| <= 1 or of the maps' size
  for (Size n = 0; n < s.tokens(); ++n) {
    auto const row = [&](Size j) { return n / s.grid.cols * s.cell.rows + j / s.cell.cols; };
    auto const col = [&](Size j) { return n % s.grid.cols * s.cell.cols + j % s.cell.cols; };
    std::vector<double> scores;
    double score_error = 0, highest = 0;
    for (Size j = 0; j < cells; ++j) {
      double const* const x = c.cell(row(j), col(j));
      double const mean = double(q.mean.view()(row(j), col(j))), r = double(q.rstd.view()(row(j), col(j))) * double(q.scale);
      double sum = 0, u_size = 0, size = 0;
      for (Size i = 0; i < channels; ++i) {
        double const u = double(q.u.view()(n, i)), d = x[i] - mean;
        sum += u * d, u_size += std::abs(u), size += std::abs(u * d);
      }
      scores.push_back(r * sum), highest = std::max(highest, std::abs(r * sum));
      score_error = std::max(score_error, r * (u_size * value_error + (roundings + 2) * kU * size) + 3 * kU * std::abs(r * sum));
    }
    auto const p = ref::softmax(scores);
    // an error e of all scores moves a weight by exp(2e); the argument of exp is rounded, exp errs by 2 ulp, then a sum and a quotient
    double const p_error = std::expm1(2 * (score_error + 2 * kU * highest)) + (double(cells) / 32 + 16) * kU;
    for (Size j = 0; j < cells; ++j)
      ASSERT_NEAR(got.p.view()(n, j), p[std::size_t(j)], p_error * p[std::size_t(j)] + 1e-37)
          << support::type_of<T>() << " " << s.text() << " p at " << n;
    for (Size i = 0; i < channels; ++i) {
      double sum = 0, size = 0, mass = 0;
      for (Size j = 0; j < cells; ++j) {
        double const w = p[std::size_t(j)] * double(q.rstd.view()(row(j), col(j)));
        double const d = c.cell(row(j), col(j))[i] - double(q.mean.view()(row(j), col(j)));
        sum += w * d, size += std::abs(w * d), mass += w;
      }
      double const gain = double(float(q.gain.view()(i))), want = gain * sum + double(float(q.bias.view()(i)));
      double const error =
          std::abs(gain) * (size * (p_error + (double(cells) + 4) * kU) + mass * (1 + p_error) * value_error) + 2 * kU * std::abs(want);
      ASSERT_NEAR(float(got.z.view()(n, i)), want, error + support::kRoundoff<T> * (std::abs(want) + error) + 0x1p-25)
          << support::type_of<T>() << " " << s.text() << " z at " << n << ", " << i;
    }
  }
}

TYPED_TEST(Mining, GeneralMatchesTheDefinition) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(5);
    for (auto const& s : support::mining_shapes(kShapes, 1)) {
      support::MiningCase<T> const c(ctx, s, support::dense_maps<T>(numbers, s));
      Queries<T> const q(numbers, s, 2);
      check(c, q, mine(ctx, c, q));
    }
  });
}

TYPED_TEST(Mining, MoreCellsThanAreKept) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(6);
    MiningShape const s{{1, 1}, {33, 64}, {{3, 4, 5}, {2, 2, 3}}};
    support::MiningCase<T> const c(ctx, s, support::dense_maps<T>(numbers, s));
    Queries<T> const q(numbers, s, 2);
    check(c, q, mine(ctx, c, q));
  });
}

/// With whole numbers in the maps, weights that are binary fractions and scores that are all zero, z is an exact mean.
TYPED_TEST(Mining, IsExactWhereSumsAre) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    MiningShape const s{{2, 2}, {4, 4}, {{8, 8, 37}, {4, 4, 18}, {2, 2, 9}}};
    support::Numbers numbers(7);
    std::vector<support::Guarded<T, 3>> maps;
    for (auto const& [h, w, channels] : s.maps) maps.push_back(support::sparse<T>(numbers, Extents{h, w, channels}));
    support::MiningCase<T> const c(ctx, s, maps);
    Queries<T> q(numbers, s, 1);
    q.u.fill([] { return 0; }), q.mean.fill([&] { return numbers.whole(-2, 2); }), q.rstd.fill([] { return 2; });
    q.gain.fill([&] { return numbers.whole(-2, 2); }), q.bias.fill([&] { return numbers.whole(-2, 2); });
    auto const got = mine(ctx, c, q);
    EXPECT_TRUE(got.z.intact() && got.p.intact());
    for (Size n = 0; n < 4; ++n) {
      for (Size j = 0; j < 16; ++j) ASSERT_EQ(got.p.view()(n, j), 0.0625f);
      for (Size i = 0; i < s.channels(); ++i) {
        double sum = 0;
        for (Size y = n / 2 * 4; y < n / 2 * 4 + 4; ++y)
          for (Size x = n % 2 * 4; x < n % 2 * 4 + 4; ++x) sum += (c.cell(y, x)[i] - double(q.mean.view()(y, x))) / 8;
        double const want = sum * double(float(q.gain.view()(i))) + double(float(q.bias.view()(i)));
        ASSERT_EQ(float(got.z.view()(n, i)), float(T(float(want)))) << support::type_of<T>() << " at " << n << ", " << i;
      }
    }
  });
}

/// Crops share maps and statistics and take parts of the taps: their tokens are those of the whole picture, bit for bit.
TYPED_TEST(Mining, CropsAreTheWholePicture) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(8);
    MiningShape const s{{4, 4}, {2, 2}, {{8, 8, 20}, {4, 4, 24}, {2, 2, 17}}};
    support::MiningCase<T> const c(ctx, s, support::dense_maps<T>(numbers, s));
    Queries<T> const q(numbers, s, 2);
    auto const whole = mine(ctx, c, q);
    support::OnDevice const mean(ctx, q.mean);
    support::OnDevice const rstd(ctx, q.rstd);
    support::OnDevice const gain(ctx, q.gain);
    support::OnDevice const bias(ctx, q.bias);
    for (Size r = 0; r < 2; ++r)
      for (Size k = 0; k < 2; ++k) {
        auto u = support::poisoned<float>(Extents{Size{4}, s.channels()});
        for (Size n = 0; n < 4; ++n)
          for (Size i = 0; i < s.channels(); ++i) u.view()(n, i) = q.u.view()((2 * r + n / 2) * 4 + 2 * k + n % 2, i);
        support::OnDevice const du(ctx, u);
        support::OnDevice const z(ctx, support::poisoned<T>(Extents{Size{4}, s.channels()}));
        auto part = c.stages;
        for (auto& stage : part) stage.rows = stage.rows.slice(0, 4 * r, 4), stage.cols = stage.cols.slice(0, 4 * k, 4);
        auto const cut = [&](View<float, 2, Dev> v) { return v.slice(0, 4 * r, 4).slice(1, 4 * k, 4); };
        std::span<MiningStage<T, Dev> const> const view = part;
        kernels::mining<T, Dev>(ctx.stream(), du.view(), {2, 2}, view, cut(mean.view()), cut(rstd.view()), q.scale, gain.view(),
                                bias.view(), z.view());
        auto const got = z.back();
        EXPECT_TRUE(got.intact());
        for (Size n = 0; n < 4; ++n)
          for (Size i = 0; i < s.channels(); ++i)
            ASSERT_EQ(float(got.view()(n, i)), float(whole.z.view()((2 * r + n / 2) * 4 + 2 * k + n % 2, i)))
                << r << ", " << k << ", " << n;
      }
  });
}

TYPED_TEST(Mining, ScoresThatAreNoNumbersBecomeNumbers) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(9);
    MiningShape const s{{1, 1}, {2, 2}, {{2, 2, 8}}};
    support::MiningCase<T> const c(ctx, s, support::dense_maps<T>(numbers, s));
    Queries<T> q(numbers, s, 2);
    q.u.view()(0, 0) = NAN;
    auto const uniform = mine(ctx, c, q);
    for (Size j = 0; j < 4; ++j) EXPECT_EQ(uniform.p.view()(0, j), 0.25f);  // NaN -> 0, the same for all cells
    q.u.view()(0, 0) = INFINITY;
    auto const infinite = mine(ctx, c, q);
    double sum = 0;
    for (Size j = 0; j < 4; ++j) sum += double(infinite.p.view()(0, j));
    EXPECT_NEAR(sum, 1, 1e-6);
  });
}

TEST(MiningArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(1);
    MiningShape const s{{2, 2}, {2, 2}, {{4, 4, 8}, {2, 2, 8}}, 0, 0, 0, 0};
    support::MiningCase<float> const c(ctx, s, support::dense_maps<float>(numbers, s));
    auto const f = [&](Size rows, Size cols) { return ctx.template empty<float>(Extents{rows, cols}); };
    auto u = f(4, 16), mean = f(4, 4), rstd = f(4, 4), z = f(4, 16), p = f(4, 4);
    auto row = ctx.template empty<float>(Extents{Size{16}});
    using Stages = std::vector<MiningStage<float, Dev>>;
    auto const says = [](auto&& call, std::string_view part) {
      try {
        call();
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    auto const refused = [&](View<float, 2, Dev> u_, MiningGrid grid, Stages const& stages, View<float, 2, Dev> mean_,
                             View<float, 1, Dev> gain, View<float, 2, Dev> z_, View<float, 2, Dev> p_, std::string_view part) {
      std::span<MiningStage<float, Dev> const> const view = stages;
      says([&] { kernels::mining<float, Dev>(ctx.stream(), u_, grid, view, mean_, rstd.view(), 1, gain, row, z_, p_); }, part);
    };
    Stages const stages = c.stages;
    auto null = stages, gaps = stages, wide = stages;
    null[1].map = {nullptr, {2, 2, 8}}, gaps[0].map = {stages[0].map.data(), {4, 4, 4}, {32, 8, 2}},
    wide[1].cols = stages[1].cols.slice(0, 0, 3);
    refused(View<float, 2, Dev>(nullptr, {4, 16}), {2, 2}, stages, mean, row, z, p, "mining: u: the pointer is null");
    refused(u, {2, 3}, stages, mean, row, z, p, "mining: 4x4 cells do not divide among 2x3 tokens");
    refused(u, {2, 2}, {}, mean, row, z, p, "mining: takes 1 to 8 stage maps, found 0");
    refused(u, {2, 2}, Stages(9, stages[0]), mean, row, z, p, "mining: takes 1 to 8 stage maps, found 9");
    refused(u, {2, 2}, null, mean, row, z, p, "mining: stage 1, map: the pointer is null");
    refused(u, {2, 2}, gaps, mean, row, z, p, "mining: stage 0, map: channels must be dense");
    refused(u, {2, 2}, wide, mean, row, z, p, "mining: stage 1, taps of columns: expected shape (4)");
    refused(u, {2, 2}, stages, mean, row.view().slice(0, 0, 15), z, p, "mining: gain: expected shape (16)");
    refused(u, {2, 2}, stages, mean, row, u, p, "mining: z: overlaps u");
    refused(u, {2, 2}, stages, mean, row, z, f(4, 5), "mining: probabilities: expected shape (4, 4)");
    refused(u, {2, 2}, stages, mean, row, z, z.view().slice(1, 0, 4), "mining: probabilities: overlaps z");
    std::span<MiningStage<float, Dev> const> const view = stages;
    says([&] { kernels::mining_statistics<float, Dev>(ctx.stream(), view, 1e-5f, mean.view(), mean.view()); },
         "mining_statistics: rstd: overlaps mean");
    says([&] { kernels::mining_statistics<float, Dev>(ctx.stream(), view, 1e-5f, mean.view(), f(4, 3).view()); },
         "mining_statistics: rstd: expected");
    auto const call = [&](auto u_, auto mean_, auto rstd_, auto gain_, auto bias_, View<float, 2, Dev> z_, View<float, 2, Dev> p_) {
      kernels::mining<float, Dev>(ctx.stream(), u_, MiningGrid{2, 2}, view, mean_, rstd_, 1, gain_, bias_, z_, p_);
    };
    auto const channels = support::input(row.view());
    support::expect_bad_views_refused("mining: u", support::input(u),
                                      [&](auto bad) { call(bad, mean.view(), rstd.view(), channels, channels, z, p); });
    support::expect_bad_views_refused("mining: mean", support::input(mean),
                                      [&](auto bad) { call(u.view(), bad, rstd.view(), channels, channels, z, p); });
    support::expect_bad_views_refused("mining: rstd", support::input(rstd),
                                      [&](auto bad) { call(u.view(), mean.view(), bad, channels, channels, z, p); });
    support::expect_bad_views_refused("mining: gain", channels,
                                      [&](auto bad) { call(u.view(), mean.view(), rstd.view(), bad, channels, z, p); });
    support::expect_bad_views_refused("mining: bias", channels,
                                      [&](auto bad) { call(u.view(), mean.view(), rstd.view(), channels, bad, z, p); });
    support::expect_bad_views_refused("mining: z", z.view(),
                                      [&](auto bad) { call(u.view(), mean.view(), rstd.view(), channels, channels, bad, p); });
    support::expect_bad_views_refused("mining_statistics: mean", mean.view(), [&](auto bad) {
      kernels::mining_statistics<float, Dev>(ctx.stream(), view, 1e-5f, bad, rstd.view());
    });
    support::expect_bad_views_refused("mining_statistics: rstd", rstd.view(), [&](auto bad) {
      kernels::mining_statistics<float, Dev>(ctx.stream(), view, 1e-5f, mean.view(), bad);
    });
  });
}

}  // namespace mining_test
