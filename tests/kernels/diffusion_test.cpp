/// What diffusion models have of their own, against plain loops in double: the gated product, sinusoids, a scheduler's step.
#include <array>
#include <cmath>

#include <mgm/kernels/diffusion/geglu.cuh>
#include <mgm/kernels/diffusion/scheduler_step.cuh>
#include <mgm/kernels/diffusion/time_embedding.cuh>

#include "support/device.hpp"
#include "support/refusals.hpp"

namespace diffusion_test {

using namespace mgm;
using support::Dev;

template <class T>
class Diffusion : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Diffusion, Types);

// rows, outputs, K: least, one more and less than a tile of 64 × 32 and a panel of 16, primes, no sum
constexpr std::array<Size, 3> kProducts[] = {
    {1, 1, 1},    {1, 2, 3},    {2, 31, 15},  {3, 32, 16},  {5, 33, 17}, {7, 5, 31},  {63, 4, 8},  {64, 31, 5},  {65, 33, 9},
    {17, 64, 32}, {11, 65, 33}, {13, 13, 64}, {1, 96, 20},  {96, 1, 20}, {66, 2, 48}, {9, 40, 40}, {33, 37, 41}, {2, 128, 16},
    {128, 2, 16}, {29, 23, 19}, {4, 160, 40}, {70, 34, 24}, {8, 8, 0},   {6, 63, 65}, {16, 80, 20}};

/// A sum of K products errs by 4·√K·u of Σ|x||w|, each half; gelu has a slope below 1.13, and the store rounds.
TYPED_TEST(Diffusion, GatedProductMatchesDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [m, n, k] : support::shapes(kProducts)) {
      support::Numbers numbers(std::uint64_t(m * 10000 + n * 100 + k));
      auto const x = support::dense<T>(numbers, Extents{m, k});
      auto const w = support::dense<T>(numbers, Extents{2 * n, k});
      auto const bias = support::dense<T>(numbers, Extents{2 * n});
      auto const out = support::poisoned<T>(Extents{m, n});
      support::OnDevice const dx(ctx, x);
      support::OnDevice const dw(ctx, w);
      support::OnDevice const dbias(ctx, bias);
      support::OnDevice const dout(ctx, out);
      bool const biased = (m + n) % 2 == 0;
      kernels::geglu<T, Dev>(ctx.stream(), dx.view(), dw.view(), biased ? dbias.view() : View<T const, 1, Dev>{}, dout.view());
      auto const got = dout.back();
      EXPECT_TRUE(got.intact());
      for (Size i = 0; i < m; ++i)
        for (Size j = 0; j < n; ++j) {
          auto const half_of = [&](Size row) {
            auto s = support::product<T>(x.view(), w.view(), true, i, row);
            if (biased) s.value += double(float(bias.view()(row)));
            return s;
          };
          auto const value = half_of(j), gate = half_of(n + j);
          double const open = activate(Activation::gelu, gate.value), want = value.value * open,
                       u = 1.2 * 4 * std::sqrt(double(k) + 1) * 0x1p-24;
          double const bound = u * ((value.size + 1) * std::abs(open) + 1.13 * (gate.size + 1) * (std::abs(value.value) + u * value.size)) +
                               4e-7 * std::abs(value.value) * (1 + std::abs(gate.value)) + support::kRoundoff<T> * (std::abs(want) + 1e-3);
          ASSERT_NEAR(double(float(got.view()(i, j))), want, bound) << m << "x" << n << "x" << k << " at " << i << ", " << j;
        }
    }
  });
}

