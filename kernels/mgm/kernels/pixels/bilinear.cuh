/// The low-resolution views: half-pixel bilinear, replicated border, no antialiasing, bit for bit as io/pixels.hpp computes it.
///   out = (1−ly)((1−lx)a + lx·b) + ly((1−lx)c + lx·d)
/// Shapes  in and out are square pictures stored as grid² tiles in row order, (tiles, side, side, 3): a dense picture is one tile, crops
///         are several, so that a picture is cut by writing it and put together by reading it.
/// Types   float; every product and sum rounded by itself, since a fused one would give other bits than the host.
/// Cost    out once, in once where it does not shrink: bound by memory.
#pragma once
#include <climits>

#include <mgm/core/cost.hpp>
#include <mgm/kernels/elementwise/elementwise.cuh>
#include <mgm/simt/math.hpp>

namespace mgm::inline v0::kernels {

/// Where outputs lie between samples along one axis, in the device's memory; both axes of a square are alike.
template <Device Dev>
struct BilinearAxis {
  View<int const, 2, Dev> samples;    // (m, 2): lower, upper
  View<float const, 1, Dev> weights;  // (m): of the upper
};

/// Pixel (y, x) of a picture stored as tiles.
template <class T, class Dev>
MGM_DEVICE T* tiled_pixel(View<T, 4, Dev> tiles, int grid, int y, int x) {
  int const side = static_cast<int>(tiles.extent(1));
  return tiles.row(y / side * grid + x / side, y % side, x % side);
}

template <class Dev>
MGM_GLOBAL(MapTraits::kThreads)
void bilinear_kernel(MapShape shape, View<float const, 4, Dev> in, int in_grid, BilinearAxis<Dev> axis, View<float, 4, Dev> out,
                     int out_grid) {
  for (Size y = shape.first_row(); y < shape.rows; y += shape.row_step()) {
    int const above = axis.samples(y, 0), below = axis.samples(y, 1);
    float const ly = axis.weights(y), keep_y = 1 - ly;
    for (Size x = shape.first_piece(); x < shape.pieces; x += shape.piece_step()) {
      int const left = axis.samples(x, 0), right = axis.samples(x, 1);
      float const lx = axis.weights(x), keep_x = 1 - lx;
      float const *a = tiled_pixel(in, in_grid, above, left), *b = tiled_pixel(in, in_grid, above, right);
      float const *c = tiled_pixel(in, in_grid, below, left), *d = tiled_pixel(in, in_grid, below, right);
      float* const to = tiled_pixel(out, out_grid, static_cast<int>(y), static_cast<int>(x));
      MGM_UNROLL for (int i = 0; i < 3; ++i) {
        Size const at = i * in.stride(3);
        float const upper = simt::add(simt::mul(keep_x, a[at]), simt::mul(lx, b[at]));
        float const lower = simt::add(simt::mul(keep_x, c[at]), simt::mul(lx, d[at]));
        to[i * out.stride(3)] = simt::add(simt::mul(keep_y, upper), simt::mul(ly, lower));
      }
    }
  }
}

namespace detail {
/// The side of the picture that the tiles make.
template <class T, Device Dev>
Size check_tiles(std::string_view what, View<T, 4, Dev> tiles, int grid) {
  require<ArgumentError>(grid >= 1, what, ": a picture has at least one tile a side, found ", grid);
  check_shape(what, tiles, Size{grid} * grid, tiles.extent(2), any, 3);
  require<LimitError>(tiles.extent(1) <= INT_MAX / grid, what, ": sides beyond 2^31");
  return grid * tiles.extent(1);
}
}  // namespace detail

/// in (in_grid², s, s, 3) -> out (out_grid², t, t, 3), any strides; axis (out_grid·t), its samples in [0, in_grid·s), which nothing checks
/// on the host. Enqueues and returns. Throws ShapeError, ArgumentError, LimitError naming the argument.
template <KernelDevice Dev>
void bilinear(simt::Stream<Dev> stream, In<float, 4, Dev> in, int in_grid, BilinearAxis<Dev> const& axis, Out<float, 4, Dev> out,
              int out_grid) {
  check_input("bilinear: in", in), check_output("bilinear: out", out), check_apart("bilinear: out", out, "in", in);
  detail::check_tiles("bilinear: in", in, in_grid);
  Size const side = detail::check_tiles("bilinear: out", out, out_grid);
  check_input("bilinear: samples", axis.samples), check_input("bilinear: weights", axis.weights);
  check_shape("bilinear: samples", axis.samples, side, 2), check_shape("bilinear: weights", axis.weights, side);
  check_apart("bilinear: out", out, "samples", axis.samples), check_apart("bilinear: out", out, "weights", axis.weights);
  if (out.count() == 0) return;
  require<ShapeError>(in.count() > 0, "bilinear: in: expected at least one pixel, found ", shape_text(in.extents()));
  auto const shape = MapShape::of(side, side);
  simt::launch(stream, {.name = "bilinear", .grid = shape.grid(), .block = MapTraits::kThreads}, bilinear_kernel<Dev>, shape, in, in_grid,
               axis, out, out_grid);
}

constexpr Cost bilinear_cost(Size in_side, Size out_side) {
  Size const read = in_side < 2 * out_side ? in_side : 2 * out_side;  // at most two samples an output and axis
  return {12 * (read * read + out_side * out_side), 27 * out_side * out_side};
}

}  // namespace mgm::inline v0::kernels
