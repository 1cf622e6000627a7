/// Mining in one launch against the definition in double, statistics included, and bit for bit where the sums are exact.
#include <mgm/kernels/attention/mining_fused.cuh>
#include <mgm/kernels/attention/mining_statistics.cuh>

#include "kernels/mining_case.hpp"

namespace mining_fused_test {

using namespace mgm;
using support::Dev;
using support::MiningShape;

template <class T>
class MiningFused : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(MiningFused, Types);

constexpr double kU = 0x1p-24;

// one cell, one cell a token, primes, floored maps, one map, a map finer than the cells, one vector of channels and more than the lanes
// hold, oblong grids and cells, the global view, the most stages; channels in whole vectors, guards and offsets that keep them aligned
std::vector<MiningShape> const kShapes{
    {{1, 1}, {1, 1}, {{1, 1, 8}}},
    {{1, 1}, {1, 1}, {{1, 1, 8}, {1, 1, 16}}},
    {{4, 4}, {1, 1}, {{4, 4, 8}, {2, 2, 8}}},
    {{1, 1}, {2, 2}, {{2, 2, 24}}},
    {{1, 2}, {2, 3}, {{2, 6, 8}, {1, 3, 16}}},
    {{2, 2}, {8, 8}, {{16, 16, 16}, {8, 8, 24}, {4, 4, 40}, {2, 2, 72}}},
    {{3, 3}, {3, 3}, {{9, 9, 8}, {5, 5, 16}, {2, 2, 24}, {1, 1, 40}}},
    {{2, 2}, {3, 3}, {{6, 6, 72}, {9, 9, 32}}},
    {{1, 3}, {4, 4}, {{4, 12, 32}, {2, 6, 64}, {1, 3, 128}}},
    {{3, 1}, {4, 2}, {{12, 2, 32}, {6, 1, 40}}},
    {{1, 2}, {4, 4}, {{4, 8, 264}, {2, 4, 256}, {1, 2, 248}}},
    {{2, 1}, {5, 7}, {{10, 7, 8}, {5, 4, 16}}},
    {{1, 1}, {8, 8}, {{8, 8, 8}, {4, 4, 16}, {2, 2, 32}, {1, 1, 64}}},
    {{2, 1}, {8, 8}, {{16, 8, 8}, {8, 4, 16}, {4, 2, 32}, {2, 1, 64}}},
    {{2, 3}, {2, 2}, {{4, 6, 136}, {2, 3, 120}}},
    {{1, 1}, {11, 13}, {{11, 13, 8}, {5, 6, 16}}},
    {{2, 2}, {6, 6}, {{12, 12, 8}, {6, 6, 16}, {4, 4, 8}}},
    {{1, 5}, {1, 2}, {{1, 10, 256}}},
    {{2, 2}, {2, 2}, {{4, 4, 8}, {4, 4, 8}, {4, 4, 16}, {2, 2, 8}, {2, 2, 8}, {2, 2, 16}, {1, 1, 8}, {1, 1, 8}}},
    {{1, 2}, {4, 4}, {{4, 8, 8}, {8, 16, 8}, {3, 5, 8}}},
    {{3, 3}, {4, 4}, {{6, 6, 16}, {3, 3, 32}}, 24, 24},
    {{1, 1}, {7, 1}, {{7, 1, 40}, {2, 1, 24}}},
    {{7, 1}, {1, 4}, {{7, 4, 24}}},
    {{1, 1}, {20, 20}, {{20, 20, 8}, {2, 2, 16}}},
    {{1, 2}, {2, 2}, {{2, 4, 1536}, {1, 2, 1544}}},
};

MiningShape aligned(MiningShape s) {
  s.guard = s.offset = 8;
  return s;
}

template <class T>
struct Inputs {
  support::Guarded<float, 2> u;
  support::Guarded<T, 1> gain, bias;
  float scale;
  Inputs(support::Numbers& numbers, MiningShape const& s, float size)
      : u(support::dense<float>(numbers, Extents{s.tokens(), s.channels()}, s.guard, s.offset)),
        gain(support::dense<T>(numbers, Extents{s.channels()}, s.guard, s.offset)),
        bias(support::dense<T>(numbers, Extents{s.channels()}, s.guard, s.offset)),
        scale(size / std::sqrt(float(s.channels()))) {}
};
template <class T>
struct Mined {
  support::Guarded<T, 2> z;
  support::Guarded<float, 2> p;
};
template <class T>
Mined<T> mine(Context<Dev>& ctx, support::MiningCase<T> const& c, Inputs<T> const& in, kernels::MiningViews views) {
  auto const& s = c.shape;
  support::OnDevice const u(ctx, in.u);
  support::OnDevice const gain(ctx, in.gain);
  support::OnDevice const bias(ctx, in.bias);
  support::OnDevice const z(ctx, support::poisoned<T>(Extents{s.tokens(), s.channels()}, s.guard, s.offset));
  support::OnDevice const p(ctx, support::poisoned<float>(Extents{s.tokens(), s.candidates()}));
  kernels::mining_fused<T, Dev>(ctx.stream(), u.view(), views, c.view(), c.reach, 1e-5f, in.scale, gain.view(), bias.view(), z.view(),
                                p.view());
  return {z.back(), p.back()};
}

/// Compares with the definition. Row n of the outputs is token `at(n)` of the whole grid.
template <class T, class At>
void check(support::MiningCase<T> const& c, Inputs<T> const& in, Mined<T> const& got, At at) {
  auto const& s = c.shape;
  EXPECT_TRUE(got.z.intact() && got.p.intact());
  Size const cells = s.candidates(), channels = s.channels();
  double pixels = 0, terms = 0;
  for (auto const& r : c.reach) pixels = std::max(pixels, double(r.rows * r.cols));
  for (auto const& map : s.maps) terms = std::max(terms, 4 * std::ceil(double(map[2]) / 128) + 5);  // a lane's, then the warp's
  // R: the largest difference of two pixels' numbers, so also of one and κ; X: the largest number. A sum of products errs by `terms` + 3
  // roundings, its interpolation by 14; κ's share of the norm twice; stages are joined by 8·6 more. All relative to R² a channel.
  double const R = c.span, X = c.widest, sum_error = (terms + 8) * kU * R;
  double const var_error = (5 * terms + 110) * kU * R * R + 4 * kU * R * X, mean_error = sum_error + 12 * kU * X;
  for (Size n = 0; n < s.tokens(); ++n) {
    auto const row = [&](Size j) { return at(n) / s.grid.cols * s.cell.rows + j / s.cell.cols; };
    auto const col = [&](Size j) { return at(n) % s.grid.cols * s.cell.cols + j % s.cell.cols; };
    std::vector<double> scores, means, rstds;
    double score_error = 0, highest = 0, r_error = 0;
    for (Size j = 0; j < cells; ++j) {
      double const* const x = c.cell(row(j), col(j));
      double mean = 0, var = 0, sum = 0, u_size = 0;
      for (Size i = 0; i < channels; ++i) mean += x[i] / double(channels);
      for (Size i = 0; i < channels; ++i) var += (x[i] - mean) * (x[i] - mean) / double(channels);
      double const rstd = 1 / std::sqrt(var + double(1e-5f)), e = var_error * rstd * rstd;
      for (Size i = 0; i < channels; ++i) sum += double(in.u.view()(n, i)) * (x[i] - mean), u_size += std::abs(double(in.u.view()(n, i)));
      means.push_back(mean), rstds.push_back(rstd), scores.push_back(double(in.scale) * rstd * sum);
      r_error = std::max(r_error, (e < 0.5 ? e / 2 + e * e : e) + 4 * kU);  // of (1 + e)^(−1/2)
      highest = std::max(highest, std::abs(scores.back()));
      // the dots' roundings, those of Σ u · (κ − μ), and what the mean errs
      score_error = std::max(score_error, double(in.scale) * rstd * u_size * ((2 * terms + 24) * kU * R + mean_error + 2 * kU * X));
    }
    ASSERT_LT(r_error, 0.5) << s.text() << ": no bound worth the name";
    score_error += (r_error + 4 * kU) * highest;
    auto const p = ref::softmax(scores);
    // an error e of all scores moves a weight by exp(2e); the argument of exp is rounded, exp errs by 2 ulp, then a sum and a quotient
    double const p_error = std::expm1(2 * (score_error + 2 * kU * highest)) + (double(cells) / 32 + 16) * kU;
    for (Size j = 0; j < cells; ++j)
      ASSERT_NEAR(got.p.view()(n, j), p[std::size_t(j)], p_error * p[std::size_t(j)] + 1e-37)
          << support::type_of<T>() << " " << s.text() << " p at " << n;
    for (Size i = 0; i < channels; ++i) {
      double sum = 0, size = 0, mass = 0;
      for (Size j = 0; j < cells; ++j) {
        double const w = p[std::size_t(j)] * rstds[std::size_t(j)], d = c.cell(row(j), col(j))[i] - means[std::size_t(j)];
        sum += w * d, size += std::abs(w * d), mass += w;
      }
      double const gain = double(float(in.gain.view()(i))), want = gain * sum + double(float(in.bias.view()(i)));
      // the weights' errors act on x − μ; what is rounded on the way to the pixels and over them acts on x and μ themselves
      double const rounded = (2 * double(cells) + pixels + 16) * kU * mass * X + mass * mean_error;
      double const error = std::abs(gain) * (size * (p_error + r_error) + (1 + p_error + r_error) * rounded) + 2 * kU * std::abs(want);
      ASSERT_NEAR(float(got.z.view()(n, i)), want, error + support::kRoundoff<T> * (std::abs(want) + error) + 0x1p-25)
          << support::type_of<T>() << " " << s.text() << " z at " << n << ", " << i;
    }
  }
}

TYPED_TEST(MiningFused, MatchesTheDefinition) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(5);
    for (auto const& shape : support::mining_shapes(kShapes, 8)) {
      auto const s = aligned(shape);
      support::MiningCase<T> const c(ctx, s, support::dense_maps<T>(numbers, s));
      Inputs<T> const in(numbers, s, 2);
      check(c, in, mine(ctx, c, in, {s.grid}), [](Size n) { return n; });
    }
  });
}

