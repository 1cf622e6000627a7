// The world of the examples: the trainer's own scenes and questions, pictures close to its pictures, and a judge of drawn pictures.
#include <gtest/gtest.h>

#include <mgm/io/read_image.hpp>
#include <mgm/io/resize.hpp>
#include <mgm/io/sha256.hpp>

#include "../examples/world/look.hpp"
#include "../examples/world/paint.hpp"
#include "../examples/world/records.hpp"
#include "support/files.hpp"

namespace world_test {
using namespace world;

std::string lines(std::uint64_t seed, Split split, std::string_view name) {
  std::string out = text(seed, " ", name, "\n");
  Random first(seed), again(seed), asked((std::uint64_t{1} << 32) + seed), talked((std::uint64_t{2} << 32) + seed);
  out += told(sample_scene(first, split, seed % 7 == 0), true) + "\n";
  auto const scene = sample_scene(again, split);
  for (auto const kind : kKinds)
    for (auto const& t : ask(asked, scene, kind, seed % 5 > 0)) out += text(t.question, " | ", t.answer, "\n");
  for (int i = 0; i < 4; ++i)
    for (auto const& t : ask_balanced(asked, scene)) out += text(t.kind, ": ", t.question, " | ", t.answer, "\n");
  for (auto const& t : chat(talked)) out += text(t.kind, ": ", t.question, " | ", t.answer, "\n");
  return out;
}

TEST(World, SeedsMeanTheSceneAndTheWordsOfTheTrainer) {
  struct Stream {
    std::uint64_t first;
    Split split;
    char const* name;
  };
  std::string expected = support::slurp(MGM_TEST_SOURCE "/tests/data/world.txt"), found;
  for (auto const& [first, split, name] : {Stream{0, Split::train, "train"},
                                           {900'000, Split::train, "train"},
                                           {910'000, Split::comp, "comp"},
                                           {5'000'000'000, Split::any, "any"}}) {
    mgm::io::Sha256 sha;
    for (std::uint64_t i = 0; i < 300; ++i) {
      auto const said = lines(first + i, split, name);
      sha.update(said);
      if (i < 3) found += said;
    }
    found += text(sha.hex(), " over ", first, " … of ", name, "\n");
  }
  EXPECT_EQ(found, expected);
}

TEST(World, PicturesAreCloseToTheTrainers) {
  // examples/train/samples.py: the first seeds from 950000 on that show two shapes or more, each of another kind, and one sign
  int picture = 1;
  for (std::uint64_t seed = 950'000; picture <= 6; ++seed) {
    auto const [scene, image] = sample(seed);
    if (scene.signs().size() != 1 || scene.shapes().size() < 2 || unique(scene.things, false).size() != scene.things.size()) continue;
    auto const theirs = mgm::io::read_image(text(MGM_TEST_SOURCE "/examples/pictures/scene_", picture++, ".png"));
    ASSERT_EQ(theirs.rgb.size(), image.rgb.size());
    int differ = 0;
    for (std::size_t i = 0; i < image.rgb.size(); i += 3) differ += !std::equal(&image.rgb[i], &image.rgb[i] + 3, &theirs.rgb[i]);
    EXPECT_LT(differ, 256 * 256 / 200) << seed;  // half a percent: rows of pixels along the edges of round and slanted shapes
  }
}

TEST(World, TheJudgeSeesWhatIsThere) {
  auto const shapes_of = [](Scene const& s) { return caption({s.background, s.shapes()}); };
  for (std::uint64_t seed = 900'000; seed < 900'100; ++seed) {
    auto const [scene, image] = sample(seed, Split::any);
    EXPECT_EQ(shapes_of(look(image)), shapes_of(scene)) << seed;
    EXPECT_EQ(look(image).signs().size(), scene.signs().size()) << seed;
    Scene const bare{scene.background, scene.shapes()};
    Random rng(seed);
    auto const plain = paint(bare, rng);
    for (int const side : {64, 96}) {
      auto const small = mgm::io::resize_bicubic(plain, side, side);
      auto const v = judge(bare, look(small));
      EXPECT_TRUE(v.right == v.asked && v.strange == 0 && v.background) << seed << " at " << side << ": " << caption(look(small));
    }
  }
  EXPECT_THROW((void)look(mgm::io::Image{47, 47, std::vector<std::uint8_t>(3 * 47 * 47)}), mgm::ArgumentError);
  EXPECT_THROW((void)look(mgm::io::Image{64, 63, std::vector<std::uint8_t>(3 * 64 * 63)}), mgm::ArgumentError);
  EXPECT_TRUE(look(mgm::io::Image{64, 64, std::vector<std::uint8_t>(3 * 64 * 64)}).things.empty());
}

TEST(World, CaptionsAreReadBack) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random rng(seed);
    auto const scene = sample_scene(rng, Split::any);
    auto const back = read_caption(caption(scene));
    ASSERT_TRUE(back.has_value()) << caption(scene);
    EXPECT_EQ(caption(*back), caption(scene));
  }
  EXPECT_EQ(read_caption("nothing on a grey background")->things.size(), 0u);
  for (std::string_view const bad :
       {"", "a cat", "a red star", "a red star at the top on a pink background", "a red star at the top, a on a grey background",
        "a red star at the top and  on a grey background", " background", " on a  background"})
    EXPECT_FALSE(read_caption(bad).has_value()) << bad;
}

}  // namespace world_test
