/// The picture that shows where the mining attention looked.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/core/view.hpp>
#include <mgm/io/bitmap_font.hpp>
#include <mgm/io/image.hpp>

namespace mgm::inline v0::io {

inline constexpr std::string_view kHeatmapCaption =
    "Where detail was taken from: the attention of each image token to the fine cells beneath it, times their number (1 = uniform).";
/// The end of the colour scale; larger values have the last colour.
inline constexpr float kHeatmapTop = 4;

/// The colour of a value: dark blue at 0, violet at 1, red at 2, orange at 3, light yellow at 4; lighter is always more.
[[nodiscard]] inline std::array<std::uint8_t, 3> heat_colour(float value) {
  constexpr float kStops[5][3] = {{12, 16, 60}, {84, 40, 150}, {204, 52, 88}, {248, 144, 40}, {255, 244, 150}};
  float const at = std::clamp(value, 0.0f, kHeatmapTop) * (4 / kHeatmapTop);
  int const stop = std::min(static_cast<int>(at), 3);
  std::array<std::uint8_t, 3> out;
  for (std::size_t c = 0; c < 3; ++c)
    out[c] =
        static_cast<std::uint8_t>(std::lround(kStops[stop][c] + (at - static_cast<float>(stop)) * (kStops[stop + 1][c] - kStops[stop][c])));
  return out;
}

namespace detail {

/// `words` cut into lines of at most `width` characters, at spaces where there are any.
inline std::vector<std::string> wrap(std::string_view words, std::size_t width) {
  std::vector<std::string> lines;
  while (words.size() > width) {
    std::size_t cut = words.rfind(' ', width);
    bool const spaced = cut != std::string_view::npos && cut > 0;
    if (!spaced) cut = width;
    lines.emplace_back(words.substr(0, cut));
    words.remove_prefix(cut + (spaced ? 1 : 0));
  }
  lines.emplace_back(words);
  return lines;
}

}  // namespace detail

/// The picture in grey under the colours of `grid`, (rows, columns) cells that cover it evenly: each holds p·M, the attention of its cell
/// times the number of cells it competes with, so 1 is uniform. On the right a bar of the colours from 0 to 4, beneath the caption.
/// `picture` is what the model saw: upright, square (`fit_square`); small ones are enlarged by a whole number.
/// Throws ShapeError for an empty grid, NumericalError for a value that is not finite, LimitError for pictures beyond 8192 a side.
inline Image draw_heatmap(PixelView picture, View<float const, 2, Cpu> grid, std::string_view caption = kHeatmapCaption) {
  require<ShapeError>(grid.extent(0) > 0 && grid.extent(1) > 0, "heatmap: expected a grid of cells, found ", shape_text(grid.extents()));
  require<LimitError>(picture.width() <= 8192 && picture.height() <= 8192, "heatmap: ", picture.width(), " x ", picture.height(),
                      " pixels are more than 8192 a side");
  for (Size r = 0; r < grid.extent(0); ++r)
    for (Size c = 0; c < grid.extent(1); ++c)
      require<NumericalError>(std::isfinite(grid(r, c)), "heatmap: cell (", r, ", ", c, ") is not a finite number");

  constexpr int kMargin = 12, kBar = 20, kDot = 2, kLeast = 448;
  constexpr std::string_view kLabels[] = {"0", "1 uniform", "2", "3", "4"};
  constexpr std::uint8_t kInk[3] = {20, 20, 20};
  int const enlarged = (kLeast + picture.width() - 1) / picture.width();
  int const w = picture.width() * enlarged, h = std::max(picture.height() * enlarged, 5 * line_advance(kDot));
  int const bar_left = kMargin + w + kMargin, width = bar_left + kBar + 10 + 9 * glyph_advance(kDot) + kMargin;
  auto const lines = detail::wrap(caption, static_cast<std::size_t>((width - 2 * kMargin) / glyph_advance(kDot)));
  int const height = kMargin + h + kMargin + static_cast<int>(lines.size()) * line_advance(kDot) + kMargin - 3 * kDot;

  Image out{width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * Size{width} * height), 255)};
  auto const put = [&](int x, int y, std::uint8_t const* colour) {
    std::copy(colour, colour + 3, out.rgb.begin() + 3 * (Size{y} * width + x));
  };

  std::vector<std::uint8_t> row(3 * static_cast<std::size_t>(picture.width()));
  for (int y = 0; y < picture.height() * enlarged; ++y) {
    if (y % enlarged == 0) detail::to_rgb(picture.row(y / enlarged), picture.format(), picture.width(), row.data());
    for (int x = 0; x < w; ++x) {
      std::uint8_t const* p = row.data() + 3 * (x / enlarged);
      int const grey = (299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000;
      auto const heat = heat_colour(grid(Size{y} * grid.extent(0) / (picture.height() * enlarged), Size{x} * grid.extent(1) / w));
      std::uint8_t mixed[3];
      for (std::size_t c = 0; c < 3; ++c) mixed[c] = static_cast<std::uint8_t>((45 * grey + 55 * heat[c] + 50) / 100);
      put(kMargin + x, kMargin + y, mixed);
    }
  }
  for (int y = 0; y < h; ++y) {
    auto const heat = heat_colour(kHeatmapTop * (1 - (static_cast<float>(y) + 0.5f) / static_cast<float>(h)));
    for (int x = 0; x < kBar; ++x) put(bar_left + x, kMargin + y, heat.data());
  }
  for (int k = 0; k < 5; ++k) {
    int const y = kMargin + (h - 1) * (4 - k) / 4;
    for (int x = 0; x < 5; ++x) put(bar_left + kBar + x, y, kInk);
    draw_text(out, kLabels[k], bar_left + kBar + 10, std::clamp(y - 7 * kDot / 2, kMargin, kMargin + h - 7 * kDot), kDot, kInk);
  }
  for (std::size_t i = 0; i < lines.size(); ++i)
    draw_text(out, lines[i], kMargin, kMargin + h + kMargin + static_cast<int>(i) * line_advance(kDot), kDot, kInk);
  return out;
}

}  // namespace mgm::inline v0::io