TYPED_TEST(MiningFused, KeepsItsAccuracyOnMapsFarFromZero) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(6);
    auto const s = aligned(kShapes[5]);
    support::MiningCase<T> const c(ctx, s, support::dense_maps<T>(numbers, s, 40));
    Inputs<T> const in(numbers, s, 2);
    check(c, in, mine(ctx, c, in, {s.grid}), [](Size n) { return n; });
  });
}

TYPED_TEST(MiningFused, CropsInOneLaunchAreNumberedViewByView) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(8);
    auto const s = aligned({{4, 6}, {2, 2}, {{8, 12, 24}, {4, 6, 16}, {2, 3, 8}}});
    support::MiningCase<T> const c(ctx, s, support::dense_maps<T>(numbers, s));
    Inputs<T> const in(numbers, s, 2);
    // two rows of three views of 2×2 tokens
    auto const at = [](Size n) { return (n / 4 / 3 * 2 + n % 4 / 2) * 6 + n / 4 % 3 * 2 + n % 2; };
    check(c, in, mine(ctx, c, in, {{2, 2}, 2, 3}), at);
  });
}

/// With whole numbers in the maps, weights that are binary fractions and scores that are all zero, p is exact.
TYPED_TEST(MiningFused, WeighsAllCellsAlikeWithoutAQuery) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(7);
    auto const s = aligned({{2, 2}, {4, 4}, {{8, 8, 40}, {4, 4, 16}, {2, 2, 8}}});
    support::MiningCase<T> const c(ctx, s, support::dense_maps<T>(numbers, s));
    Inputs<T> in(numbers, s, 1);
    in.u.fill([] { return 0; });
    auto const got = mine(ctx, c, in, {s.grid});
    for (Size n = 0; n < 4; ++n)
      for (Size j = 0; j < 16; ++j) ASSERT_EQ(got.p.view()(n, j), 0.0625f);
    check(c, in, got, [](Size n) { return n; });
    in.u.view()(0, 0) = NAN;
    auto const none = mine(ctx, c, in, {s.grid});
    for (Size j = 0; j < 16; ++j) ASSERT_EQ(none.p.view()(0, j), 0.0625f);  // NaN -> 0, the same for all cells
  });
}

