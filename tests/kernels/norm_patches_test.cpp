/// LayerNorm written as patches against plain loops in double.
#include <array>
#include <cmath>

#include <mgm/kernels/conv/norm_patches.cuh>

#include "support/device.hpp"
#include "support/refusals.hpp"

namespace norm_patches_test {

using namespace mgm;
using support::Dev;

template <class T>
class NormPatches : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(NormPatches, Types);

// H, W, C, side: 1, primes, floored sides, whole vectors of channels and one more or less, more than a warp reads at once
constexpr std::array<Size, 4> kShapes[] = {{1, 1, 1, 1},   {3, 9, 2, 2},   {3, 3, 7, 1},   {3, 3, 7, 3},   {7, 5, 3, 2},
                                           {4, 6, 8, 2},   {9, 11, 5, 2},  {2, 2, 31, 2},  {2, 4, 32, 2},  {4, 2, 33, 2},
                                           {2, 2, 192, 2}, {4, 6, 24, 2},  {8, 8, 16, 8},  {13, 1, 5, 1},  {1, 17, 3, 1},
                                           {2, 2, 255, 2}, {2, 2, 256, 2}, {2, 2, 257, 2}, {3, 3, 264, 2}, {6, 4, 48, 2},
                                           {5, 5, 40, 5},  {2, 2, 768, 2}, {2, 3, 384, 2}, {6, 6, 8, 3},   {11, 22, 16, 11}};

template <class T>
void check(Context<Dev>& ctx, std::array<Size, 4> const& shape, Size guard, Size offset, double middle) {
  auto const [h, w, channels, p] = shape;
  support::Numbers numbers(std::uint64_t(h * 1000 + w * 100 + channels));
  Size const columns = w / p;
  support::Guarded<T, 3> x(Extents{h, w, channels}, guard, offset);
  x.fill([&] { return middle + numbers.uniform(); });
  auto const gain = support::dense<T>(numbers, Extents{channels}, guard, offset);
  auto const bias = support::dense<T>(numbers, Extents{channels}, guard, offset);
  auto const out = support::poisoned<T>(Extents{h / p * columns, p * p * channels}, guard, offset);
  support::OnDevice const from(ctx, x);
  support::OnDevice const dgain(ctx, gain);
  support::OnDevice const dbias(ctx, bias);
  support::OnDevice const to(ctx, out);
  kernels::norm_patches<T, Dev>(ctx.stream(), from.view(), dgain.view(), dbias.view(), 1e-6f, p, to.view());
  auto const got = to.back();
  EXPECT_TRUE(got.intact());
  // a sum's way: a lane's channels, at most one vector of eight more than its share, then the warp's five; doubled for what follows
  double const slack = 2 * (double(channels) / 32 + 17) * 0x1p-24, size = std::abs(middle) + 1;
  for (Size y = 0; y < h / p * p; ++y)
    for (Size u = 0; u < columns * p; ++u) {
      double mean = 0, var = 0;
      for (Size c = 0; c < channels; ++c) mean += double(float(x.view()(y, u, c))) / double(channels);
      for (Size c = 0; c < channels; ++c) var += std::pow(double(float(x.view()(y, u, c))) - mean, 2) / double(channels);
      double const rstd = 1 / std::sqrt(var + double(1e-6f)), d_error = slack * size, r_error = d_error * rstd + slack;
      for (Size c = 0; c < channels; ++c) {
        double const g = double(float(gain.view()(c))), scaled = (double(float(x.view()(y, u, c))) - mean) * rstd * g;
        double const want = scaled + double(float(bias.view()(c)));
        double const bound = std::abs(g) * d_error * rstd * (1 + r_error) + std::abs(scaled) * r_error +
                             2.01 * support::kRoundoff<T> * std::abs(want) + 0x1p-24;
        ASSERT_NEAR(float(got.view()(y / p * columns + u / p, (y % p * p + u % p) * channels + c)), want, bound)
            << support::type_of<T>() << " " << h << "x" << w << "x" << channels << ", side " << p << ", at " << y << ", " << u << ", " << c;
      }
    }
}

TYPED_TEST(NormPatches, MatchDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& shape : support::shapes(kShapes))
      check<T>(ctx, shape, 3, 1, 0), check<T>(ctx, shape, 8, 8, 0);  // off the vectors, and on them
    check<T>(ctx, {4, 4, 64, 2}, 8, 8, 30);                          // far from zero
  });
}

TEST(NormPatchesArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<float>(Extents{Size{4}, Size{4}, Size{2}});
    auto out = ctx.template empty<float>(Extents{Size{4}, Size{8}});
    auto gain = ctx.template empty<float>(Extents{Size{2}});
    auto const refused = [&](View<float, 3, Dev> in, View<float, 1, Dev> g, Size p, View<float, 2, Dev> to, std::string_view part) {
      try {
        kernels::norm_patches<float, Dev>(ctx.stream(), in, g, gain, 1e-6f, p, to);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    refused({nullptr, {4, 4, 2}}, gain, 2, out, "norm_patches: x: the pointer is null");
    refused(x, gain, 0, out, "norm_patches: the side must be");
    refused(x, gain.view().slice(0, 0, 1), 2, out, "norm_patches: gain: expected shape (2)");
    refused(x, gain, 4, out, "norm_patches: out: expected shape (1, 32)");
    refused(x, gain, 2, {x.data(), {4, 8}}, "norm_patches: out: overlaps x");
    refused({x.data(), {2, 2, 2}, {8, 4, 2}}, gain, 1, out, "norm_patches: out: expected shape (4, 2)");
    refused({x.data(), {2, 2, 2}, {8, 4, 2}}, gain, 1, {out.data(), {4, 2}}, "norm_patches: the last axis");
    kernels::norm_patches<float, Dev>(ctx.stream(), View<float, 3, Dev>(nullptr, {0, 4, 2}), gain, gain, 1e-6f, 2,
                                      View<float, 2, Dev>(nullptr, {0, 8}));
    auto const in = support::input(x);
    auto const channels = support::input(gain.view());
    auto const call = [&](auto x_, auto gain_, auto bias_, View<float, 2, Dev> to) {
      kernels::norm_patches<float, Dev>(ctx.stream(), x_, gain_, bias_, 1e-6f, 2, to);
    };
    support::expect_bad_views_refused("norm_patches: x", in, [&](auto bad) { call(bad, channels, channels, out); });
    support::expect_bad_views_refused("norm_patches: gain", channels, [&](auto bad) { call(in, bad, channels, out); });
    support::expect_bad_views_refused("norm_patches: bias", channels, [&](auto bad) { call(in, channels, bad, out); });
    View<float, 3, Dev> const pixel(x.data(), {1, 1, 2});
    support::expect_refused("norm_patches: out: overlaps gain", [&] {
      kernels::norm_patches<float, Dev>(ctx.stream(), pixel, gain, gain, 1e-6f, 1, View<float, 2, Dev>(gain.data(), {1, 2}));
    });
    support::expect_bad_views_refused("norm_patches: out", out.view(), [&](auto bad) { call(in, channels, channels, bad); });
  });
}

}  // namespace norm_patches_test
