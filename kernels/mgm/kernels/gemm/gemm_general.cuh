/// The general matrix product: every shape, stride and alignment, float sums by FMA. The measure of all faster forms.
///   out = epilogue(x·wᵀ)
/// One block makes 64×64 of `out`, each thread 4×4; panels of 16 along K pass through shared memory as float.
#pragma once
#include <type_traits>

#include <mgm/core/cost.hpp>
#include <mgm/kernels/gemm/gemm_arguments.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/tile/epilogue.hpp>

namespace mgm::inline v0::kernels {

struct GemmGeneralTraits {
  static constexpr int kM = 64, kN = 64, kK = 16, kPart = 4;  // tile, panel, and the square of one thread; not measured yet
  static constexpr int kThreads = (kM / kPart) * (kN / kPart);
  static constexpr int kRegisters = 128;  // of a thread, at most: nvcc-gate
  struct Shared {
    float x[kK][kM + 4], w[kK][kN + 4];  // + 4: columns of the panel's store fall on different banks
  };
};

/// Row i of a tile's panel is row `row_of(i)` of `from`, columns [k, k + kK), turned; zeros for a row of -1 and beyond the last column.
template <class Tr, class T, class Dev, int kWidth, class Row>
  requires std::is_class_v<Row>
MGM_DEVICE void gemm_panel(View<T const, 2, Dev> const& from, Row row_of, Size k, float (&to)[Tr::kK][kWidth]) {
  for (int i = simt::thread_idx(); i < Tr::kK * Tr::kM; i += Tr::kThreads) {
    int const at = i / Tr::kK, col = i % Tr::kK;
    Size const row = row_of(at);
    to[col][at] = row >= 0 && k + col < from.extent(1) ? simt::widen(from(row, k + col)) : 0.0f;
  }
}

/// The same of the rows from `first` on.
template <class Tr, class T, class Dev, int kWidth>
MGM_DEVICE void gemm_panel(View<T const, 2, Dev> const& from, Size first, Size k, float (&to)[Tr::kK][kWidth]) {
  gemm_panel<Tr>(from, [&](int i) -> Size { return first + i < from.extent(0) ? first + i : Size{-1}; }, k, to);
}

/// The sums of a tile, whose rows are rows `row_of` of x and whose columns are those of w from n0 on: each thread's square begins at
/// (mine_m, mine_n) of it. All threads of the block meet.
template <class Tr, class T, class Dev, class Row>
MGM_DEVICE void gemm_general_sums(typename Tr::Shared& s, View<T const, 2, Dev> const& x, Row row_of, View<T const, 2, Dev> const& w,
                                  Size n0, int mine_m, int mine_n, float (&sum)[Tr::kPart][Tr::kPart]) {
  static_assert(Tr::kM == Tr::kN);
  for (Size k = 0; k < x.extent(1); k += Tr::kK) {
    gemm_panel<Tr>(x, row_of, k, s.x);  // (16, 64)
    gemm_panel<Tr>(w, n0, k, s.w);      // (16, 64)
    simt::sync_block();
    for (int i = 0; i < Tr::kK; ++i)
      MGM_UNROLL for (int a = 0; a < Tr::kPart; ++a)
        MGM_UNROLL for (int b = 0; b < Tr::kPart; ++b) sum[a][b] = simt::fma(s.x[i][mine_m + a], s.w[i][mine_n + b], sum[a][b]);
    simt::sync_block();  // before the panels are overwritten
  }
}

template <class T, class TOut, class Dev>
MGM_GLOBAL(GemmGeneralTraits::kThreads)
void gemm_general_kernel(View<T const, 2, Dev> x, View<T const, 2, Dev> w, Epilogue<T, Dev> epilogue, View<TOut, 2, Dev> out) {
  using Tr = GemmGeneralTraits;
  Size const m0 = Size{simt::block_idx().y} * Tr::kM, n0 = Size{simt::block_idx().x} * Tr::kN;
  int const mine_m = simt::thread_idx() / (Tr::kN / Tr::kPart) * Tr::kPart, mine_n = simt::thread_idx() % (Tr::kN / Tr::kPart) * Tr::kPart;
  auto const row = [&](int i) -> Size { return m0 + i < x.extent(0) ? m0 + i : Size{-1}; };
  float sum[Tr::kPart][Tr::kPart] = {};  // (4, 4)
  gemm_general_sums<Tr>(simt::shared<Tr::Shared>(), x, row, w, n0, mine_m, mine_n, sum);
  MGM_UNROLL for (int a = 0; a < Tr::kPart; ++a)
    MGM_UNROLL for (int b = 0; b < Tr::kPart; ++b) {  // unrolled: sums stay in registers
      Size const m = m0 + mine_m + a, n = n0 + mine_n + b;
      if (m < out.extent(0) && n < out.extent(1)) out(m, n) = simt::narrow<TOut>(tile::finish(epilogue, sum[a][b], m, n));
    }
}

/// x (M, K), w (N, K) — swap the strides of a (K, N) matrix for x·w — and out (M, N) of T or float, any strides; `out` may be the
/// epilogue's factor or residual. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, class TOut, KernelDevice Dev>
void gemm_general(simt::Stream<Dev> stream, In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  using Tr = GemmGeneralTraits;
  Size const m = out.extent(0), n = out.extent(1);
  check_gemm<T, TOut, Dev>(x, w, e, out);
  if (out.count() == 0) return;
  simt::launch(stream,
               {.name = "gemm_general",
                .grid = {simt::ceil_div(n, Tr::kN), simt::ceil_div(m, Tr::kM)},
                .block = Tr::kThreads,
                .shared = sizeof(Tr::Shared)},
               gemm_general_kernel<T, TOut, Dev>, x, w, e, out);
}

constexpr Cost gemm_cost(Size m, Size n, Size k, Size bytes, Size out_bytes) {
  return {(m + n) * k * bytes + m * n * out_bytes, 2 * m * n * k};
}

}  // namespace mgm::inline v0::kernels
