/// Patches against plain loops: bits are copied.
#include <array>

#include <mgm/kernels/conv/patches.cuh>

#include "support/device.hpp"
#include "support/refusals.hpp"

namespace patches_test {

using namespace mgm;
using support::Dev;

template <class T>
class Patches : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Patches, Types);

// H, W, C, side: 1, primes, floored sides, no patch at all, sides and channels of the real models, one less and more than a block's
// elements
constexpr std::array<Size, 4> kShapes[] = {{1, 1, 1, 1},    {3, 9, 2, 4},  {3, 3, 7, 1},    {3, 3, 7, 3},   {7, 5, 3, 2},
                                           {28, 42, 3, 14}, {9, 11, 5, 2}, {16, 16, 3, 4},  {20, 12, 3, 4}, {2, 2, 192, 2},
                                           {4, 6, 33, 2},   {8, 8, 16, 8}, {13, 1, 5, 1},   {1, 17, 3, 1},  {14, 14, 3, 14},
                                           {15, 29, 3, 14}, {6, 4, 48, 2}, {32, 8, 4, 1},   {31, 33, 1, 1}, {32, 32, 1, 1},
                                           {41, 25, 1, 1},  {6, 6, 5, 3},  {11, 22, 2, 11}, {5, 5, 1, 5},   {12, 12, 3, 4}};

TYPED_TEST(Patches, AreCopiedInOrder) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [h, w, channels, p] : support::shapes(kShapes, [](auto const& s) { return s[3] <= 16; })) {
      support::Numbers numbers(std::uint64_t(h * 1000 + w * 100 + channels));
      Size const columns = w / p;
      auto const image = support::dense<T>(numbers, Extents{h, w, channels});
      auto const out = support::poisoned<T>(Extents{h / p * columns, p * p * channels});
      support::OnDevice const from(ctx, image);
      support::OnDevice const to(ctx, out);
      kernels::patches<T, Dev>(ctx.stream(), from.view(), p, to.view());
      auto const got = to.back();
      EXPECT_TRUE(got.intact());
      for (Size n = 0; n < out.view().extent(0); ++n)
        for (Size ky = 0; ky < p; ++ky)
          for (Size kx = 0; kx < p; ++kx)
            for (Size c = 0; c < channels; ++c)
              ASSERT_EQ(float(got.view()(n, (ky * p + kx) * channels + c)),
                        float(image.view()(n / columns * p + ky, n % columns * p + kx, c)))
                  << support::type_of<T>() << " " << h << "x" << w << "x" << channels << ", side " << p << ", at " << n;
    }
  });
}

TEST(PatchesArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<float>(Extents{Size{8}, Size{8}, Size{2}});
    auto out = ctx.template empty<float>(Extents{Size{16}, Size{8}});
    auto const refused = [&](View<float, 3, Dev> image, Size p, View<float, 2, Dev> to, std::string_view part) {
      try {
        kernels::patches<float, Dev>(ctx.stream(), image, p, to);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    refused({nullptr, {8, 8, 2}}, 2, out, "patches: image: the pointer is null");
    refused(x, 0, out, "patches: the side must be");
    refused(x, 4, out, "patches: out: expected shape (4, 32)");
    refused(x, 2, {x.data(), {16, 8}}, "patches: out: overlaps image");
    refused(x, 2, {out.data(), {16, 8}, {7, 1}}, "patches: out: strides (7, 1)");
    kernels::patches<float, Dev>(ctx.stream(), View<float, 3, Dev>(nullptr, {0, 8, 2}), 2,
                                 View<float, 2, Dev>(nullptr, {0, 8}));  // nothing
    support::expect_bad_views_refused("patches: image", support::input(x),
                                      [&](auto bad) { kernels::patches<float, Dev>(ctx.stream(), bad, 2, out.view()); });
    support::expect_bad_views_refused("patches: out", out.view(), [&](auto bad) { kernels::patches<float, Dev>(ctx.stream(), x, 2, bad); });
  });
}

}  // namespace patches_test
