/// Rows by number: gather copies every bit; scatter_add against double.
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include <mgm/kernels/elementwise/rows.cuh>

#include "support/refusals.hpp"

namespace rows_test {

using namespace mgm;
using support::Dev;
using support::Layout;
using support::Matrix;

// rows moved, rows of the table, columns: 1, primes, an access and one more or less, a block's row and one more or less
constexpr std::array<Size, 3> kShapes[] = {{1, 1, 1},   {1, 3, 1},    {2, 2, 3},    {3, 5, 4},    {5, 3, 5},   {4, 7, 7},   {7, 4, 8},
                                           {3, 11, 9},  {13, 2, 11},  {2, 13, 15},  {5, 5, 16},   {6, 4, 17},  {31, 7, 1},  {32, 9, 2},
                                           {33, 17, 3}, {64, 8, 31},  {3, 4, 32},   {5, 6, 33},   {2, 3, 127}, {3, 2, 128}, {2, 4, 129},
                                           {2, 3, 255}, {1, 2, 1024}, {2, 2, 1023}, {3, 3, 1025}, {257, 5, 4}, {1, 2, 4099}};

template <class T>
class Rows : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Rows, Types);

template <class N>
Tensor<N const, 1, Dev> list(Context<Dev>& ctx, std::vector<N> const& numbers) {
  return ctx.on_device(View<N const, 1, Cpu>(numbers.data(), Extents{static_cast<Size>(numbers.size())}));
}
template <class Test>
void for_each_case(Test test) {
  support::on_each_machine([&](Context<Dev>& ctx) {
    for (auto const& [count, rows, columns] : support::shapes(kShapes))
      for (Layout const layout : support::kLayouts) {
        SCOPED_TRACE(text(count, " of ", rows, " x ", columns, ", layout ", static_cast<int>(layout)));
        test(ctx, layout, count, rows, columns);
        if (testing::Test::HasFatalFailure()) return;
      }
  });
}

TYPED_TEST(Rows, GatherCopiesAndMarksWhatIsNotThere) {
  using T = TypeParam;
  for_each_case([](Context<Dev>& ctx, Layout layout, Size count, Size rows, Size columns) {
    support::Numbers numbers(std::uint64_t(count * 10007 + rows * 101 + columns));
    Matrix<T> const table(ctx, layout, rows, columns, [&] { return numbers.uniform(); });
    Matrix<T> out(ctx, layout, count, columns);
    std::vector<int> ids;  // any order, repeated, now and then outside
    for (Size i = 0; i < count; ++i) ids.push_back(i % 5 == 4 ? (i % 2 == 0 ? -1 : int(rows)) : numbers.whole(0, int(rows) - 1));
    Matrix<T> scaled(ctx, layout, count, columns);
    kernels::gather<T, Dev>(ctx.stream(), table.view(), list(ctx, ids), out.view());
    kernels::gather_scaled<T, Dev>(ctx.stream(), table.view(), list(ctx, ids), 1.7f, scaled.view());
    out.fetch(), scaled.fetch();
    EXPECT_TRUE(out.intact() && scaled.intact());
    for (Size i = 0; i < count; ++i)
      for (Size c = 0; c < columns; ++c) {
        int const id = ids[std::size_t(i)];
        if (id < 0 || id >= rows) {
          ASSERT_TRUE(std::isnan(float(out(i, c))) && std::isnan(float(scaled(i, c)))) << i << ", " << c;
          continue;
        }
        ASSERT_EQ(float(out(i, c)), float(table(id, c))) << i << ", " << c;
        ASSERT_EQ(float(scaled(i, c)), float(T(float(double(1.7f) * double(float(table(id, c))))))) << i << ", " << c;
      }
  });
}

TYPED_TEST(Rows, ScatterAddAddsToTheRowsNamed) {
  using T = TypeParam;
  for_each_case([](Context<Dev>& ctx, Layout layout, Size count, Size rows, Size columns) {
    support::Numbers numbers(std::uint64_t(count * 10007 + rows * 101 + columns));
    Size const total = count + rows;  // of the sum's rows some get nothing
    Matrix<T> const x(ctx, layout, count, columns, [&] { return numbers.uniform(); });
    Matrix<float> sum(ctx, layout, total, columns, [&] { return numbers.uniform(); });
    Matrix<float> const before = sum;
    std::vector<int> to(static_cast<std::size_t>(total));
    std::vector<float> weights;
    std::iota(to.begin(), to.end(), 0);
    for (Size i = total - 1; i > 0; --i) std::swap(to[std::size_t(i)], to[std::size_t(numbers.whole(0, int(i)))]);
    to.resize(std::size_t(count));
    for (Size i = 0; i < count; ++i) weights.push_back(float(numbers.uniform()));
    if (count > 1) to[1] = int(total);  // outside: left out
    kernels::scatter_add<T, Dev>(ctx.stream(), x.view(), list(ctx, to), list(ctx, weights), sum.view());
    sum.fetch();
    EXPECT_TRUE(sum.intact());
    std::vector<Size> from(std::size_t(total), -1);
    for (Size i = 0; i < count; ++i)
      if (to[std::size_t(i)] < total) from[std::size_t(to[std::size_t(i)])] = i;
    for (Size n = 0; n < total; ++n)
      for (Size c = 0; c < columns; ++c) {
        Size const i = from[std::size_t(n)];
        double const term = i < 0 ? 0 : double(weights[std::size_t(i)]) * double(float(x(i, c))), want = double(before(n, c)) + term;
        // the product's rounding, if it has one, and the sum's
        ASSERT_NEAR(sum(n, c), want, i < 0 ? 0 : 1.01 * 0x1p-24 * (std::abs(term) + std::abs(want))) << n << ", " << c;
      }
  });
}

