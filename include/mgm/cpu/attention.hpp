/// Scaled dot-product attention on the CPU.
#pragma once
#include <type_traits>

#include <mgm/core/compiled.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/gemv.hpp>

#define MGM_SIMD_SOURCE <mgm/cpu/attention_blocks.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>
#define MGM_SIMD_SOURCE <mgm/cpu/attention_stream.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

/// out[i,h] = Σ_j softmax_j(scale·q[i,h]·k[j,g])·v[j,g],  g = h / (H / Hkv).
/// q, out (Tq, H, d); k, v (Tk, Hkv, d); any strides, last axis contiguous. Causal: query i stands at Tk − Tq + i and sees no later key.
/// Scores, softmax and sums in float; for bf16 on avx512_bf16 the probabilities of many rows are rounded to bf16 before they meet v.
/// Shapes must fit (ops checks them). Returns when done. The same bits for any number of threads. 4·Tq·Tk·H·d flops, half if causal;
/// up to 16 rows for each key/value head (decoding) k and v are read once. Throws MemoryError.
template <Real T>
void attention(Executor const& ex, View<T const, 3, Cpu> q, View<T const, 3, Cpu> k, View<T const, 3, Cpu> v, float scale, bool causal,
               View<T, 3, Cpu> out) {
  if constexpr (std::is_same_v<T, bf16>) MGM_SIMD_CALL_BF16(ex.isa, attend<T>(ex, q, k, v, scale, causal, out));
  else MGM_SIMD_CALL(ex.isa, attend<T>(ex, q, k, v, scale, causal, out));
}

#define MGM_CPU_ATTENTION(TEMPLATE, T, Dev)                                                                                  \
  TEMPLATE void attention<T>(Executor const&, View<T const, 3, Dev>, View<T const, 3, Dev>, View<T const, 3, Dev>, float, bool, \
                             View<T, 3, Dev>);
#define MGM_CPU_ATTENTION_16(TEMPLATE, T, Dev)
MGM_DECLARE_COMPILED_CPU(MGM_CPU_ATTENTION)

}  // namespace mgm::inline v0::cpu
