// The layer on the kernels, in their general and their fused forms, against the layer on the processor's own paths.
#include <mgm/nn/patch_info_mining.hpp>

#include "support/reference_vision.hpp"

namespace patch_info_mining_simt_test {

using namespace mgm;
using support::Data;

template <Real T, Device Dev>
Data<float, 2> run(Context<Dev>& ctx, nn::MiningGeometry geometry, Size width, std::vector<std::pair<Size, Size>> const& sides_and_channels,
                   Data<float, 2>& probabilities) {
  unsigned seed = 1;
  Size detail = 0;
  std::vector<Tensor<T, 3, Dev>> maps;
  std::vector<View<T const, 3, Dev>> views;
  auto const fill = [&](auto const& tensor, double mean, double deviation) {  // Simt's memory is the host's
    auto const d = support::normal<T>(tensor.extents(), seed++, mean, deviation);
    std::copy(d.v.begin(), d.v.end(), tensor.data());
  };
  for (auto const& [n, c] : sides_and_channels) {
    maps.push_back(ctx.template empty<T>(Extents{n, n, c})), detail += c;
    fill(maps.back(), 0, 1);
  }
  for (auto const& map : maps) views.push_back(map.view());
  auto coarse = ctx.template empty<T>(Extents{geometry.tokens(), width});
  fill(coarse, 0, 1);
  nn::PatchInfoMining<T, Dev> layer(ctx, {.query = width, .detail = detail});
  visit_parameters(layer, "", [&](std::string const&, auto& parameter) {
    auto tensor = ctx.template lasting<T>(parameter.shape());
    bool const matrix = tensor.kRank == 2;
    fill(tensor, matrix ? 0 : 1, matrix ? 2 / std::sqrt(double(parameter.shape()[1 % tensor.kRank])) : 0.3);
    parameter.assign(std::move(tensor));
  });
  auto p = ctx.template empty<float>(probabilities.extents);
  auto const out = layer(ctx, coarse.view(), views, geometry, p.view());
  if constexpr (!Dev::kHost) ctx.synchronise();
  std::copy_n(p.data(), p.count(), probabilities.v.begin());
  Data<float, 2> tokens{out.extents(), {}};
  for (Size i = 0; i < out.count(); ++i) tokens.v.push_back(float(out.data()[i]));
  return tokens;
}

template <Real T>
void check(nn::MiningGeometry geometry, std::vector<std::pair<Size, Size>> const& maps, double tolerance, std::string const& what) {
  auto const none = support::filled<float>(Extents{geometry.tokens(), geometry.candidates(maps[0].first)}, NAN);
  auto p_want = none;
  Context<Cpu> cpu({.threads = 1});
  auto const want = run<T>(cpu, geometry, 16, maps, p_want);
  double size = 0;
  for (float const v : want.v) size = std::max(size, std::abs(double(v)));
  for (bool const tuned : {false, true}) {
    Context<Simt> simt({.threads = 1, .machine = {.tuned = tuned}});
    auto p = none;
    auto const got = run<T>(simt, geometry, 16, maps, p);
    std::string const name = text(what, " ", support::type_name<T>(), tuned ? " fused" : " general");
    support::expect_near(got, std::vector<double>(want.v.begin(), want.v.end()), tolerance * size, name);
    support::expect_near(p, std::vector<double>(p_want.v.begin(), p_want.v.end()), 4 * tolerance, name + " probabilities");
  }
}

// tolerances as for the layer on the processor, twice: each of the two is as far from the definition
TEST(PatchInfoMiningOnSimt, StandardCropsAndGlobalView) {
  std::vector<std::pair<Size, Size>> const standard{{24, 8}, {12, 16}, {6, 24}, {3, 40}}, hd{{32, 8}, {16, 16}, {8, 24}, {4, 40}};
  check<float>({.side = 3}, standard, 8e-6, "standard");
  check<bf16>({.side = 3}, standard, 6e-2, "standard");
  check<float>({.side = 2, .grid = 2, .global = true}, hd, 8e-6, "HD");
  check<half>({.side = 2, .grid = 2, .global = true}, hd, 8e-3, "HD");
  check<float>({.side = 2, .grid = 3, .global = true}, {{24, 8}, {12, 16}, {6, 8}, {3, 8}}, 8e-6, "grid 3");
  check<float>({.side = 3}, {{24, 5}, {12, 6}}, 8e-6, "channels that no vector holds");
}

}  // namespace patch_info_mining_simt_test
