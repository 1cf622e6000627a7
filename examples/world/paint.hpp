// A scene as a picture of 256 pixels a side. Sizes, positions and colours jitter, drawn from the generator that is passed in.
#pragma once
#include <cmath>
#include <utility>

#include <mgm/io/image.hpp>

#include "scene.hpp"

namespace world {

inline constexpr int kSide = 256;               // pixels of the picture
inline constexpr double kUnit = kSide / 320.0;  // sizes are told in 320ths of the side

/// Rows of a letter in the 5×7 dot font, top to bottom; the low five bits are its dots, left to right. In the order of kLetters.
inline constexpr unsigned char kFont[][7] = {
    {14, 17, 17, 31, 17, 17, 17}, {30, 17, 17, 30, 17, 17, 30}, {15, 16, 16, 16, 16, 16, 15}, {30, 17, 17, 17, 17, 17, 30},
    {31, 16, 16, 30, 16, 16, 31}, {31, 16, 16, 30, 16, 16, 16}, {15, 16, 16, 19, 17, 17, 15}, {17, 17, 17, 31, 17, 17, 17},
    {7, 2, 2, 2, 2, 18, 12},      {17, 18, 20, 24, 20, 18, 17}, {16, 16, 16, 16, 16, 16, 31}, {17, 27, 21, 21, 17, 17, 17},
    {17, 25, 21, 21, 19, 17, 17}, {30, 17, 17, 30, 16, 16, 16}, {14, 17, 17, 17, 21, 18, 13}, {30, 17, 17, 30, 20, 18, 17},
    {15, 16, 16, 14, 1, 1, 30},   {31, 4, 4, 4, 4, 4, 4},       {17, 17, 17, 17, 17, 17, 14}, {17, 17, 17, 17, 17, 10, 4},
    {17, 17, 17, 21, 21, 27, 17}, {17, 17, 10, 4, 10, 17, 17},  {17, 17, 10, 4, 4, 4, 4},     {31, 1, 2, 4, 8, 16, 31},
    {14, 17, 1, 6, 8, 16, 31},    {30, 1, 1, 14, 1, 1, 30},     {2, 6, 10, 18, 31, 2, 2},     {31, 16, 30, 1, 1, 17, 14},
    {6, 8, 16, 30, 17, 17, 14},   {31, 1, 2, 4, 8, 8, 8},       {14, 17, 17, 14, 17, 17, 14}, {14, 17, 17, 15, 1, 2, 12}};
static_assert(std::size(kFont) == kLetters.size());

/// Whether (x, y) lies in a shape of radius 1 around (0, 0); y grows downwards.
[[nodiscard]] inline bool covers(std::string_view kind, double x, double y) {
  double const far = x * x + y * y;
  if (kind == "circle") return far <= 1;
  if (kind == "ring") return far <= 1 && far > 0.55 * 0.55;
  if (kind == "square") return std::abs(x) <= 0.88 && std::abs(y) <= 0.88;
  if (kind == "cross") return (std::abs(x) <= 1 && std::abs(y) <= 0.34) || (std::abs(x) <= 0.34 && std::abs(y) <= 1);
  if (kind == "triangle") return y <= 0.8 && y >= -1 + 1.8 * std::abs(x);
  static auto const kCorners = [] {  // a star: ten corners, every other one within
    std::array<std::pair<double, double>, 11> out;
    for (int k = 0; k < 11; ++k) {
      double const radius = 1.15 * (k % 2 == 0 ? 1 : 0.42), angle = std::acos(-1.0) / 5 * k;
      out[static_cast<std::size_t>(k)] = {radius * std::sin(angle), -radius * std::cos(angle)};
    }
    return out;
  }();
  bool in = false;
  for (std::size_t k = 0; k < 10; ++k) {  // the even-odd rule over its edges
    auto const [ax, ay] = kCorners[k];
    auto const [bx, by] = kCorners[k + 1];
    if ((ay > y) != (by > y) && x < ax + (y - ay) / (by - ay) * (bx - ax)) in = !in;
  }
  return in;
}

/// Half the extent of a shape in radii, for the star's points reach out.
[[nodiscard]] inline double reach(std::string_view kind) { return kind == "star" ? 1.15 : 1; }

inline Rgb jittered(Random& rng, Rgb colour) {
  for (int& v : colour) v = std::clamp(v + rng.between(-10, 10), 0, 255);
  return colour;
}

class Canvas {
 public:
  explicit Canvas(Rgb ground) : image_{kSide, kSide, std::vector<std::uint8_t>(3 * kSide * kSide)} {
    fill(0, 0, kSide - 1, kSide - 1, ground);
  }
  void dot(int x, int y, Rgb ink) {
    if (x < 0 || y < 0 || x >= kSide || y >= kSide) return;
    for (int c = 0; c < 3; ++c)
      image_.rgb[static_cast<std::size_t>(3 * (y * kSide + x) + c)] = static_cast<std::uint8_t>(ink[static_cast<std::size_t>(c)]);
  }
  /// Corners included.
  void fill(int left, int top, int right, int bottom, Rgb ink) {
    for (int y = top; y <= bottom; ++y)
      for (int x = left; x <= right; ++x) dot(x, y, ink);
  }
  /// Half a pixel wider all around: pixels that the edge touches count, as in the trainer's pictures.
  void shape(std::string_view kind, double x, double y, double r, Rgb ink) {
    double const wide = r + 0.5, far = reach(kind) * wide;
    for (int py = static_cast<int>(y - far) - 1; py <= y + far + 1; ++py)
      for (int px = static_cast<int>(x - far) - 1; px <= x + far + 1; ++px)
        if (covers(kind, (px + 0.5 - x) / wide, (py + 0.5 - y) / wide)) dot(px, py, ink);
  }
  /// A plate with a frame of two pixels; a dot of the print is 2×2.
  void sign(Rgb plate, Rgb ink, std::string_view text, int left, int top, int width, int height) {
    fill(left, top, left + width - 1, top + height - 1, ink), fill(left + 2, top + 2, left + width - 3, top + height - 3, plate);
    for (std::size_t i = 0; i < text.size(); ++i)
      for (int row = 0; row < 7; ++row)
        for (int column = 0; column < 5; ++column)
          if (kFont[kLetters.find(text[i])][row] >> (4 - column) & 1) {
            int const x = left + 2 * (3 + 6 * static_cast<int>(i) + column), y = top + 2 * (3 + row);
            fill(x, y, x + 1, y + 1, ink);
          }
  }
  [[nodiscard]] mgm::io::Image take() { return std::move(image_); }

