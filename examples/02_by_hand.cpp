// A model made by hand, part by part, as an engine with weights of its own would: shapes first, then a tensor for every parameter.
// Here the weights are made up, so it sees, but has nothing to say.
#include <cstdio>

#include <mgm/mgm.hpp>

int main() {
  mgm::Context ctx;
  mgm::models::MiniGemini<float> model{
      .vision_tower = {ctx, {.image = 56, .patch = 14, .width = 64, .depth = 2, .heads = 4}},
      .vision_tower_aux = {ctx, {.depths = {1, 1, 2, 1}, .widths = {8, 16, 32, 64}}},
      .mining = {ctx, {.query = 64, .detail = 8 + 16 + 32 + 64}},
      .projector = {ctx, {.in = 64, .out = 96}},
      .language_model = {ctx, {.vocab = 1000, .width = 96, .depth = 2, .heads = 4, .ffn = 256}},
      .vision = {.image_size_aux = 128},
  };

  // every parameter, under its name in a checkpoint; a file of weights would be taken by mgm::io::load_parameters(ctx, source, model)
  mgm::Size parameters = 0;
  unsigned state = 1;
  mgm::visit_parameters(model, "", [&](std::string const& name, auto& parameter) {
    auto value = ctx.lasting<float>(parameter.shape());
    bool const gain = name.ends_with("norm.weight") || name.ends_with("gamma");
    for (mgm::Size i = 0; i < value.count(); ++i) {
      state = state * 1664525u + 1013904223u;  // a linear congruential generator is random enough here
      value.data()[i] = (gain ? 1.0f : 0.0f) + 0.1f * (static_cast<float>(state >> 8) / 16777216.0f - 0.5f);
    }
    parameters += value.count();
    parameter.assign(std::move(value));
  });

  std::vector<std::uint8_t> const grey(3 * 90 * 60, 128);
  auto const rows = model.see(ctx, mgm::io::PixelView(grey.data(), 90, 60));  // (16, 96): also useful alone
  std::printf("%lld parameters; a picture becomes %lld rows of %lld numbers, the first %.4f\n", static_cast<long long>(parameters),
              static_cast<long long>(rows.extent(0)), static_cast<long long>(rows.extent(1)), static_cast<double>(rows(0, 0)));
  return rows.extent(0) == model.image_tokens() ? 0 : 1;
}
