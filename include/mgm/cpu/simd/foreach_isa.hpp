/// Reads the file that MGM_SIMD_SOURCE names once per instruction set (core/executor.hpp), each time under that set's target
/// attributes. Inside, MGM_ISA is the namespace to nest in and MGM_ISA_LEVEL is 0 portable, 1 avx2, 2 avx512, 3 avx512_bf16:
///   #define MGM_SIMD_SOURCE <mgm/cpu/gemm.inl>          // namespace mgm::inline v0::cpu::MGM_ISA { … }
///   #include <mgm/cpu/simd/foreach_isa.hpp>
/// What the source needs is included before it, never within it: a standard header must not be compiled under a target.
/// In the source: no lambdas (g++ gives their bodies no target), and vectors cross only always_inline calls.
// No #pragma once: it is read again for each kernel family.
#if defined(MGM_SIMD_SOURCE)

#  define MGM_ISA portable
#  define MGM_ISA_LEVEL 0
#  include MGM_SIMD_SOURCE
#  undef MGM_ISA
#  undef MGM_ISA_LEVEL

#  if defined(__x86_64__)

#    define MGM_ISA avx2
#    define MGM_ISA_LEVEL 1
#    if defined(__clang__)
#      pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#    else
#      pragma GCC push_options
#      pragma GCC target("avx2,fma,f16c")
#    endif
#    include MGM_SIMD_SOURCE
#    if defined(__clang__)
#      pragma clang attribute pop
#    else
#      pragma GCC pop_options
#    endif
#    undef MGM_ISA
#    undef MGM_ISA_LEVEL

#    define MGM_ISA avx512
#    define MGM_ISA_LEVEL 2
#    if defined(__clang__)
#      pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#    else
#      pragma GCC push_options
#      pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")
#    endif
#    include MGM_SIMD_SOURCE
#    if defined(__clang__)
#      pragma clang attribute pop
#    else
#      pragma GCC pop_options
#    endif
#    undef MGM_ISA
#    undef MGM_ISA_LEVEL

#    define MGM_ISA avx512_bf16
#    define MGM_ISA_LEVEL 3
#    if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))), apply_to = function)
#    else
#      pragma GCC push_options
#      pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,prefer-vector-width=512")
#    endif
#    include MGM_SIMD_SOURCE
#    if defined(__clang__)
#      pragma clang attribute pop
#    else
#      pragma GCC pop_options
#    endif
#    undef MGM_ISA
#    undef MGM_ISA_LEVEL

#  endif
#  undef MGM_SIMD_SOURCE
#endif
