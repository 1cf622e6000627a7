// Convolutions whose stride is their kernel, with and without the norm before them: kernels against the processor's own paths.
#include <mgm/nn/patch_conv.hpp>

#include "support/reference_vision.hpp"

namespace patch_conv_simt_test {

using namespace mgm;

template <Device Dev>
std::vector<double> run(Context<Dev>& ctx, Extents<3> shape, Size out, Size patch, bool normed) {
  unsigned seed = 1;
  auto const fill = [&](auto const& tensor, double mean, double deviation) {  // Simt's memory is the host's
    auto const d = support::normal<float>(tensor.extents(), seed++, mean, deviation);
    std::copy(d.v.begin(), d.v.end(), tensor.data());
  };
  nn::LayerNorm<float, Dev> norm(ctx, {.width = shape[2], .eps = 1e-6f});
  nn::PatchConv<float, Dev> conv(ctx, {.in = shape[2], .out = out, .patch = patch});
  auto const assign = [&](std::string const&, auto& parameter) {
    auto tensor = ctx.template lasting<float>(parameter.shape());
    fill(tensor, 0, 0.5);
    parameter.assign(std::move(tensor));
  };
  visit_parameters(norm, "", assign), visit_parameters(conv, "", assign);
  auto map = ctx.template empty<float>(shape);
  fill(map, 3, 1);
  auto to = ctx.template empty<float>(Extents{shape[0] / patch * (shape[1] / patch), out});
  if (normed)
    conv.into(ctx, norm, map.view(), to.view());
  else
    conv.into(ctx, map.view(), to.view());
  if constexpr (!Dev::kHost) ctx.synchronise();
  return {to.data(), to.data() + to.count()};
}

TEST(PatchConvOnSimt, IsTheProcessors) {
  for (auto const& [h, w, channels, patch] :
       std::vector<std::array<Size, 4>>{{8, 8, 3, 4}, {6, 10, 16, 2}, {7, 5, 24, 2}, {9, 9, 5, 3}, {28, 14, 3, 14}})
    for (bool const normed : {false, true}) {
      Context<Cpu> cpu({.threads = 1});
      auto const want = run(cpu, Extents{h, w, channels}, 12, patch, normed);
      for (bool const tuned : {false, true}) {
        Context<Simt> simt({.threads = 1, .machine = {.tuned = tuned}});
        auto const got = run(simt, Extents{h, w, channels}, 12, patch, normed);
        ASSERT_EQ(got.size(), want.size());
        // both sides add as many products in float, each below 16: |weight| < 2, |value| < 8, normalised or not
        double const terms = double(channels * patch * patch), bound = 2 * (terms + 16) * 0x1p-24 * 16 * terms;
        for (std::size_t i = 0; i < want.size(); ++i)
          ASSERT_NEAR(got[i], want[i], bound) << h << "x" << w << "x" << channels << " " << normed;
      }
    }
}

}  // namespace patch_conv_simt_test