TEST(RowsArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using V = View<float, 2, Dev>;
    using Ids = View<int const, 1, Dev>;
    auto const stream = ctx.stream();
    auto x = ctx.template empty<float>(Extents{Size{2}, Size{8}}), out = ctx.template empty<float>(Extents{Size{3}, Size{8}});
    auto const ids = list<int>(ctx, {1, 0, 1}), two = list<int>(ctx, {1, 0});
    auto const weights = list<float>(ctx, {1, 1, 1}), pair = list<float>(ctx, {1, 1});
    V const null(nullptr, {2, 8}), flat(out.data(), {3, 8}, {0, 1});
    support::expect_refused("gather: table: the pointer is null", [&] { kernels::gather<float, Dev>(stream, null, ids, out.view()); });
    support::expect_refused("gather: ids: the pointer is null",
                            [&] { kernels::gather<float, Dev>(stream, x, Ids(nullptr, {3}), out.view()); });
    support::expect_refused("gather: out: expected shape (2, 8)", [&] { kernels::gather<float, Dev>(stream, x, two, out.view()); });
    support::expect_refused("gather: out: strides (0, 1)", [&] { kernels::gather<float, Dev>(stream, x, ids, flat); });
    support::expect_refused("gather: out: overlaps table", [&] { kernels::gather<float, Dev>(stream, x, two, x.view()); });
    support::expect_refused("scatter_add: rows: expected shape (2)",
                            [&] { kernels::scatter_add<float, Dev>(stream, x, ids, pair, out.view()); });
    support::expect_refused("scatter_add: weights: expected shape (2)",
                            [&] { kernels::scatter_add<float, Dev>(stream, x, two, weights, out.view()); });
    support::expect_refused("scatter_add: x: expected shape (*, 7)", [&] {
      kernels::scatter_add<float, Dev>(stream, x, two, pair, V(out.data(), {3, 7}, {8, 1}));
    });
    support::expect_refused("scatter_add: sum: overlaps x", [&] { kernels::scatter_add<float, Dev>(stream, x, two, pair, x.view()); });
    kernels::gather<float, Dev>(stream, x, Ids(nullptr, {0}), V(nullptr, {0, 8}));
    kernels::scatter_add<float, Dev>(stream, V(nullptr, {0, 8}), Ids(nullptr, {0}), View<float const, 1, Dev>(nullptr, {0}), out.view());
    support::expect_bad_views_refused("gather: table", support::input(x),
                                      [&](auto bad) { kernels::gather<float, Dev>(stream, bad, ids, out.view()); });
    support::expect_bad_views_refused("gather: ids", Ids(ids.data(), {3}),
                                      [&](auto bad) { kernels::gather<float, Dev>(stream, x, bad, out.view()); });
    support::expect_bad_views_refused("gather: out", out.view(), [&](auto bad) { kernels::gather<float, Dev>(stream, x, ids, bad); });
    support::expect_bad_views_refused("scatter_add: x", support::input(x),
                                      [&](auto bad) { kernels::scatter_add<float, Dev>(stream, bad, two, pair, out.view()); });
    support::expect_bad_views_refused("scatter_add: rows", Ids(two.data(), {2}),
                                      [&](auto bad) { kernels::scatter_add<float, Dev>(stream, x, bad, pair, out.view()); });
    support::expect_bad_views_refused("scatter_add: weights", View<float const, 1, Dev>(pair.data(), {2}),
                                      [&](auto bad) { kernels::scatter_add<float, Dev>(stream, x, two, bad, out.view()); });
    support::expect_bad_views_refused("scatter_add: sum", out.view(),
                                      [&](auto bad) { kernels::scatter_add<float, Dev>(stream, x, two, pair, bad); });
  });
}

TEST(RowsCost, CountsBytesOnce) {
  EXPECT_EQ(kernels::gather_cost(3, 5, 2), (Cost{72, 0}));
  EXPECT_EQ(kernels::scatter_add_cost(3, 5, 2), (Cost{174, 30}));
}

}  // namespace rows_test
