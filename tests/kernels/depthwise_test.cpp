/// Depthwise 7×7 with LayerNorm against plain loops in double.
#include <array>
#include <cmath>

#include <mgm/kernels/conv/depthwise_norm.cuh>
#include <mgm/kernels/conv/depthwise_norm_tile.cuh>

#include "support/device.hpp"
#include "support/reference_vision.hpp"
#include "support/refusals.hpp"

namespace depthwise_test {

using namespace mgm;
using support::Dev;

template <class T>
class DepthwiseNorm : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(DepthwiseNorm, Types);

// H, W, C: 1, primes, sides below the window, one less and more than a warp and a block's pixels, more channels than are kept
constexpr std::array<Size, 3> kShapes[] = {{1, 1, 1},   {1, 5, 3},    {2, 2, 17},  {6, 1, 16},  {7, 7, 33},  {3, 12, 8}, {9, 13, 20},
                                           {5, 6, 64},  {12, 12, 12}, {1, 7, 31},  {7, 1, 32},  {8, 8, 5},   {3, 3, 63}, {4, 4, 65},
                                           {2, 9, 96},  {1, 1, 192},  {2, 2, 200}, {4, 5, 128}, {5, 4, 129}, {8, 3, 24}, {16, 5, 8},
                                           {15, 15, 2}, {11, 7, 40},  {1, 2, 384}, {1, 1, 3073}};

template <class T>
std::vector<double> numbers_of(support::Guarded<T, 1> const& t) {
  std::vector<double> out;
  for (Size i = 0; i < t.view().extent(0); ++i) out.push_back(double(float(t.view()(i))));
  return out;
}

/// What one launch gives, within what float sums allow; `guard` and `offset` of all tensors. `depth`: roundings on a channel's way to a
/// sum.
template <class T, class Launch>
void check(Context<Dev>& ctx, Extents<3> shape, double middle, Size guard, Size offset, double depth, Launch&& launch) {
  Size const h = shape[0], w = shape[1], channels = shape[2];
  support::Numbers numbers(std::uint64_t(h * 10007 + w * 101 + channels));
  support::Guarded<T, 3> x(shape, guard, offset), out(shape, guard, offset);
  x.fill([&] { return middle + numbers.uniform(); });
  auto const weight = support::dense<T>(numbers, Extents{Size{49}, channels}, guard, offset);
  auto const bias = support::dense<T>(numbers, Extents{channels}, guard, offset),
             gain = support::dense<T>(numbers, Extents{channels}, guard, offset);
  auto const shift = support::dense<T>(numbers, Extents{channels}, guard, offset);
  support::OnDevice const dx(ctx, x);
  support::OnDevice const dweight(ctx, weight);
  support::OnDevice const dbias(ctx, bias);
  support::OnDevice const dgain(ctx, gain);
  support::OnDevice const dshift(ctx, shift);
  support::OnDevice const dout(ctx, out);
  launch(dx.view(), dweight.view(), dbias.view(), dgain.view(), dshift.view(), dout.view());
  auto const got = dout.back();
  EXPECT_TRUE(got.intact());

  ref::Array in(h, w, channels), size(h, w, channels), taps(1, 49, channels), sizes(1, 49, channels);
  for (Size i = 0; i < h * w * channels; ++i)
    in.v[std::size_t(i)] = double(float(x.view()(i / channels / w, i / channels % w, i % channels)));
  for (Size i = 0; i < 49 * channels; ++i) taps.v[std::size_t(i)] = double(float(weight.view()(i / channels, i % channels)));
  for (std::size_t i = 0; i < in.v.size(); ++i) size.v[i] = std::abs(in.v[i]);
  for (std::size_t i = 0; i < taps.v.size(); ++i) sizes.v[i] = std::abs(taps.v[i]);
  auto const conv = ref::depthwise7(in, taps, numbers_of(bias));
  auto const reach = ref::depthwise7(size, sizes, std::vector<double>(std::size_t(channels), 1.0));  // Σ|weight||x| + 1
  auto const g = numbers_of(gain), b = numbers_of(shift);
  double const eps = double(1e-6f), u = 0x1p-24;
  for (Size n = 0; n < h * w; ++n) {
    double const* const v = &conv.v[std::size_t(n * channels)];
    double mean = 0, var = 0, widest = 0, largest = 0;
    for (Size c = 0; c < channels; ++c) mean += v[c] / double(channels);
    for (Size c = 0; c < channels; ++c) {
      var += (v[c] - mean) * (v[c] - mean) / double(channels);
      widest = std::max(widest, reach.v[std::size_t(n * channels + c)]), largest = std::max(largest, std::abs(v[c]));
    }
    double const rstd = 1 / std::sqrt(var + eps);
    // 50 roundings of a sum; those and `depth` more of the mean; one of the difference. The variance errs by twice the deviation times
    // that.
    double const sum_error = 50 * u * widest, d_error = 2 * sum_error + (depth + 2) * u * (largest + sum_error);
    double const r_error = d_error * rstd + std::pow(d_error * rstd, 2) + (depth / 2 + 5) * u;  // relative
    for (Size c = 0; c < channels; ++c) {
      double const d = v[c] - mean, scaled = d * rstd * g[std::size_t(c)], want = scaled + b[std::size_t(c)];
      double const bound = std::abs(g[std::size_t(c)]) * d_error * rstd * (1 + r_error) + std::abs(scaled) * (r_error + 3 * u) +
                           2 * u * std::abs(want) + 1.01 * support::kRoundoff<T> * (std::abs(want) + d_error * rstd) + 0x1p-25;
      ASSERT_NEAR(float(got.view()(n / w, n % w, c)), want, bound)
          << support::type_of<T>() << " " << h << "x" << w << "x" << channels << " at " << n << ", " << c;
    }
  }
}

TYPED_TEST(DepthwiseNorm, GeneralMatchesDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    auto const general = [&](auto x, auto weight, auto bias, auto gain, auto shift, auto out) {
      kernels::depthwise_conv7_norm<T, Dev>(ctx.stream(), x, weight, bias, gain, shift, 1e-6f, out);
    };
    for (auto const& [h, w, c] : support::shapes(kShapes)) check<T>(ctx, Extents{h, w, c}, 0, 3, 1, double(c) / 32 + 7, general);
    check<T>(ctx, Extents{Size{5}, Size{5}, Size{40}}, 30, 3, 1, 9, general);  // far from zero
  });
}

