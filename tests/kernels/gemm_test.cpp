/// Matrix products against plain loops in double: exact inputs bit for bit, dense ones within a derived bound.
#include <array>

#include <mgm/kernels/gemm/gemm_general.cuh>

#include "support/refusals.hpp"

namespace gemm_test {

using namespace mgm;
using support::Dev;

template <class T>
class Gemm : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Gemm, Types);

// 1, primes, ragged, a full tile and one more or less in each direction
constexpr std::array<Size, 3> kShapes[] = {{1, 1, 1},    {1, 1, 7},    {1, 7, 1},    {7, 1, 1},    {2, 3, 5},    {5, 3, 2},    {13, 11, 17}, {17, 64, 16},
                                           {64, 64, 16}, {63, 64, 16}, {65, 64, 16}, {64, 63, 16}, {64, 65, 16}, {64, 64, 15}, {64, 64, 17}, {1, 64, 48},
                                           {1, 130, 33}, {33, 1, 130}, {31, 37, 41}, {66, 67, 3},  {12, 40, 24}, {128, 8, 8},  {8, 128, 8},  {3, 3, 257}};

TYPED_TEST(Gemm, GeneralIsExactOnExactInputs) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [m, n, k] : support::shapes(kShapes)) {
      support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
      auto const x = support::sparse<T>(numbers, Extents{m, k}), w = support::sparse<T>(numbers, Extents{n, k});
      auto const out = support::poisoned<float>(Extents{m, n});
      support::OnDevice const dx(ctx, x); support::OnDevice const dw(ctx, w); support::OnDevice const dout(ctx, out);
      kernels::gemm_general<T, float, Dev>(ctx.stream(), dx.view(), dw.view(), {}, dout.view());
      auto const got = dout.back();
      EXPECT_TRUE(got.intact());
      for (Size i = 0; i < m; ++i)
        for (Size j = 0; j < n; ++j)
          ASSERT_EQ(got.view()(i, j), support::product<T>(x.view(), w.view(), true, i, j).value) << m << "x" << n << "x" << k << " at " << i << ", " << j;
    }
  });
}

TYPED_TEST(Gemm, GeneralWithEveryEpilogueIsWithinItsBound) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    int which = 0;
    for (auto const& [m, n, k] : support::shapes(kShapes)) {
      support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
      bool const turned = which % 2 == 1;
      auto const x = support::dense<T>(numbers, Extents{m, k}), w = turned ? support::dense<T>(numbers, Extents{k, n}) : support::dense<T>(numbers, Extents{n, k});
      auto const bias = support::dense<T>(numbers, Extents{n}), scale = support::dense<T>(numbers, Extents{n});
      auto const factor = support::dense<T>(numbers, Extents{m, n}), residual = support::dense<T>(numbers, Extents{m, n});
      auto const out = support::poisoned<T>(Extents{m, n});
      support::OnDevice const dx(ctx, x); support::OnDevice const dw(ctx, w); support::OnDevice const dbias(ctx, bias);
      support::OnDevice const dscale(ctx, scale); support::OnDevice const dfactor(ctx, factor);
      support::OnDevice const dresidual(ctx, residual); support::OnDevice const dout(ctx, out);
      auto const activation = static_cast<Activation>(which++ % 5);
      Epilogue<T, Cpu> e{bias.view(), activation, scale.view(), factor.view(), residual.view(), 0.5f};
      Epilogue<T, Dev> de{dbias.view(), activation, dscale.view(), dfactor.view(), dresidual.view(), 0.5f};
      auto const weight = dw.view();
      View<T const, 2, Dev> const rows = turned ? View<T const, 2, Dev>(weight.data(), {n, k}, {1, weight.stride(0)}) : View<T const, 2, Dev>(weight);
      kernels::gemm_general<T, T, Dev>(ctx.stream(), dx.view(), rows, de, dout.view());
      auto const got = dout.back();
      EXPECT_TRUE(got.intact());
      for (Size i = 0; i < m; ++i)
        for (Size j = 0; j < n; ++j) {
          auto const sum = support::product<T>(x.view(), w.view(), !turned, i, j);
          double const want = support::finish<T>(sum.value, i, j, e);
          // K roundings of the sum, through slopes of at most 1.13; some of the epilogue; one of the store
          double const bound = 1.13 * double(k + 8) * 0x1p-24 * (sum.size + 1) + 16 * 0x1p-24 * (std::abs(want) + 1) + support::kRoundoff<T> * std::abs(want);
          ASSERT_NEAR(float(got.view()(i, j)), want, bound) << support::type_of<T>() << " " << m << "x" << n << "x" << k << " at " << i << ", " << j;
        }
    }
  });
}

TEST(GemmArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<float>(Extents{Size{3}, Size{5}}), w = ctx.template empty<float>(Extents{Size{4}, Size{5}});
    auto out = ctx.template empty<float>(Extents{Size{3}, Size{4}});
    auto vector = ctx.template empty<float>(Extents{Size{4}});
    using V = View<float, 2, Dev>;
    auto const call = [&](View<float const, 2, Dev> a, View<float const, 2, Dev> b, Epilogue<float, Dev> e, V to) {
      kernels::gemm_general<float, float, Dev>(ctx.stream(), a, b, e, to);
    };
    support::expect_bad_views_refused("gemm: x", support::input(x), [&](auto bad) { call(bad, w, {}, out); });
    support::expect_bad_views_refused("gemm: w", support::input(w), [&](auto bad) { call(x, bad, {}, out); });
    support::expect_bad_views_refused("gemm: out", out.view(), [&](auto bad) { call(x, w, {}, bad); });
    support::expect_refused("gemm: x: expected shape (3, *)", [&] { call(x.view().slice(0, 0, 2), w, {}, out); });
    support::expect_refused("gemm: out: overlaps w", [&] { call(x, w, {}, V(w.data(), {3, 4})); });
    support::expect_refused("gemm: bias: expected shape (4)",
                            [&] { call(x, w, {.bias = support::input(vector.view().slice(0, 0, 3))}, out); });
    support::expect_refused("gemm: scale: strides must not be negative",
                            [&] { call(x, w, {.scale = View<float const, 1, Dev>(vector.data(), {Size{4}}, {Size{-1}})}, out); });
    support::expect_refused("gemm: factor: expected shape (3, 4)", [&] { call(x, w, {.factor = support::input(x)}, out); });
    support::expect_refused("gemm: out: overlaps residual", [&] {
      call(x, w, {.residual = View<float const, 2, Dev>(out.data(), {3, 4}, {1, 3})}, out);
    });
    call({nullptr, {0, 5}}, w, {}, {nullptr, {0, 4}}), call(x, {nullptr, {0, 5}}, {}, {nullptr, {3, 0}});  // nothing
  });
}

}  // namespace gemm_test
