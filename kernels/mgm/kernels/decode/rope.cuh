/// Rotary positions in place: with a head split in halves a, b and the angle φ of its position and channel,
///   a' = a·cos φ − b·sin φ,   b' = b·cos φ + a·sin φ           (Su et al. 2021, arXiv:2104.09864; half-rotation pairing)
/// One thread a pair. The angles come as a table, made in double on the host: far positions are as exact as near ones.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>

namespace mgm::inline v0::kernels {

struct RopeTraits {
  static constexpr int kThreads = 256;  // not measured yet
};

template <class T, class Dev>
MGM_GLOBAL(RopeTraits::kThreads)
void rope_kernel(View<T, 3, Dev> x, View<float const, 3, Dev> table) {
  Size const heads = x.extent(1), half = x.extent(2) / 2, pair = Size{simt::block_idx().x} * RopeTraits::kThreads + simt::thread_idx();
  if (pair >= x.extent(0) * heads * half) return;
  Size const t = pair / (heads * half), h = pair / half % heads, i = pair % half;
  float const cos = table(t, 0, i), sin = table(t, 1, i);
  T &at_a = x(t, h, i), &at_b = x(t, h, half + i);
  float const a = simt::widen(at_a), b = simt::widen(at_b);
  at_a = simt::narrow<T>(simt::fma(a, cos, -(b * sin)));
  at_b = simt::narrow<T>(simt::fma(b, cos, a * sin));
}

/// x (T, heads, d), any strides, d even; table (T, 2, d/2): cosines, then sines. Products in float, one rounding to T. Enqueues and
/// returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void rope(simt::Stream<Dev> stream, Out<T, 3, Dev> x, In<float, 3, Dev> table) {
  check_output("rope: x", x), check_input("rope: table", table);
  require<ShapeError>(x.extent(2) % 2 == 0, "rope: x: the head width must be even, found ", x.extent(2));
  check_shape("rope: table", table, x.extent(0), 2, x.extent(2) / 2);
  check_apart("rope: x", x, "table", table);
  if (x.count() == 0) return;
  Size const blocks = simt::ceil_div(x.count() / 2, RopeTraits::kThreads);
  require<ShapeError>(blocks <= 0x7FFFFFFF, "rope: x: ", shape_text(x.extents()), " is beyond one grid");
  simt::launch(stream, {.name = "rope", .grid = blocks, .block = RopeTraits::kThreads}, rope_kernel<T, Dev>, x, table);
}

/// x read and written, the table read once.
constexpr Cost rope_cost(Size rows, Size heads, Size width, Size bytes) {
  return {2 * rows * heads * width * bytes + rows * width * 4, 3 * rows * heads * width};
}

}  // namespace mgm::inline v0::kernels