#if !defined(__CUDACC__)
/// At the widths of the published models no bank of shared memory is asked twice, and no sector of memory moves half empty.
TEST(MiningFusedTraffic, IsTheLeast) {
  Context<Simt> ctx({.threads = 1, .machine = {.count = true}});
  support::Numbers numbers(1);
  MiningShape const s{{1, 1}, {8, 8}, {{8, 8, 192}, {4, 4, 384}, {2, 2, 768}, {1, 1, 1536}}, 0, 0, 0, 0};
  support::MiningCase<bf16> const c(ctx, s, support::dense_maps<bf16>(numbers, s));
  (void)mine(ctx, c, Inputs<bf16>(numbers, s, 2), {s.grid});
  auto const moved = ctx.machine().counters();
  EXPECT_GT(moved.shared_least, 0);
  EXPECT_EQ(moved.shared_passes, moved.shared_least);
  EXPECT_EQ(moved.global_sectors, moved.global_least);
}
#endif

TEST(MiningForms, AreChosenByShapeTypeAndSharedMemory) {
  using kernels::MiningForm;
  MiningReach const usual[] = {{8, 8}, {6, 6, true}, {4, 4, true}, {3, 3, true}}, global[] = {{8, 8}, {8, 8}, {6, 6, true}, {4, 4, true}};
  Size const widths[] = {192, 384, 768, 1536}, odd[] = {192, 384, 768, 1540};
  constexpr Size kSm80 = 163 * 1024, kSm90 = 227 * 1024;
  EXPECT_EQ(kernels::mining_form(usual, widths, 8, 8, 2, kSm80).form, MiningForm::fused);
  EXPECT_EQ(kernels::mining_form(usual, widths, 8, 8, 4, kSm80).form, MiningForm::general);
  EXPECT_EQ(kernels::mining_form(usual, widths, 8, 8, 4, kSm90).form, MiningForm::fused);
  EXPECT_EQ(kernels::mining_form(global, widths, 8, 8, 2, kSm80).form, MiningForm::general);
  EXPECT_EQ(kernels::mining_form(global, widths, 8, 8, 2, kSm90).form, MiningForm::fused);
  EXPECT_EQ(kernels::mining_form(usual, odd, 8, 8, 2, kSm90).form, MiningForm::general);
  // 52 224 elements of pixels, 125 pixels and 64 cells: two blocks share the 228 KB of a multiprocessor, of which each block takes 1 KB
  // more
  auto const plan = kernels::make_mining_plan(usual, widths, 8, 8);
  EXPECT_EQ(plan.elements, 52224);
  EXPECT_LE(2 * (plan.shared_bytes(2) + 1024), 228 * 1024);
  std::string const table = kernels::mining_table(kSm90);
  EXPECT_NE(table.find("fused    110304 bytes  ConvNeXt-L, 768 px"), std::string::npos) << table;
}

