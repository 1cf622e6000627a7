// A part of one's own in the place of one of ours: any type with Config, config(), a call operator and parameters(visit).
// Here the low-resolution tower is one linear map of the patches instead of CLIP.
#include <cstdio>

#include <mgm/mgm.hpp>

/// views (V, s, s, 3) -> (V·T, width): each patch by itself, no attention.
class PatchesAlone {
 public:
  struct Config {
    mgm::Size image, patch, width, depth = 0;
    [[nodiscard]] mgm::Size side() const { return image / patch; }
  };
  PatchesAlone(mgm::Context<mgm::Cpu>& ctx, Config c) : config_(c), patch_(ctx, {.in = 3, .out = c.width, .patch = c.patch}) {}

  [[nodiscard]] mgm::Tensor<float, 2, mgm::Cpu> operator()(mgm::Context<mgm::Cpu>& ctx, mgm::In<float, 4, mgm::Cpu> views) const {
    mgm::Size const tokens = config_.side() * config_.side();
    auto out = ctx.empty<float>(mgm::Extents{views.extent(0) * tokens, config_.width});  // (V·T, width)
    for (mgm::Size v = 0; v < views.extent(0); ++v) patch_.into(ctx, views[v], out.slice(0, v * tokens, tokens));
    return out;
  }
  [[nodiscard]] Config const& config() const { return config_; }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("patch", patch_);
  }

 private:
  Config config_;
  mgm::nn::PatchConv<float> patch_;
};

int main() {
  mgm::Context ctx;
  mgm::models::MiniGemini<float, mgm::Cpu, PatchesAlone> model{
      .vision_tower = {ctx, {.image = 32, .patch = 8, .width = 24}},
      .vision_tower_aux = {ctx, {.depths = {1, 1, 1, 1}, .widths = {8, 8, 8, 8}}},
      .mining = {ctx, {.query = 24, .detail = 32}},
      .projector = {ctx, {.in = 24, .out = 40}},
      .vision = {.image_size_aux = 64},
  };
  float next = 0;
  mgm::visit_parameters(model, "", [&](std::string const&, auto& parameter) {
    auto value = ctx.lasting<float>(parameter.shape());
    for (mgm::Size i = 0; i < value.count(); ++i) value.data()[i] = 0.2f * ((next = next < 0.9f ? next + 0.37f : next - 0.97f));
    parameter.assign(std::move(value));
  });
  std::vector<std::uint8_t> const pixels(3 * 50 * 50, 200);
  auto const rows = model.see(ctx, mgm::io::PixelView(pixels.data(), 50, 50));  // (16, 40)
  std::printf("(%lld, %lld)\n", static_cast<long long>(rows.extent(0)), static_cast<long long>(rows.extent(1)));
  return rows.extent(0) == 16 && rows.extent(1) == 40 ? 0 : 1;
}
