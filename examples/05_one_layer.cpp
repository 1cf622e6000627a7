// One layer alone: patch info mining over stage maps of one's own, with the attention that it paid.
#include <cstdio>

#include <mgm/nn/patch_info_mining.hpp>

int main() {
  mgm::Context ctx;
  mgm::nn::PatchInfoMining<float> mining(ctx, {.query = 32, .detail = 24 + 48});
  float wave = 0;
  auto const fill = [&](float* data, mgm::Size count) {
    for (mgm::Size i = 0; i < count; ++i) data[i] = 0.5f * std::sin(wave += 0.7f);
  };
  mgm::visit_parameters(mining, "", [&](std::string const& name, auto& parameter) {
    auto value = ctx.lasting<float>(parameter.shape());
    fill(value.data(), value.count());
    if (name.ends_with(".0.weight"))  // gains of the norms
      for (mgm::Size i = 0; i < value.count(); ++i) value.data()[i] += 1;
    parameter.assign(std::move(value));
  });

  mgm::nn::MiningGeometry const geometry{.side = 4};                            // 4×4 tokens over one view
  auto coarse = ctx.empty<float>(mgm::Extents{geometry.tokens(), mgm::Size{32}});  // (16, 32)
  auto fine = ctx.empty<float>(mgm::Extents{16, 16, 24});                       // (16, 16, 24): 4×4 cells beneath a token
  auto half = ctx.empty<float>(mgm::Extents{8, 8, 48});                         // (8, 8, 48): the stage below, never upsampled
  fill(coarse.data(), coarse.count()), fill(fine.data(), fine.count()), fill(half.data(), half.count());
  auto paid = ctx.empty<float>(mgm::Extents{geometry.tokens(), geometry.candidates(16)});  // (16, 16)

  mgm::View<float const, 3> const maps[] = {fine, half};
  auto const out = mining(ctx, coarse, maps, geometry, paid.view());            // (16, 32): C + M
  float sum = 0;
  for (mgm::Size j = 0; j < paid.extent(1); ++j) sum += paid(0, j);
  std::printf("token 0: %.4f -> %.4f, its attention sums to %.6f\n", static_cast<double>(coarse(0, 0)), static_cast<double>(out(0, 0)),
              static_cast<double>(sum));
  return sum > 0.999f && sum < 1.001f ? 0 : 1;
}
