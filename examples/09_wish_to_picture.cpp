// A wish, the prompt that Mini-Gemini writes for it, and the picture that a diffusion model paints: both from their original folders. The
// picture carries how it was made.
//   09_wish_to_picture examples/mgm-tiny GENERATOR "Draw a red star at the top." picture.png
#include <cstdio>

#include <mgm/io/png.hpp>
#include <mgm/mgm.hpp>
#include <mgm/models/diffusion/draw_record.hpp>
#include <mgm/models/diffusion/open_diffusion.hpp>

struct Percent : mgm::Monitor {
  void progress(mgm::Stage stage, mgm::Size done, mgm::Size total) noexcept override {
    if (stage == mgm::Stage::denoise && done == total) std::puts("denoised");
  }
};

int main(int argc, char** argv) try {
  if (argc < 5) return std::fputs("usage: 09_wish_to_picture MODEL GENERATOR WISH OUT.png\n", stderr), 2;
  Percent percent;
  mgm::Context<mgm::Cpu> ctx({.monitor = &percent});
  auto const model = mgm::models::MiniGemini<mgm::bf16>::open(ctx, argv[1]);
  auto chat = model.session(ctx);
  auto answer = chat.ask(argv[3], {.sampling = {.temperature = 0}, .draw = true});
  std::printf("%s\n", answer.text().c_str());
  auto const wish = answer.generation_prompt();
  if (!wish) return std::puts("the answer asks for no picture"), 1;

  auto const generator = mgm::models::StableDiffusion<float>::open(ctx, argv[2]);
  auto const options = generator.settled({.negative = std::string(mgm::models::kNegativePrompt), .steps = 4, .seed = 7});
  auto const picture = mgm::models::draw(ctx, generator, wish, options);
  auto const texts = mgm::models::png_texts({.prompt = wish.prompt, .options = options, .model = "small"});
  mgm::io::write_png(argv[4], picture, texts);
  auto const record = mgm::models::read_draw_record(argv[4]);
  std::printf("%s: %d x %d\n%s\n", argv[4], picture.width, picture.height, to_json(*record).dump(1).c_str());
  return 0;
} catch (mgm::Error const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
