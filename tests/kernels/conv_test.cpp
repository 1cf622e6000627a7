/// The convolution that gathers as it multiplies, general form, against plain loops in double.
#include <mgm/kernels/conv/conv_general.cuh>

#include "support/device.hpp"
#include "support/reference_conv.hpp"
#include "support/refusals.hpp"

namespace conv_test {

using namespace mgm;
using support::ConvCase;
using support::Dev;

template <class T>
class Conv : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Conv, Types);

/// Each shape with each window; half of them normalised, with an epilogue. Values err by some 2^-21, sums by 4·√K·u of Σ|x||w|, the store
/// by its type's roundoff.
TYPED_TEST(Conv, MatchesReferenceInDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    int variant = 0;
    for (auto const& [h, w, c, more, n] : support::kConvShapes)
      support::each_conv_window(h, w, [&, h = h, w = w, c = c, more = more, n = n](Window const& window) {
        support::Numbers numbers(std::uint64_t(++variant));
        Size const taps = Size{window.side} * window.side, pixels = window.out_rows * window.out_cols, all = c + more;
        auto const first = support::dense<T>(numbers, Extents{h, w, c});
        auto const second = support::dense<T>(numbers, Extents{h, w, more});
        auto const weight = support::dense<T>(numbers, Extents{n, taps * all});
        auto const residual = support::dense<T>(numbers, Extents{pixels, n});
        auto const bias = support::dense<T>(numbers, Extents{n});
        auto const scale = support::dense<float>(numbers, Extents{all});
        auto const shift = support::dense<float>(numbers, Extents{all});
        auto const out = support::poisoned<T>(Extents{pixels, n});
        support::OnDevice const dfirst(ctx, first);
        support::OnDevice const dsecond(ctx, second);
        support::OnDevice const dweight(ctx, weight);
        support::OnDevice const dresidual(ctx, residual);
        support::OnDevice const dbias(ctx, bias);
        support::OnDevice const dscale(ctx, scale);
        support::OnDevice const dshift(ctx, shift);
        support::OnDevice const dout(ctx, out);
        MapSource<T, Cpu> x{.first = first.view()};
        MapSource<T, Dev> dx{.first = dfirst.view()};
        Epilogue<T, Cpu> e{};
        Epilogue<T, Dev> de{};
        if (more > 0) x.second = second.view(), dx.second = dsecond.view();
        if (variant % 2) {
          x.scale = scale.view(), x.shift = shift.view(), dx.scale = dscale.view(), dx.shift = dshift.view();
          x.silu = dx.silu = variant % 4 == 1;
          e.bias = bias.view(), de.bias = dbias.view();
          e.residual = residual.view(), de.residual = dresidual.view();
        }
        kernels::conv_general<T, T, Dev>(ctx.stream(), dx, window, dweight.view(), de, dout.view());
        auto const got = dout.back();
        EXPECT_TRUE(got.intact());
        ConvCase<T> const reference{x, window, weight.view()};
        for (Size p = 0; p < pixels; ++p)
          for (Size j = 0; j < n; ++j) {
            support::Sum const sum = reference.sum(p, j);
            double const want = support::finish<T>(sum.value, p, j, e), size = sum.size + 3;
            double const bound =
                (1.2 * 4 * std::sqrt(double(taps * all) + 1) * 0x1p-24 + 0x1p-21) * size + support::kRoundoff<T> * (std::abs(want) + 1e-3);
            ASSERT_NEAR(double(float(got.view()(p, j))), want, bound)
                << h << "x" << w << "x" << c << "+" << more << " to " << n << ", side " << window.side << " stride " << window.stride
                << " at " << p;
          }
      });
  });
}

TYPED_TEST(Conv, WrongArgumentsAreRefusedByName) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    auto const map = ctx.template empty<T>(Extents{Size{4}, Size{5}, Size{3}});
    auto const weight = ctx.template empty<T>(Extents{Size{2}, Size{27}});
    auto const out = ctx.template empty<T>(Extents{Size{20}, Size{2}});
    auto const odd = ctx.template empty<float>(Extents{Size{2}});
    auto const run = [&](MapSource<T, Dev> const& x, Window const& window) {
      kernels::conv_general<T, T, Dev>(ctx.stream(), x, window, weight.view(), {}, out.view());
    };
    auto const good = Window::same(3, 4, 5);
    EXPECT_THROW(run({.first = map.view()}, Window::same(1, 4, 5)), ShapeError);
    EXPECT_THROW(run({.first = map.view()}, Window::halved(4, 5)), ShapeError);
    EXPECT_THROW(run({.first = map.view(), .second = map.view()}, good), ShapeError);
    EXPECT_THROW(run({.first = map.view(), .scale = odd.view(), .shift = odd.view()}, good), ShapeError);
    EXPECT_THROW(run({.first = map.view(), .silu = true}, good), ArgumentError);
    EXPECT_THROW(run({.first = View<T const, 3, Dev>(out.data(), map.extents())}, good), ArgumentError);
  });
}

TEST(ConvArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto map = ctx.template empty<float>(Extents{Size{4}, Size{5}, Size{3}}), more = ctx.template empty<float>(map.extents());
    auto weight = ctx.template empty<float>(Extents{Size{2}, Size{54}}), out = ctx.template empty<float>(Extents{Size{20}, Size{2}});
    auto scale = ctx.template empty<float>(Extents{Size{6}}), shift = ctx.template empty<float>(Extents{Size{6}});
    MapSource<float, Dev> const good{.first = map.view(), .second = more.view(), .scale = scale.view(), .shift = shift.view()};
    auto const call = [&](MapSource<float, Dev> const& x, View<float const, 2, Dev> w, View<float, 2, Dev> to) {
      kernels::conv_general<float, float, Dev>(ctx.stream(), x, Window::same(3, 4, 5), w, {}, to);
    };
    auto const with = [&](auto change) {
      auto x = good;
      change(x);
      call(x, weight, out);
    };
    support::expect_bad_views_refused("conv: map", support::input(map), [&](auto bad) { with([&](auto& x) { x.first = bad; }); });
    support::expect_bad_views_refused("conv: w", support::input(weight), [&](auto bad) { call(good, bad, out); });
    support::expect_bad_views_refused("conv: out", out.view(), [&](auto bad) { call(good, weight, bad); });
    support::expect_refused("conv: second map: strides must not be negative", [&] {
      with([&](auto& x) { x.second = View<float const, 3, Dev>(more.data(), more.extents(), {-15, 3, 1}); });
    });
    support::expect_refused("conv: scale: expected shape (6)", [&] { with([&](auto& x) { x.scale = x.scale.slice(0, 0, 5); }); });
    support::expect_refused("conv: shift: the pointer is not aligned", [&] {
      with([&](auto& x) { x.shift = {reinterpret_cast<float*>(reinterpret_cast<char*>(shift.data()) + 1), {Size{6}}}; });
    });
    support::expect_refused("conv: out: overlaps second map", [&] { call(good, weight, {more.data(), {20, 2}}); });
    kernels::conv_general<float, float, Dev>(ctx.stream(), {.first = View<float const, 3, Dev>(nullptr, {0, 5, 3})}, Window::same(3, 0, 5),
                                             support::input(weight.view().slice(1, 0, 27)), {}, {nullptr, {0, 2}});  // nothing
  });
}

}  // namespace conv_test
