/// What the compiler must know about us: markers for code that two compilers read, and the refusal of machines we cannot serve.
/// Functions of core and mem that kernels call are MGM_HD; under a host compiler the marker is empty.
#pragma once
#include <bit>
#include <cstdint>

#if defined(__CUDACC__)
#  define MGM_HD __host__ __device__
#else
#  define MGM_HD
#endif

#if defined(__GNUC__) || defined(__clang__)
#  define MGM_INLINE inline __attribute__((always_inline))
#  define MGM_NOINLINE __attribute__((noinline))
#else
#  define MGM_INLINE inline
#  define MGM_NOINLINE
#endif

namespace mgm::inline v0 {

static_assert(std::endian::native == std::endian::little, "mgm maps weights as they are stored: the machine must be little-endian");

/// Counts of elements and bytes, and offsets between them.
using Size = std::int64_t;

}  // namespace mgm::inline v0
