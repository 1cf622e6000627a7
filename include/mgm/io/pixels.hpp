/// From a picture to what the towers read: square, resized, normalised, and the low-resolution views taken from that.
/// Channels last throughout, as the towers want them; `channels_first` gives PyTorch's order. No picture library is needed here.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/io/image.hpp>
#include <mgm/io/resize.hpp>

namespace mgm::inline v0::io {

/// How a picture becomes square: laid on a canvas of the mean colour, or cut at the middle after its short edge was resized.
enum class Aspect { pad, square };

/// The numbers of config.json that pixels depend on.
struct PixelsConfig {
  int image_size_aux = 768;  ///< side S of the high-resolution input
  int low_side = 336;        ///< side of one low-resolution view: CLIP's image_size
  int grid = 1;              ///< crops a side (image_grid); above 1 the views are grid² crops
  bool global = false;       ///< and with them the whole picture, last (image_global)
  Aspect aspect = Aspect::pad;
  bool blur_aux = false;  ///< gives the high-resolution tower only what the views contain, to see what detail is worth
};

/// What the towers read, normalised, float, channels last.
struct Pixels {
  int size = 0, side = 0, views = 0;
  std::vector<float> aux;  ///< (size, size, 3)
  std::vector<float> low;  ///< (views, side, side, 3): crops in row order, then the global view
  [[nodiscard]] View<float const, 3, Cpu> aux_view() const { return {aux.data(), {{size, size, 3}}}; }
  [[nodiscard]] View<float const, 4, Cpu> low_view() const { return {low.data(), {{views, side, side, 3}}}; }
};

/// CLIP's mean and standard deviation of R, G, B in [0, 1].
inline constexpr std::array<double, 3> kPixelMean = {0.48145466, 0.4578275, 0.40821073}, kPixelStd = {0.26862954, 0.26130258, 0.27577711};
/// What pads a picture: ⌊255·mean⌋, truncated as the original does.
inline constexpr std::array<std::uint8_t, 3> kPadColour = {122, 116, 104};

/// How a picture becomes the square of side `size` that the model sees. `pad`: at the centre of a canvas of the longer side (an odd rest
/// goes below or to the right), then bicubic. `square`: bicubic until the short edge is `size`, the other ⌊size·long/short⌋, then the
/// middle. Throws ArgumentError, LimitError.
inline ResizePlan square_plan(int w, int h, int size, Aspect aspect) {
  require<ArgumentError>(size > 0 && size <= 16384, "pixels: expected a side of 1 to 16384, found ", size);
  int const side = std::max(w, h);
  ResizePlan plan{side, side, (side - w) / 2, (side - h) / 2, {kPadColour[0], kPadColour[1], kPadColour[2]}, size, size, 0, 0, size, size};
  if (aspect == Aspect::square) {
    Size const other = Size{size} * side / std::min(w, h);
    require<LimitError>(other <= 0x7FFFFFFF, "pixels: ", w, " x ", h, " pixels cannot be resized to a short edge of ", size,
                        "; pad instead");
    plan.canvas_width = w, plan.canvas_height = h, plan.left = 0, plan.top = 0;
    plan.full_width = w <= h ? size : static_cast<int>(other), plan.full_height = w <= h ? static_cast<int>(other) : size;
    plan.crop_left = (plan.full_width - size) / 2, plan.crop_top = (plan.full_height - size) / 2;
  }
  return plan;
}
/// The square picture, still 8 bit.
inline Image fit_square(PixelView picture, int size, Aspect aspect, Executor const& run = {nullptr, Isa::portable}) {
  return resize_bicubic(picture, square_plan(picture.width(), picture.height(), size, aspect), run);
}

/// (u/255 − mean_c)/std_c for each level u and channel c: the division by 255 in double, the rest in float, as the original's.
[[nodiscard]] inline std::array<std::array<float, 256>, 3> normalise_table() {
  std::array<std::array<float, 256>, 3> table;
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t u = 0; u < 256; ++u)
      table[c][u] =
          (static_cast<float>(static_cast<double>(u) * (1.0 / 255)) - static_cast<float>(kPixelMean[c])) / static_cast<float>(kPixelStd[c]);
  return table;
}

/// Levels to numbers: (h, w, 3) in the order of the picture.
[[nodiscard]] inline std::vector<float> normalise(Image const& picture) {
  auto const table = normalise_table();
  std::vector<float> out(picture.rgb.size());
  for (std::size_t i = 0; i + 2 < out.size(); i += 3)
    for (std::size_t c = 0; c < 3; ++c) out[i + c] = table[c][picture.rgb[i + c]];
  return out;
}

