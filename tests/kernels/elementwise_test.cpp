/// Conversion, sum, product with a number, fill: what is exact but for one rounding to float and one to T is compared bit for bit.
#include <array>
#include <cmath>
#include <cstring>
#include <tuple>

#include <mgm/kernels/elementwise/elementwise.cuh>

#include "support/refusals.hpp"

namespace elementwise_test {

using namespace mgm;
using support::Dev;
using support::Layout;
using support::Matrix;

// 1, primes, an access of each width and one more or less, a block's row and one more or less, many rows of few columns
constexpr std::array<Size, 2> kShapes[] = {{1, 1},   {1, 2},   {2, 1},   {3, 5},    {5, 3},    {1, 7},    {2, 8},   {3, 9},   {4, 15},
                                           {2, 16},  {3, 17},  {7, 31},  {2, 32},   {1, 33},   {13, 11},  {31, 2},  {64, 1},  {65, 3},
                                           {2, 255}, {1, 256}, {3, 257}, {1, 1023}, {2, 1024}, {1, 1025}, {257, 4}, {513, 1}, {1, 4097}};

/// The same bits, or NaN in both.
template <class T>
bool same(T a, T b) {
  if (std::isnan(float(a)) || std::isnan(float(b))) return std::isnan(float(a)) && std::isnan(float(b));
  return float(a) == float(b) && std::signbit(float(a)) == std::signbit(float(b));
}

/// Calls test(ctx, layout, rows, columns) for all shapes in all layouts.
template <class Test>
void for_each_case(Test test) {
  support::on_each_machine([&](Context<Dev>& ctx) {
    for (auto const& [rows, columns] : support::shapes(kShapes))
      for (Layout const layout : support::kLayouts) {
        SCOPED_TRACE(text(rows, " x ", columns, ", layout ", static_cast<int>(layout)));
        test(ctx, layout, rows, columns);
        if (testing::Test::HasFatalFailure()) return;
      }
  });
}
/// All of `got` is what `want(n, c)` says, and nothing beside it was touched.
template <class T, class Want>
void expect_all(Matrix<T>& got, Size rows, Size columns, Want want) {
  got.fetch();
  EXPECT_TRUE(got.intact());
  for (Size n = 0; n < rows; ++n)
    for (Size c = 0; c < columns; ++c) ASSERT_TRUE(same(got(n, c), want(n, c))) << "at " << n << ", " << c << ": " << float(got(n, c));
}

template <class Pair>
class Convert : public testing::Test {};
using Pairs =
    testing::Types<std::tuple<float, float>, std::tuple<float, bf16>, std::tuple<float, half>, std::tuple<bf16, float>,
                   std::tuple<bf16, bf16>, std::tuple<bf16, half>, std::tuple<half, float>, std::tuple<half, bf16>, std::tuple<half, half>>;
TYPED_TEST_SUITE(Convert, Pairs);

TYPED_TEST(Convert, RoundsToNearestEven) {
  using From = std::tuple_element_t<0, TypeParam>;
  using To = std::tuple_element_t<1, TypeParam>;
  for_each_case([](Context<Dev>& ctx, Layout layout, Size rows, Size columns) {
    support::Numbers numbers(std::uint64_t(rows * 8191 + columns));
    int count = 0;
    auto const make = [&] {  // now and then what is hard to round: halfway, overflow, subnormal, infinite, no number
      constexpr double kHard[] = {1 + 0x1p-8, 1 + 3 * 0x1p-8, 1 + 0x1p-11, 1 + 3 * 0x1p-11, 65519,     65520, -1e30, 0x1p-24, 0x1p-25,
                                  0x1.8p-25,  1e-40,          -0.0,        INFINITY,        -INFINITY, NAN};
      return count++ % 3 == 0 ? kHard[numbers.whole(0, 14)] : numbers.uniform();
    };
    Matrix<From> const x(ctx, layout, rows, columns, make);
    Matrix<To> out(ctx, layout, rows, columns);
    kernels::convert<From, To, Dev>(ctx.stream(), x.view(), out.view());
    expect_all(out, rows, columns, [&](Size n, Size c) { return To(float(x(n, c))); });
  });
}

TEST(Convert, OfTheSameTypeKeepsEveryBitOfANan) {
  support::on_each_machine([](Context<Dev>& ctx) {
    std::uint32_t const bits[] = {0x7F812345u, 0xFFC00001u, 0x3F800000u};
    View<float const, 2, Cpu> const host(reinterpret_cast<float const*>(bits), {1, 3});
    auto const x = ctx.on_device(host);
    auto out = ctx.template empty<float>(Extents{Size{1}, Size{3}});
    kernels::convert<float, float, Dev>(ctx.stream(), x, out.view());
    auto const got = ctx.on_host(out.view());
    EXPECT_EQ(std::memcmp(got.data(), bits, sizeof bits), 0);
  });
}

template <class T>
class Elementwise : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Elementwise, Types);

