// Opens a folder, shows it a picture, asks, and prints the answer while it is made.
//   01_ask examples/mgm-tiny picture.png "What colour is the star?"
#include <cstdio>

#include <mgm/io/read_image.hpp>
#include <mgm/mgm.hpp>

int main(int argc, char** argv) try {
  if (argc < 4) return std::fputs("usage: 01_ask MODEL PICTURE QUESTION\n", stderr), 2;
  mgm::Context ctx;                                                       // the linked target's device, all its threads
  auto const model = mgm::models::MiniGemini<mgm::bf16>::open(ctx, argv[1]);  // any family: one type, weights mapped
  auto chat = model.session(ctx);
  for (auto const& piece : chat.ask({mgm::io::read_image(argv[2])}, argv[3], {.max_new_tokens = 64, .sampling = {.temperature = 0}}))
    std::fputs(piece.text.c_str(), stdout);
  std::puts("");
  return 0;
} catch (mgm::Error const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
