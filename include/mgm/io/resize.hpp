/// Resampling of 8-bit RGB that equals Pillow's filters bit for bit: bicubic where the original's CLIPImageProcessor resizes, Lanczos where
/// Stable Diffusion's pipelines do.
///   out[d] = clamp( (2²¹ + Σ_t k_t·in[lo + t]) >> 22 ),   k_t = round(2²²·w_t),   w_t ∝ filter((lo + t + ½ − centre_d) / max(n/m, 1))
/// One axis after the other with 8-bit values in between: that rounding is part of the result.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

#include <mgm/core/executor.hpp>
#include <mgm/io/image.hpp>

namespace mgm::inline v0::io {

/// How one axis of n samples becomes m: output d reads the inputs first[d] … first[d + 1's] with integer weights in 2⁻²².
struct ResizeTaps {
  struct Span {
    int first, count;
    Size at;  ///< of the first weight in `weights`
  };
  std::vector<Span> spans;
  std::vector<std::int32_t> weights;
};

enum class Filter { bicubic, lanczos };  ///< a = −½, reaching over 2 samples; 3 lobes

namespace detail {
/// The filter at x, in samples.
[[nodiscard]] inline double filter_at(Filter filter, double x) {
  constexpr double a = -0.5;
  if (filter == Filter::lanczos) {
    auto const sinc = [](double t) { return t == 0 ? 1 : std::sin(t * std::numbers::pi) / (t * std::numbers::pi); };
    return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0.0;
  }
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}
}  // namespace detail

/// Pillow's coefficients of a filter, widened by n/m when shrinking, for the outputs [begin, begin + count) of m.
/// Every step is in double and in this order, since the last bit counts.
[[nodiscard]] inline ResizeTaps filter_taps(Filter filter, int n, int m, int begin, int count) {
  double const scale = static_cast<double>(n) / m, filter_scale = std::max(scale, 1.0);
  double const support = (filter == Filter::lanczos ? 3.0 : 2.0) * filter_scale, inverse = 1.0 / filter_scale;
  ResizeTaps taps;
  taps.spans.reserve(static_cast<std::size_t>(count));
  std::vector<double> w;
  for (int d = begin; d < begin + count; ++d) {
    double const centre = (d + 0.5) * scale;
    int const lo = std::max(0, static_cast<int>(centre - support + 0.5)), hi = std::min(n, static_cast<int>(centre + support + 0.5));
    w.clear();
    double sum = 0;
    for (int t = 0; t < hi - lo; ++t) {
      w.push_back(detail::filter_at(filter, (t + lo - centre + 0.5) * inverse));
      sum += w.back();
    }
    taps.spans.push_back({lo, hi - lo, static_cast<Size>(taps.weights.size())});
    for (double v : w) {
      if (sum != 0.0) v /= sum;
      taps.weights.push_back(static_cast<std::int32_t>(v < 0 ? -0.5 + v * (1 << 22) : 0.5 + v * (1 << 22)));
    }
  }
  return taps;
}

[[nodiscard]] inline ResizeTaps bicubic_taps(int n, int m, int begin, int count) { return filter_taps(Filter::bicubic, n, m, begin, count); }

/// A picture inside a larger canvas of one colour, which is never stored, and the part of the resized canvas that is wanted.
struct ResizePlan {
  int canvas_width, canvas_height;         ///< at the source's scale
  int left, top;                           ///< where the picture lies on the canvas
  std::uint8_t colour[3];                  ///< of the rest
  int full_width, full_height;             ///< the canvas after resizing
  int crop_left, crop_top, width, height;  ///< what is returned of it
};

/// Which axis Pillow (13) starts with: the columns when the height shrinks by more than twice what the width shrinks by, else the rows.
[[nodiscard]] inline bool columns_first(ResizePlan const& p) {
  return p.canvas_height > p.full_height && Size{p.canvas_height} - p.full_height > 2 * (Size{p.canvas_width} - p.full_width);
}
/// Throws ArgumentError for a crop or picture that lies outside, LimitError for sides beyond 2²².
inline void check(ResizePlan const& p, int picture_width, int picture_height) {
  require<ArgumentError>(p.width > 0 && p.height > 0 && p.crop_left >= 0 && p.crop_top >= 0 && p.width <= p.full_width - p.crop_left &&
                             p.height <= p.full_height - p.crop_top && p.left >= 0 && p.top >= 0 &&
                             picture_width <= p.canvas_width - p.left && picture_height <= p.canvas_height - p.top,
                         "resize: the crop must lie in the resized canvas, and the picture on the canvas");
  constexpr int kSide = 1 << 22;
  require<LimitError>(p.canvas_width <= kSide && p.canvas_height <= kSide && Size{p.width} * p.height <= Size{1} << 28,
                      "resize: ", p.canvas_width, " x ", p.canvas_height, " to ", p.width, " x ", p.height,
                      " pixels is beyond 2^22 a side or 2^28 in all");
}

namespace detail {

/// Taps of one axis of a canvas on which a picture of `size` samples lies at `begin`: spans count from the picture's first sample, and what
/// falls on the margin is one weight, since the margin has one colour. Integer sums do not care about order, so nothing changes.
struct PlacedTaps {
  ResizeTaps taps;
  std::vector<std::int32_t> margin, total;  ///< Σ k over the margin, and over everything
};

inline PlacedTaps place(ResizeTaps taps, int begin, int size) {
  PlacedTaps out;
  for (auto& s : taps.spans) {
    int const first = std::clamp(s.first, begin, begin + size), end = std::clamp(s.first + s.count, begin, begin + size);
    std::int32_t total = 0, inside = 0;
    for (int t = 0; t < s.count; ++t) {
      std::int32_t const k = taps.weights[static_cast<std::size_t>(s.at + t)];
      total += k;
      if (s.first + t >= first && s.first + t < end) inside += k;
    }
    out.margin.push_back(total - inside);
    out.total.push_back(total);
    s = {first - begin, end - first, s.at + (first - s.first)};
  }
  out.taps = std::move(taps);
  return out;
}

constexpr std::int32_t kHalf = 1 << 21;
inline std::uint8_t round_tap(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> 22, 0, 255)); }

