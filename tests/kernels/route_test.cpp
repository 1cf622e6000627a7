/// The router: the choice exactly, the weights within their bound, the lists of rows against plain loops.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include <mgm/kernels/decode/route.cuh>

#include "support/refusals.hpp"

namespace route_test {

using namespace mgm;
using support::Dev;
using support::Layout;
using support::Matrix;

// rows, experts, kept: Mixtral's 8 and 2; one of each; all kept; more experts than lanes; a block's rows, or a scan's part, and one more or
// less
constexpr std::array<Size, 3> kShapes[] = {{1, 1, 1},   {1, 8, 2},    {2, 8, 2},   {3, 8, 2},   {4, 8, 2},   {5, 8, 2},   {7, 3, 3},
                                           {13, 5, 4},  {31, 8, 8},   {32, 8, 2},  {33, 2, 1},  {64, 4, 2},  {63, 16, 4}, {65, 31, 2},
                                           {17, 32, 7}, {19, 33, 32}, {11, 64, 6}, {3, 65, 8},  {2, 127, 9}, {1, 129, 3}, {127, 8, 2},
                                           {128, 8, 2}, {129, 8, 2},  {255, 8, 1}, {256, 8, 1}, {257, 8, 1}, {300, 7, 3}, {640, 8, 2}};

struct Chosen {
  int expert;
  double weight;
};
/// One row's choice, in double.
std::vector<Chosen> choose(std::vector<float> const& logits, std::size_t top) {
  std::vector<int> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[std::size_t(a)] > logits[std::size_t(b)]; });
  order.resize(top);
  double const peak = logits[std::size_t(order[0])];
  double mass = 0;
  for (int const e : order) mass += std::exp(double(logits[std::size_t(e)]) - peak);
  std::sort(order.begin(), order.end());
  std::vector<Chosen> out;
  for (int const e : order) out.push_back({e, std::exp(double(logits[std::size_t(e)]) - peak) / mass});
  return out;
}
Tensor<int, 2, Dev> ints(Context<Dev>& ctx, Size rows, Size columns) { return ctx.template empty<int>(Extents{rows, columns}); }

TEST(Route, ChoosesAsASortWouldAndListsRowsInOrder) {
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [count, experts, top] : kShapes)
      for (Layout const layout : {Layout::odd, Layout::turned}) {
        SCOPED_TRACE(text(count, " rows of ", experts, " experts, ", top, " kept"));
        support::Numbers numbers(std::uint64_t(count * 10007 + experts * 101 + top));
        bool const ties = count % 2 == 1;  // a few whole numbers: many logits are equal
        Matrix<float> const logits(ctx, layout, count, experts, [&] { return ties ? numbers.whole(-2, 2) : 8 * numbers.uniform(); });
        Matrix<float> weights(ctx, layout, count, top);
        auto ids = ints(ctx, count, top), places = ints(ctx, count, top);
        auto offsets = ctx.template empty<int>(Extents{experts + 1}), rows = ctx.template empty<int>(Extents{count * top});
        kernels::route<Dev>(ctx.stream(), logits.view(), ids, weights.view());
        kernels::route_lists<Dev>(ctx.stream(), ids, offsets, rows, places);
        weights.fetch();
        EXPECT_TRUE(weights.intact());
        auto const got_ids = ctx.on_host(ids.view()), got_places = ctx.on_host(places.view());
        auto const got_offsets = ctx.on_host(offsets.view()), got_rows = ctx.on_host(rows.view());
        std::vector<std::vector<int>> lists(static_cast<std::size_t>(experts));
        for (Size n = 0; n < count; ++n) {
          std::vector<float> row;
          for (Size e = 0; e < experts; ++e) row.push_back(logits(n, e));
          auto const want = choose(row, std::size_t(top));
          for (Size i = 0; i < top; ++i) {
            auto const& w = want[std::size_t(i)];
            ASSERT_EQ(got_ids(n, i), w.expert) << "row " << n << ", choice " << i;
            // the difference of two floats rounds once (up to 16 · 2^-24 of the exponent), two exponentials of 2 ulp, top sums, one
            // quotient
            ASSERT_NEAR(weights(n, i), w.weight, (2 * 16 + 8 + double(top) + 2) * 0x1p-24 * w.weight) << "row " << n << ", choice " << i;
            lists[std::size_t(w.expert)].push_back(int(n));
          }
        }
        int next = 0;
        for (Size e = 0; e < experts; ++e) {
          ASSERT_EQ(got_offsets(e), next) << "expert " << e;
          for (int const row : lists[std::size_t(e)]) {
            ASSERT_EQ(got_rows(next), row) << "place " << next;
            bool found = false;
            for (Size i = 0; i < top; ++i) found = found || (got_ids(row, i) == e && got_places(row, i) == next);
            ASSERT_TRUE(found) << "row " << row << " of expert " << e;
            ++next;
          }
        }
        ASSERT_EQ(got_offsets(experts), next);
        ASSERT_EQ(next, count * top);
      }
  });
}

