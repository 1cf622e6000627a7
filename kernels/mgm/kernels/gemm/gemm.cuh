/// The matrix product of layers: out = epilogue(x·wᵀ), by the form that its shape calls for.
#pragma once
#include <string_view>

#include <mgm/core/prefer.hpp>
#include <mgm/kernels/gemm/gemm_general.cuh>
#include <mgm/kernels/gemm/gemm_mma.cuh>
#include <mgm/kernels/gemm/gemm_skinny.cuh>
#include <mgm/kernels/gemm/gemm_split.cuh>

namespace mgm::inline v0::kernels {

enum class GemmForm { general, skinny, mma_small, mma_large, vendor };
[[nodiscard]] constexpr std::string_view name(GemmForm form) {
  constexpr std::string_view kNames[] = {"general", "skinny", "mma_small", "mma_large", "vendor"};
  return kNames[static_cast<int>(form)];
}

/// What decides: extents, bytes of an element, and what gemm_skinny_fits and gemm_mma_fits say of how x and w lie;
/// whether there is a library that has such a product, and what is preferred.
struct GemmShape {
  Size m, n, k;
  int bytes;
  bool skinny_fits = true, mma_fits = true, vendor_takes = false;
  Prefer prefer = Prefer::table;
};
/// The form that a product takes. Few rows read w once on CUDA cores; f32 is exact and has no other tuned form. Of the two tiles the large
/// one moves fewer bytes, once it makes a block for each of an A100's 108 multiprocessors; both give the same bits. No GPU has measured
/// this table; until one has, a library's product is taken only where it is preferred.
[[nodiscard]] constexpr GemmForm choose_gemm(GemmShape const& s) {
  if (s.vendor_takes && s.prefer == Prefer::vendor) return GemmForm::vendor;
  if (s.m <= GemmSkinnyTraits::kMaxRows && s.skinny_fits) return GemmForm::skinny;
  if (s.bytes != 2 || !s.mma_fits) return GemmForm::general;
  return simt::ceil_div(s.m, GemmMmaLarge::kM) * simt::ceil_div(s.n, GemmMmaLarge::kN) >= 108 ? GemmForm::mma_large : GemmForm::mma_small;
}

namespace detail {
template <Real T, KernelDevice Dev>
GemmForm form_of(bool tuned, View<T const, 2, Dev> x, View<T const, 2, Dev> w) {
  if (!tuned) return GemmForm::general;
  return choose_gemm({x.extent(0), w.extent(0), x.extent(1), int{sizeof(T)}, gemm_skinny_fits(x, w), gemm_mma_fits(x, w)});
}
}  // namespace detail

/// The scratch that the product takes for K in parts, (parts, M, N) of float; no parts: none.
template <Real T, KernelDevice Dev>
[[nodiscard]] Extents<3> gemm_scratch(bool tuned, std::type_identity_t<View<T const, 2, Dev>> x,
                                      std::type_identity_t<View<T const, 2, Dev>> w) {
  int const parts = detail::form_of<T, Dev>(tuned, x, w) >= GemmForm::mma_small ? gemm_parts(w.extent(0), x.extent(1)) : 1;
  return parts > 1 ? Extents<3>{parts, x.extent(0), w.extent(0)} : Extents<3>{};
}

/// x (M, K), w (N, K) — swap the strides of a (K, N) matrix for x·w — out (M, N) of T or float; sums in float. `tuned` allows the forms
/// that need certain shapes and alignments; without it the general form is taken. With the `scratch` that gemm_scratch asks for, K goes in
/// parts. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, class TOut, KernelDevice Dev>
void gemm(simt::Stream<Dev> stream, bool tuned, In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out,
          std::type_identity_t<View<float, 3, Dev>> scratch = {}) {
  GemmForm const form = detail::form_of<T, Dev>(tuned, x, w);
  if (form == GemmForm::skinny) return gemm_skinny<T, TOut, Dev>(stream, x, w, e, out);
  if constexpr (simt::HalfReal<T>) {
    auto const take = [&]<class Tr>(std::type_identity<Tr>) {
      if (scratch.extent(0) > 1) gemm_split<Tr, T, TOut, Dev>(stream, x, w, e, scratch, out);
      else gemm_mma<Tr, T, TOut, Dev>(stream, x, w, e, out);
    };
    if (form == GemmForm::mma_large) return take(std::type_identity<GemmMmaLarge>{});
    if (form == GemmForm::mma_small) return take(std::type_identity<GemmMmaSmall>{});
  }
  gemm_general<T, TOut, Dev>(stream, x, w, e, out);
}

}  // namespace mgm::inline v0::kernels