/// The angle is a product of floats, so the reference makes it the same way, in every shape and for every kind of time.
TYPED_TEST(Diffusion, SinusoidsMatchDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (Size const width : {Size{2}, Size{4}, Size{6}, Size{8}, Size{14}, Size{256}, Size{320}, Size{514}})
      for (Size const count : {Size{1}, Size{2}, Size{6}, Size{9}}) {
        auto times = support::poisoned<float>(Extents{count});
        float const all[] = {981, 0, 1024, 0.25f, 999, 512, -3.5f, 100000, 37.125f};
        for (Size i = 0; i < count; ++i) times.view()(i) = all[(i + width / 2) % 9];
        auto const out = support::poisoned<T>(Extents{count, width});
        support::OnDevice const dtimes(ctx, times);
        support::OnDevice const dout(ctx, out);
        kernels::time_embedding<T, Dev>(ctx.stream(), dtimes.view(), dout.view());
        auto const got = dout.back();
        EXPECT_TRUE(got.intact());
        Size const half = width / 2;
        for (Size i = 0; i < count; ++i)
          for (Size j = 0; j < half; ++j) {
            double const s = double(times.view()(i)), angle = s * std::pow(10000.0, -double(j) / double(half));
            // the exponent, up to ln 10⁴, the power and the product are floats
            double const relative = (std::log(10000.0) * double(j) / double(half) + 2) * 0x1p-23;
            double const bound = std::abs(angle) * relative + 0x1p-24 + support::kRoundoff<T>;
            ASSERT_NEAR(double(float(got.view()(i, j))), std::cos(angle), bound) << s << " " << j << " of " << width;
            ASSERT_NEAR(double(float(got.view()(i, half + j))), std::sin(angle), bound) << s << " " << j << " of " << width;
          }
      }
  });
}
TEST(Sinusoids, AreThoseOfThePublishedNetworks) {  // s = 981, width 320, as the reference prints them
  support::on_each_machine([](Context<Dev>& ctx) {
    auto times = support::poisoned<float>(Extents{Size{1}});
    times.view()(0) = 981;
    auto const out = support::poisoned<float>(Extents{Size{1}, Size{320}});
    support::OnDevice const dtimes(ctx, times);
    support::OnDevice const dout(ctx, out);
    kernels::time_embedding<float, Dev>(ctx.stream(), dtimes.view(), dout.view());
    auto const got = dout.back();
    std::pair<Size, float> const known[] = {{0, 0.679957f},   {1, -0.798429f},  {2, 0.578064f},  {159, 0.994606f},
                                            {160, 0.733252f}, {161, 0.602089f}, {319, 0.103726f}};
    for (auto const& [i, value] : known) EXPECT_NEAR(got.view()(0, i), value, 1.2e-4f) << i;  // an ulp of f moves the angle by 981·2⁻²³
  });
}

// pixels, channels: one, rows that are no multiple of anything, the latents of small pictures
constexpr std::array<Size, 2> kLatents[] = {{1, 1},   {1, 4},   {2, 3},  {3, 9},  {5, 4},   {7, 7},   {16, 4},  {17, 4},
                                            {31, 1},  {32, 8},  {33, 4}, {63, 4}, {64, 4},  {65, 4},  {100, 3}, {127, 2},
                                            {128, 4}, {129, 4}, {4, 33}, {9, 65}, {2, 255}, {2, 257}, {256, 4}, {300, 4}};

