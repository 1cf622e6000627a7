/// Vectors of floats, once per instruction set (namespaces cpu::portable, avx2, avx512, avx512_bf16; see foreach_isa.hpp):
/// load and store of float, bf16 and half, whole or partial, sums in a fixed order, exp and the activations.
/// A kernel text written over these names is compiled for all of them. `F` holds kLanes floats and has + - * / and < by itself.
#pragma once
#if defined(__x86_64__)
#  include <immintrin.h>
#endif
#include <mgm/core/dtype.hpp>
#include <mgm/core/epilogue.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/cpu/simd/dispatch.hpp>

#define MGM_SIMD_SOURCE <mgm/cpu/simd/vec.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>
#define MGM_SIMD_SOURCE <mgm/cpu/simd/math.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>
