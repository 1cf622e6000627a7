/// What a program has compiled apart. Headers alone are enough; but a program of many files pays for a template in each. The CMake function
/// mgm_instantiate compiles the kernels and models for given element types and devices once, and defines MGM_COMPILED_<DEVICE>_<TYPE> for the
/// files of its target, which then only declare them:
///   #define MGM_SOFTMAX(TEMPLATE, T, Dev) TEMPLATE void softmax<T>(Executor const&, In<T, 2, Dev>, Out<T, 2, Dev>);
///   namespace mgm::inline v0::cpu { MGM_DECLARE_COMPILED_CPU(MGM_SOFTMAX) }        // extern template, for the types compiled apart
///   namespace mgm::inline v0::cpu { MGM_SOFTMAX(template, float, Cpu) }            // in the one file that defines them
/// A family FAMILY has a twin FAMILY_16 for what the 16-bit types have besides.
#pragma once
#include <mgm/core/device.hpp>
#include <mgm/core/dtype.hpp>

#if defined(MGM_COMPILED_CPU_F32)
#  define MGM_WITH_CPU_F32(...) __VA_ARGS__
#else
#  define MGM_WITH_CPU_F32(...)
#endif
#if defined(MGM_COMPILED_CPU_BF16)
#  define MGM_WITH_CPU_BF16(...) __VA_ARGS__
#else
#  define MGM_WITH_CPU_BF16(...)
#endif
#if defined(MGM_COMPILED_CPU_F16)
#  define MGM_WITH_CPU_F16(...) __VA_ARGS__
#else
#  define MGM_WITH_CPU_F16(...)
#endif
#if defined(MGM_COMPILED_SIMT_F32)
#  define MGM_WITH_SIMT_F32(...) __VA_ARGS__
#else
#  define MGM_WITH_SIMT_F32(...)
#endif
#if defined(MGM_COMPILED_SIMT_BF16)
#  define MGM_WITH_SIMT_BF16(...) __VA_ARGS__
#else
#  define MGM_WITH_SIMT_BF16(...)
#endif
#if defined(MGM_COMPILED_SIMT_F16)
#  define MGM_WITH_SIMT_F16(...) __VA_ARGS__
#else
#  define MGM_WITH_SIMT_F16(...)
#endif

#define MGM_DECLARE_COMPILED_CPU(FAMILY)                                                \
  MGM_WITH_CPU_F32(FAMILY(extern template, float, Cpu))                                 \
  MGM_WITH_CPU_BF16(FAMILY(extern template, bf16, Cpu) FAMILY##_16(extern template, bf16, Cpu)) \
  MGM_WITH_CPU_F16(FAMILY(extern template, half, Cpu) FAMILY##_16(extern template, half, Cpu))
#define MGM_DECLARE_COMPILED_SIMT(FAMILY)                                                  \
  MGM_WITH_SIMT_F32(FAMILY(extern template, float, Simt))                                  \
  MGM_WITH_SIMT_BF16(FAMILY(extern template, bf16, Simt) FAMILY##_16(extern template, bf16, Simt)) \
  MGM_WITH_SIMT_F16(FAMILY(extern template, half, Simt) FAMILY##_16(extern template, half, Simt))

/// All of a family for an element type, where it is defined.
#define MGM_DEFINE_COMPILED(FAMILY, T, DEVICE) FAMILY(template, T, DEVICE)
#define MGM_DEFINE_COMPILED_16(FAMILY, T, DEVICE) FAMILY(template, T, DEVICE) FAMILY##_16(template, T, DEVICE)
