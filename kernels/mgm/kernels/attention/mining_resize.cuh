/// The map of the global view, where no two taps an axis give it: a bilinear resize of a bilinear resize, the larger map never made.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>

namespace mgm::inline v0::kernels {

struct ResizeTwiceTraits {
  static constexpr int kWarps = 4, kThreads = 32 * kWarps;  // pixels of `out` per block, one warp each; not measured yet
  static constexpr int kRegisters = 96;                     // of a thread, at most: nvcc-gate
};

/// One output sample of an axis as four samples of its input, some of them the same: two of the full axis, two of the input beneath each.
struct AxisTaps {
  int index[4];
  float weight[4];

  MGM_DEVICE AxisTaps(Size from, Size full, Size to, Size d) {
    Sample const outer(full, to, d);
    MGM_UNROLL for (int k = 0; k < 2; ++k) {
      Sample const inner(from, full, k == 0 ? outer.first : outer.second);
      double const share = k == 0 ? 1 - outer.weight : outer.weight;
      index[2 * k] = inner.first, weight[2 * k] = static_cast<float>(share * (1 - inner.weight));
      index[2 * k + 1] = inner.second, weight[2 * k + 1] = static_cast<float>(share * inner.weight);
    }
  }

 private:
  /// Sample d of `to` in a resize from `from` samples: half-pixel centres, clamped at the borders. In double, as the plans of taps are.
  struct Sample {
    int first, second;
    double weight;
    MGM_DEVICE Sample(Size from, Size to, Size d) {
      double const exact = (double(d) + 0.5) * double(from) / double(to) - 0.5, source = exact > 0 ? exact : 0;
      Size const whole = static_cast<Size>(source), last = from - 1;
      first = static_cast<int>(whole < last ? whole : last), second = static_cast<int>(first < last ? first + 1 : last);
      weight = source - double(first);
    }
  };
};

template <class T, class Dev>
MGM_GLOBAL(ResizeTwiceTraits::kThreads)
void resize_twice_kernel(View<T const, 3, Dev> map, Size full_rows, Size full_cols, View<T, 3, Dev> out) {
  Size const n = Size{simt::block_idx().x} * ResizeTwiceTraits::kWarps + simt::warp_idx();
  if (n >= out.extent(0) * out.extent(1)) return;
  Size const v = n / out.extent(1), u = n % out.extent(1);
  AxisTaps const rows(map.extent(0), full_rows, out.extent(0), v), cols(map.extent(1), full_cols, out.extent(1), u);
  for (Size c = simt::lane_idx(); c < out.extent(2); c += simt::kWarp) {
    float sum = 0;
    MGM_UNROLL for (int i = 0; i < 4; ++i) {
      float across = 0;
      MGM_UNROLL for (int j = 0; j < 4; ++j)
        across = simt::fma(cols.weight[j], simt::widen(map(rows.index[i], cols.index[j], c)), across);
      sum = simt::fma(rows.weight[i], across, sum);
    }
    out(v, u, c) = simt::narrow<T>(sum);
  }
}

/// out = resize(resize(map, full), (h', w')) for every channel, bilinear, half-pixel centres, borders replicated; sums in float, one
/// rounding. From a map of the full side to half of it this is the mean of 2×2 pixels. map (h, w, C), out (h', w', C), any strides.
/// Enqueues and returns. Throws ShapeError, ArgumentError and LimitError naming the argument.
template <Real T, KernelDevice Dev>
void resize_twice(simt::Stream<Dev> stream, In<T, 3, Dev> map, Size full_rows, Size full_cols, Out<T, 3, Dev> out) {
  using Tr = ResizeTwiceTraits;
  check_input("resize_twice: map", map), check_shape("resize_twice: out", out, any, any, map.extent(2));
  check_output("resize_twice: out", out), check_apart("resize_twice: out", out, "map", map);
  if (out.count() == 0) return;
  constexpr Size kMost = Size{1} << 31;
  require<ShapeError>(map.count() > 0 && full_rows >= 1 && full_cols >= 1, "resize_twice: a map of shape ", shape_text(map.extents()),
                      " cannot become ", full_rows, "x", full_cols);
  require<LimitError>(full_rows < kMost && full_cols < kMost && map.extent(0) < kMost && map.extent(1) < kMost,
                      "resize_twice: sides must be below 2³¹, found ", shape_text(map.extents()), " and ", full_rows, "x", full_cols);
  simt::launch(stream, {.name = "resize_twice", .grid = simt::ceil_div(out.extent(0) * out.extent(1), Tr::kWarps), .block = Tr::kThreads},
               resize_twice_kernel<T, Dev>, map, full_rows, full_cols, out);
}

/// `taps` pixels of the map for each of out's n pixels of c channels: 16 at most, 4 for the mean of 2×2.
constexpr Cost resize_twice_cost(Size map_pixels, Size n, Size taps, Size c, Size bytes) {
  return {(map_pixels + n) * c * bytes, 2 * taps * n * c};
}

}  // namespace mgm::inline v0::kernels
