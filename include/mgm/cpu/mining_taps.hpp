/// Where the cells of a token grid lie in a stage map: two taps an axis, for maps that are never upsampled.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/rows.hpp>

namespace mgm::inline v0::cpu {

/// One fine cell on one axis of a map: value = (1 − weight)·s[first] + weight·s[second], second = first + 1 or, at the border, first.
struct Tap {
  std::int32_t first = 0, second = 0;
  float weight = 0;
};

/// One stage of the aux tower under a grid of fine cells: cell (y, x) is the bilinear value of `map` at rows[y], cols[x].
/// The map (h, w, C) has dense channels. Crops share the map and take a part of the taps.
template <Real T>
struct MiningStage {
  View<T const, 3> map;
  std::span<Tap const> rows, cols;
};

namespace detail {
/// A sample of one axis as weights on the samples of another, at most four of them, by rising index.
struct AxisSum {
  int count = 0;
  Size index[4] = {};
  double weight[4] = {};
  void add(Size i, double w) {
    for (int k = 0; k < count; ++k)
      if (index[k] == i) return void(weight[k] += w);
    if (std::abs(w) > 1e-9) index[count] = i, weight[count++] = w;
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
/// Sample d of `to` in a resize from `from` to `full` and from there to `to`.
inline AxisSum resized_twice(Size from, Size full, Size to, Size d) {
  AxisSum const outer = resized(full, to, d);
  AxisSum s;
  for (int k = 0; k < outer.count; ++k) {
    AxisSum const inner = resized(from, full, outer.index[k]);
    for (int j = 0; j < inner.count; ++j) s.add(inner.index[j], outer.weight[k] * inner.weight[j]);
  }
  return s;
}
/// The sum as two neighbouring taps, if it is that.
inline std::optional<Tap> as_tap(AxisSum const& s) {
  if (s.count == 1) return Tap{std::int32_t(s.index[0]), std::int32_t(s.index[0]), 0};
  if (s.count != 2 || s.index[1] != s.index[0] + 1) return std::nullopt;
  return Tap{std::int32_t(s.index[0]), std::int32_t(s.index[1]), float(s.weight[1] / (s.weight[0] + s.weight[1]))};
}
}  // namespace detail

/// Taps of a bilinear resize of one axis from `from` to `to` samples: half-pixel centres, borders replicated, no antialiasing.
[[nodiscard]] inline std::vector<Tap> resize_taps(Size from, Size to) {
  std::vector<Tap> taps;
  for (Size d = 0; d < to; ++d) taps.push_back(*detail::as_tap(detail::resized(from, to, d)));
  return taps;
}

/// Taps of a resize from `from` to `full` samples and then down to `to`, as the global view of a picture cut in crops needs it.
/// Nothing when there is no form with two neighbouring taps, or when the map is finer than the cells: then take `resize_twice`.
[[nodiscard]] inline std::optional<std::vector<Tap>> resize_twice_taps(Size from, Size full, Size to) {
  if (from > to) return std::nullopt;
  std::vector<Tap> taps;
  for (Size d = 0; d < to; ++d) {
    auto const tap = detail::as_tap(detail::resized_twice(from, full, to, d));
    if (!tap) return std::nullopt;
    taps.push_back(*tap);
  }
  return taps;
}

/// out = resize(resize(map, full), (h, w)) per channel without the map of side `full` in between; sums in float.
/// map (·, ·, C), out (h, w, C), channels dense. From a map of the full side to half of it this is the mean of 2×2 pixels.
template <Real T>
void resize_twice(Executor const& ex, In<T, 3> map, Size full_rows, Size full_cols, Out<T, 3> out) {
  Size const channels = map.extent(2), width = out.extent(1);
  for_row_ranges(ex, out.extent(0), width * channels * 4, [&](Size begin, Size end) {
    std::vector<detail::AxisSum> columns;
    for (Size u = 0; u < width; ++u) columns.push_back(detail::resized_twice(map.extent(1), full_cols, width, u));
    for (Size v = begin; v < end; ++v) {
      auto const row = detail::resized_twice(map.extent(0), full_rows, out.extent(0), v);
      for (Size u = 0; u < width; ++u) {
        auto const& column = columns[std::size_t(u)];
        T* to = out.row(v, u);
        for (Size c = 0; c < channels; ++c) {
          float sum = 0;
          for (int i = 0; i < row.count; ++i)
            for (int j = 0; j < column.count; ++j)
              sum += float(row.weight[i] * column.weight[j]) * float(map.row(row.index[i], column.index[j])[c]);
          to[c] = T(sum);
        }
      }
    }
  });
}

}  // namespace mgm::inline v0::cpu