// as above, and around the tiles of 4×4, 2×4 and 2×2 pixels, one group a block and several, the last pair of a group and the first beyond
constexpr std::array<Size, 3> kTiledShapes[] = {
    {1, 1, 2},   {1, 5, 4},   {2, 2, 18},   {6, 1, 16},   {7, 7, 34},   {3, 12, 8},   {9, 13, 20},  {4, 4, 64},  {5, 4, 64},  {4, 5, 66},
    {3, 3, 62},  {4, 48, 8},  {4, 49, 8},   {2, 52, 6},   {1, 17, 192}, {8, 9, 96},   {4, 4, 254},  {1, 2, 384}, {2, 1, 766}, {5, 5, 768},
    {1, 1, 770}, {3, 5, 770}, {2, 4, 1536}, {1, 1, 1538}, {3, 3, 1540}, {2, 2, 3072}, {1, 2, 3074}, {2, 3, 7}};

TYPED_TEST(DepthwiseNorm, TunedMatchesDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    auto const tuned = [&](auto x, auto weight, auto bias, auto gain, auto shift, auto out) {
      kernels::depthwise_conv7_norm_tuned<T, Dev>(ctx.stream(), x, weight, bias, gain, shift, 1e-6f, out);
    };
    // a lane's eight sums at most, the warp's five, the group's twelve; or those of the general form
    for (auto const& [h, w, c] : support::shapes(kTiledShapes))
      check<T>(ctx, Extents{h, w, c}, 0, 2, 2, std::max(25.0, double(c) / 32 + 7), tuned);
    check<T>(ctx, Extents{Size{5}, Size{5}, Size{40}}, 30, 2, 2, 25, tuned);  // far from zero
    check<T>(ctx, Extents{Size{5}, Size{5}, Size{40}}, 0, 2, 1, 25, tuned);   // off the pairs: the general form
    check<T>(ctx, Extents{Size{5}, Size{5}, Size{40}}, 0, 3, 2, 25, tuned);
  });
}

TEST(DepthwiseForms, AreChosenByChannels) {
  using enum kernels::DepthwiseForm;
  EXPECT_EQ(kernels::depthwise_form(192), tile_4x4);
  EXPECT_EQ(kernels::depthwise_form(768), tile_4x4);
  EXPECT_EQ(kernels::depthwise_form(1536), tile_2x4);
  EXPECT_EQ(kernels::depthwise_form(3072), tile_2x2);
  EXPECT_EQ(kernels::depthwise_form(3074), general);
  EXPECT_EQ(kernels::depthwise_form(191), general);
  EXPECT_NE(kernels::depthwise_table().find("1536: tile 2x4"), std::string::npos) << kernels::depthwise_table();
}

