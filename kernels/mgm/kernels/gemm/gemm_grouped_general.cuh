/// Products of many groups of rows, each with a matrix of its own, in one launch: every type, width, stride and alignment of x, float sums
/// by FMA. The measure of gemm_grouped, and what a mixture of experts (Jiang et al. 2024, arXiv:2401.04088) takes where that does not fit.
///   out[p] = epilogue(x[rows[p]]·w_gᵀ)   for offsets[g] <= p < offsets[g + 1]
/// A block makes 64 rows of one group, as gemm_general's: bit for bit what it makes of a group's rows.
#pragma once
#include <mgm/kernels/gemm/gemm_general.cuh>

namespace mgm::inline v0::kernels {

/// A block's part of the rows: group, first row in the list, and the row behind the group's last.
struct GroupTile {
  int group = -1, first = 0, end = 0;
};
/// The tile of block `index` when each group is cut into tiles of `side` rows; no group when there is none for it.
template <class Dev>
MGM_DEVICE GroupTile find_group_tile(View<int const, 1, Dev> offsets, int index, int side) {
  int const groups = static_cast<int>(offsets.extent(0)) - 1;
  for (int g = 0; g < groups; ++g) {
    int const begin = offsets(g), end = offsets(g + 1), tiles = (end - begin + side - 1) / side;
    if (index < tiles) return {g, begin + index * side, end};
    index -= tiles;
  }
  return {};
}

template <class T, class TOut, class Dev>
MGM_GLOBAL(GemmGeneralTraits::kThreads)
void gemm_grouped_general_kernel(View<T const, 2, Dev> x, View<int const, 1, Dev> rows, View<int const, 1, Dev> offsets,
                                 View<T const* const, 1, Dev> w, Epilogue<T, Dev> epilogue, View<TOut, 2, Dev> out) {
  using Tr = GemmGeneralTraits;
  GroupTile const mine = find_group_tile(offsets, simt::block_idx().x, Tr::kM);
  if (mine.group < 0) return;  // the whole block
  Size const n0 = Size{simt::block_idx().y} * Tr::kN;
  int const mine_m = simt::thread_idx() / (Tr::kN / Tr::kPart) * Tr::kPart, mine_n = simt::thread_idx() % (Tr::kN / Tr::kPart) * Tr::kPart;
  View<T const, 2, Dev> const weight(w(mine.group), {out.extent(1), x.extent(1)});  // (N, K)
  auto const row = [&](int i) -> Size {
    int const p = mine.first + i;
    return p >= mine.end ? Size{-1} : rows.data() != nullptr ? Size{rows(p)} : Size{p};
  };
  float sum[Tr::kPart][Tr::kPart] = {};  // (4, 4)
  gemm_general_sums<Tr>(simt::shared<Tr::Shared>(), x, row, weight, n0, mine_m, mine_n, sum);
  MGM_UNROLL for (int a = 0; a < Tr::kPart; ++a)
    MGM_UNROLL for (int b = 0; b < Tr::kPart; ++b) {
      Size const p = Size{mine.first} + mine_m + a, n = n0 + mine_n + b;
      if (p < mine.end && n < out.extent(1)) out(p, n) = simt::narrow<TOut>(tile::finish(epilogue, sum[a][b], p, n));
    }
}

/// What both forms ask of their arguments. Throws ShapeError and ArgumentError naming the argument.
template <Real T, class TOut, KernelDevice Dev>
void check_grouped(In<T, 2, Dev> x, View<int const, 1, Dev> rows, View<int const, 1, Dev> offsets, View<T const* const, 1, Dev> w,
                   Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  check_input("gemm_grouped: x", x), check_input("gemm_grouped: offsets", offsets), check_input("gemm_grouped: w", w),
      check_output("gemm_grouped: out", out);
  check_shape("gemm_grouped: offsets", offsets, w.extent(0) + 1);
  if (rows.data() != nullptr)
    check_input("gemm_grouped: rows", rows), check_shape("gemm_grouped: rows", rows, out.extent(0));
  else
    check_shape("gemm_grouped: x", x, out.extent(0), any);
  check_apart("gemm_grouped: out", out, "x", x), check_apart("gemm_grouped: out", out, "rows", rows),
      check_apart("gemm_grouped: out", out, "offsets", offsets);
  check_epilogue("gemm_grouped", e, out), check_no_norm("gemm_grouped", e);
}

/// x (rows of K), any strides; rows (P) of x in the order of the groups, or a null view where x already has that order; offsets (G + 1),
/// from 0 to P, ascending; w (G) pointers on the device to matrices (N, K) without gaps; out (P, N) of T or float, in the order of the
/// groups, as are the epilogue's factor and residual. What rows and offsets say is not checked on Cuda. Enqueues and returns. Throws
/// ShapeError and ArgumentError naming the argument.
template <Real T, class TOut, KernelDevice Dev>
void gemm_grouped_general(simt::Stream<Dev> stream, In<T, 2, Dev> x, View<int const, 1, Dev> rows, View<int const, 1, Dev> offsets,
                          View<T const* const, 1, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  using Tr = GemmGeneralTraits;
  check_grouped<T, TOut, Dev>(x, rows, offsets, w, e, out);
  Size const groups = w.extent(0);
  if (out.count() == 0 || groups == 0) return;
  simt::launch(stream,
               {.name = "gemm_grouped_general",
                .grid = {simt::ceil_div(out.extent(0), Tr::kM) + groups, simt::ceil_div(out.extent(1), Tr::kN)},
                .block = Tr::kThreads,
                .shared = sizeof(Tr::Shared)},
               gemm_grouped_general_kernel<T, TOut, Dev>, x, rows, offsets, w, e, out);
}

/// Each group's matrix once, P rows of x and out.
constexpr Cost gemm_grouped_cost(Size p, Size groups, Size n, Size k, Size bytes, Size out_bytes) {
  return {(p + groups * n) * k * bytes + p * n * out_bytes, 2 * p * n * k};
}

}  // namespace mgm::inline v0::kernels
