// The mixture of experts on the kernels, the choice on the device or on the host as rows and types ask, against the processor.
#include <mgm/nn/gated_mlp.hpp>

#include "support/reference_vision.hpp"

namespace mixture_simt_test {

using namespace mgm;

template <class T, Device Dev>
std::vector<double> run(Context<Dev>& ctx, Size rows, typename nn::Mixture<T, Dev>::Config config) {
  unsigned seed = 1;
  auto const fill = [&](auto const& tensor, double deviation) {  // Simt's memory is the host's
    auto const d = support::normal<T>(tensor.extents(), seed++, 0, deviation);
    std::copy(d.v.begin(), d.v.end(), tensor.data());
  };
  nn::Mixture<T, Dev> mixture(ctx, config);
  visit_parameters(mixture, "", [&](std::string const&, auto& parameter) {
    auto tensor = ctx.template lasting<T>(parameter.shape());
    fill(tensor, 0.3);
    parameter.assign(std::move(tensor));
  });
  auto n = ctx.template empty<T>(Extents{rows, config.width}), x = ctx.template empty<T>(Extents{rows, config.width});
  fill(n, 1), fill(x, 1);
  mixture(ctx, n, x.view());
  if constexpr (!Dev::kHost) ctx.synchronise();
  return {x.data(), x.data() + x.count()};
}

template <class T>
void is_the_processors(bool tuned, double tolerance) {
  for (Size const rows : {1, 2, 7, 8, 9, 33, 70}) {
    Context<Cpu> cpu({.threads = 1});
    Context<Simt> simt({.threads = 2, .machine = {.order = simt::Order::random, .seed = 3, .tuned = tuned}});
    auto const want = run<T, Cpu>(cpu, rows, {24, 40, 8, 2});
    auto const got = run<T, Simt>(simt, rows, {24, 40, 8, 2});
    for (std::size_t i = 0; i < want.size(); ++i)
      ASSERT_NEAR(got[i], want[i], tolerance * (1 + std::abs(want[i]))) << rows << " rows, at " << i;
  }
}
// The kernels' own tests hold the derived bounds. Here a wrong expert, row or weight is off by some tenths, rounding by far less.
TEST(MixtureOnSimt, IsTheProcessors) { is_the_processors<float>(false, 1e-3); }
TEST(MixtureOnSimt, InSixteenBitsIsTheProcessors) { is_the_processors<bf16>(false, 0x1p-5); }
TEST(MixtureOnSimt, ByGroupedProductsIsTheProcessors) {
  is_the_processors<bf16>(true, 0x1p-5);
  is_the_processors<half>(true, 0x1p-8);
}

}  // namespace mixture_simt_test