/// Along a row of RGB: in -> out, one pixel a span. `colour` is the margin's.
inline void resize_row(std::uint8_t const* in, PlacedTaps const& axis, std::uint8_t const* colour, std::uint8_t* out) {
  for (std::size_t d = 0; d < axis.taps.spans.size(); ++d, out += 3) {
    auto const& s = axis.taps.spans[d];
    std::int32_t const *k = axis.taps.weights.data() + s.at, margin = axis.margin[d];
    std::uint8_t const* p = in + 3 * Size{s.first};
    std::int32_t r = kHalf + margin * colour[0], g = kHalf + margin * colour[1], b = kHalf + margin * colour[2];
    for (int t = 0; t < s.count; ++t, p += 3) r += k[t] * p[0], g += k[t] * p[1], b += k[t] * p[2];
    out[0] = round_tap(r), out[1] = round_tap(g), out[2] = round_tap(b);
  }
}

/// Output row d from rows of `bytes` bytes: `row_at(y)` is row y of the picture, `blank` one of the margin, `sums` scratch.
template <class RowAt>
void resize_columns(RowAt&& row_at, PlacedTaps const& axis, int d, Size bytes, std::uint8_t const* blank, std::int32_t* sums,
                    std::uint8_t* out) {
  auto const& s = axis.taps.spans[static_cast<std::size_t>(d)];
  std::int32_t const margin = axis.margin[static_cast<std::size_t>(d)];
  for (Size i = 0; i < bytes; ++i) sums[i] = kHalf + margin * blank[i];
  for (int t = 0; t < s.count; ++t) {
    std::int32_t const k = axis.taps.weights[static_cast<std::size_t>(s.at + t)];
    std::uint8_t const* row = row_at(s.first + t);
    for (Size i = 0; i < bytes; ++i) sums[i] += k * row[i];
  }
  for (Size i = 0; i < bytes; ++i) out[i] = round_tap(sums[i]);
}

/// What one band of output rows needs; a band works alone.
struct ResizeBand {
  PixelView picture;
  ResizePlan const& plan;
  PlacedTaps const &across, &down;
  std::uint8_t* out;  ///< (height, width, 3)
  std::vector<std::uint8_t> line =
      std::vector<std::uint8_t>(picture.format() == PixelFormat::rgb ? 0 : 3 * static_cast<std::size_t>(picture.width()));

