/// The residual sum with its norm, and the gate: against plain loops in double.
#include <array>
#include <cmath>

#include <mgm/kernels/decode/gated.cuh>
#include <mgm/kernels/decode/residual_norm.cuh>

#include "support/refusals.hpp"

namespace residual_norm_test {

using namespace mgm;
using support::Dev;
using support::Layout;
using support::Matrix;

template <class T>
class ResidualNorm : public testing::Test {};
template <class T>
class Gated : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(ResidualNorm, Types);
TYPED_TEST_SUITE(Gated, Types);

// 1, primes, an access and one more or less, all of a block's accesses (1024 or 2048 elements) and one more or less
constexpr std::array<Size, 2> kShapes[] = {{1, 1},   {2, 2},    {3, 3},    {2, 4},    {1, 5},    {5, 7},    {2, 8},    {3, 9},   {1, 15},
                                           {2, 16},  {1, 17},   {7, 31},   {1, 32},   {2, 33},   {1, 64},   {3, 127},  {2, 128}, {1, 129},
                                           {2, 255}, {1, 1023}, {2, 1024}, {1, 1025}, {1, 2047}, {1, 2048}, {1, 2049}, {2, 4099}};
constexpr double kUnit = 0x1p-24;

template <class A, class T>
void residual_norm_matches_double(Context<Dev>& ctx) {
  for (auto const& [rows, channels] : kShapes)
    for (Layout const layout : support::kLayouts) {
      float const offset = (rows + channels) % 2 == 0 ? 0.0f : 1.0f;
      SCOPED_TRACE(
          text(support::type_of<A>(), " to ", support::type_of<T>(), ", ", rows, " x ", channels, ", layout ", static_cast<int>(layout)));
      support::Numbers numbers(std::uint64_t(rows * 8191 + channels));
      auto const make = [&] { return numbers.uniform(); };
      Matrix<A> const delta(ctx, layout, rows, channels, make);
      Matrix<T> x(ctx, layout, rows, channels, make), out(ctx, layout, rows, channels);
      Matrix<T> const before = x, gain(ctx, layout, 1, channels, make);
      View<T const, 1, Dev> const gains(gain.view().data(), {channels}, {gain.view().stride(1)});
      kernels::residual_norm<A, T, Dev>(ctx.stream(), delta.view(), x.view(), gains, 1e-5f, offset, out.view());
      x.fetch(), out.fetch();
      EXPECT_TRUE(x.intact() && out.intact());
      for (Size n = 0; n < rows; ++n) {
        double squares = 0;
        for (Size c = 0; c < channels; ++c) {
          // two floats' sum in double, rounded to float, is their float sum
          ASSERT_EQ(float(x(n, c)), float(T(float(double(float(before(n, c))) + double(float(delta(n, c))))))) << "x at " << n << ", " << c;
          squares += std::pow(double(float(x(n, c))), 2);
        }
        double const rstd = 1 / std::sqrt(squares / double(channels) + 1e-5);
        // a thread adds at most C/256 + 8 terms one after the other, then 5 + 8 of the tree; halved by the root; root, quotients, products
        double const slack = (double(channels) / 256 + 8 + 13) / 2 * kUnit + 6 * kUnit;
        for (Size c = 0; c < channels; ++c) {
          double const want = double(float(x(n, c))) * rstd * (double(float(gain(0, c))) + double(offset));
          // two roundings to T where the quotient is rounded before the product
          ASSERT_NEAR(float(out(n, c)), want, (slack + 2.01 * support::kRoundoff<T>)*std::abs(want) + 0x1p-24)
              << "out at " << n << ", " << c;
        }
      }
    }
}
TYPED_TEST(ResidualNorm, MatchesDouble) {
  support::on_each_machine([](Context<Dev>& ctx) {
    residual_norm_matches_double<TypeParam, TypeParam>(ctx);
    residual_norm_matches_double<float, TypeParam>(ctx);
  });
}

template <class A, class T>
void gated_matches_double(Context<Dev>& ctx) {
  int which = 0;
  for (auto const& [rows, ffn] : kShapes)
    for (Layout const layout : support::kLayouts) {
      auto const activation = static_cast<Activation>(which++ % 5);
      SCOPED_TRACE(
          text(support::type_of<A>(), " to ", support::type_of<T>(), ", ", rows, " x ", ffn, ", layout ", static_cast<int>(layout)));
      support::Numbers numbers(std::uint64_t(rows * 8191 + ffn));
      Matrix<A> const both(ctx, layout, rows, 2 * ffn, [&] { return 3 * numbers.uniform(); });
      Matrix<T> out(ctx, layout, rows, ffn);
      kernels::gated<A, T, Dev>(ctx.stream(), both.view(), activation, out.view());
      out.fetch();
      EXPECT_TRUE(out.intact());
      for (Size n = 0; n < rows; ++n)
        for (Size f = 0; f < ffn; ++f) {
          double const g = double(float(both(n, f))), up = double(float(both(n, ffn + f))), want = activate(activation, g) * up;
          // arguments of at most 6: exp, erfc and tanh of an argument off by an ulp are off by 6 ulp and 2 of their own; gelu's 1 + tanh
          // loses nothing against |g|; then the product
          double const bound = 16 * kUnit * std::abs(g * up) + support::kRoundoff<T> * std::abs(want) + 0x1p-25;
          ASSERT_NEAR(float(out(n, f)), want, bound) << n << ", " << f << ", activation " << static_cast<int>(activation);
        }
    }
}
TYPED_TEST(Gated, MatchesDouble) {
  support::on_each_machine([](Context<Dev>& ctx) {
    gated_matches_double<TypeParam, TypeParam>(ctx);
    gated_matches_double<float, TypeParam>(ctx);
  });
}

TEST(ResidualNormArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using V = View<float, 2, Dev>;
    auto const stream = ctx.stream();
    auto x = ctx.template empty<float>(Extents{Size{2}, Size{8}}), delta = ctx.template empty<float>(Extents{Size{2}, Size{8}});
    auto out = ctx.template empty<float>(Extents{Size{2}, Size{8}});
    auto gain = ctx.template empty<float>(Extents{Size{8}});
    auto const call = [&](V d, V state, View<float, 1, Dev> g, V to) {
      kernels::residual_norm<float, float, Dev>(stream, d, state, g, 1e-5f, 0, to);
    };
    support::expect_refused("residual_norm: delta: expected shape (2, 8)", [&] { call(x.slice(1, 0, 7), x, gain, out); });
    support::expect_refused("residual_norm: gain: expected shape (8)", [&] { call(delta, x, gain.slice(0, 0, 7), out); });
    support::expect_refused("residual_norm: x: overlaps delta", [&] { call(x, x, gain, out); });
    support::expect_refused("residual_norm: out: overlaps x", [&] { call(delta, x, gain, x); });
    support::expect_refused("residual_norm: x: the pointer is null", [&] { call(delta, V(nullptr, {2, 8}), gain, out); });
    support::expect_refused("residual_norm: out: strides (0, 1)", [&] { call(delta, x, gain, V(out.data(), {2, 8}, {0, 1})); });
    call(V(nullptr, {0, 8}), V(nullptr, {0, 8}), gain, V(nullptr, {0, 8}));
    support::expect_refused("gated: both: expected shape (2, 16)",
                            [&] { kernels::gated<float, float, Dev>(stream, x, Activation::silu, out.view()); });
    support::expect_refused("gated: out: overlaps both", [&] {
      kernels::gated<float, float, Dev>(stream, x, Activation::silu, V(x.data(), {2, 4}, {8, 1}));
    });
    kernels::gated<float, float, Dev>(stream, V(nullptr, {0, 8}), Activation::silu, V(nullptr, {0, 4}));
    support::expect_bad_views_refused("residual_norm: delta", support::input(delta), [&](auto bad) {
      kernels::residual_norm<float, float, Dev>(stream, bad, x.view(), gain, 1e-5f, 0, out.view());
    });
    support::expect_bad_views_refused("residual_norm: x", x.view(), [&](auto bad) { call(delta, bad, gain, out); });
    support::expect_bad_views_refused("residual_norm: gain", support::input(gain), [&](auto bad) {
      kernels::residual_norm<float, float, Dev>(stream, delta, x.view(), bad, 1e-5f, 0, out.view());
    });
    support::expect_bad_views_refused("residual_norm: out", out.view(), [&](auto bad) { call(delta, x, gain, bad); });
    V const half_as_wide(out.data(), {2, 4}, {8, 1});
    support::expect_bad_views_refused("gated: both", support::input(x),
                                      [&](auto bad) { kernels::gated<float, float, Dev>(stream, bad, Activation::silu, half_as_wide); });
    support::expect_bad_views_refused("gated: out", half_as_wide,
                                      [&](auto bad) { kernels::gated<float, float, Dev>(stream, x, Activation::silu, bad); });
  });
}

TEST(ResidualNormCost, CountsBytesOnce) {
  EXPECT_EQ(kernels::residual_norm_cost(3, 5, 4, 2), (Cost{160, 75}));
  EXPECT_EQ(kernels::gated_cost(3, 5, 4, 2), (Cost{150, 90}));
}

}  // namespace residual_norm_test
