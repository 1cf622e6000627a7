// Whether drawn pictures show what was asked for: shapes, colours, places, background. A picture of ours says itself what it was asked for;
// for others the caption follows the picture.
//   check_drawing PICTURE.png... | check_drawing PICTURE.png --caption "a red star at the top on a white background"
#include <cstdio>

#include <mgm/io/read_image.hpp>
#include <mgm/models/diffusion/draw_record.hpp>

#include "grammar.hpp"
#include "look.hpp"

int main(int argc, char** argv) try {
  std::vector<std::string> pictures, captions;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) != "--caption")
      pictures.emplace_back(argv[i]);
    else if (i + 1 < argc)
      captions.emplace_back(argv[++i]);
  }
  if (pictures.empty() || (!captions.empty() && captions.size() != pictures.size()))
    return std::fputs("usage: check_drawing PICTURE... [--caption TEXT]...\n", stderr), 2;
  struct Sum {
    int pictures = 0, asked = 0, right = 0;
  } few, many;  // pictures of one or two things, and of more
  int whole = 0;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    std::string caption;
    if (!captions.empty()) {
      caption = captions[i];
    } else {
      auto const record = mgm::models::read_draw_record(pictures[i]);
      mgm::require<mgm::ArgumentError>(record.has_value(), pictures[i],
                                       ": the picture does not say what it was asked for; give a --caption");
      caption = record->prompt;
    }
    auto const asked = world::read_caption(caption);
    mgm::require<mgm::ArgumentError>(asked.has_value(), pictures[i], ": ", mgm::quoted(caption), " is no caption of this world");
    auto const image = mgm::io::read_image(pictures[i]);
    auto const seen = world::look(image);
    auto const v = world::judge(*asked, seen);
    bool const right = v.right == v.asked && v.strange == 0 && v.background;
    auto& sum = v.asked <= 2 ? few : many;
    ++sum.pictures, sum.asked += v.asked, sum.right += v.right, whole += right;
    std::printf("%s: %s; asked: %s; seen: %s\n", pictures[i].c_str(), right ? "right" : "wrong", caption.c_str(),
                world::caption(seen).c_str());
  }
  for (auto const& [name, sum] : {std::pair{"one or two", few}, {"three and more", many}})
    if (sum.pictures > 0) std::printf("%s things: %d of %d right, in %d pictures\n", name, sum.right, sum.asked, sum.pictures);
  std::printf("%d of %zu pictures are right in all\n", whole, pictures.size());
  return whole == static_cast<int>(pictures.size()) ? 0 : 1;
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 2;
}
