/// The global view's maps against the two resizes in double.
#include <array>

#include <mgm/kernels/attention/mining_resize.cuh>

#include "support/device.hpp"
#include "support/reference_vision.hpp"
#include "support/refusals.hpp"

namespace mining_resize_test {

using namespace mgm;
using support::Dev;

template <class T>
class MiningResize : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(MiningResize, Types);

TYPED_TEST(MiningResize, ResizedTwiceIsTheTwoResizes) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    constexpr std::array<Size, 7> kResizes[] = {
        {1, 1, 1, 1, 1, 1, 1},     {8, 8, 8, 8, 4, 4, 35},      {4, 4, 8, 8, 4, 4, 16},  {9, 9, 9, 9, 3, 3, 5},
        {3, 3, 9, 9, 3, 3, 1},     {16, 16, 16, 16, 4, 4, 64},  {5, 5, 15, 15, 5, 5, 7}, {1, 1, 6, 6, 3, 3, 20},
        {6, 4, 6, 4, 3, 2, 192},   {2, 3, 4, 6, 2, 3, 31},      {2, 3, 4, 6, 2, 3, 32},  {2, 3, 4, 6, 2, 3, 33},
        {7, 5, 14, 10, 7, 5, 3},   {1, 9, 2, 18, 1, 9, 4},      {9, 1, 18, 2, 9, 1, 4},  {12, 12, 24, 24, 12, 12, 2},
        {3, 3, 24, 24, 12, 12, 6}, {24, 24, 24, 24, 12, 12, 3}, {5, 7, 11, 13, 3, 2, 9}, {4, 4, 4, 4, 4, 4, 17},
        {2, 2, 16, 16, 8, 8, 63},  {2, 2, 16, 16, 8, 8, 65},    {1, 1, 1, 1, 5, 5, 8},   {6, 6, 6, 6, 2, 2, 129}};
    for (auto const& [h, w, full_h, full_w, to_h, to_w, channels] : kResizes) {
      support::Numbers numbers(std::uint64_t(h * 100 + w + channels));
      auto const map = support::dense<T>(numbers, Extents{h, w, channels});
      support::OnDevice const from(ctx, map); support::OnDevice const to(ctx, support::poisoned<T>(Extents{to_h, to_w, channels}));
      kernels::resize_twice<T, Dev>(ctx.stream(), from.view(), full_h, full_w, to.view());
      auto const got = to.back();
      EXPECT_TRUE(got.intact());
      ref::Array a(h, w, channels);
      for (std::size_t i = 0; i < a.v.size(); ++i)
        a.v[i] = double(float(map.view()(Size(i) / channels / w, Size(i) / channels % w, Size(i) % channels)));
      auto const want = ref::bilinear(ref::bilinear(a, full_h, full_w), to_h, to_w);
      for (Size y = 0; y < to_h; ++y)
        for (Size x = 0; x < to_w; ++x)
          for (Size c = 0; c < channels; ++c)  // |x| < 1, weights rounded once, eight sums and products, one rounding to T
            ASSERT_NEAR(float(got.view()(y, x, c)), want(y, x, c), 10 * 0x1p-24 + support::kRoundoff<T> * std::abs(want(y, x, c)) + 0x1p-25)
                << support::type_of<T>() << " " << h << "x" << w << " -> " << full_h << "x" << full_w << " -> " << to_h << "x" << to_w;
    }
  });
}

TEST(MiningResizeArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto map = ctx.template empty<float>(Extents{Size{4}, Size{4}, Size{8}}),
         out = ctx.template empty<float>(Extents{Size{2}, Size{2}, Size{8}});
    auto const refused = [&](View<float, 3, Dev> from, Size rows, View<float, 3, Dev> to, std::string_view part) {
      try {
        kernels::resize_twice<float, Dev>(ctx.stream(), from, rows, 4, to);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    refused({nullptr, {4, 4, 8}}, 4, out, "resize_twice: map: the pointer is null");
    refused(map, 0, out, "resize_twice: a map of shape (4, 4, 8) cannot become 0x4");
    refused(map, Size{1} << 31, out, "resize_twice: sides must be below");
    refused({map.data(), {4, 4, 7}}, 4, out, "resize_twice: out: expected shape (*, *, 7)");
    refused(map, 4, map, "resize_twice: out: overlaps map");
    refused(map, 4, {out.data(), {2, 2, 8}, {16, 0, 1}}, "resize_twice: out: strides (16, 0, 1)");
    View<float, 3, Dev> const none(nullptr, {0, 2, 8});
    kernels::resize_twice<float, Dev>(ctx.stream(), map, 4, 4, none);  // nothing
    support::expect_bad_views_refused("resize_twice: map", support::input(map),
                                      [&](auto bad) { kernels::resize_twice<float, Dev>(ctx.stream(), bad, 4, 4, out.view()); });
    support::expect_bad_views_refused("resize_twice: out", out.view(),
                                      [&](auto bad) { kernels::resize_twice<float, Dev>(ctx.stream(), map, 4, 4, bad); });
  });
}

}  // namespace mining_resize_test