TEST(MiningFusedArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(1);
    auto const refused = [&](MiningShape const& s, std::vector<MiningReach> const& reach, Size u_offset, std::string_view part) {
      support::MiningCase<float> const c(ctx, s, support::dense_maps<float>(numbers, s));
      auto u = ctx.template empty<float>(Extents{s.tokens() * s.channels() + 4}), z = ctx.template empty<float>(u.extents());
      auto row = ctx.template empty<float>(Extents{s.channels()});
      try {
        View<float, 2, Dev> const queries(u.data() + u_offset, Extents{s.tokens(), s.channels()}), out(z.data(), queries.extents());
        kernels::mining_fused<float, Dev>(ctx.stream(), queries, {s.grid}, c.view(), reach.empty() ? c.reach : reach, 1e-5f, 1, row, row,
                                          out);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    refused(aligned({{2, 2}, {2, 2}, {{4, 4, 8}}}), {{2, 2}, {2, 2}}, 0, "mining_fused: the reach of the taps is not known");
    refused({{2, 2}, {2, 2}, {{4, 4, 8}}}, {}, 0, "mining_fused: a map's pixels or an argument's rows do not begin on 16 bytes");
    refused(aligned({{2, 2}, {2, 2}, {{4, 4, 8}}}), {}, 1, "mining_fused: a map's pixels or an argument's rows do not begin on 16 bytes");
    refused({{2, 2}, {2, 2}, {{4, 4, 6}}, 0, 0, 2, 0}, {}, 0, "mining_fused: a map's pixels or an argument's rows");
    refused(aligned({{1, 1}, {64, 64}, {{64, 64, 64}}}), {}, 0, "mining_fused: the pixels beneath a token exceed shared memory");
  });
}

}  // namespace mining_fused_test
