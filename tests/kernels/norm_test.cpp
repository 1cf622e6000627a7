/// LayerNorm and RMSNorm against plain loops in double.
#include <array>
#include <cmath>

#include <mgm/kernels/norm/row_norm.cuh>

#include "support/device.hpp"
#include "support/refusals.hpp"

namespace norm_test {

using namespace mgm;
using support::Dev;

template <class T>
class RowNorm : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(RowNorm, Types);

// least, primes, one less and one more than a warp and a block's rows, widths of the real models' norms
constexpr std::array<Size, 2> kShapes[] = {{1, 1},   {1, 2},   {2, 3},   {3, 5},   {4, 7},   {5, 8},    {3, 16},  {4, 31},  {5, 32},
                                           {7, 33},  {8, 48},  {9, 63},  {1, 64},  {2, 65},  {3, 96},   {4, 127}, {5, 128}, {6, 129},
                                           {1, 192}, {2, 257}, {3, 384}, {1, 577}, {2, 768}, {1, 1024}, {5, 1}};

/// Sums of C terms in float, whichever order: (C/32 + 5 + 2) roundings at most; doubled for the quotient and the products.
double slack(Size channels) { return 2 * (double(channels) / 32 + 9) * 0x1p-24; }

TYPED_TEST(RowNorm, LayerNormMatchesDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [rows, channels] : support::shapes(kShapes)) {
      support::Numbers numbers(std::uint64_t(rows * 1000 + channels));
      auto const x = support::dense<T>(numbers, Extents{rows, channels}), out = support::poisoned<T>(Extents{rows, channels});
      auto const gain = support::dense<T>(numbers, Extents{channels}), bias = support::dense<T>(numbers, Extents{channels});
      support::OnDevice const dx(ctx, x);
      support::OnDevice const dgain(ctx, gain);
      support::OnDevice const dbias(ctx, bias);
      support::OnDevice const dout(ctx, out);
      kernels::layer_norm<T, Dev>(ctx.stream(), dx.view(), dgain.view(), dbias.view(), 1e-5f, dout.view());
      auto const got = dout.back();
      EXPECT_TRUE(got.intact());
      for (Size n = 0; n < rows; ++n) {
        double mean = 0, var = 0;
        for (Size c = 0; c < channels; ++c) mean += double(float(x.view()(n, c))) / double(channels);
        for (Size c = 0; c < channels; ++c) var += std::pow(double(float(x.view()(n, c))) - mean, 2) / double(channels);
        double const rstd = 1 / std::sqrt(var + 1e-5);
        for (Size c = 0; c < channels; ++c) {
          double const y = (double(float(x.view()(n, c))) - mean) * rstd, g = double(float(gain.view()(c)));
          double const want = y * g + double(float(bias.view()(c)));
          double const bound =
              slack(channels) * (std::abs(y * g) + rstd * std::abs(g)) + 2 * support::kRoundoff<T> * std::abs(want) + 0x1p-24;
          ASSERT_NEAR(float(got.view()(n, c)), want, bound)
              << support::type_of<T>() << " " << rows << "x" << channels << " at " << n << ", " << c;
        }
      }
    }
  });
}

TYPED_TEST(RowNorm, RmsNormMatchesDoubleAndWorksInPlace) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [rows, channels] : support::shapes(kShapes))
      for (float const offset : {0.0f, 1.0f}) {
        support::Numbers numbers(std::uint64_t(rows * 1000 + channels));
        auto const x = support::dense<T>(numbers, Extents{rows, channels}), out = support::poisoned<T>(Extents{rows, channels});
        auto const gain = support::dense<T>(numbers, Extents{channels});
        support::OnDevice const dx(ctx, x);
        support::OnDevice const dgain(ctx, gain);
        support::OnDevice const dout(ctx, out);
        kernels::rms_norm<T, Dev>(ctx.stream(), dx.view(), dgain.view(), 1e-5f, offset, dout.view());
        kernels::rms_norm<T, Dev>(ctx.stream(), dx.view(), dgain.view(), 1e-5f, offset, dx.view());
        auto const got = dout.back(), in_place = dx.back();
        EXPECT_TRUE(got.intact() && in_place.intact());
        for (Size n = 0; n < rows; ++n) {
          double squares = 0;
          for (Size c = 0; c < channels; ++c) squares += std::pow(double(float(x.view()(n, c))), 2);
          double const rstd = 1 / std::sqrt(squares / double(channels) + 1e-5);
          for (Size c = 0; c < channels; ++c) {
            double const want = double(float(x.view()(n, c))) * rstd * (double(float(gain.view()(c))) + double(offset));
            // two roundings to T where y is rounded before the product
            ASSERT_NEAR(float(got.view()(n, c)), want, (slack(channels) + 2.01 * support::kRoundoff<T>)*std::abs(want) + 0x1p-24)
                << support::type_of<T>() << " " << rows << "x" << channels << " at " << n << ", " << c;
            ASSERT_EQ(float(got.view()(n, c)), float(in_place.view()(n, c)));
          }
        }
      }
  });
}

