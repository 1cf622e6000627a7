/// Element by element over (N, C): conversion and copy, sum, product with a number, one value everywhere.
///   out[n,c] = op(a[n,c], …), computed in float and rounded to the nearest even of T once
/// Cost    every element is read and written once: bound by memory.   Method  rows without gaps count as one long row; accesses of up to
/// 16 bytes where all arguments allow them, single elements at any other stride.
#pragma once
#include <algorithm>
#include <type_traits>

#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/thread.hpp>

namespace mgm::inline v0::kernels {

struct MapTraits {
  static constexpr int kThreads = 256, kSteps = 4;  // accesses of one thread, so that several are under way; not measured yet
  static constexpr int kRegisters = 96;             // of a thread, at most: nvcc-gate
};

/// Which part of (rows, pieces of a row) a thread does: 2^shift neighbouring threads walk along one row, so that no index is divided.
struct MapShape {
  Size rows, pieces;
  int shift;
  /// `pieces` accesses a row.
  static MapShape of(Size rows, Size pieces) {
    int shift = 0;
    while ((1 << shift) < MapTraits::kThreads && (Size{1} << shift) < pieces) ++shift;
    return {rows, pieces, shift};
  }
  [[nodiscard]] simt::Grid grid() const {  // what it is too small for, threads come back to
    Size const x = simt::ceil_div(rows, MapTraits::kThreads >> shift), y = simt::ceil_div(pieces, Size{MapTraits::kSteps} << shift);
    return {std::min<Size>(x, 1 << 30), std::min<Size>(y, 65535)};
  }
  MGM_DEVICE Size first_row() const {
    return Size{simt::block_idx().x} * (MapTraits::kThreads >> shift) + (simt::thread_idx() >> shift);
  }
  MGM_DEVICE Size row_step() const { return Size{simt::grid_dim().x} * (MapTraits::kThreads >> shift); }
  MGM_DEVICE Size first_piece() const { return (Size{simt::block_idx().y} << shift) + (simt::thread_idx() & ((1 << shift) - 1)); }
  MGM_DEVICE Size piece_step() const { return Size{simt::grid_dim().y} << shift; }
};

namespace detail {
/// Bytes of the largest element.
template <class... T>
constexpr Size widest() {
  Size bytes = 1;
  ((bytes = bytes < Size{sizeof(T)} ? Size{sizeof(T)} : bytes), ...);
  return bytes;
}
}  // namespace detail

/// Operations on one element of each argument.
template <class To>
struct ConvertOp {
  template <class From>
  MGM_DEVICE To operator()(From x) const {
    if constexpr (std::is_same_v<From, To>) return x;  // every bit, also of a NaN
    else return simt::narrow<To>(simt::widen(x));
  }
};
template <class T>
struct AddOp {
  template <class A>
  MGM_DEVICE T operator()(A a, T b) const {
    return simt::narrow<T>(simt::widen(a) + simt::widen(b));
  }
};
template <class T>
struct ScaleOp {
  float factor;
  MGM_DEVICE T operator()(T x) const { return simt::narrow<T>(factor * simt::widen(x)); }
};
template <class T>
struct FillOp {
  float value;
  MGM_DEVICE T operator()() const { return simt::narrow<T>(value); }
};

/// op on kVec elements of each argument.
template <class T, int kVec, class Op, class... Ins>
MGM_DEVICE simt::Vec<T, kVec> map_vector(Op op, simt::Vec<Ins, kVec> const&... in) {
  simt::Vec<T, kVec> out;
  MGM_UNROLL for (int i = 0; i < kVec; ++i) out[i] = op(in[i]...);
  return out;
}

template <int kVec, class Op, class T, class Dev, class... Ins>
MGM_GLOBAL(MapTraits::kThreads)
void map_kernel(MapShape shape, Op op, View<T, 2, Dev> out, View<Ins const, 2, Dev>... in) {
  for (Size n = shape.first_row(); n < shape.rows; n += shape.row_step())
    for (Size p = shape.first_piece(); p < shape.pieces; p += shape.piece_step()) {
      Size const first = p * kVec;
      if constexpr (kVec > 1) {
        if (first + kVec <= out.extent(1)) {
          simt::store<kVec>(out.row(n) + first, map_vector<T, kVec>(op, simt::load<kVec>(in.row(n) + first)...));
          continue;
        }
      }
      for (Size c = first; c < out.extent(1) && c < first + kVec; ++c) out(n, c) = op(in(n, c)...);  // any stride, or the rest of a row
    }
}

/// Launches op over `out` and the same elements of `in`; the arguments have been checked.
template <class Op, class T, class Dev, class... Ins>
void map(simt::Stream<Dev> stream, char const* name, Op op, View<T, 2, Dev> out, View<Ins const, 2, Dev>... in) {
  if (out.count() == 0) return;
  if (out.extent(0) > 1 && out.contiguous() && (in.contiguous() && ...)) {
    Extents<2> const one_row{1, out.count()};
    return map(stream, name, op, out.reshape(one_row), in.reshape(one_row)...);
  }
  constexpr int kVec = 16 / static_cast<int>(detail::widest<T, Ins...>());
  auto const send = [&](int vec, auto kernel) {
    auto const shape = MapShape::of(out.extent(0), simt::ceil_div(out.extent(1), vec));
    simt::launch(stream, {.name = name, .grid = shape.grid(), .block = MapTraits::kThreads}, kernel, shape, op, out, in...);
  };
  bool const wide = is_aligned(out, kVec * int(sizeof(T))) && (is_aligned(in, kVec * int(sizeof(Ins))) && ...);
  wide ? send(kVec, map_kernel<kVec, Op, T, Dev, Ins...>) : send(1, map_kernel<1, Op, T, Dev, Ins...>);
}

/// out = To(x): widening is exact, narrowing rounds to nearest even; From = To copies every bit.   x, out (N, C), any strides; `out` may
/// be x where From = To. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real From, Real To, KernelDevice Dev>
void convert(simt::Stream<Dev> stream, In<From, 2, Dev> x, Out<To, 2, Dev> out) {
  check_input("convert: x", x), check_shape("convert: out", out, x.extent(0), x.extent(1));
  check_output("convert: out", out), check_same_or_apart("convert: out", out, "x", x);
  map(stream, "convert", ConvertOp<To>{}, out, x);
}

/// out = a + b, the sum in float.   a (N, C) of T or float, b, out (N, C), any strides; `out` may be a or b, element for element.
/// Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real A, Real T, KernelDevice Dev>
void add(simt::Stream<Dev> stream, In<A, 2, Dev> a, In<T, 2, Dev> b, Out<T, 2, Dev> out) {
  static_assert(std::is_same_v<A, T> || std::is_same_v<A, float>, "add: the first summand is of the result's type or float");
  check_input("add: a", a), check_input("add: b", b);
  check_shape("add: a", a, out.extent(0), out.extent(1)), check_shape("add: b", b, out.extent(0), out.extent(1));
  check_output("add: out", out), check_same_or_apart("add: out", out, "a", a), check_same_or_apart("add: out", out, "b", b);
  map(stream, "add", AddOp<T>{}, out, a, b);
}

/// out = factor · x, the product in float.   x, out (N, C), any strides; `out` may be x. Enqueues and returns.
/// Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void scale(simt::Stream<Dev> stream, In<T, 2, Dev> x, float factor, Out<T, 2, Dev> out) {
  check_input("scale: x", x), check_shape("scale: out", out, x.extent(0), x.extent(1));
  check_output("scale: out", out), check_same_or_apart("scale: out", out, "x", x);
  map(stream, "scale", ScaleOp<T>{factor}, out, x);
}

/// All of out (N, C), any strides, becomes T(value). Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void fill(simt::Stream<Dev> stream, float value, Out<T, 2, Dev> out) {
  check_output("fill: out", out);
  map(stream, "fill", FillOp<T>{value}, out);
}

constexpr Cost convert_cost(Size n, Size c, Size from_bytes, Size to_bytes) { return {n * c * (from_bytes + to_bytes), 0}; }
constexpr Cost add_cost(Size n, Size c, Size a_bytes, Size bytes) { return {n * c * (a_bytes + 2 * bytes), n * c}; }
constexpr Cost scale_cost(Size n, Size c, Size bytes) { return {2 * n * c * bytes, n * c}; }
constexpr Cost fill_cost(Size n, Size c, Size bytes) { return {n * c * bytes, 0}; }

}  // namespace mgm::inline v0::kernels