/// Four steps of a method that uses all there is, so that what is remembered counts; each state is a float of a sum in double.
TYPED_TEST(Diffusion, StepsMatchDoubleAndRemember) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [rows, cols] : support::shapes(kLatents)) {
      Extents const shape{rows, cols};
      support::Numbers numbers(std::uint64_t(rows * 1000 + cols));
      auto x = support::dense<float>(numbers, shape);
      auto data = support::poisoned<float>(shape), started = support::poisoned<float>(shape);
      auto past = support::poisoned<float>(Extents{Size{3}, rows, cols});
      data.fill([] { return 0; }), started.fill([] { return 0; }), past.fill([] { return 0; });
      support::OnDevice const dx(ctx, x);
      support::OnDevice const ddata(ctx, data);
      support::OnDevice const dstarted(ctx, started);
      support::OnDevice const dpast(ctx, past);
      for (int step = 0; step < 4; ++step) {
        DenoiseStep s{.guidance = 7.5f,
                      .past = {1.5, -0.5, 0.25, -0.125},
                      .data_x = 1.25,
                      .data_m = -0.5,
                      .clip = step == 2 ? 1.0 : 0.0,
                      .keep = 0.75,
                      .model = -0.3,
                      .data = 0.4,
                      .before = 0.1,
                      .noise = 0.2,
                      .stored = step != 1,
                      .restart = step == 2,
                      .input = 0.6};
        auto const prediction = support::dense<float>(numbers, shape);
        auto const base = support::dense<float>(numbers, shape);
        auto const noise = support::dense<float>(numbers, shape);
        auto const in = support::poisoned<T>(shape);
        support::OnDevice const dprediction(ctx, prediction);
        support::OnDevice const dbase(ctx, base);
        support::OnDevice const dnoise(ctx, noise);
        support::OnDevice const din(ctx, in);
        bool const guides = step != 3, draws = step != 0;
        DenoiseMemory<Dev> const memory{dx.view(), ddata.view(), dstarted.view(), dpast.view()};
        kernels::scheduler_step<T, Dev>(ctx.stream(), s, dprediction.view(), guides ? dbase.view() : View<float const, 2, Dev>{},
                                        draws ? dnoise.view() : View<float const, 2, Dev>{}, memory, din.view());
        auto const got = din.back();
        auto const got_x = dx.back();
        EXPECT_TRUE(got.intact() && got_x.intact() && ddata.back().intact() && dstarted.back().intact() && dpast.back().intact());
        for (Size p = 0; p < rows; ++p)
          for (Size c = 0; c < cols; ++c) {
            auto const old = [&](Size k) { return double(past.view()(k, p, c)); };
            double const e = double(prediction.view()(p, c)), b = double(base.view()(p, c)), m = guides ? b + 7.5 * (e - b) : e;
            double const from = s.restart ? double(started.view()(p, c)) : double(x.view()(p, c));
            double const sum = 1.5 * m - 0.5 * old(0) + 0.25 * old(1) - 0.125 * old(2);
            double clean = 1.25 * from - 0.5 * sum;
            if (s.clip > 0) clean = std::max(-1.0, std::min(1.0, clean));
            double next = 0.75 * from - 0.3 * sum + 0.4 * clean + 0.1 * double(data.view()(p, c));
            if (draws) next += 0.2 * double(noise.view()(p, c));
            double const size = 20 * 0x1p-23 + std::abs(next) * 0x1p-23;  // of m, below 16, in float, and of the sum
            ASSERT_NEAR(double(got_x.view()(p, c)), next, size) << rows << "x" << cols << " step " << step << " at " << p;
            ASSERT_NEAR(double(float(got.view()(p, c))), 0.6 * next, size + support::kRoundoff<T> * (std::abs(next) + 1e-3))
                << rows << "x" << cols;
            if (s.stored)
              past.view()(2, p, c) = past.view()(1, p, c), past.view()(1, p, c) = past.view()(0, p, c),
                                past.view()(0, p, c) = static_cast<float>(m);
            started.view()(p, c) = x.view()(p, c), data.view()(p, c) = static_cast<float>(clean), x.view()(p, c) = got_x.view()(p, c);
          }
      }
    }
  });
}

TEST(DiffusionArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto const four = ctx.template empty<float>(Extents{Size{5}, Size{4}}), other = ctx.template empty<float>(Extents{Size{5}, Size{4}});
    auto const odd = ctx.template empty<float>(Extents{Size{5}, Size{3}});
    auto const five = ctx.template empty<float>(Extents{Size{5}});
    auto const refused = [&](auto&& call, std::string_view part) {
      try {
        call();
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    refused([&] { kernels::time_embedding<float, Dev>(ctx.stream(), five, odd.view()); }, "the width must be even, found 3");
    refused([&] { kernels::geglu<float, Dev>(ctx.stream(), four, four, {}, other.view()); }, "geglu: w: expected shape (8, 4)");
    refused([&] { kernels::geglu<float, Dev>(ctx.stream(), four, four, {}, four.view()); }, "geglu");
    DenoiseMemory<Dev> const memory{four.view(), other.view(), other.view(), {}};
    refused([&] { kernels::scheduler_step<float, Dev>(ctx.stream(), {}, odd, {}, {}, memory, other.view()); },
            "prediction: expected shape (5, 4)");
    auto const wide = ctx.template empty<float>(Extents{Size{8}, Size{4}});
    auto const product = [&](auto x, auto w, auto out) { kernels::geglu<float, Dev>(ctx.stream(), x, w, {}, out); };
    support::expect_bad_views_refused("geglu: x", support::input(four), [&](auto bad) { product(bad, wide.view(), other.view()); });
    support::expect_bad_views_refused("geglu: w", support::input(wide), [&](auto bad) { product(four.view(), bad, other.view()); });
    support::expect_bad_views_refused("geglu: out", other.view(), [&](auto bad) { product(four.view(), wide.view(), bad); });
    support::expect_bad_views_refused("time_embedding: out", other.view(),
                                      [&](auto bad) { kernels::time_embedding<float, Dev>(ctx.stream(), five, bad); });
    support::expect_bad_views_refused("time_embedding: s", support::input(five),
                                      [&](auto bad) { kernels::time_embedding<float, Dev>(ctx.stream(), bad, other.view()); });
  });
}

}  // namespace diffusion_test
