// The mixture of experts on the kernels, with the choice on the device for few rows and on the host for many, against the processor.
#include <mgm/nn/gated_mlp.hpp>

#include "support/reference_vision.hpp"

namespace {

using namespace mgm;

template <Device Dev>
std::vector<double> run(Context<Dev>& ctx, Size rows, typename nn::Mixture<float, Dev>::Config config) {
  unsigned seed = 1;
  auto const fill = [&](auto const& tensor, double deviation) {  // Simt's memory is the host's
    auto const d = support::normal<float>(tensor.extents(), seed++, 0, deviation);
    std::copy(d.v.begin(), d.v.end(), tensor.data());
  };
  nn::Mixture<float, Dev> mixture(ctx, config);
  visit_parameters(mixture, "", [&](std::string const&, auto& parameter) {
    auto tensor = ctx.template lasting<float>(parameter.shape());
    fill(tensor, 0.3);
    parameter.assign(std::move(tensor));
  });
  auto n = ctx.template empty<float>(Extents{rows, config.width}), x = ctx.template empty<float>(Extents{rows, config.width});
  fill(n, 1), fill(x, 1);
  mixture(ctx, n, x.view());
  if constexpr (!Dev::kHost) ctx.synchronise();
  return {x.data(), x.data() + x.count()};
}

TEST(MixtureOnSimt, IsTheProcessors) {
  for (Size const rows : {1, 2, 7, 8, 9, 33}) {
    Context<Cpu> cpu({.threads = 1});
    Context<Simt> simt({.threads = 2, .machine = {.order = simt::Order::random, .seed = 3}});
    auto const want = run<Cpu>(cpu, rows, {24, 40, 8, 2});
    auto const got = run<Simt>(simt, rows, {24, 40, 8, 2});
    for (std::size_t i = 0; i < want.size(); ++i)
      // the kernels' own test holds the derived bound; rounding is a thousandth of this, a wrong expert or weight a hundred times more
      ASSERT_NEAR(got[i], want[i], 1e-3 * (1 + std::abs(want[i]))) << rows << " rows, at " << i;
  }
}

}  // namespace
