/// Rows of a table by number: read (embeddings, the tokens of an expert), or added to with a weight each (the experts' results).
///   gather       out[i] = table[ids[i]]
///   scatter_add  sum[rows[i]] += weights[i]·x[i], in float
/// Cost    every row named is read once and written once; scatter_add reads and writes the sum: bound by memory.
#pragma once
#include <mgm/kernels/elementwise/elementwise.cuh>
#include <mgm/simt/math.hpp>

namespace mgm::inline v0::kernels {

template <int kVec, class Op, class T, class Dev>
MGM_GLOBAL(MapTraits::kThreads)
void gather_kernel(MapShape shape, Op op, View<T const, 2, Dev> table, View<int const, 1, Dev> ids, View<T, 2, Dev> out) {
  for (Size n = shape.first_row(); n < shape.rows; n += shape.row_step()) {
    Size const id = ids(n);
    bool const known = id >= 0 && id < table.extent(0);
    for (Size p = shape.first_piece(); p < shape.pieces; p += shape.piece_step()) {
      Size const first = p * kVec;
      if constexpr (kVec > 1) {
        if (known && first + kVec <= out.extent(1)) {
          simt::store<kVec>(out.row(n) + first, map_vector<T, kVec>(op, simt::load<kVec>(table.row(id) + first)));
          continue;
        }
      }
      for (Size c = first; c < out.extent(1) && c < first + kVec; ++c) out(n, c) = known ? op(table(id, c)) : simt::narrow<T>(NAN);
    }
  }
}

template <int kVec, class T, class Dev>
MGM_GLOBAL(MapTraits::kThreads)
void scatter_add_kernel(MapShape shape, View<T const, 2, Dev> x, View<int const, 1, Dev> rows, View<float const, 1, Dev> weights,
                        View<float, 2, Dev> sum) {
  for (Size n = shape.first_row(); n < shape.rows; n += shape.row_step()) {
    Size const to = rows(n);
    if (to < 0 || to >= sum.extent(0)) continue;
    float const weight = weights(n);
    for (Size p = shape.first_piece(); p < shape.pieces; p += shape.piece_step()) {
      Size const first = p * kVec;
      if constexpr (kVec > 1) {
        if (first + kVec <= sum.extent(1)) {
          auto const in = simt::load<kVec>(x.row(n) + first);
          auto total = simt::load<kVec>(sum.row(to) + first);
          MGM_UNROLL for (int i = 0; i < kVec; ++i) total[i] = simt::fma(weight, simt::widen(in[i]), total[i]);
          simt::store<kVec>(sum.row(to) + first, total);
          continue;
        }
      }
      for (Size c = first; c < sum.extent(1) && c < first + kVec; ++c) sum(to, c) = simt::fma(weight, simt::widen(x(n, c)), sum(to, c));
    }
  }
}

namespace detail {
template <class Op, class T, KernelDevice Dev>
void gather_rows(simt::Stream<Dev> stream, Op op, View<T const, 2, Dev> table, View<int const, 1, Dev> ids, View<T, 2, Dev> out) {
  check_input("gather: table", table), check_input("gather: ids", ids), check_shape("gather: out", out, ids.extent(0), table.extent(1));
  check_output("gather: out", out), check_apart("gather: out", out, "table", table), check_apart("gather: out", out, "ids", ids);
  if (out.count() == 0) return;
  constexpr int kVec = 16 / static_cast<int>(sizeof(T));
  bool const wide = is_aligned(table, 16) && is_aligned(out, 16);
  auto const shape = MapShape::of(out.extent(0), simt::ceil_div(out.extent(1), wide ? kVec : 1));
  simt::launch(stream, {.name = "gather", .grid = shape.grid(), .block = MapTraits::kThreads},
               wide ? gather_kernel<kVec, Op, T, Dev> : gather_kernel<1, Op, T, Dev>, shape, op, table, ids, out);
}
}  // namespace detail

/// out[i] = table[ids[i]], every bit.   table (V, C), ids (n) in the device's memory, out (n, C), any strides. A row whose id lies outside
/// of the table becomes NaN: the host cannot see the ids. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void gather(simt::Stream<Dev> stream, In<T, 2, Dev> table, View<int const, 1, Dev> ids, Out<T, 2, Dev> out) {
  detail::gather_rows<ConvertOp<T>, T, Dev>(stream, {}, table, ids, out);
}
/// out[i] = T(factor·table[ids[i]]): the embedding of Gemma's tokens, whose factor is √C in T. The rest as `gather`.
template <Real T, KernelDevice Dev>
void gather_scaled(simt::Stream<Dev> stream, In<T, 2, Dev> table, View<int const, 1, Dev> ids, float factor, Out<T, 2, Dev> out) {
  detail::gather_rows<ScaleOp<T>, T, Dev>(stream, {factor}, table, ids, out);
}

/// sum[rows[i]] += weights[i]·x[i], one rounding or two a term.   x (n, C), rows and weights (n) in the device's memory, sum (N, C), any
/// strides. No row may be named twice: two writers would race; rows outside of the sum are left out. Enqueues and returns.
/// Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void scatter_add(simt::Stream<Dev> stream, In<T, 2, Dev> x, View<int const, 1, Dev> rows, View<float const, 1, Dev> weights,
                 Out<float, 2, Dev> sum) {
  check_input("scatter_add: x", x), check_input("scatter_add: rows", rows), check_input("scatter_add: weights", weights);
  check_shape("scatter_add: x", x, any, sum.extent(1)), check_shape("scatter_add: rows", rows, x.extent(0));
  check_shape("scatter_add: weights", weights, x.extent(0));
  check_output("scatter_add: sum", sum), check_apart("scatter_add: sum", sum, "x", x);
  check_apart("scatter_add: sum", sum, "rows", rows), check_apart("scatter_add: sum", sum, "weights", weights);
  if (x.count() == 0) return;
  constexpr int kVec = 4;
  bool const wide = is_aligned(x, kVec * int(sizeof(T))) && is_aligned(sum, 16);
  auto const shape = MapShape::of(x.extent(0), simt::ceil_div(x.extent(1), wide ? kVec : 1));
  simt::launch(stream, {.name = "scatter_add", .grid = shape.grid(), .block = MapTraits::kThreads},
               wide ? scatter_add_kernel<kVec, T, Dev> : scatter_add_kernel<1, T, Dev>, shape, x, rows, weights, sum);
}

constexpr Cost gather_cost(Size n, Size c, Size bytes) { return {2 * n * c * bytes + 4 * n, 0}; }
constexpr Cost scatter_add_cost(Size n, Size c, Size bytes) { return {n * c * (bytes + 8) + 8 * n, 2 * n * c}; }

}  // namespace mgm::inline v0::kernels
