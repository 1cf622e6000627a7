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
/// Before `void x_kernel(…)`: an entry point for blocks of `threads` threads, and at least so many blocks a multiprocessor: one, if not given.
/// ptxas that is told of no second number takes as few registers as five blocks would have, and spills.
#  define MGM_GLOBAL(...) __global__ __launch_bounds__(::mgm::simt::detail::threads_of(__VA_ARGS__), ::mgm::simt::detail::blocks_of(__VA_ARGS__))
#  define MGM_UNROLL _Pragma("unroll")
#  define MGM_UNROLL_BY(times) MGM_PRAGMA(unroll times)  // 1: stays a loop, whatever the compiler thinks of it
#  define MGM_PRAGMA(words) _Pragma(#words)
#  define MGM_ROLLED _Pragma("unroll 1")
#else
#  define MGM_TWIN on_host
#  define MGM_DEVICE inline
#  define MGM_GLOBAL(...)
#  define MGM_UNROLL
#  define MGM_UNROLL_BY(times)
#  define MGM_ROLLED
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

#if defined(__CUDACC__)
namespace detail {
constexpr int threads_of(int threads, int = 1) { return threads; }
constexpr int blocks_of(int, int blocks = 1) { return blocks; }
}  // namespace detail
#endif

inline constexpr int kWarp = 32;
inline constexpr unsigned kFullMask = 0xFFFFFFFFu;

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
