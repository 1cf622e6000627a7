/// The rows of convolutions: copies, so every bit is known.
#include <array>

#include <mgm/kernels/conv/unfold.cuh>

#include "support/refusals.hpp"

namespace unfold_test {

using namespace mgm;
using support::Dev;

template <class T>
class Unfold : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Unfold, Types);

/// Rows and columns of the map, channels, and the windows that networks use on it.
template <class Try>
void each_window(Try&& attempt) {
  for (auto const& [h, w, c] : {std::array<Size, 3>{1, 1, 1}, {2, 3, 5}, {5, 4, 3}, {7, 7, 8}, {8, 6, 33}, {3, 9, 130}})
    for (Window const& window : {Window::same(3, h, w), Window::same(1, h, w), Window::resampled(3, 2 * h, 2 * w),
                                 Window::resampled(3, 2 * h - 1, 2 * w + 1), Window::halved(h, w), Window::halved_below(h, w)})
      if (window.out_rows * window.out_cols > 0) attempt(h, w, c, window);
}

TYPED_TEST(Unfold, EveryTapIsCopied) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    each_window([&](Size h, Size w, Size c, Window const& window) {
      support::Numbers numbers(std::uint64_t(h * 100 + w * 10 + c));
      auto const map = support::dense<T>(numbers, Extents{h, w, c});
      Size const all = window.out_rows * window.out_cols, first = all / 3, width = Size{window.side} * window.side * c;
      auto const out = support::poisoned<T>(Extents{all - first, width});
      support::OnDevice const dmap(ctx, map);
      support::OnDevice const dout(ctx, out);
      kernels::unfold<T, Dev>(ctx.stream(), {.first = dmap.view()}, window, first, dout.view());
      auto const got = dout.back();
      EXPECT_TRUE(got.intact());
      Size const rows = window.rows, cols = window.cols;
      for (Size i = 0; i < all - first; ++i)
        for (Size j = 0; j < width; ++j) {
          Size const y = (first + i) / window.out_cols * window.stride + j / c / window.side - window.top;
          Size const x = (first + i) % window.out_cols * window.stride + j / c % window.side - window.left;
          float const want = y < 0 || x < 0 || y >= rows || x >= cols ? 0.0f : float(map.view()(y * h / rows, x * w / cols, j % c));
          ASSERT_EQ(float(got.view()(i, j)), want) << h << "x" << w << "x" << c << " at " << i << ", " << j;
        }
    });
  });
}

TEST(UnfoldArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto map = ctx.template empty<float>(Extents{Size{3}, Size{4}, Size{2}}),
         out = ctx.template empty<float>(Extents{Size{12}, Size{18}, Size{1}});
    View<float, 2, Dev> const rows(out.data(), {12, 18});
    auto const call = [&](View<float const, 3, Dev> x, Size first, View<float, 2, Dev> to) {
      kernels::unfold<float, Dev>(ctx.stream(), {.first = x}, Window::same(3, 3, 4), first, to);
    };
    support::expect_bad_views_refused("unfold: map", support::input(map), [&](auto bad) { call(bad, 0, rows); });
    support::expect_bad_views_refused("unfold: out", rows, [&](auto bad) { call(map, 0, bad); });
    support::expect_refused("unfold: out: expected shape (*, 18)", [&] { call(map, 0, rows.slice(1, 0, 17)); });
    support::expect_refused("unfold: pixels 1 to 13, but the window makes 12", [&] { call(map, 1, rows); });
    support::expect_refused("unfold: out: overlaps map", [&] { call(map, 0, {map.data(), {1, 18}}); });
    call(map, 12, {nullptr, {0, 18}});  // nothing
  });
}

}  // namespace unfold_test
