/// What the machine can do at most, measured beside what we reach: bytes read and summed, multiply-adds from registers.
#pragma once
#include <atomic>

#include <mgm/cpu/gemv.hpp>
#define MGM_SIMD_SOURCE <support/ceilings.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace bench {
using namespace mgm;

/// Sums the 32-bit words of a block, a multiple of 1 MiB, in pieces of 1 MiB spread over the threads.
inline std::uint64_t read_sum(Executor const& ex, void const* p, Size bytes) {
  std::atomic<std::uint64_t> total{0};
  constexpr Size kPiece = Size{1} << 20;
  ex.parallel(bytes / kPiece, [&](Size i) {
    std::uint64_t part = 0;
    MGM_SIMD_CALL(ex.isa, read_words(static_cast<std::byte const*>(p) + i * kPiece, kPiece, part));
    total += part;
  });
  return total;
}

/// Runs multiply-adds from registers on all threads, of bf16 pairs where the path has them and `pairs` asks. Returns the flops done.
inline double spin(Executor const& ex, bool pairs, Size steps = 2'000'000) {
  std::atomic<double> total{0};
  ex.parallel(ex.threads->concurrency(), [&](Size) {
    double flops = 0;
    float seed = 1e-30f;
    if (pairs) MGM_SIMD_CALL_BF16(ex.isa, spin<true>(steps, flops, seed));
    else MGM_SIMD_CALL(ex.isa, spin<false>(steps, flops, seed));
    if (seed != 0) total += flops;
  });
  return total;
}

/// Repeatable numbers in [-1, 1) at a realistic spread.
template <class T>
void fill(T* p, Size n, std::uint32_t seed = 1) {
  for (Size i = 0; i < n; ++i) {
    seed = seed * 1664525u + 1013904223u;
    p[i] = T(static_cast<float>(static_cast<std::int32_t>(seed)) * 0x1p-31f);
  }
}

}  // namespace bench
