/// The map of the global view, where no two taps an axis give it.
#pragma once
#include <vector>

#include <mgm/core/executor.hpp>
#include <mgm/core/mining.hpp>
#include <mgm/cpu/mining.hpp>
#include <mgm/cpu/rows.hpp>

namespace mgm::inline v0::cpu {

/// out = resize(resize(map, full), (h, w)) for every channel, bilinear, without the map of side `full` in between; sums in float.
/// map (·, ·, C), out (h, w, C), channels dense. From a map of the full side to half of it this is the mean of 2×2 pixels.
template <Real T>
void resize_twice(Executor const& ex, In<T, 3> map, Size full_rows, Size full_cols, Out<T, 3> out) {
  Size const channels = map.extent(2), width = out.extent(1);
  for_row_ranges(ex, out.extent(0), width * channels * 4, [&](Size begin, Size end) {
    std::vector<mgm::detail::AxisSum> columns;
    for (Size u = 0; u < width; ++u) columns.push_back(resized_twice(map.extent(1), full_cols, width, u));
    for (Size v = begin; v < end; ++v) {
      auto const row = resized_twice(map.extent(0), full_rows, out.extent(0), v);
      for (Size u = 0; u < width; ++u) {
        auto const& column = columns[std::size_t(u)];
        T const* pixels[16];
        float weights[16];
        int count = 0;
        for (int i = 0; i < row.count; ++i)
          for (int j = 0; j < column.count; ++j, ++count) {
            pixels[count] = map.row(row.index[i], column.index[j]);
            weights[count] = float(row.weight[i] * column.weight[j]);
          }
        MGM_SIMD_CALL(ex.isa, pixel_blend(weights, pixels, count, channels, out.row(v, u)));
      }
    }
  });
}

}  // namespace mgm::inline v0::cpu
