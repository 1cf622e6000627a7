/// A square window that slides over a map: the geometry of ordinary convolutions, with nearest-neighbour resampling folded in.
#pragma once
#include <mgm/core/platform.hpp>

namespace mgm::inline v0 {

/// The map (H, W) counts as resampled to (rows, cols) first, pixel i taken from ⌊i·H/rows⌋; the window of side² taps moves by `stride`; what
/// lies outside is zero. Output pixel (y, x) reads rows y·stride − top + 0 … side − 1, and columns likewise from `left`.
struct Window {
  int side = 3, stride = 1, top = 1, left = 1;
  Size rows = 0, cols = 0;          ///< of the resampled map; 0: as the map is
  Size out_rows = 0, out_cols = 0;

  /// 3×3 or 1×1 around each pixel of an (h, w) map.
  [[nodiscard]] static constexpr Window same(int side, Size h, Size w) { return {side, 1, side / 2, side / 2, h, w, h, w}; }
  /// The same after resampling to (rows, cols).
  [[nodiscard]] static constexpr Window resampled(int side, Size rows, Size cols) { return {side, 1, side / 2, side / 2, rows, cols, rows, cols}; }
  /// 3×3, stride 2, one pixel of zeros all around: ⌈h/2⌉ rows.
  [[nodiscard]] static constexpr Window halved(Size h, Size w) { return {3, 2, 1, 1, h, w, (h + 1) / 2, (w + 1) / 2}; }
  /// 3×3, stride 2, one pixel of zeros below and to the right only: ⌊h/2⌋ rows.
  [[nodiscard]] static constexpr Window halved_below(Size h, Size w) { return {3, 2, 0, 0, h, w, h / 2, w / 2}; }

  /// The map's row under tap `ky` of output row `y`, or −1 outside; columns likewise.
  [[nodiscard]] MGM_HD constexpr Size source_row(Size y, int ky, Size h) const { return source(y * stride + ky - top, rows, h); }
  [[nodiscard]] MGM_HD constexpr Size source_col(Size x, int kx, Size w) const { return source(x * stride + kx - left, cols, w); }

 private:
  [[nodiscard]] MGM_HD static constexpr Size source(Size at, Size resampled, Size real) {
    return at < 0 || at >= resampled ? -1 : resampled == real ? at : at * real / resampled;
  }
};

}  // namespace mgm::inline v0
