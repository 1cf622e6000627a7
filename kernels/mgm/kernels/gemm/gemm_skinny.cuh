/// The matrix product of at most 16 rows, bound by the reading of w: each weight is read once, 16 bytes an access, in every type.
///   out = epilogue(x·wᵀ)
/// A block makes kCols columns of all rows; its threads share K. The tree of a sum is fixed: thread t of 128 adds the vectors t, t + 128, …
/// of the row in order, then come the lanes of each warp (simt::warp_sum), then the four warps. So the bits of a row depend neither on how
/// many rows there are nor on the grid. Not measured on any GPU.
#pragma once
#include <type_traits>

#include <mgm/core/cost.hpp>
#include <mgm/kernels/gemm/gemm_arguments.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/tile/epilogue.hpp>
#include <mgm/tile/warp_spread.hpp>

namespace mgm::inline v0::kernels {

struct GemmSkinnyTraits {
  static constexpr int kMaxRows = 16, kCols = 4, kWarps = 4, kThreads = 32 * kWarps;  // 4 columns: as many loads of w under way a thread
  static constexpr int kRegisters = 255;                                              // of a thread, at most: nvcc-gate
};

template <int kRows>
struct GemmSkinnyShared {
  float sum[GemmSkinnyTraits::kWarps][kRows * GemmSkinnyTraits::kCols];
};

/// The sums of all rows of x with the kCols rows of w from n0 on: thread t of the first kRows·kCols returns that of row t / kCols and
/// column n0 + t % kCols, others nothing of use. All threads of a block meet.
template <int kRows, class T, class Dev>
MGM_DEVICE float skinny_sums(View<T const, 2, Dev> const& x, View<T const, 2, Dev> const& w, Size n0, GemmSkinnyShared<kRows>& shared) {
  using Tr = GemmSkinnyTraits;
  constexpr int kVec = 16 / static_cast<int>(sizeof(T)), kSums = kRows * Tr::kCols;
  T const *from_x[kRows], *from_w[Tr::kCols];  // rows beyond the edge read the last one again; their sums are not stored
  MGM_UNROLL for (int m = 0; m < kRows; ++m) from_x[m] = x.row(m < x.extent(0) ? m : x.extent(0) - 1);
  MGM_UNROLL for (int n = 0; n < Tr::kCols; ++n) from_w[n] = w.row(n0 + n < w.extent(0) ? n0 + n : w.extent(0) - 1);

  float sum[kSums] = {};  // (kRows, kCols)
  for (Size k = Size{simt::thread_idx()} * kVec; k < x.extent(1); k += Tr::kThreads * kVec) {
    simt::Vec<T, kVec> weight[Tr::kCols];
    MGM_UNROLL for (int n = 0; n < Tr::kCols; ++n) weight[n] = simt::load<kVec>(from_w[n] + k);
    MGM_UNROLL for (int m = 0; m < kRows; ++m) {
      auto const value = simt::load<kVec>(from_x[m] + k);
      MGM_UNROLL for (int n = 0; n < Tr::kCols; ++n)
        MGM_UNROLL for (int i = 0; i < kVec; ++i)
          sum[m * Tr::kCols + n] = simt::fma(simt::widen(value[i]), simt::widen(weight[n][i]), sum[m * Tr::kCols + n]);
    }
  }
  static_assert(Tr::kWarps == 4 && kSums <= Tr::kThreads);
  return tile::block_spread_sums(sum, shared.sum);
}

template <int kRows, class T, class TOut, class Dev>
MGM_GLOBAL(GemmSkinnyTraits::kThreads)
void gemm_skinny_kernel(View<T const, 2, Dev> x, View<T const, 2, Dev> w, Epilogue<T, Dev> epilogue, View<TOut, 2, Dev> out) {
  constexpr int kCols = GemmSkinnyTraits::kCols;
  int const thread = simt::thread_idx();
  Size const n0 = Size{simt::block_idx().x} * kCols, m = thread / kCols, n = n0 + thread % kCols;
  float const sum = skinny_sums<kRows>(x, w, n0, simt::shared<GemmSkinnyShared<kRows>>());
  if (thread < kRows * kCols && m < out.extent(0) && n < out.extent(1)) out(m, n) = simt::narrow<TOut>(tile::finish(epilogue, sum, m, n));
}

/// Whether x (M, K) and w (N, K) can take this form: M at most 16, rows of both begin on 16 bytes, and K is whole vectors of 16 bytes.
template <Real T, KernelDevice Dev>
[[nodiscard]] bool gemm_skinny_fits(View<T const, 2, Dev> x, View<T const, 2, Dev> w) {
  return x.extent(0) <= GemmSkinnyTraits::kMaxRows && is_aligned(x, 16) && is_aligned(w, 16) && x.extent(1) * Size{sizeof(T)} % 16 == 0;
}

/// Calls send with the least of 1, 2, 4, 8 and 16 rows that holds m, as a type.
template <class Send>
void skinny_rows(Size m, Send const& send) {
  if (m == 1)
    send(std::integral_constant<int, 1>{});
  else if (m == 2)
    send(std::integral_constant<int, 2>{});
  else if (m <= 4)
    send(std::integral_constant<int, 4>{});
  else if (m <= 8)
    send(std::integral_constant<int, 8>{});
  else
    send(std::integral_constant<int, 16>{});
}

/// x (M <= 16, K), w (N, K), out (M, N) of T or float; rows of x and w are dense and begin on 16 bytes, K is a multiple of 16 bytes. `out`
/// and the epilogue lie as they like. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, class TOut, KernelDevice Dev>
void gemm_skinny(simt::Stream<Dev> stream, In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  using Tr = GemmSkinnyTraits;
  check_gemm<T, TOut, Dev>(x, w, e, out);
  require<ArgumentError>(gemm_skinny_fits<T, Dev>(x, w), "gemm_skinny: needs at most 16 rows, found ", x.extent(0),
                         ", and x and w with dense rows of whole 16 bytes that begin on 16 bytes");
  if (out.count() == 0) return;
  skinny_rows(x.extent(0), [&]<int kRows>(std::integral_constant<int, kRows>) {
    simt::launch(stream,
                 {.name = "gemm_skinny",
                  .grid = simt::ceil_div(out.extent(1), Tr::kCols),
                  .block = Tr::kThreads,
                  .shared = sizeof(GemmSkinnyShared<kRows>)},
                 gemm_skinny_kernel<kRows, T, TOut, Dev>, x, w, e, out);
  });
}

}  // namespace mgm::inline v0::kernels
