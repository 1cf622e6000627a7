/// The device's draw against the host's, token for token; what is wrong with a row; the order of tokens itself.
#include <cmath>
#include <vector>

#include <mgm/kernels/decode/sampling.cuh>
#include <mgm/models/sampler.hpp>

#include "support/refusals.hpp"

namespace sampling_test {

using namespace mgm;
using kernels::SampledToken;
using kernels::SampleStatus;
using kernels::SamplingRule;
using support::Dev;
using support::Layout;
using support::Matrix;

// vocabularies: one, few, primes, a warp's or a block's part and one more or less, several windows
constexpr Size kVocabularies[] = {1,  2,  3,   5,   7,   8,   15,  16,  17,  31,   32,   33,   50,  63,
                                  64, 65, 127, 129, 255, 257, 511, 512, 513, 1023, 1025, 1531, 4099};
constexpr SamplingRule kRules[] = {{0, 50, 1, 1},   {0.2f, 50, 1, 2},    {1, 50, 1, 3},      {1, 0, 1, 4},        {1, 0, 0.9f, 5},
                                   {1, 1, 1, 6},    {5, 2, 0.5f, 7},     {0.7f, 7, 0.8f, 8}, {3, 600, 0.99f, 9},  {1, 0, 1e-6f, 10},
                                   {100, 0, 1, 11}, {50, 0, 0.999f, 12}, {1e-3f, 0, 1, 13},  {2, 40, 1, 1u << 31}};

std::vector<SampledToken> draw(Context<Dev>& ctx, View<float const, 2, Dev> logits, SamplingRule const& rule,
                               std::vector<std::int64_t> const& positions) {
  auto out = ctx.template empty<SampledToken>(Extents{Size(positions.size())});
  auto const at = ctx.on_device(View<std::int64_t const, 1, Cpu>(positions.data(), Extents{Size(positions.size())}));
  kernels::sample<Dev>(ctx.stream(), logits, rule, at, out);
  auto const got = ctx.on_host(out.view());
  return {got.data(), got.data() + got.count()};
}

TEST(Sampling, DrawsTheHostsToken) {
  support::on_each_machine([](Context<Dev>& ctx) {
    int turn = 0;
    for (Size const vocabulary : kVocabularies)
      for (int kind = 0; kind < 3; ++kind) {
        support::Numbers numbers(std::uint64_t(vocabulary * 10 + kind));
        Size const rows = 1 + vocabulary % 2;
        // spread; a few whole numbers, so that many are equal; with most tokens masked
        Matrix<float> const logits(ctx, vocabulary % 2 == 0 ? Layout::odd : Layout::turned, rows, vocabulary, [&] {
          if (kind == 1) return double(numbers.whole(-1, 2));
          if (kind == 2 && numbers.whole(0, 3) != 0) return -double(INFINITY);
          return 6 * numbers.uniform() * numbers.uniform();
        });
        int const rules = support::full_suite() ? int(std::size(kRules)) : 1;  // each rule still meets several vocabularies
        for (int r = 0; r < rules; ++r) {
          SamplingRule const& rule = kRules[std::size_t(turn++) % std::size(kRules)];
          std::vector<std::int64_t> positions{vocabulary + rule.top_k, (std::int64_t{1} << 40) + kind};
          positions.resize(std::size_t(rows));
          auto const got = draw(ctx, logits.view(), rule, positions);
          for (Size n = 0; n < rows; ++n) {
            SCOPED_TRACE(text(vocabulary, " tokens of kind ", kind, ", temperature ", rule.temperature, ", top_k ", rule.top_k, ", top_p ",
                              rule.top_p));
            std::vector<float> row;
            bool possible = false;
            for (Size i = 0; i < vocabulary; ++i) row.push_back(logits(n, i)), possible = possible || row.back() > -INFINITY;
            if (!possible) {
              ASSERT_EQ(got[std::size_t(n)].status, SampleStatus::nothing);
              continue;
            }
            models::Sampling const host{.temperature = rule.temperature, .top_k = rule.top_k, .top_p = rule.top_p, .seed = rule.seed};
            ASSERT_EQ(got[std::size_t(n)].status, SampleStatus::ok);
            ASSERT_EQ(got[std::size_t(n)].token, models::sample(host, row, positions[std::size_t(n)]));
          }
        }
      }
  });
}

TEST(Sampling, EveryTokenComesUpOfEqualOnes) {  // the draw walks through all windows
  support::on_each_machine([](Context<Dev>& ctx) {
    constexpr Size kTokens = 1200;
    Matrix<float> const logits(ctx, Layout::dense, 1, kTokens, [] { return 0.25; });
    std::vector<float> row(kTokens, 0.25f);
    int lowest = kTokens, highest = 0;
    for (std::int64_t position = 0; position < 6; ++position) {
      auto const got = draw(ctx, logits.view(), {1, 0, 1, 3}, {position});
      ASSERT_EQ(got[0].token, models::sample({.temperature = 1, .top_k = 0, .seed = 3}, row, position));
      lowest = std::min(lowest, got[0].token), highest = std::max(highest, got[0].token);
    }
    EXPECT_LT(lowest, 400);
    EXPECT_GT(highest, 800);
  });
}

TEST(Sampling, ReportsWhatIsWrongWithARow) {
  support::on_each_machine([](Context<Dev>& ctx) {
    for (float const temperature : {0.0f, 1.0f}) {
      constexpr float kInf = INFINITY;
      std::vector<float> values(4 * 600, 0.5f);
      values[599] = NAN, values[43] = NAN;                         // the first of two
      for (std::size_t i = 600; i < 1200; ++i) values[i] = -kInf;  // nothing
      values[1200 + 555] = kInf;                                   // certain
      values[1800] = -0.0f, values[1801] = 0.75f, values[1802] = 0.75f, values[1803] = NAN;
      auto const logits = ctx.on_device(View<float const, 2, Cpu>(values.data(), {4, 600}));
      auto const got = draw(ctx, logits, {temperature, 1, 1, 1}, {0, 1, 2, 3});
      EXPECT_EQ(got[0].status, SampleStatus::nan);
      EXPECT_EQ(got[0].token, 43);
      EXPECT_EQ(got[1].status, SampleStatus::nothing);
      EXPECT_EQ(got[2].status, SampleStatus::ok);
      EXPECT_EQ(got[2].token, 555);
      EXPECT_EQ(got[3].status, SampleStatus::nan);
      EXPECT_EQ(got[3].token, 3);
    }
    float const zeros[] = {-1, -0.0f, 0.0f, -0.0f};
    auto const logits = ctx.on_device(View<float const, 2, Cpu>(zeros, {1, 4}));
    EXPECT_EQ(draw(ctx, logits, {0, 0, 1, 0}, {0})[0].token, 1);  // −0 equals 0: the lowest token
    for (std::int64_t position = 0; position < 9; ++position) {
      std::vector<float> row(zeros, zeros + 4);
      ASSERT_EQ(draw(ctx, logits, {1, 2, 1, 5}, {position})[0].token,
                models::sample({.temperature = 1, .top_k = 2, .seed = 5}, row, position));
    }
  });
}

/// Rules and positions in the device's memory: each row by its own rule, a draw behind the position, which moves on.
TEST(Sampling, NextAdvancesAndDrawsTheSame) {
  support::on_each_machine([](Context<Dev>& ctx) {
    constexpr Size kRows = 3, kTokens = 700;
    support::Numbers numbers(4);
    Matrix<float> const logits(ctx, Layout::odd, kRows, kTokens, [&] { return 4 * numbers.uniform(); });
    auto const rules = ctx.on_device(View<SamplingRule const, 1, Cpu>(kRules + 3, {kRows}));
    std::vector<std::int64_t> const at{-1, 7, 1 << 20};
    auto positions = ctx.template empty<std::int64_t>(Extents{kRows});
    ctx.copy_to_device(View<std::int64_t const, 1, Cpu>(at.data(), {kRows}), positions.view());
    auto out = ctx.template empty<SampledToken>(Extents{kRows});
    for (int step = 1; step <= 2; ++step) {
      kernels::sample_next<Dev>(ctx.stream(), logits.view(), rules, positions.view(), out.view());
      auto const got = ctx.on_host(out.view());
      auto const moved = ctx.on_host(positions.view());
      for (Size n = 0; n < kRows; ++n) {
        ASSERT_EQ(moved(n), at[std::size_t(n)] + step);
        auto const want = draw(ctx, logits.view().slice(0, n, 1), kRules[3 + n], {moved(n)});
        ASSERT_EQ(got(n).token, want[0].token) << n << ' ' << step;
        ASSERT_EQ(got(n).status, SampleStatus::ok);
      }
    }
    auto const refused = [&](std::string_view part, Size rules_given, View<std::int64_t, 1, Dev> to) {
      support::expect_refused(std::string(part), [&] {
        kernels::sample_next<Dev>(ctx.stream(), logits.view(), rules.slice(0, 0, rules_given), to, out.view());
      });
    };
    refused("sample: rules: expected shape (3)", 2, positions.view());
    refused("sample: positions: expected shape (3)", 3, positions.view().slice(0, 0, 2));
    refused("sample: out: overlaps positions", 3, View<std::int64_t, 1, Dev>(reinterpret_cast<std::int64_t*>(out.data()), {kRows}));
  });
}

TEST(SamplingArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using F = View<float, 2, Dev>;
    auto const stream = ctx.stream();
    auto logits = ctx.template empty<float>(Extents{Size{2}, Size{8}});
    auto positions = ctx.template empty<std::int64_t>(Extents{Size{2}});
    auto out = ctx.template empty<SampledToken>(Extents{Size{2}});
    auto const call = [&](F in, SamplingRule rule, View<std::int64_t, 1, Dev> at, View<SampledToken, 1, Dev> to) {
      kernels::sample<Dev>(stream, in, rule, at, to);
    };
    support::expect_refused("sample: temperature must be", [&] { call(logits, {-1, 0, 1, 0}, positions, out); });
    support::expect_refused("sample: temperature must be", [&] { call(logits, {NAN, 0, 1, 0}, positions, out); });
    support::expect_refused("sample: top_k must be", [&] { call(logits, {1, -1, 1, 0}, positions, out); });
    support::expect_refused("sample: top_p must lie", [&] { call(logits, {1, 0, 0, 0}, positions, out); });
    support::expect_refused("sample: logits: expected at least one token", [&] { call(F(logits.data(), {2, 0}), {}, positions, out); });
    support::expect_refused("sample: logits: the pointer is null", [&] { call(F(nullptr, {2, 8}), {}, positions, out); });
    support::expect_refused("sample: positions: expected shape (2)", [&] { call(logits, {}, positions.slice(0, 0, 1), out); });
    support::expect_refused("sample: out: expected shape (2)", [&] { call(logits, {}, positions, out.slice(0, 0, 1)); });
    support::expect_refused("sample: out: overlaps logits", [&] {
      call(logits, {}, positions, View<SampledToken, 1, Dev>(reinterpret_cast<SampledToken*>(logits.data()), {2}));
    });
    call(F(nullptr, {0, 8}), {}, View<std::int64_t, 1, Dev>(nullptr, {0}), View<SampledToken, 1, Dev>(nullptr, {0}));
    support::expect_bad_views_refused("sample: logits", support::input(logits),
                                      [&](auto bad) { kernels::sample<Dev>(stream, bad, {}, positions, out.view()); });
    support::expect_bad_views_refused("sample: positions", support::input(positions),
                                      [&](auto bad) { kernels::sample<Dev>(stream, logits, {}, bad, out.view()); });
    support::expect_bad_views_refused("sample: out", out.view(), [&](auto bad) { call(logits, {}, positions, bad); });
  });
}

TEST(SamplingCost, CountsLogitsOnce) { EXPECT_EQ(kernels::sample_cost(2, 100), (Cost{832, 400})); }

}  // namespace sampling_test