  std::uint8_t const* source(int y) {
    if (picture.format() == PixelFormat::rgb) return picture.row(y);
    to_rgb(picture.row(y), picture.format(), picture.width(), line.data());
    return line.data();
  }
  void rows_first(int begin, int end) {
    Size const bytes = 3 * Size{plan.width};
    int from = picture.height(), to = 0;  // the picture's rows that this band reads
    for (int d = begin; d < end; ++d) {
      auto const& s = down.taps.spans[static_cast<std::size_t>(d)];
      if (s.count > 0) from = std::min(from, s.first), to = std::max(to, s.first + s.count);
    }
    bool const keep = std::max(to - from, 0) * bytes <= Size{1} << 24;  // else each output row makes its own again
    std::vector<std::uint8_t> rows(static_cast<std::size_t>(keep ? std::max(to - from, 0) * bytes : bytes)),
        blank(static_cast<std::size_t>(bytes));
    std::vector<std::int32_t> sums(static_cast<std::size_t>(bytes));
    for (Size i = 0; i < bytes; ++i)
      blank[static_cast<std::size_t>(i)] = round_tap(kHalf + across.total[static_cast<std::size_t>(i / 3)] * plan.colour[i % 3]);
    if (keep)
      for (int y = from; y < to; ++y) resize_row(source(y), across, plan.colour, rows.data() + (y - from) * bytes);
    auto const row_at = [&](int y) -> std::uint8_t const* {
      if (keep) return rows.data() + (y - from) * bytes;
      resize_row(source(y), across, plan.colour, rows.data());
      return rows.data();
    };
    for (int d = begin; d < end; ++d) resize_columns(row_at, down, d, bytes, blank.data(), sums.data(), out + d * bytes);
  }
  void columns_first(int begin, int end) {
    Size const bytes = 3 * Size{picture.width()};
    std::vector<std::uint8_t> narrow(static_cast<std::size_t>(bytes)), blank(static_cast<std::size_t>(bytes));
    std::vector<std::int32_t> sums(static_cast<std::size_t>(bytes));
    for (std::size_t i = 0; i < blank.size(); ++i) blank[i] = plan.colour[i % 3];
    for (int d = begin; d < end; ++d) {
      resize_columns([&](int y) { return source(y); }, down, d, bytes, blank.data(), sums.data(), narrow.data());
      std::uint8_t side[3];
      for (int c = 0; c < 3; ++c) side[c] = round_tap(kHalf + down.total[static_cast<std::size_t>(d)] * plan.colour[c]);
      resize_row(narrow.data(), across, side, out + 3 * Size{d} * plan.width);
    }
  }
};

}  // namespace detail

/// The wanted part of the resized canvas, RGB, one axis after the other (`columns_first`). Output rows are cut into bands, one task each,
/// and a band makes the source rows that it reads: memory and time grow with the picture, not with the canvas. Throws as `check` does.
/// Cost: about 12 multiply-adds a pixel of the picture along each axis that shrinks.
inline Image resize(Filter filter, PixelView picture, ResizePlan const& plan, Executor const& run = {nullptr, Isa::portable}) {
  auto const& p = plan;
  check(p, picture.width(), picture.height());
  auto const across = detail::place(filter_taps(filter, p.canvas_width, p.full_width, p.crop_left, p.width), p.left, picture.width());
  auto const down = detail::place(filter_taps(filter, p.canvas_height, p.full_height, p.crop_top, p.height), p.top, picture.height());
  Image out{p.width, p.height, detail::pixel_memory(3 * Size{p.width} * p.height, "resize")};
  int const bands = std::clamp(p.height / 24, 1, 64);
  run.parallel(bands, [&](Size band) {
    int const begin = static_cast<int>(p.height * band / bands), end = static_cast<int>(p.height * (band + 1) / bands);
    detail::ResizeBand work{picture, plan, across, down, out.rgb.data()};
    columns_first(plan) ? work.columns_first(begin, end) : work.rows_first(begin, end);
  });
  return out;
}

/// The same by the bicubic filter.
inline Image resize_bicubic(PixelView picture, ResizePlan const& plan, Executor const& run = {nullptr, Isa::portable}) {
  return resize(Filter::bicubic, picture, plan, run);
}

/// The whole picture at width × height.
inline Image resize(Filter filter, PixelView picture, int width, int height, Executor const& run = {nullptr, Isa::portable}) {
  require<ArgumentError>(width > 0 && height > 0, "resize: expected at least 1 x 1, found ", width, " x ", height);
  return resize(filter, picture, {picture.width(), picture.height(), 0, 0, {}, width, height, 0, 0, width, height}, run);
}
inline Image resize_bicubic(PixelView picture, int width, int height, Executor const& run = {nullptr, Isa::portable}) {
  return resize(Filter::bicubic, picture, width, height, run);
}

}  // namespace mgm::inline v0::io
