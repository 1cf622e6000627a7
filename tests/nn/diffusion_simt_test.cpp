// What diffusion models have of their own: kernels against the processor's own paths.
#include <mgm/ops/conv.hpp>
#include <mgm/ops/diffusion.hpp>
#include <mgm/ops/norm.hpp>

#include "support/reference_vision.hpp"

namespace diffusion_simt_test {

using namespace mgm;

template <Device Dev, class T, int R>
Tensor<T, R, Dev> made(Context<Dev>& ctx, Extents<R> shape, unsigned seed, double deviation = 1) {
  auto out = ctx.template empty<T>(shape);
  auto const d = support::normal<T>(shape, seed, 0, deviation);  // Simt's memory is the host's
  std::copy(d.v.begin(), d.v.end(), out.data());
  return out;
}
template <Device Dev, class T, int R>
std::vector<double> numbers(Context<Dev>& ctx, Tensor<T, R, Dev> const& t) {
  if constexpr (!Dev::kHost) ctx.synchronise();
  std::vector<double> out;
  for (Size i = 0; i < t.count(); ++i) out.push_back(double(float(t.data()[i])));
  return out;
}

/// A gated product; a convolution over two maps that are normalised on the way; then a step of the latents that it gives; sinusoids.
template <Real T, Device Dev>
std::array<std::vector<double>, 4> run(Context<Dev>& ctx) {
  Size const h = 6, w = 5, c = 32, n = 16, pixels = h * w;
  auto const x = made<Dev, T>(ctx, Extents{h, w, c}, 1), skip = made<Dev, T>(ctx, Extents{h, w, n}, 2);
  auto const rows = x.reshape(Extents{pixels, c}), more = skip.reshape(Extents{pixels, n});
  auto const wide = made<Dev, T>(ctx, Extents{2 * n, c}, 3, 0.2), gain = made<Dev, T>(ctx, Extents{Size{1}, c + n}, 4);
  auto const weight = made<Dev, T>(ctx, Extents{n, 9 * (c + n)}, 5, 0.05), bias = made<Dev, T>(ctx, Extents{Size{1}, 2 * n}, 6);
  auto gated = ctx.template empty<T>(Extents{pixels, n}), in = ctx.template empty<T>(Extents{pixels, n});
  ops::geglu<T, Dev>(ctx, rows, wide, bias.reshape(Extents{2 * n}), gated.view());
  auto affine = ctx.template empty<float>(Extents{Size{2}, c + n});
  ops::group_affine<T, Dev>(ctx, rows, more, 8, gain.reshape(Extents{c + n}), gain.reshape(Extents{c + n}), 1e-5f, affine.view());
  auto prediction = ctx.template empty<float>(Extents{pixels, n});
  MapSource<T, Dev> const source{.first = x, .second = skip, .scale = affine.view()[0], .shift = affine.view()[1], .silu = true};
  ops::conv<T, float, Dev>(ctx, source, Window::same(3, h, w), weight, {}, prediction.view());
  auto const base = made<Dev, float>(ctx, prediction.extents(), 7), noise = made<Dev, float>(ctx, prediction.extents(), 8);
  auto latents = made<Dev, float>(ctx, prediction.extents(), 9), data = made<Dev, float>(ctx, prediction.extents(), 10),
       started = made<Dev, float>(ctx, prediction.extents(), 11), past = made<Dev, float>(ctx, Extents{Size{3} * pixels, n}, 12);
  DenoiseMemory<Dev> const memory{latents.view(), data.view(), started.view(), past.reshape(Extents{Size{3}, pixels, n})};
  DenoiseStep const step{.guidance = 5,
                         .past = {1.5, -0.5, 0.1, -0.1},
                         .data_x = 1.1,
                         .data_m = -0.4,
                         .clip = 2,
                         .keep = 0.8,
                         .model = -0.2,
                         .data = 0.3,
                         .before = 0.1,
                         .noise = 0.05,
                         .input = 0.7};
  ops::scheduler_step<T, Dev>(ctx, step, prediction, base, noise, memory, in.view());
  auto waves = ctx.template empty<T>(Extents{Size{3}, c});
  float const times[] = {0, 1.5f, 981};
  ops::time_embedding<T, Dev>(ctx, times, waves.view());
  return {numbers(ctx, gated), numbers(ctx, latents), numbers(ctx, in), numbers(ctx, waves)};
}

/// Both sides add as many products in float, those of 16 bits in other orders and roundings of what is normalised; guidance makes it five
/// times.
template <Real T>
void expect_same(double tolerance) {
  Context<Cpu> cpu({.threads = 2});
  auto const want = run<T>(cpu);
  for (bool const tuned : {false, true}) {
    Context<Simt> simt({.threads = 1, .machine = {.tuned = tuned}});
    auto const got = run<T>(simt);
    for (std::size_t part = 0; part < 4; ++part) {
      ASSERT_EQ(got[part].size(), want[part].size());
      for (std::size_t i = 0; i < want[part].size(); ++i)
        ASSERT_NEAR(got[part][i], want[part][i], tolerance * (1 + std::abs(want[part][i])))
            << part << " at " << i << (tuned ? " tuned" : "");
    }
  }
}
TEST(DiffusionOnSimt, IsTheProcessorsInFloat) { expect_same<float>(432 * 0x1p-24 * 8); }
TEST(DiffusionOnSimt, IsTheProcessorsInBf16) { expect_same<bf16>(8 * 0x1p-8); }

}  // namespace diffusion_simt_test