TEST(Route, MarksARowWithANaNAndTakesInfinities) {
  support::on_each_machine([](Context<Dev>& ctx) {
    constexpr float kInf = INFINITY;
    float const values[] = {1, NAN, 3, 2, 1, -kInf, -kInf, -kInf, -kInf, -kInf, 5, 5};
    auto const logits = ctx.on_device(View<float const, 2, Cpu>(values, {3, 4}));
    auto ids = ints(ctx, 3, 2);
    auto weights = ctx.template empty<float>(Extents{Size{3}, Size{2}});
    kernels::route<Dev>(ctx.stream(), logits, ids, weights.view());
    auto const w = ctx.on_host(weights.view());
    auto const i = ctx.on_host(ids.view());
    EXPECT_TRUE(std::isnan(w(0, 0)) && std::isnan(w(0, 1)));
    EXPECT_EQ((std::array{i(0, 0), i(0, 1)}), (std::array{2, 3}));
    EXPECT_EQ((std::array{i(1, 0), i(1, 1)}), (std::array{0, 1}));
    EXPECT_EQ((std::array{w(1, 0), w(1, 1)}), (std::array{1.0f, 0.0f}));
    EXPECT_EQ((std::array{i(2, 0), i(2, 1)}), (std::array{2, 3}));
    EXPECT_EQ((std::array{w(2, 0), w(2, 1)}), (std::array{0.5f, 0.5f}));
  });
}

TEST(RouteArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using F = View<float, 2, Dev>;
    using I = View<int, 2, Dev>;
    auto const stream = ctx.stream();
    auto logits = ctx.template empty<float>(Extents{Size{2}, Size{40}}), weights = ctx.template empty<float>(Extents{Size{2}, Size{40}});
    auto ids = ints(ctx, 2, 40), places = ints(ctx, 2, 2);
    auto line = ctx.template empty<int>(Extents{Size{41}});
    I const two(ids.data(), {2, 2});
    F const pair(weights.data(), {2, 2});
    support::expect_refused("route: ids: at most 32 experts", [&] {
      kernels::route<Dev>(stream, logits, I(ids.data(), {2, 33}), F(weights.data(), {2, 33}));
    });
    support::expect_refused("route: ids: 3 experts a row of 2", [&] {
      kernels::route<Dev>(stream, F(logits.data(), {2, 2}), I(ids.data(), {2, 3}), F(weights.data(), {2, 3}));
    });
    support::expect_refused("route: weights: expected shape (2, 2)", [&] { kernels::route<Dev>(stream, logits, two, weights.view()); });
    support::expect_refused("route: logits: the pointer is null", [&] { kernels::route<Dev>(stream, F(nullptr, {2, 40}), two, pair); });
    support::expect_refused("route: weights: overlaps logits", [&] { kernels::route<Dev>(stream, logits, two, F(logits.data(), {2, 2})); });
    View<int, 1, Dev> const offsets(line.data(), {9}), rows(line.data() + 9, {4});
    support::expect_refused("route_lists: places: expected shape (2, 2)", [&] {
      kernels::route_lists<Dev>(stream, two, offsets, rows, I(places.data(), {2, 1}));
    });
    support::expect_refused("route_lists: rows: expected shape (4)",
                            [&] { kernels::route_lists<Dev>(stream, two, offsets, offsets, places); });
    support::expect_refused("route_lists: rows: overlaps offsets",
                            [&] { kernels::route_lists<Dev>(stream, two, offsets, View<int, 1, Dev>(line.data(), {4}), places); });
    support::expect_refused("route_lists: offsets: expected one more",
                            [&] { kernels::route_lists<Dev>(stream, two, View<int, 1, Dev>(nullptr, {0}), rows, places); });
    kernels::route<Dev>(stream, F(nullptr, {0, 8}), I(nullptr, {0, 2}), F(nullptr, {0, 2}));
    kernels::route_lists<Dev>(stream, I(nullptr, {0, 2}), offsets, View<int, 1, Dev>(nullptr, {0}), I(nullptr, {0, 2}));
    auto const none = ctx.on_host(offsets);
    for (Size e = 0; e < 9; ++e) EXPECT_EQ(none(e), 0);
    support::expect_bad_views_refused("route: logits", support::input(logits),
                                      [&](auto bad) { kernels::route<Dev>(stream, bad, two, pair); });
    support::expect_bad_views_refused("route: ids", two, [&](auto bad) { kernels::route<Dev>(stream, logits, bad, pair); });
    support::expect_bad_views_refused("route: weights", pair, [&](auto bad) { kernels::route<Dev>(stream, logits, two, bad); });
    support::expect_bad_views_refused("route_lists: ids", support::input(two),
                                      [&](auto bad) { kernels::route_lists<Dev>(stream, bad, offsets, rows, places); });
    support::expect_bad_views_refused("route_lists: offsets", offsets,
                                      [&](auto bad) { kernels::route_lists<Dev>(stream, two, bad, rows, places); });
    support::expect_bad_views_refused("route_lists: rows", rows,
                                      [&](auto bad) { kernels::route_lists<Dev>(stream, two, offsets, bad, places); });
    support::expect_bad_views_refused("route_lists: places", I(places.data(), {2, 2}),
                                      [&](auto bad) { kernels::route_lists<Dev>(stream, two, offsets, rows, bad); });
  });
}

TEST(RouteCost, CountsBytesOnce) {
  EXPECT_EQ(kernels::route_cost(3, 8, 2), (Cost{144, 12}));
  EXPECT_EQ(kernels::route_lists_cost(3, 8, 2), (Cost{108, 0}));
}

}  // namespace route_test
