// A text-to-image model of one's own for the pictures that answers ask for: any callable. Here it only spins the prompt's letters into a
// gradient; in an engine it would run its own network, or ask a service.
//   08_own_generator examples/mgm-tiny "Draw a red star at the top." picture.png
#include <cstdio>

#include <mgm/io/png.hpp>
#include <mgm/mgm.hpp>

mgm::Image gradient(mgm::Context<>& ctx, std::string_view prompt, mgm::models::DrawOptions const& options) {
  auto seed = static_cast<std::uint32_t>(options.seed);
  for (char const c : prompt) seed = 16777619u * (seed ^ static_cast<unsigned char>(c));
  int const width = options.width ? static_cast<int>(options.width) : 64, height = options.height ? static_cast<int>(options.height) : 64;
  mgm::Image picture{width, height, {}};
  ctx.begin(mgm::Stage::denoise, height);  // whoever watches the context sees progress, and may cancel: step() throws then
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x)
      for (int shift = 0; shift < 24; shift += 8)
        picture.rgb.push_back(
            static_cast<std::uint8_t>((seed >> shift) + static_cast<unsigned>(x + y) * 128u / static_cast<unsigned>(width + height)));
    ctx.step();
  }
  return picture;
}

int main(int argc, char** argv) try {
  if (argc < 4) return std::fputs("usage: 08_own_generator MODEL WISH OUT.png\n", stderr), 2;
  mgm::Context ctx;
  auto const model = mgm::models::MiniGemini<mgm::bf16>::open(ctx, argv[1]);
  auto chat = model.session(ctx);
  auto answer = chat.ask(argv[2], {.sampling = {.temperature = 0}, .draw = true});
  std::printf("%s\n", answer.text().c_str());
  for (auto const& note : answer.generation_prompt().notes()) std::printf("note: %s\n", note.c_str());

  auto const picture = answer.draw(gradient, {.seed = 7});
  if (!picture) return std::puts("the answer asks for no picture"), 1;
  mgm::io::write_png(argv[3], *picture);
  std::printf("%s: %d x %d\n", argv[3], picture->width, picture->height);
  return 0;
} catch (mgm::Error const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