 private:
  mgm::io::Image image_;
};

inline mgm::io::Image paint(Scene const& scene, Random& rng) {
  Canvas canvas(jittered(rng, kBackgrounds[index_of(kBackgrounds, scene.background)].rgb));
  for (auto const& t : scene.things) {
    double x = (t.place % 3 + 0.5) * kSide / 3, y = (t.place / 3 + 0.5) * kSide / 3;
    if (t.is_sign()) {
      int const width = (6 * static_cast<int>(t.text.size()) + 5) * 2, height = 13 * 2;
      double const free = std::min(14 * kUnit, kSide / 6.0 - width / 2.0 - 1);
      int const left = static_cast<int>(x - width / 2.0 + rng.uniform(-free, free));
      int const top = static_cast<int>(y - height / 2.0 + rng.uniform(-20 * kUnit, 20 * kUnit));
      bool const light = t.colour == "white" || t.colour == "yellow";
      canvas.sign(jittered(rng, kPlates[index_of(kPlates, t.colour)].rgb), light ? Rgb{20, 20, 20} : Rgb{250, 250, 250}, t.text, left, top,
                  width, height);
    } else {
      double const r = rng.uniform(26, 40) * kUnit, free = std::min(12 * kUnit, kSide / 6.0 - r - 2 * kUnit);
      x += rng.uniform(-free, free), y += rng.uniform(-free, free);
      canvas.shape(t.kind, x, y, r, jittered(rng, kColours[index_of(kColours, t.colour)].rgb));
    }
  }
  return canvas.take();
}

/// The picture and the scene of one seed.
struct Sample {
  Scene scene;
  mgm::io::Image image;
};
inline Sample sample(std::uint64_t seed, Split split = Split::train) {
  Random rng(seed);
  Scene scene = sample_scene(rng, split);
  auto image = paint(scene, rng);
  return {std::move(scene), std::move(image)};
}

}  // namespace world
