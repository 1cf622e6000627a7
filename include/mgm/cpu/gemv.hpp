/// Products with few rows on the CPU: W streams from memory once, as it is stored, and is never turned over.
#pragma once
#include <mgm/core/epilogue.hpp>
#include <mgm/core/compiled.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/simd/scratch.hpp>
#include <mgm/cpu/simd/vec.hpp>

namespace mgm::inline v0::cpu {
/// Up to so many rows W is read row by row; above, turning it over into panels pays.
inline constexpr Size kFewRows = 16;
}  // namespace mgm::inline v0::cpu

#define MGM_SIMD_SOURCE <mgm/cpu/gemm_panel.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>
#define MGM_SIMD_SOURCE <mgm/cpu/gemm_kernel.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>
#define MGM_SIMD_SOURCE <mgm/cpu/gemv.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

/// gemm_nt for M <= kFewRows. A row's bits do not depend on the other rows. sizeof(T)·N·K bytes.
template <Real T, class TOut>
void gemv_nt(Executor const& ex, View<T const, 2, Cpu> a, View<T const, 2, Cpu> w, Epilogue<T, Cpu> const& e, View<TOut, 2, Cpu> out) {
  if constexpr (std::is_same_v<T, bf16>) MGM_SIMD_CALL_BF16(ex.isa, gemv<T, TOut>(ex, a, w, e, out));
  else MGM_SIMD_CALL(ex.isa, gemv<T, TOut>(ex, a, w, e, out));
}

#define MGM_CPU_GEMV_INTO(TEMPLATE, T, TOut, Dev) \
  TEMPLATE void gemv_nt<T, TOut>(Executor const&, View<T const, 2, Dev>, View<T const, 2, Dev>, Epilogue<T, Dev> const&, View<TOut, 2, Dev>);
#define MGM_CPU_GEMV(TEMPLATE, T, Dev) MGM_CPU_GEMV_INTO(TEMPLATE, T, T, Dev)
#define MGM_CPU_GEMV_16(TEMPLATE, T, Dev) MGM_CPU_GEMV_INTO(TEMPLATE, T, float, Dev)
MGM_DECLARE_COMPILED_CPU(MGM_CPU_GEMV)

}  // namespace mgm::inline v0::cpu