/// The sum or product of two floats in double, rounded to float, is the float sum or product: 53 >= 2·24 + 2.
TYPED_TEST(Elementwise, AddRoundsOnceAlsoInPlace) {
  using T = TypeParam;
  for_each_case([](Context<Dev>& ctx, Layout layout, Size rows, Size columns) {
    support::Numbers numbers(std::uint64_t(rows * 8191 + columns));
    auto const make = [&] { return numbers.uniform(); };
    Matrix<T> const a(ctx, layout, rows, columns, make), kept(ctx, layout, rows, columns, make);
    Matrix<float> const sum(ctx, layout, rows, columns, make);
    Matrix<T> out(ctx, layout, rows, columns), b = kept;  // which keeps what b held
    kernels::add<T, T, Dev>(ctx.stream(), a.view(), b.view(), out.view());
    expect_all(out, rows, columns, [&](Size n, Size c) { return T(float(double(float(a(n, c))) + double(float(kept(n, c))))); });
    kernels::add<float, T, Dev>(ctx.stream(), sum.view(), b.view(), b.view());
    expect_all(b, rows, columns, [&](Size n, Size c) { return T(float(double(sum(n, c)) + double(float(kept(n, c))))); });
  });
}

TYPED_TEST(Elementwise, ScaleRoundsOnceAlsoInPlace) {
  using T = TypeParam;
  for_each_case([](Context<Dev>& ctx, Layout layout, Size rows, Size columns) {
    support::Numbers numbers(std::uint64_t(rows * 8191 + columns));
    Matrix<T> x(ctx, layout, rows, columns, [&] { return numbers.uniform(); });
    Matrix<T> out(ctx, layout, rows, columns);
    auto const want = [x = x](Size n, Size c) { return T(float(double(0.7f) * double(float(x(n, c))))); };
    kernels::scale<T, Dev>(ctx.stream(), x.view(), 0.7f, out.view());
    expect_all(out, rows, columns, want);
    kernels::scale<T, Dev>(ctx.stream(), x.view(), 0.7f, x.view());
    expect_all(x, rows, columns, want);
  });
}

TYPED_TEST(Elementwise, FillRoundsTheValue) {
  using T = TypeParam;
  for_each_case([](Context<Dev>& ctx, Layout layout, Size rows, Size columns) {
    Matrix<T> out(ctx, layout, rows, columns);
    kernels::fill<T, Dev>(ctx.stream(), 0.3f, out.view());
    expect_all(out, rows, columns, [](Size, Size) { return T(0.3f); });
  });
}

