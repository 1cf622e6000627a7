/// Geometry of patch info mining: which pixels of each stage map lie beneath a token, as two taps an axis. Nothing is ever upsampled.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include <mgm/core/view.hpp>

namespace mgm::inline v0 {

/// One fine cell on one axis of a map: value = (1 − weight)·s[first] + weight·s[second], second = first + 1 or, at the border, first.
struct Tap {
  std::int32_t first = 0, second = 0;
  float weight = 0;
};

/// One stage of the aux tower under a grid of fine cells: cell (y, x) is the bilinear value of `map` at rows(y), cols(x).
/// The map (h, w, C) has dense channels. Taps rise along the axis. Crops of one picture share its maps and take parts of its taps.
template <Real T, Device Dev = DefaultDevice>
struct MiningStage {
  View<T const, 3, Dev> map;
  View<Tap const, 1, Dev> rows, cols;
};

/// Tokens of one view, numbered row by row; each owns an equal rectangle of fine cells.
struct MiningGrid {
  Size rows, cols;
};

namespace detail {
/// A sample of one axis as weights on the samples of another, at most four of them.
struct AxisSum {
  int count = 0;
  Size index[4] = {};
  double weight[4] = {};
  void add(Size i, double w) {
    for (int k = 0; k < count; ++k)
      if (index[k] == i) return void(weight[k] += w);
    if (std::abs(w) > 1e-9) index[count] = i, weight[count++] = w;  // what rounding leaves of a zero is no tap
  }
};
/// Sample d of `to` in a bilinear resize from `from` samples: src = (d + 0.5)·from/to − 0.5, clamped below at 0; half-pixel centres.
inline AxisSum resized(Size from, Size to, Size d) {
  double const source = std::max(0.0, (double(d) + 0.5) * double(from) / double(to) - 0.5);
  Size const first = std::min(Size(source), from - 1), second = std::min(first + 1, from - 1);
  AxisSum s;
  s.add(first, 1 - (source - double(first))), s.add(second, source - double(first));
  return s;
}
/// The sum as two neighbouring taps, if it is that.
inline std::optional<Tap> as_tap(AxisSum const& s) {
  if (s.count == 1) return Tap{std::int32_t(s.index[0]), std::int32_t(s.index[0]), 0};
  if (s.count != 2 || s.index[1] != s.index[0] + 1) return std::nullopt;
  return Tap{std::int32_t(s.index[0]), std::int32_t(s.index[1]), float(s.weight[1] / (s.weight[0] + s.weight[1]))};
}
}  // namespace detail

/// Sample d of `to` in a bilinear resize from `from` to `full` samples and from there to `to`; `full` is never made.
[[nodiscard]] inline detail::AxisSum resized_twice(Size from, Size full, Size to, Size d) {
  detail::AxisSum const outer = detail::resized(full, to, d);
  detail::AxisSum s;
  for (int k = 0; k < outer.count; ++k) {
    detail::AxisSum const inner = detail::resized(from, full, outer.index[k]);
    for (int j = 0; j < inner.count; ++j) s.add(inner.index[j], outer.weight[k] * inner.weight[j]);
  }
  return s;
}

/// Taps of a bilinear resize of one axis from `from` to `to` samples: half-pixel centres, borders replicated, no antialiasing.
[[nodiscard]] inline std::vector<Tap> resize_taps(Size from, Size to) {
  std::vector<Tap> taps;
  for (Size d = 0; d < to; ++d) taps.push_back(detail::as_tap(detail::resized(from, to, d)).value_or(Tap{}));
  return taps;
}

/// Taps of a resize from `from` to `full` samples and then down to `to`, as the global view of a picture that is cut in crops needs it.
/// Nothing when no form with two neighbouring taps exists, or when the map is finer than the cells: then the map is resized itself.
[[nodiscard]] inline std::optional<std::vector<Tap>> resize_twice_taps(Size from, Size full, Size to) {
  if (from > to) return std::nullopt;
  std::vector<Tap> taps;
  for (Size d = 0; d < to; ++d) {
    auto const tap = detail::as_tap(resized_twice(from, full, to, d));
    if (!tap) return std::nullopt;
    taps.push_back(*tap);
  }
  return taps;
}

/// How far one stage's taps reach beneath the token that needs most of its pixels: a rectangle, and whether any cell lies between pixels.
struct MiningReach {
  Size rows = 0, cols = 0;
  bool between = false;
};

/// The reach of taps that lie on the host, `row_tokens` and `col_tokens` tokens sharing them evenly; each tap's second is its first or next.
[[nodiscard]] inline MiningReach reach_of(std::vector<Tap> const& rows, std::vector<Tap> const& cols, Size row_tokens, Size col_tokens) {
  MiningReach reach;
  auto const most = [&](std::vector<Tap> const& taps, Size tokens) {
    Size const cells = Size(taps.size()) / tokens;
    Size widest = 0;
    for (Tap const& tap : taps) reach.between = reach.between || tap.weight != 0;
    for (Size n = 0; n < tokens; ++n)
      widest = std::max(widest, Size{taps[std::size_t((n + 1) * cells - 1)].second} - taps[std::size_t(n * cells)].first + 1);
    return widest;
  };
  reach.rows = most(rows, row_tokens), reach.cols = most(cols, col_tokens);
  return reach;
}

}  // namespace mgm::inline v0
