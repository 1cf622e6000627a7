/// The rows that turn a convolution into a matrix product, general form: any window, stride and resampling, any strides of the map.
///   out[i, (ky, kx, c)] = map(source row, source column, c), zero outside
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/conv/map_value.hpp>
#include <mgm/simt/launch.hpp>

namespace mgm::inline v0::kernels {

struct UnfoldTraits {
  static constexpr int kThreads = 128;  // of one output pixel's block; not measured yet
  static constexpr int kRegisters = 64;  // of a thread, at most: nvcc-gate
};

template <class T, class Dev>
MGM_GLOBAL(UnfoldTraits::kThreads)
void unfold_kernel(MapSource<T, Dev> map, Window window, Size first, View<T, 2, Dev> out) {
  Size const i = simt::block_idx().x, y = (first + i) / window.out_cols, x = (first + i) % window.out_cols;
  int const channels = static_cast<int>(map.channels()), all = window.side * window.side * channels;
  for (int j = simt::thread_idx(); j < all; j += UnfoldTraits::kThreads) {
    int const tap = j / channels;
    Size const row = window.source_row(y, tap / window.side, map.rows()), col = window.source_col(x, tap % window.side, map.cols());
    out(i, j) = simt::narrow<T>(map_value(map, row, col, j % channels));
  }
}

/// Rows of output pixels first, first + 1, …   map (H, W, C) as core/map_source.hpp says, out (n, side²·C), any strides. Enqueues and
/// returns. Throws ShapeError and ArgumentError naming the argument, LimitError for rows of 2³¹ elements and more.
template <Real T, KernelDevice Dev>
void unfold(simt::Stream<Dev> stream, std::type_identity_t<MapSource<T, Dev>> const& map, Window const& window, Size first,
            Out<T, 2, Dev> out) {
  check_map("unfold", map), check_output("unfold: out", out), check_map_apart("unfold", out, map);
  Size const width = Size{window.side} * window.side * map.channels();
  check_shape("unfold: out", out, any, width);
  require<LimitError>(width < Size{1} << 31, "unfold: rows of ", width, " elements; 2147483647 are the most");
  require<ArgumentError>(first >= 0 && first + out.extent(0) <= window.out_rows * window.out_cols, "unfold: pixels ", first, " to ",
                         first + out.extent(0), ", but the window makes ", window.out_rows * window.out_cols);
  if (out.count() == 0) return;
  simt::launch(stream, {.name = "unfold", .grid = out.extent(0), .block = UnfoldTraits::kThreads}, unfold_kernel<T, Dev>, map, window,
               first, out);
}

constexpr Cost unfold_cost(Size pixels, Size side, Size channels, Size bytes) { return {pixels * (side * side + 1) * channels * bytes, 0}; }

}  // namespace mgm::inline v0::kernels