TEST(DepthwiseNormArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<float>(Extents{Size{3}, Size{3}, Size{4}}), out = ctx.template empty<float>(x.extents());
    auto weight = ctx.template empty<float>(Extents{Size{49}, Size{4}});
    auto row = ctx.template empty<float>(Extents{Size{4}}), short_row = ctx.template empty<float>(Extents{Size{3}});
    auto const refused = [&](View<float, 3, Dev> in, View<float, 2, Dev> w, View<float, 1, Dev> b, View<float, 1, Dev> g,
                             View<float, 1, Dev> s, View<float, 3, Dev> to, std::string_view part) {
      try {
        kernels::depthwise_conv7_norm<float, Dev>(ctx.stream(), in, w, b, g, s, 1e-6f, to);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    refused({nullptr, {3, 3, 4}}, weight, row, row, row, out, "depthwise_conv7_norm: x: the pointer is null");
    refused(x, {weight.data(), {48, 4}}, row, row, row, out, "depthwise_conv7_norm: weight: expected shape (49, 4)");
    refused(x, weight, short_row, row, row, out, "depthwise_conv7_norm: bias: expected shape (4)");
    refused(x, weight, row, short_row, row, out, "depthwise_conv7_norm: gain: expected shape (4)");
    refused(x, weight, row, row, short_row, out, "depthwise_conv7_norm: norm_bias: expected shape (4)");
    refused(x, weight, row, row, row, x, "depthwise_conv7_norm: out: overlaps x");
    refused({reinterpret_cast<float*>(reinterpret_cast<char*>(x.data()) + 2), {3, 3, 4}}, weight, row, row, row, out,
            "x: the pointer is not aligned");
    View<float, 3, Dev> const none(nullptr, {0, 3, 4});
    kernels::depthwise_conv7_norm<float, Dev>(ctx.stream(), none, weight, row, row, row, 1e-6f, none);  // nothing
    auto const in = support::input(x);
    auto const channels = support::input(row.view());
    for (bool const tuned : {false, true}) {
      auto const conv = [&](auto x_, auto weight_, auto bias_, auto gain_, auto norm_bias_, View<float, 3, Dev> to) {
        if (tuned)
          kernels::depthwise_conv7_norm_tuned<float, Dev>(ctx.stream(), x_, weight_, bias_, gain_, norm_bias_, 1e-6f, to);
        else
          kernels::depthwise_conv7_norm<float, Dev>(ctx.stream(), x_, weight_, bias_, gain_, norm_bias_, 1e-6f, to);
      };
      std::string const name = "depthwise_conv7_norm: ";
      support::expect_bad_views_refused(name + "x", in, [&](auto bad) { conv(bad, weight.view(), channels, channels, channels, out); });
      support::expect_bad_views_refused(name + "weight", support::input(weight),
                                        [&](auto bad) { conv(in, bad, channels, channels, channels, out); });
      support::expect_bad_views_refused(name + "bias", channels, [&](auto bad) { conv(in, weight.view(), bad, channels, channels, out); });
      support::expect_bad_views_refused(name + "gain", channels, [&](auto bad) { conv(in, weight.view(), channels, bad, channels, out); });
      support::expect_bad_views_refused(name + "norm_bias", channels,
                                        [&](auto bad) { conv(in, weight.view(), channels, channels, bad, out); });
      support::expect_bad_views_refused(name + "out", out.view(),
                                        [&](auto bad) { conv(in, weight.view(), channels, channels, channels, bad); });
      View<float, 3, Dev> const pixel(x.data(), {1, 1, 4}), over_weight(weight.data(), {1, 1, 4}), over_row(row.data(), {1, 1, 4});
      auto const apart = support::input(out.view()[0][0]);
      support::expect_refused(name + "out: overlaps weight",
                              [&] { conv(support::input(pixel), weight.view(), apart, apart, apart, over_weight); });
      support::expect_refused(name + "out: overlaps bias",
                              [&] { conv(support::input(pixel), weight.view(), channels, apart, apart, over_row); });
      support::expect_refused(name + "out: overlaps gain",
                              [&] { conv(support::input(pixel), weight.view(), apart, channels, apart, over_row); });
      support::expect_refused(name + "out: overlaps norm_bias",
                              [&] { conv(support::input(pixel), weight.view(), apart, apart, channels, over_row); });
      conv(none, weight.view(), channels, channels, channels, none);
    }
  });
}

}  // namespace depthwise_test
