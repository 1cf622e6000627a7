// Steps on a device against those on the host, for every method.
#include <gtest/gtest.h>

#include <mgm/models/diffusion/device_stepper.hpp>
#include <mgm/models/diffusion/noise.hpp>
#include <mgm/models/diffusion/stepper.hpp>

namespace device_stepper_test {
using namespace mgm;
using namespace mgm::models;

constexpr Size kRows = 3, kCols = 5, kChannels = 4, kPixels = kRows * kCols;

/// Predictions are noise; both sides round each state to float once a step, so they part by an ulp at most, which no step enlarges much.
template <Device Dev>
void expect_same(Context<Dev>& ctx, SchedulerKind kind, bool guides) {
  SchedulerConfig config;
  config.kind = kind, config.clip = kind == SchedulerKind::ddim ? 1 : 0, config.offset = 1;
  Scheduler const plan(config, 6);
  CpuNoise noise(7);
  auto const draw = [&] {
    std::vector<float> out(static_cast<std::size_t>(kChannels * kPixels));
    noise.draw(out);
    return out;
  };
  auto x = draw();
  for (float& v : x) v *= static_cast<float>(plan.first_noise());
  Stepper host;
  DeviceStepper<float, Dev> device(ctx, x, kRows, kCols, plan.steps().front().input);
  for (std::size_t k = 0; k < plan.steps().size(); ++k) {
    auto const& step = plan.steps()[k];
    auto m = draw();
    auto const base = draw(), drawn = draw();
    Extents const flat{kPixels, kChannels};
    auto const rows = channels_last<float, Dev>(ctx, m, kRows, kCols), base_rows = channels_last<float, Dev>(ctx, base, kRows, kCols);
    double const next = k + 1 < plan.steps().size() ? plan.steps()[k + 1].input : 1;
    device.advance(ctx, step, 7.5f, rows.reshape(flat), guides ? base_rows.reshape(flat) : View<float, 2, Dev>{}, drawn, next);
    for (std::size_t i = 0; guides && i < m.size(); ++i) m[i] = base[i] + 7.5f * (m[i] - base[i]);
    host.advance(step, std::move(m), step.draws ? drawn : std::vector<float>(), x);
    auto const got = device.latents(ctx);
    auto const in = ctx.on_host(device.input());
    ASSERT_EQ(got.size(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(got[i], x[i], 1e-5f * (1 + std::abs(x[i]))) << kSchedulerNames[static_cast<int>(kind)] << " step " << k << " at " << i;
      Size const p = static_cast<Size>(i) % kPixels, c = static_cast<Size>(i) / kPixels;
      ASSERT_EQ(in(p / kCols, p % kCols, c), static_cast<float>(static_cast<double>(got[i]) * next)) << i;
    }
  }
}

TEST(DeviceStepper, StepsAsTheHostDoes) {
  using enum SchedulerKind;
  for (auto const kind : {euler, euler_a, ddim, dpmpp_2m, lcm, pndm})
    for (bool const guides : {false, true}) {
      Context<Cpu> cpu({.threads = 1});
      expect_same(cpu, kind, guides);
      Context<Simt> simt({.threads = 1});
      expect_same(simt, kind, guides);
    }
}

}  // namespace device_stepper_test
