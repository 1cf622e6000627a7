/// Launchers compiled apart. Kernels for Cuda exist in nvcc's objects alone; g++ and clang call their launchers through `extern template`.
/// Those for Simt are compiled where they are called, unless the program has them compiled once too (core/compiled.hpp). Each file of this
/// folder lists the launchers of one family, once: MGM_X(TEMPLATE, T, Dev) for every element type, and MGM_X_16 for what the 16-bit types have
/// besides. ops/ includes these files; the files that mgm_instantiate writes define what they list.
#pragma once
#include <mgm/core/compiled.hpp>

#if defined(__CUDACC__)
#  define MGM_DECLARE_INSTANCES(FAMILY)
#else
#  define MGM_DECLARE_INSTANCES(FAMILY)                                                              \
    namespace mgm::inline v0::kernels {                                                              \
    FAMILY(extern template, float, Cuda)                                                             \
    FAMILY(extern template, bf16, Cuda) FAMILY##_16(extern template, bf16, Cuda)                     \
    FAMILY(extern template, half, Cuda) FAMILY##_16(extern template, half, Cuda)                     \
    MGM_DECLARE_COMPILED_SIMT(FAMILY)                                                                \
    }
#endif

/// The family for float, and for a 16-bit type: on Cuda in a .cu, on Simt in a .cpp.
#define MGM_DEFINE_INSTANCES(FAMILY, DEVICE)       \
  namespace mgm::inline v0::kernels {              \
  MGM_DEFINE_COMPILED(FAMILY, float, DEVICE)       \
  }
#define MGM_DEFINE_INSTANCES_16(FAMILY, T, DEVICE) \
  namespace mgm::inline v0::kernels {              \
  MGM_DEFINE_COMPILED_16(FAMILY, T, DEVICE)        \
  }