TEST(ElementwiseArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using V = View<float, 2, Dev>;
    auto const stream = ctx.stream();
    auto x = ctx.template empty<float>(Extents{Size{2}, Size{8}});
    auto narrow = ctx.template empty<bf16>(Extents{Size{2}, Size{8}});
    V const null(nullptr, {2, 8}), odd(reinterpret_cast<float*>(reinterpret_cast<char*>(x.data()) + 1), {2, 8});
    V const fewer(x.data(), {2, 7}, {8, 1}), flat(x.data(), {2, 8}, {0, 1}), back(x.data(), {2, 8}, {-8, 1});
    support::expect_refused("convert: x: the pointer is null", [&] { kernels::convert<float, float, Dev>(stream, null, x.view()); });
    support::expect_refused("convert: x: the pointer is not aligned",
                            [&] { kernels::convert<float, bf16, Dev>(stream, odd, narrow.view()); });
    support::expect_refused("convert: out: expected shape (2, 8)", [&] { kernels::convert<float, float, Dev>(stream, x, fewer); });
    support::expect_refused("convert: out: overlaps x", [&] {
      kernels::convert<float, bf16, Dev>(stream, x, View<bf16, 2, Dev>(reinterpret_cast<bf16*>(x.data()), {2, 8}));
    });
    support::expect_refused("add: a: expected shape (2, 7)", [&] { kernels::add<float, float, Dev>(stream, x, fewer, fewer); });
    support::expect_refused("add: b: strides must not be negative", [&] { kernels::add<float, float, Dev>(stream, x, back, x.view()); });
    support::expect_refused("add: out: overlaps a", [&] {
      kernels::add<float, float, Dev>(stream, V(x.data(), {1, 8}), V(x.data() + 4, {1, 8}), V(x.data() + 4, {1, 8}));
    });
    support::expect_refused("scale: out: strides (0, 1)", [&] { kernels::scale<float, Dev>(stream, x, 2, flat); });
    support::expect_refused("scale: x: extents (2, 8)", [&] {
      kernels::scale<float, Dev>(stream, V(x.data(), {2, 8}, {Size{1} << 61, 1}), 2, x.view());
    });
    support::expect_refused("fill: out: the pointer is null", [&] { kernels::fill<float, Dev>(stream, 1, null); });
    V const nothing(nullptr, {0, 8});
    kernels::fill<float, Dev>(stream, 1, nothing), kernels::scale<float, Dev>(stream, nothing, 1, nothing);
    kernels::add<float, float, Dev>(stream, nothing, nothing, nothing), kernels::convert<float, float, Dev>(stream, nothing, nothing);
    auto out = ctx.template empty<float>(x.extents());
    support::expect_bad_views_refused("convert: x", support::input(x),
                                      [&](auto bad) { kernels::convert<float, bf16, Dev>(stream, bad, narrow.view()); });
    support::expect_bad_views_refused("convert: out", narrow.view(), [&](auto bad) { kernels::convert<float, bf16, Dev>(stream, x, bad); });
    support::expect_bad_views_refused("add: a", support::input(x),
                                      [&](auto bad) { kernels::add<float, float, Dev>(stream, bad, x, out.view()); });
    support::expect_bad_views_refused("add: b", support::input(x),
                                      [&](auto bad) { kernels::add<float, float, Dev>(stream, x, bad, out.view()); });
    support::expect_bad_views_refused("add: out", out.view(), [&](auto bad) { kernels::add<float, float, Dev>(stream, x, x, bad); });
    support::expect_bad_views_refused("scale: x", support::input(x),
                                      [&](auto bad) { kernels::scale<float, Dev>(stream, bad, 2, out.view()); });
    support::expect_bad_views_refused("scale: out", out.view(), [&](auto bad) { kernels::scale<float, Dev>(stream, x, 2, bad); });
    support::expect_bad_views_refused("fill: out", out.view(), [&](auto bad) { kernels::fill<float, Dev>(stream, 2, bad); });
    support::expect_refused("fill: out: extents (4294967296, 4294967296)", [&] {  // no product of extents wraps around to a small one
      kernels::fill<float, Dev>(stream, 1, V(x.data(), {Size{1} << 32, Size{1} << 32}, {Size{1} << 32, 1}));
    });
  });
}

TEST(ElementwiseCost, CountsBytesOnce) {
  EXPECT_EQ(kernels::convert_cost(3, 5, 4, 2), (Cost{90, 0}));
  EXPECT_EQ(kernels::add_cost(3, 5, 4, 2), (Cost{120, 15}));
  EXPECT_EQ(kernels::scale_cost(3, 5, 2), (Cost{60, 15}));
  EXPECT_EQ(kernels::fill_cost(3, 5, 2), (Cost{30, 0}));
}

}  // namespace elementwise_test
