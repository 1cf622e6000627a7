/// Sinusoids of scalars (Vaswani et al. 2017, in the order of Stable Diffusion: the cosines first):
///   out[i] = [cos(s_i·f_j), sin(s_i·f_j)],  f_j = 10000^(−j/half),  half = width/2
/// Shapes  s (N) of float, out (N, width) of T.   Types  f_j and the angle are rounded to float as the networks were trained; cosine and
/// sine in double, with an error below 1e-12 for angles up to 10⁶, rounded once. Cost    sizeof(T)·N·width bytes: a few microseconds'
/// launch.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/elementwise/elementwise.cuh>
#include <mgm/simt/math.hpp>

namespace mgm::inline v0::kernels {

/// cos and sin of an angle of any sign below 10⁶: the rest to the nearest quarter turn by Taylor's series, whose next terms are below 1e-13
/// there. The library's own take local memory for angles that never come.
struct CosSin {
  double cos, sin;
};
MGM_DEVICE CosSin cos_sin(double angle) {
  double const turns = angle * 0.63661977236758134308;  // 2/π
  long long const quarter = static_cast<long long>(turns + (turns < 0 ? -0.5 : 0.5));
  double const r = angle - static_cast<double>(quarter) * 1.57079632679489661923, s = r * r;
  double const sine =
      r * (1 + s * (-1.0 / 6 + s * (1.0 / 120 + s * (-1.0 / 5040 + s * (1.0 / 362880 + s * (-1.0 / 39916800 + s / 6227020800.0))))));
  double const cosine =
      1 +
      s * (-0.5 + s * (1.0 / 24 + s * (-1.0 / 720 + s * (1.0 / 40320 + s * (-1.0 / 3628800 + s * (1.0 / 479001600 - s / 87178291200.0))))));
  switch (quarter & 3) {
    case 0:
      return {cosine, sine};
    case 1:
      return {-sine, cosine};
    case 2:
      return {-cosine, -sine};
    default:
      return {sine, -cosine};
  }
}

template <class T, class Dev>
MGM_GLOBAL(MapTraits::kThreads)
void time_embedding_kernel(MapShape shape, View<float const, 1, Dev> s, View<T, 2, Dev> out) {
  Size const half = shape.pieces;
  for (Size n = shape.first_row(); n < shape.rows; n += shape.row_step())
    for (Size j = shape.first_piece(); j < half; j += shape.piece_step()) {
      float const exponent = -9.21034049987793f * static_cast<float>(j) / static_cast<float>(half);  // −ln(10000)·j/half
      float const angle = simt::mul(s(n), static_cast<float>(simt::exp(static_cast<double>(exponent))));
      CosSin const both = cos_sin(static_cast<double>(angle));
      out(n, j) = simt::narrow<T>(static_cast<float>(both.cos)), out(n, half + j) = simt::narrow<T>(static_cast<float>(both.sin));
    }
}

/// s (N), out (N, width), width even; any strides. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void time_embedding(simt::Stream<Dev> stream, In<float, 1, Dev> s, Out<T, 2, Dev> out) {
  check_input("time_embedding: s", s), check_shape("time_embedding: out", out, s.extent(0), any), check_output("time_embedding: out", out);
  require<ShapeError>(out.extent(1) % 2 == 0, "time_embedding: the width must be even, found ", out.extent(1));
  check_apart("time_embedding: out", out, "s", s);
  if (out.count() == 0) return;
  auto const shape = MapShape::of(out.extent(0), out.extent(1) / 2);
  simt::launch(stream, {.name = "time_embedding", .grid = shape.grid(), .block = MapTraits::kThreads}, time_embedding_kernel<T, Dev>, shape,
               s, out);
}

constexpr Cost time_embedding_cost(Size n, Size width, Size bytes) { return {n * 4 + n * width * bytes, 40 * n * width}; }

}  // namespace mgm::inline v0::kernels
