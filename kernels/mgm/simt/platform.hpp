/// One source, two compilers: the words in which a kernel is written, and what each compiler makes of them.
/// nvcc compiles kernels for `Cuda`; g++ and clang compile the same text for `Simt`, where fibers run it.
/// Only this folder knows which compiler reads. What has two bodies lives in the inline namespace MGM_TWIN, so that an object of nvcc and
/// one of g++ never share a symbol that differs.
#pragma once
#include <mgm/core/device.hpp>
#include <mgm/core/platform.hpp>

#if defined(__CUDACC__)
#  define MGM_TWIN on_cuda
#  define MGM_DEVICE __device__ __forceinline__
/// Before `void x_kernel(…)`: an entry point for blocks of `threads` threads (and, if given, at least so many blocks a multiprocessor).
#  define MGM_GLOBAL(...) __global__ __launch_bounds__(__VA_ARGS__)
#  define MGM_UNROLL _Pragma("unroll")
#else
#  define MGM_TWIN on_host
#  define MGM_DEVICE inline
#  define MGM_GLOBAL(...)
#  define MGM_UNROLL
#endif

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// A line of kernel source, for reports; nothing on Cuda.
struct Site {
#if defined(__CUDACC__)
  MGM_HD static constexpr Site here() { return {}; }
#else
  char const* file = "";
  int line = 0;
  static constexpr Site here(char const* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
#endif
};

/// The device that this compiler makes kernels for.
#if defined(__CUDACC__)
using KernelsFor = Cuda;
#else
using KernelsFor = Simt;
#endif

inline constexpr int kWarp = 32;
inline constexpr unsigned kFullMask = 0xFFFFFFFFu;

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
