/// Convolutions over channels-last maps on the CPU, as matrix products whose left operand is never written out.
#pragma once
#include <mgm/core/compiled.hpp>
#include <mgm/core/epilogue.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/core/map_source.hpp>
#include <mgm/core/window.hpp>
#include <mgm/cpu/gemm.hpp>
#include <mgm/cpu/group_norm.hpp>

#define MGM_SIMD_SOURCE <mgm/cpu/conv_kernel.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>
#define MGM_SIMD_SOURCE <mgm/cpu/conv.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>
#define MGM_SIMD_SOURCE <mgm/cpu/conv_upsample.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

/// out[pixel] = epilogue(Σ over the window's taps and channels of w·x).   x as core/map_source.hpp says; w (N, side²·C) in (ky, kx, c)
/// order; out (out_rows·out_cols, N) of T or float, a row a pixel. What is normalised is rounded to T for bf16 on avx512_bf16, else it
/// stays float. Sums in float, as gemm_nt. Shapes must fit (ops checks them). Returns when done. The same bits for any number of threads.
/// 2·pixels·N·side²·C flops; 4/9 of them for 3×3 behind a doubling of the map, where taps that read one pixel are summed first (and rounded
/// to bf16 once more on avx512_bf16). Memory: bands of about 8 MiB of the map with its edges, and sums. Throws MemoryError.
template <Real T, class TOut>
void conv(Executor const& ex, MapSource<T, Cpu> const& x, Window const& window, View<T const, 2, Cpu> w, Epilogue<T, Cpu> const& e,
          View<TOut, 2, Cpu> out) {
  if constexpr (std::is_same_v<T, bf16>)
    MGM_SIMD_CALL_BF16(ex.isa, conv_any<T, TOut>(ex, x, window, w, e, out));
  else
    MGM_SIMD_CALL(ex.isa, conv_any<T, TOut>(ex, x, window, w, e, out));
}

#define MGM_CPU_CONV_INTO(TEMPLATE, T, TOut, Dev)                                                                                          \
  TEMPLATE void conv<T, TOut>(Executor const&, MapSource<T, Dev> const&, Window const&, View<T const, 2, Dev>, Epilogue<T, Dev> const&,    \
                              View<TOut, 2, Dev>);
#define MGM_CPU_CONV(TEMPLATE, T, Dev) MGM_CPU_CONV_INTO(TEMPLATE, T, T, Dev)
#define MGM_CPU_CONV_16(TEMPLATE, T, Dev) MGM_CPU_CONV_INTO(TEMPLATE, T, float, Dev)
MGM_DECLARE_COMPILED_CPU(MGM_CPU_CONV)

}  // namespace mgm::inline v0::cpu