TEST(RowNormArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto const stream = ctx.stream();
    auto x = ctx.template empty<float>(Extents{Size{2}, Size{8}});
    auto gain = ctx.template empty<float>(Extents{Size{8}}), short_gain = ctx.template empty<float>(Extents{Size{7}});
    auto const refused = [&](View<float, 2, Dev> in, View<float, 1, Dev> g, View<float, 2, Dev> out, std::string_view part) {
      try {
        kernels::rms_norm<float, Dev>(stream, in, g, 1e-5f, 0, out);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    View<float const, 2, Dev> const wide(x.data(), {1, Size{1} << 31}, {0, 0});
    support::expect_refused("rms_norm: x: at most 2147483647",
                            [&] { kernels::rms_norm<float, Dev>(stream, wide, gain, 1e-5f, 0, x.view()); });
    support::expect_refused("layer_norm: x: at most 2147483647",
                            [&] { kernels::layer_norm<float, Dev>(stream, wide, gain, gain, 1e-5f, x.view()); });
    View<float, 2, Dev> const null(nullptr, {2, 8}), odd(reinterpret_cast<float*>(reinterpret_cast<char*>(x.data()) + 1), {2, 8});
    refused(null, gain, x, "rms_norm: x: the pointer is null");
    refused(odd, gain, x, "rms_norm: x: the pointer is not aligned");
    refused(x, short_gain, x, "rms_norm: gain: expected shape (8)");
    refused(x, gain, {x.data(), {2, 8}, {0, 1}}, "rms_norm: out: strides (0, 1)");
    refused(x, gain, {x.data(), {2, 8}, {-8, 1}}, "rms_norm: out: strides must not be negative");
    refused(x, gain, {x.data() + 1, {2, 7}, {8, 1}}, "rms_norm: out: expected shape (2, 8)");
    refused({x.data(), {1, 8}}, gain, {x.data() + 4, {1, 8}}, "rms_norm: out: overlaps x");
    kernels::rms_norm<float, Dev>(stream, View<float, 2, Dev>(nullptr, {0, 8}), gain, 1e-5f, 0,
                                  View<float, 2, Dev>(nullptr, {0, 8}));  // nothing
    auto const rows = support::input(x);
    auto const channels = support::input(gain.view());
    auto out = ctx.template empty<float>(x.extents());
    auto const rms = [&](auto x_, auto gain_, View<float, 2, Dev> to) { kernels::rms_norm<float, Dev>(stream, x_, gain_, 1e-5f, 0, to); };
    support::expect_bad_views_refused("rms_norm: x", rows, [&](auto bad) { rms(bad, channels, out); });
    support::expect_bad_views_refused("rms_norm: gain", channels, [&](auto bad) { rms(rows, bad, out); });
    support::expect_bad_views_refused("rms_norm: out", out.view(), [&](auto bad) { rms(rows, channels, bad); });
    auto const layer = [&](auto x_, auto gain_, auto bias_, View<float, 2, Dev> to) {
      kernels::layer_norm<float, Dev>(stream, x_, gain_, bias_, 1e-5f, to);
    };
    support::expect_bad_views_refused("layer_norm: x", rows, [&](auto bad) { layer(bad, channels, channels, out); });
    support::expect_bad_views_refused("layer_norm: gain", channels, [&](auto bad) { layer(rows, bad, channels, out); });
    support::expect_bad_views_refused("layer_norm: bias", channels, [&](auto bad) { layer(rows, channels, bad, out); });
    support::expect_bad_views_refused("layer_norm: out", out.view(), [&](auto bad) { layer(rows, channels, channels, bad); });
    auto const is_gain = [&] { return View<float, 2, Dev>(gain.data(), {1, 8}); };
    View<float, 2, Dev> const one_row(x.data(), {1, 8});
    support::expect_refused("rms_norm: out: overlaps gain", [&] { rms(support::input(one_row), channels, is_gain()); });
    support::expect_refused("layer_norm: out: overlaps gain",
                            [&] { layer(support::input(one_row), channels, support::input(out.view()[0]), is_gain()); });
    support::expect_refused("layer_norm: out: overlaps bias",
                            [&] { layer(support::input(one_row), support::input(out.view()[0]), channels, is_gain()); });
    support::expect_refused("layer_norm: out: overlaps x", [&] {
      layer(support::input(View<float, 2, Dev>(x.data(), {1, 8})), channels, channels, {x.data() + 4, {1, 8}});
    });
    layer(support::input(View<float, 2, Dev>(nullptr, {0, 8})), channels, channels, {nullptr, {0, 8}});  // nothing
  });
}

}  // namespace norm_test
