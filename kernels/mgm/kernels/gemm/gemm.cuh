/// The matrix product of layers: out = epilogue(x·wᵀ), by the form that its shape calls for.
#pragma once
#include <string_view>

#include <mgm/kernels/gemm/gemm_general.cuh>
#include <mgm/kernels/gemm/gemm_mma.cuh>
#include <mgm/kernels/gemm/gemm_skinny.cuh>

namespace mgm::inline v0::kernels {

enum class GemmForm { general, skinny, mma_small, mma_large };
[[nodiscard]] constexpr std::string_view name(GemmForm form) {
  constexpr std::string_view kNames[] = {"general", "skinny", "mma_small", "mma_large"};
  return kNames[static_cast<int>(form)];
}

/// What decides: extents, bytes of an element, and what gemm_skinny_fits and gemm_mma_fits say of how x and w lie.
struct GemmShape {
  Size m, n, k;
  int bytes;
  bool skinny_fits = true, mma_fits = true;
};
/// The form that a product takes. Few rows read w once on CUDA cores; f32 is exact and has no other tuned form. Of the two tiles the large one
/// moves fewer bytes, once it makes a block for each of an A100's 108 multiprocessors; both give the same bits. No GPU has measured this table.
[[nodiscard]] constexpr GemmForm choose_gemm(GemmShape const& s) {
  if (s.m <= GemmSkinnyTraits::kMaxRows && s.skinny_fits) return GemmForm::skinny;
  if (s.bytes != 2 || !s.mma_fits) return GemmForm::general;
  return simt::ceil_div(s.m, GemmMmaLarge::kM) * simt::ceil_div(s.n, GemmMmaLarge::kN) >= 108 ? GemmForm::mma_large : GemmForm::mma_small;
}

/// x (M, K), w (N, K) — swap the strides of a (K, N) matrix for x·w — out (M, N) of T or float; sums in float. `tuned` allows the forms that
/// need certain shapes and alignments; without it the general form is taken. Enqueues and returns. Throws ShapeError and ArgumentError naming
/// the argument.
template <Real T, class TOut, KernelDevice Dev>
void gemm(simt::Stream<Dev> stream, bool tuned, In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  GemmShape const shape{out.extent(0), out.extent(1), x.extent(1), int{sizeof(T)}, gemm_skinny_fits<T, Dev>(x, w), gemm_mma_fits<T, Dev>(x, w)};
  GemmForm const form = tuned ? choose_gemm(shape) : GemmForm::general;
  if (form == GemmForm::skinny) return gemm_skinny<T, TOut, Dev>(stream, x, w, e, out);
  if constexpr (simt::HalfReal<T>) {
    if (form == GemmForm::mma_large) return gemm_mma<GemmMmaLarge, T, TOut, Dev>(stream, x, w, e, out);
    if (form == GemmForm::mma_small) return gemm_mma<GemmMmaSmall, T, TOut, Dev>(stream, x, w, e, out);
  }
  gemm_general<T, TOut, Dev>(stream, x, w, e, out);
}

}  // namespace mgm::inline v0::kernels
