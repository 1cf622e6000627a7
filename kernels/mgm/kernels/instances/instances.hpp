/// Launchers between two compilers. Kernels for Cuda exist in nvcc's objects alone; g++ and clang call their launchers through `extern
/// template`. Each file of this folder lists the launchers of one family, once: MGM_X(TEMPLATE, T) for every element type, and MGM_X_16 for
/// what the 16-bit types have besides. ops/ includes these files; the .cu files that mgm_instantiate writes define what they list.
#pragma once
#include <mgm/core/dtype.hpp>

#if defined(__CUDACC__)
#  define MGM_DECLARE_INSTANCES(FAMILY)
#else
#  define MGM_DECLARE_INSTANCES(FAMILY)                                                                                    \
    namespace mgm::inline v0::kernels {                                                                                    \
    FAMILY(extern template, float) FAMILY(extern template, bf16) FAMILY##_16(extern template, bf16)                        \
    FAMILY(extern template, half) FAMILY##_16(extern template, half)                                                       \
    }
#endif

/// In a .cu: the family for float, and for a 16-bit type.
#define MGM_DEFINE_INSTANCES(FAMILY)    \
  namespace mgm::inline v0::kernels {   \
  FAMILY(template, float)               \
  }
#define MGM_DEFINE_INSTANCES_16(FAMILY, T)          \
  namespace mgm::inline v0::kernels {               \
  FAMILY(template, T) FAMILY##_16(template, T)      \
  }
