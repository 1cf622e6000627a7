/// Matrix products on the CPU: panels, register tiles, blocks for L1 and L2, epilogue at the store. Weights are read as they are stored.
#pragma once
#include <mgm/core/epilogue.hpp>
#include <mgm/core/compiled.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/gemv.hpp>
#include <mgm/cpu/simd/scratch.hpp>
#include <mgm/cpu/simd/vec.hpp>

#define MGM_SIMD_SOURCE <mgm/cpu/gemm.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

/// out = epilogue(a·wᵀ).   a (M, K), w (N, K) as checkpoints store it, out (M, N) of T or float.
/// Sums in float; bf16 products by pairs on avx512_bf16 (subnormal bf16 count as zero there), else exactly widened, then float FMA.
/// Last axes contiguous, rows at any stride; shapes must fit (ops checks them). K = 0 gives the epilogue of zero.
/// Returns when done. The same bits for any number of threads. 2·M·N·K flops; w is read once for up to 384 rows or more.
/// Throws MemoryError.
template <Real T, class TOut>
void gemm_nt(Executor const& ex, View<T const, 2, Cpu> a, View<T const, 2, Cpu> w, Epilogue<T, Cpu> const& e, View<TOut, 2, Cpu> out) {
  if (out.extent(0) <= kFewRows) return gemv_nt<T, TOut>(ex, a, w, e, out);
  if constexpr (std::is_same_v<T, bf16>) MGM_SIMD_CALL_BF16(ex.isa, gemm<T, TOut, true>(ex, a, w, e, out));
  else MGM_SIMD_CALL(ex.isa, gemm<T, TOut, true>(ex, a, w, e, out));
}
/// out = epilogue(a·w).   a (M, K), w (K, N), out (M, N); else as gemm_nt.
template <Real T, class TOut>
void gemm_nn(Executor const& ex, View<T const, 2, Cpu> a, View<T const, 2, Cpu> w, Epilogue<T, Cpu> const& e, View<TOut, 2, Cpu> out) {
  if constexpr (std::is_same_v<T, bf16>) MGM_SIMD_CALL_BF16(ex.isa, gemm<T, TOut, false>(ex, a, w, e, out));
  else MGM_SIMD_CALL(ex.isa, gemm<T, TOut, false>(ex, a, w, e, out));
}

#define MGM_CPU_GEMM_INTO(TEMPLATE, T, TOut, Dev)                                                                                        \
  TEMPLATE void gemm_nt<T, TOut>(Executor const&, View<T const, 2, Dev>, View<T const, 2, Dev>, Epilogue<T, Dev> const&, View<TOut, 2, Dev>); \
  TEMPLATE void gemm_nn<T, TOut>(Executor const&, View<T const, 2, Dev>, View<T const, 2, Dev>, Epilogue<T, Dev> const&, View<TOut, 2, Dev>);
#define MGM_CPU_GEMM(TEMPLATE, T, Dev) MGM_CPU_GEMM_INTO(TEMPLATE, T, T, Dev)
#define MGM_CPU_GEMM_16(TEMPLATE, T, Dev) MGM_CPU_GEMM_INTO(TEMPLATE, T, float, Dev)
MGM_DECLARE_COMPILED_CPU(MGM_CPU_GEMM)

}  // namespace mgm::inline v0::cpu
