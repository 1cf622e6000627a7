/// Normalisation over the last axis. Statistics and arithmetic are float whatever T is; one row is never split between threads.
#pragma once
#include <mgm/core/compiled.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/rows.hpp>
#include <mgm/cpu/simd/vec.hpp>

#define MGM_SIMD_SOURCE <mgm/cpu/norm.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

/// LayerNorm: out = (x − mean) / sqrt(var + eps) · gain + bias, mean and biased variance over C, the variance from centred squares.
/// x, out (N, C); gain, bias (C); last axes dense. `out` may be x.
template <Real T>
void layer_norm(Executor const& ex, In<T, 2> x, In<T, 1> gain, In<T, 1> bias, float eps, Out<T, 2> out) {
  for_rows(ex, x.extent(0), x.extent(1), [&](Size n) {
    MGM_SIMD_CALL(ex.isa, layer_norm_row(x.row(n), gain.data(), bias.data(), eps, x.extent(1), out.row(n)));
  });
}

/// RMSNorm: y = x / sqrt(mean(x²) + eps); out = gain · cast(y) when `offset` is 0 (LLaMA, Mixtral: y is rounded to T first),
/// and cast(y · (gain + offset)) otherwise (Gemma stores gain − 1: offset 1). x, out (N, C), last axes dense. `out` may be x.
template <Real T>
void rms_norm(Executor const& ex, In<T, 2> x, In<T, 1> gain, float eps, float offset, Out<T, 2> out) {
  for_rows(ex, x.extent(0), x.extent(1), [&](Size n) {
    MGM_SIMD_CALL(ex.isa, rms_norm_row(x.row(n), gain.data(), eps, offset, x.extent(1), out.row(n)));
  });
}

#define MGM_CPU_NORM(TEMPLATE, T, Dev)                                                                                  \
  TEMPLATE void layer_norm<T>(Executor const&, In<T, 2, Dev>, In<T, 1, Dev>, In<T, 1, Dev>, float, Out<T, 2, Dev>);    \
  TEMPLATE void rms_norm<T>(Executor const&, In<T, 2, Dev>, In<T, 1, Dev>, float, float, Out<T, 2, Dev>);
#define MGM_CPU_NORM_16(TEMPLATE, T, Dev)
MGM_DECLARE_COMPILED_CPU(MGM_CPU_NORM)

}  // namespace mgm::inline v0::cpu
