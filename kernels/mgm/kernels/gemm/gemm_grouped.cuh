/// Products of many groups of rows, each with a matrix of its own, in one launch: the experts of a mixture (Jiang et al. 2024,
/// arXiv:2401.04088), whose lists route_lists has left on the device, so that the host need not know how many rows each expert has.
///   out[p] = epilogue(x[rows[p]]·w_gᵀ)   for offsets[g] <= p < offsets[g + 1]
/// A block makes kM rows of one group; there are as many blocks as the groups could need however the rows fall, and those left over return.
/// bf16 and f16, sums in float, bit for bit those of gemm_mma. Not measured on any GPU.
#pragma once
#include <mgm/kernels/gemm/gemm_grouped_general.cuh>
#include <mgm/kernels/gemm/gemm_mma.cuh>

namespace mgm::inline v0::kernels {

template <class Tr, class T, class TOut, class Dev>
MGM_GLOBAL(Tr::kThreads, Tr::kBlocks)
void gemm_grouped_kernel(View<T const, 2, Dev> x, View<int const, 1, Dev> rows, View<int const, 1, Dev> offsets,
                         View<T const* const, 1, Dev> w, Epilogue<T, Dev> epilogue, bool wide, View<TOut, 2, Dev> out) {
  using Shared = GemmMmaShared<Tr, T, false>;
  auto& s = simt::shared<Shared>();
  GroupTile const mine = find_group_tile(offsets, simt::block_idx().x, Tr::kM);
  if (mine.group < 0) return;  // the whole block
  Size const n0 = Size{simt::block_idx().y} * Tr::kN;
  View<T const, 2, Dev> const weight(w(mine.group), {out.extent(1), x.extent(1)});  // (N, K)
  tile::GatherCopy<T, typename Shared::X, Tr::kThreads> copy_x(x, simt::thread_idx(), [&](int i) -> Size {
    int const p = mine.first + i;
    return p >= mine.end ? Size{-1} : rows.data() != nullptr ? Size{rows(p)} : Size{p};
  });
  tile::TileCopy<T, typename Shared::W, Tr::kThreads> copy_w(weight, n0, 0, simt::thread_idx());
  float sum[Tr::kPartsM][Tr::kPartsN][4] = {};  // (kM, kN) over the block
  gemm_mma_sums(s, copy_x, copy_w, static_cast<int>((x.extent(1) + Tr::kK - 1) / Tr::kK), sum);
  gemm_mma_finish(s, sum, [&](float const* eight, int row, int col) {
    Size const p = Size{mine.first} + row, n = n0 + col;
    if (p < mine.end && n < out.extent(1)) tile::finish_eight(epilogue, eight, p, n, wide, out);
  });
}

/// x (rows of K), rows (P) of x in the order of the groups, or a null view where x already has that order; offsets (G + 1), from 0 to P,
/// ascending; w (G) pointers on the device to matrices (N, K) without gaps that begin on 16 bytes; out (P, N) of T or float, in the order
/// of the groups, as are the epilogue's factor and residual. K is a multiple of 8; rows of x are dense and begin on 16 bytes. What rows and
/// offsets say is not checked on Cuda. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <class Tr = GemmMmaSmall, simt::HalfReal T, class TOut, KernelDevice Dev>
void gemm_grouped(simt::Stream<Dev> stream, In<T, 2, Dev> x, View<int const, 1, Dev> rows, View<int const, 1, Dev> offsets,
                  View<T const* const, 1, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  Size const n = out.extent(1), k = x.extent(1), groups = w.extent(0);
  check_grouped<T, TOut, Dev>(x, rows, offsets, w, e, out);
  require<ArgumentError>(is_aligned(x, 16) && k % 8 == 0 && k < Size{1} << 28,
                         "gemm_grouped: x: rows must be dense, begin on 16 bytes and have a multiple of 8 columns below 2^28, found ", k);
  if (out.count() == 0 || groups == 0) return;
  simt::launch(stream,
               {.name = "gemm_grouped",
                .grid = {simt::ceil_div(out.extent(0), Tr::kM) + groups, simt::ceil_div(n, Tr::kN)},
                .block = Tr::kThreads,
                .shared = sizeof(GemmMmaShared<Tr, T, false>)},
               gemm_grouped_kernel<Tr, T, TOut, Dev>, x, rows, offsets, w, e, is_wide(e, out), out);
}

}  // namespace mgm::inline v0::kernels
