/// Pictures that a run begins with, and masks: what is painted anew, and what stays.
#pragma once
#include <algorithm>
#include <optional>
#include <vector>

#include <mgm/io/resize.hpp>
#include <mgm/models/diffusion/scheduler.hpp>

namespace mgm::inline v0::models {

/// An 8-bit picture at width × height by Pillow's Lanczos filter, as numbers in [−1, 1], (3, h·w).
[[nodiscard]] inline std::vector<float> picture_numbers(io::Image const& picture, Size width, Size height, Executor const& run) {
  auto const fitted = io::resize(io::Filter::lanczos, picture, static_cast<int>(width), static_cast<int>(height), run);
  std::size_t const pixels = fitted.rgb.size() / 3;
  std::vector<float> out(3 * pixels);
  for (std::size_t i = 0; i < pixels; ++i)
    for (std::size_t c = 0; c < 3; ++c) out[c * pixels + i] = 2 * (static_cast<float>(fitted.rgb[3 * i + c]) / 255) - 1;
  return out;
}

/// Where a mask at width × height is white: grey as Pillow sees colours, 1 from half of white on, else 0. (h·w)
[[nodiscard]] inline std::vector<float> mask_numbers(io::Image const& mask, Size width, Size height, Executor const& run) {
  auto const fitted = io::resize(io::Filter::lanczos, mask, static_cast<int>(width), static_cast<int>(height), run);
  std::vector<float> out(fitted.rgb.size() / 3);
  for (std::size_t i = 0; i < out.size(); ++i) {
    auto const* const p = &fitted.rgb[3 * i];
    out[i] = (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16 >= 128 ? 1.0f : 0.0f;  // 128/255 is the first level from 0.5 on
  }
  return out;
}

/// What of a picture stays in a run. Networks made for it are shown the mask and what stays; for others it is put back after each step.
struct Repaint {
  std::vector<float> mask;      ///< (h·w) of the latents: 1 where it is painted
  std::vector<float> picture;   ///< (4, h·w): the picture's latents
  std::vector<float> noise;     ///< (4, h·w): the noise that the run began with
  std::vector<float> beside{};  ///< (5, h·w), for networks made for it: the mask, and the latents of what stays

  /// The mask at the latents' size: every factor-th pixel.
  [[nodiscard]] static std::vector<float> coarse(std::vector<float> const& mask, Size width, Size factor, Size rows, Size cols) {
    std::vector<float> out;
    for (Size y = 0; y < rows; ++y)
      for (Size x = 0; x < cols; ++x) out.push_back(mask[static_cast<std::size_t>(y * factor * width + x * factor)]);
    return out;
  }
  /// x becomes what was there, noised as it must be at the start of `next` (nullptr: not at all), where the mask is 0.
  void put_back(SchedulerStep const* next, std::vector<float>& x) const {
    double const clean = next ? next->clean : 1, spread = next ? next->spread : 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      double const there = clean * static_cast<double>(picture[i]) + spread * static_cast<double>(noise[i]);
      double const m = static_cast<double>(mask[i % mask.size()]);
      x[i] = static_cast<float>((1 - m) * there + m * static_cast<double>(x[i]));
    }
  }
};

}  // namespace mgm::inline v0::models
