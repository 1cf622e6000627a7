/// From an instruction set known at run time to the namespace compiled for it (foreach_isa.hpp).
///   MGM_SIMD_CALL(ex.isa, scale_rows<T>(x, 2.0f));       // portable::scale_rows, avx2::…, avx512::…
/// MGM_SIMD_CALL serves avx512_bf16 by avx512, which computes the same and costs no fourth instantiation; kernels that use the
/// bf16 dot product call MGM_SIMD_CALL_BF16. Both are statements; the call may assign: MGM_SIMD_CALL(isa, y = sum(x)) is not
/// possible, since the namespace comes first, so results travel through arguments.
#pragma once
#include <mgm/core/executor.hpp>

// Unrolls the loop that follows, whatever the optimisation level: accumulators must live in registers.
#if defined(__CUDACC__)  // nvcc knows neither word, and nothing here is timed by what it compiles
#  define MGM_SIMD_UNROLL
#elif defined(__clang__)
#  define MGM_SIMD_UNROLL _Pragma("clang loop unroll(full)")
#else
#  define MGM_SIMD_UNROLL _Pragma("GCC unroll 64")
#endif

#if defined(__x86_64__)
#  define MGM_SIMD_CALL(isa, ...)                                                  \
    do {                                                                           \
      switch (isa) {                                                               \
        case ::mgm::Isa::portable: ::mgm::cpu::portable::__VA_ARGS__; break;       \
        case ::mgm::Isa::avx2: ::mgm::cpu::avx2::__VA_ARGS__; break;               \
        case ::mgm::Isa::avx512:                                                   \
        case ::mgm::Isa::avx512_bf16: ::mgm::cpu::avx512::__VA_ARGS__; break;      \
      }                                                                            \
    } while (false)
#  define MGM_SIMD_CALL_BF16(isa, ...)                                             \
    do {                                                                           \
      switch (isa) {                                                               \
        case ::mgm::Isa::portable: ::mgm::cpu::portable::__VA_ARGS__; break;       \
        case ::mgm::Isa::avx2: ::mgm::cpu::avx2::__VA_ARGS__; break;               \
        case ::mgm::Isa::avx512: ::mgm::cpu::avx512::__VA_ARGS__; break;           \
        case ::mgm::Isa::avx512_bf16: ::mgm::cpu::avx512_bf16::__VA_ARGS__; break; \
      }                                                                            \
    } while (false)
#else
#  define MGM_SIMD_CALL(isa, ...) \
    do {                          \
      (void)(isa);                \
      ::mgm::cpu::portable::__VA_ARGS__; \
    } while (false)
#  define MGM_SIMD_CALL_BF16(isa, ...) MGM_SIMD_CALL(isa, __VA_ARGS__)
#endif