/// Where an output of `bilinear` lies along one axis: between two samples, with the weight of the upper one.
struct BilinearTap {
  int lower, upper;
  float weight;
};
/// src = (d + ½)·n/side − ½, exact in double, at least 0; the weight in float. PyTorch's own float coordinates are off by up to 7e-4
/// of these values.
[[nodiscard]] inline std::vector<BilinearTap> bilinear_taps(Size n, int side) {
  std::vector<BilinearTap> out;
  for (int d = 0; d < side; ++d) {
    double const src = std::max(0.0, (d + 0.5) * (static_cast<double>(n) / side) - 0.5);
    Size const lower = std::min(static_cast<Size>(src), n - 1);
    Size const upper = std::min(lower + 1, n - 1);
    out.push_back({static_cast<int>(lower), static_cast<int>(upper), static_cast<float>(src - static_cast<double>(lower))});
  }
  return out;
}

/// Half-pixel bilinear, replicated border, no antialiasing even when it shrinks: (h, w, 3) -> (side, side, 3).
///   out = (1−ly)((1−lx)a + lx·b) + ly((1−lx)c + lx·d)
[[nodiscard]] inline std::vector<float> bilinear(View<float const, 3, Cpu> in, int side, Executor const& run = {nullptr, Isa::portable}) {
  check_shape("bilinear: in", in, any, any, 3);
  require<ArgumentError>(side > 0 && in.extent(0) > 0 && in.extent(1) > 0 && in.contiguous(),
                         "bilinear: expected pixels without gaps, and a side");
  auto const down = bilinear_taps(in.extent(0), side), across = bilinear_taps(in.extent(1), side);
  std::vector<float> out(3 * static_cast<std::size_t>(side) * static_cast<std::size_t>(side));
  run.parallel(side, [&](Size y) {
    BilinearTap const& v = down[static_cast<std::size_t>(y)];
    float const *above = in.row(v.lower), *below = in.row(v.upper);
    float* to = out.data() + 3 * Size{side} * y;
    for (BilinearTap const& h : across)
      for (Size c = 0; c < 3; ++c) {
        Size const l = 3 * Size{h.lower} + c, u = 3 * Size{h.upper} + c;
        *to++ = (1 - v.weight) * ((1 - h.weight) * above[l] + h.weight * above[u]) +
                v.weight * ((1 - h.weight) * below[l] + h.weight * below[u]);
      }
  });
  return out;
}

/// (h, w, 3) -> (3, h, w).
[[nodiscard]] inline std::vector<float> channels_first(View<float const, 3, Cpu> in) {
  check_shape("channels_first: in", in, any, any, 3);
  std::vector<float> out(static_cast<std::size_t>(in.count()));
  auto to = out.begin();
  for (Size c = 0; c < 3; ++c)
    for (Size y = 0; y < in.extent(0); ++y)
      for (Size x = 0; x < in.extent(1); ++x) *to++ = in(y, x, c);
  return out;
}

/// Throws ArgumentError for a configuration that makes no sense.
inline void check(PixelsConfig const& c) {
  require<ArgumentError>(c.low_side > 0 && c.grid > 0 && c.grid <= 64 && c.low_side <= 16384 / c.grid,
                         "pixels: expected views of at least 1 pixel and low_side * image_grid up to 16384, found ", c.low_side, " and ",
                         c.grid);
}

/// Everything above for one upright picture. The low-resolution picture B (side low_side·grid) is taken from the normalised
/// high-resolution one, aliased as it is: the model was trained so. grid 1: one view, B itself. Above: B cut into crops, in row order,
/// and B at low_side where `global` is set; for grid 2 that is the exact mean of 2 × 2.
/// Throws ArgumentError for a configuration that makes no sense, LimitError beyond 2²⁸ pixels.
inline Pixels preprocess(PixelView picture, PixelsConfig const& config, Executor const& run = {nullptr, Isa::portable}) {
  auto const& c = config;
  check(c);
  Pixels out;
  out.size = c.image_size_aux, out.side = c.low_side;
  out.aux = normalise(fit_square(picture, c.image_size_aux, c.aspect, run));
  int const wide = c.low_side * c.grid;
  auto low = bilinear(out.aux_view(), wide, run);
  View<float const, 3, Cpu> const low_view{low.data(), {{wide, wide, 3}}};
  if (c.blur_aux) out.aux = bilinear(low_view, c.image_size_aux, run);
  if (c.grid == 1) {
    out.views = 1, out.low = std::move(low);
    return out;
  }
  out.views = c.grid * c.grid + (c.global ? 1 : 0);
  out.low.reserve(static_cast<std::size_t>(3 * Size{out.views} * out.side * out.side));
  for (int r = 0; r < c.grid; ++r)
    for (int k = 0; k < c.grid; ++k)
      for (int y = 0; y < out.side; ++y) {
        float const* row = low_view.row(r * out.side + y, k * out.side);
        out.low.insert(out.low.end(), row, row + 3 * Size{out.side});
      }
  if (c.global) {
    auto const whole = bilinear(low_view, out.side, run);
    out.low.insert(out.low.end(), whole.begin(), whole.end());
  }
  return out;
}

}  // namespace mgm::inline v0::io
