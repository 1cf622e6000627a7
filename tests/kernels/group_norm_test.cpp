/// GroupNorm with and without SiLU against plain loops in double.
#include <array>
#include <cmath>

#include <mgm/kernels/norm/group_norm.cuh>

#include "support/refusals.hpp"

namespace group_norm_test {

using namespace mgm;
using support::Dev;

template <class T>
class GroupNorm : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(GroupNorm, Types);

// rows, channels, groups: one of each, primes, one more and less than a block of rows, a warp's groups, the widths of Stable Diffusion
constexpr std::array<Size, 3> kShapes[] = {{1, 1, 1},   {1, 4, 2},    {2, 6, 3},   {3, 5, 5},    {7, 8, 1},    {5, 12, 4},  {63, 8, 2},
                                           {64, 8, 2},  {65, 8, 2},   {1, 32, 32}, {2, 33, 33},  {9, 64, 32},  {31, 35, 7}, {33, 10, 5},
                                           {127, 6, 2}, {128, 6, 2},  {129, 6, 2}, {17, 96, 32}, {4, 320, 32}, {191, 4, 4}, {193, 3, 1},
                                           {257, 2, 2}, {16, 160, 8}, {70, 30, 6}, {40, 64, 16}};

TYPED_TEST(GroupNorm, MatchesDoubleAndWorksInPlace) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [rows, channels, groups] : kShapes)
      for (bool const silu : {false, true}) {
        support::Numbers numbers(std::uint64_t(rows * 1000 + channels));
        auto const x = support::dense<T>(numbers, Extents{rows, channels});
        auto const gain = support::dense<T>(numbers, Extents{channels});
        auto const bias = support::dense<T>(numbers, Extents{channels});
        auto const out = support::poisoned<T>(Extents{rows, channels});
        support::OnDevice const dx(ctx, x);
        support::OnDevice const dgain(ctx, gain);
        support::OnDevice const dbias(ctx, bias);
        support::OnDevice const dout(ctx, out);
        auto const scratch = ctx.template empty<kernels::Moments>(kernels::group_norm_scratch(rows, groups));
        Size const left = channels - channels / 3;  // as two maps; the seam may lie within a group
        auto const affine = support::poisoned<float>(Extents{Size{2}, channels});
        support::OnDevice const daffine(ctx, affine);
        View<T const, 2, Dev> const whole = dx.view(),
                                    second = left < channels ? whole.slice(1, left, channels - left) : View<T const, 2, Dev>{};
        kernels::group_affine<T, Dev>(ctx.stream(), whole.slice(1, 0, left), second, groups, dgain.view(), dbias.view(), 1e-5f,
                                      scratch.view(), daffine.view());
        auto const numbers_of = daffine.back();
        EXPECT_TRUE(numbers_of.intact());
        kernels::group_norm<T, Dev>(ctx.stream(), dx.view(), groups, dgain.view(), dbias.view(), 1e-5f, silu, scratch.view(), dout.view());
        kernels::group_norm<T, Dev>(ctx.stream(), dx.view(), groups, dgain.view(), dbias.view(), 1e-5f, silu, scratch.view(), dx.view());
        auto const got = dout.back();
        auto const in_place = dx.back();
        EXPECT_TRUE(got.intact() && in_place.intact());
        Size const width = channels / groups;
        for (Size g = 0; g < groups; ++g) {
          double mean = 0, var = 0;
          double const count = double(rows * width);
          for (Size n = 0; n < rows; ++n)
            for (Size c = g * width; c < (g + 1) * width; ++c) mean += double(float(x.view()(n, c))) / count;
          for (Size n = 0; n < rows; ++n)
            for (Size c = g * width; c < (g + 1) * width; ++c) var += std::pow(double(float(x.view()(n, c))) - mean, 2) / count;
          double const rstd = 1 / std::sqrt(var + 1e-5);
          // a lane sums 2·width numbers of a block of rows, then 5 joins, as many again over the blocks: so many roundings of numbers below
          // 1
          double const roundings = 2 * double(width) + 2 * 5 + count / (64 * double(width)) / 32 + 8;
          for (Size n = 0; n < rows; ++n)
            for (Size c = g * width; c < (g + 1) * width; ++c) {
              double const gain_c = double(float(gain.view()(c))),
                           plain = (double(float(x.view()(n, c))) - mean) * rstd * gain_c + double(float(bias.view()(c)));
              double const want = silu ? plain / (1 + std::exp(-plain)) : plain;
              double const bound =
                  1.1 * roundings * 0x1p-24 * (rstd + 1) * (std::abs(gain_c) + 1) * 2 + support::kRoundoff<T> * std::abs(want);
              ASSERT_NEAR(float(got.view()(n, c)), want, bound)
                  << support::type_of<T>() << " " << rows << "x" << channels << "/" << groups << " at " << n << ", " << c;
              ASSERT_EQ(float(got.view()(n, c)), float(in_place.view()(n, c)));
              double const by_affine = double(float(x.view()(n, c))) * double(numbers_of.view()(0, c)) + double(numbers_of.view()(1, c));
              ASSERT_NEAR(by_affine, plain, 1.1 * (roundings + 4) * 0x1p-24 * (rstd + 1) * (std::abs(gain_c) + 1) * 2) << n << ", " << c;
            }
        }
      }
  });
}

TEST(GroupNormArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto const x = ctx.template empty<float>(Extents{Size{4}, Size{6}});
    auto const v = ctx.template empty<float>(Extents{Size{6}});
    auto const scratch = ctx.template empty<kernels::Moments>(kernels::group_norm_scratch(4, 2));
    auto const refused = [&](Size groups, View<kernels::Moments, 2, Dev> s, std::string_view part) {
      try {
        kernels::group_norm<float, Dev>(ctx.stream(), x, groups, v, v, 1e-5f, false, s, x.view());
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    View<float const, 2, Dev> const wide(x.data(), {1, Size{1} << 31}, {0, 0});
    support::expect_refused("group_norm: x: at most 2147483647",
                            [&] { kernels::group_norm<float, Dev>(ctx.stream(), wide, 2, v, v, 1e-5f, false, scratch.view(), x.view()); });
    refused(4, scratch.view(), "6 channels do not divide into 4 groups");
    refused(0, scratch.view(), "do not divide into 0 groups");
    refused(3, scratch.view(), "scratch: expected shape (1, 3)");
    auto out = ctx.template empty<float>(x.extents());
    auto const call = [&](auto x_, auto gain_, auto bias_, View<float, 2, Dev> out_) {
      kernels::group_norm<float, Dev>(ctx.stream(), x_, 2, gain_, bias_, 1e-5f, false, scratch.view(), out_);
    };
    auto const rows = support::input(x);
    auto const channels = support::input(v);
    support::expect_bad_views_refused("group_norm: x", rows, [&](auto bad) { call(bad, channels, channels, out); });
    support::expect_bad_views_refused("group_norm: gain", channels, [&](auto bad) { call(rows, bad, channels, out); });
    support::expect_bad_views_refused("group_norm: bias", channels, [&](auto bad) { call(rows, channels, bad, out); });
    support::expect_bad_views_refused("group_norm: out", out.view(), [&](auto bad) { call(rows, channels, channels, bad); });
    support::expect_refused("group_norm: out: overlaps x", [&] {
      kernels::group_norm<float, Dev>(ctx.stream(), rows.slice(0, 0, 2), 2, channels, channels, 1e-5f, false, scratch.view(),
                                      x.view().slice(0, 1, 2));
    });
  });
}

}  // namespace group_norm_test
