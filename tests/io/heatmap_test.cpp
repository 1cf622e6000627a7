// The picture of where detail was taken from.
#include <cmath>

#include <mgm/io/heatmap.hpp>
#include <support/images.hpp>

namespace heatmap_test {
using namespace mgm;
using io::Image;
using support::expect_refused;

std::array<int, 3> at(Image const& image, int x, int y) {
  auto const* p = image.rgb.data() + 3 * (y * image.width + x);
  return {p[0], p[1], p[2]};
}
View<float const, 2, Cpu> grid_of(std::vector<float> const& values, Size rows) {
  return {values.data(), {{rows, static_cast<Size>(values.size()) / rows}}};
}

TEST(Heatmap, MoreIsLighter) {
  auto const luma = [](float v) {
    auto const c = io::heat_colour(v);
    return 299 * c[0] + 587 * c[1] + 114 * c[2];
  };
  for (int k = 0; k < 40; ++k) EXPECT_LT(luma(0.1f * static_cast<float>(k)), luma(0.1f * static_cast<float>(k + 1))) << k;
  EXPECT_EQ(io::heat_colour(9), io::heat_colour(4));
  EXPECT_EQ(io::heat_colour(-1), io::heat_colour(0));
}

TEST(Heatmap, CellsLieOverTheirPlaces) {
  Image const picture{512, 512, std::vector<std::uint8_t>(3 * 512 * 512, 128)};
  std::vector<float> const values = {0, 1, 2, 4};
  Image const out = io::draw_heatmap(picture, grid_of(values, 2));
  ASSERT_GT(out.width, 512);
  ASSERT_GT(out.height, 512);
  for (int cell = 0; cell < 4; ++cell)
    for (int edge : {0, 255}) {  // both ends of the cell
      auto const heat = io::heat_colour(values[static_cast<std::size_t>(cell)]);
      auto const got = at(out, 12 + 256 * (cell % 2) + edge, 12 + 256 * (cell / 2) + edge);
      for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(got[c], 0.45 * 128 + 0.55 * heat[c], 1) << cell;
    }
}

TEST(Heatmap, ThePictureIsGreyAndUpright) {
  Image picture{448, 448, std::vector<std::uint8_t>(3 * 448 * 448, 0)};
  for (int x = 0; x < 448; ++x) picture.rgb[static_cast<std::size_t>(3 * x)] = 255;  // the topmost line is red
  std::vector<float> const one = {1};
  Image const out = io::draw_heatmap(picture, grid_of(one, 1));
  auto const top = at(out, 100, 12), below = at(out, 100, 13);
  for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(top[c] - below[c], 0.45 * 76, 1);  // 76 = luma of red, in all channels
}

TEST(Heatmap, TheBarRunsFromZeroToFourAndIsLabelled) {
  Image const picture{448, 448, std::vector<std::uint8_t>(3 * 448 * 448, 200)};
  std::vector<float> const one = {1};
  Image const out = io::draw_heatmap(picture, grid_of(one, 1));
  int const x = 12 + 448 + 12 + 10;
  for (int k = 0; k <= 4; ++k) {
    auto const heat = io::heat_colour(static_cast<float>(k));
    auto const got = at(out, x, 12 + 447 * (4 - k) / 4);
    for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(got[c], heat[c], 3) << k;
    int ink = 0;  // of the label beside it
    for (int dy = -14; dy <= 14; ++dy)
      for (int dx = 20; dx < 60; ++dx)
        ink += at(out, x + dx, std::clamp(12 + 447 * (4 - k) / 4 + dy, 0, out.height - 1)) == std::array{20, 20, 20};
    EXPECT_GT(ink, 20) << k;
  }
}

TEST(Heatmap, TheCaptionSaysWhatIsShown) {
  EXPECT_NE(io::kHeatmapCaption.find("here detail was taken from"), std::string_view::npos);
  Image const picture{448, 448, std::vector<std::uint8_t>(3 * 448 * 448, 200)};
  std::vector<float> const one = {1};
  auto const ink = [&](std::string_view caption) {
    Image const out = io::draw_heatmap(picture, grid_of(one, 1), caption);
    int n = 0;
    for (int y = 12 + 448 + 2; y < out.height; ++y)
      for (int x = 0; x < out.width; ++x) n += at(out, x, y)[0] < 100;
    return n;
  };
  EXPECT_EQ(ink(""), 0);
  EXPECT_EQ(ink("."), 4 * 4);  // four dots of 2 × 2
  EXPECT_GT(ink(io::kHeatmapCaption), 1000);
}

TEST(Heatmap, LinesAreWrappedAtSpaces) {
  EXPECT_EQ(io::detail::wrap("one two three", 7), (std::vector<std::string>{"one two", "three"}));
  EXPECT_EQ(io::detail::wrap("abcdefgh", 3), (std::vector<std::string>{"abc", "def", "gh"}));
  EXPECT_EQ(io::detail::wrap("", 3), (std::vector<std::string>{""}));
}

TEST(Heatmap, GlyphsDiffer) {
  std::vector<std::string_view> seen;
  for (char32_t c = 32; c < 127; ++c) {
    for (auto const& other : seen) EXPECT_NE(io::glyph(c), other) << static_cast<int>(c);
    seen.push_back(io::glyph(c));
  }
  EXPECT_EQ(io::glyph(U'\u00e9'), io::glyph(7));
}

TEST(Heatmap, RefusesWhatIsNoMap) {
  Image const picture = support::noise(8, 8);
  std::vector<float> values = {1, 2, 3, 4};
  EXPECT_NO_THROW(io::draw_heatmap(picture, grid_of(values, 2)));
  expect_refused([&] { io::draw_heatmap(picture, View<float const, 2, Cpu>(values.data(), {{0, 4}})); }, Code::shape, "(0, 4)");
  values[2] = NAN;
  expect_refused([&] { io::draw_heatmap(picture, grid_of(values, 2)); }, Code::numerical, "(1, 0)");
  values[2] = INFINITY;
  expect_refused([&] { io::draw_heatmap(picture, grid_of(values, 2)); }, Code::numerical, "(1, 0)");
  std::vector<std::uint8_t> const line(3 * 10000);
  values[2] = 1;
  expect_refused([&] { io::draw_heatmap(io::PixelView(line.data(), 10000, 1), grid_of(values, 2)); }, Code::limit, "8192");
}

}  // namespace heatmap_test
