// Read by conv.hpp once per instruction set: the inner kernel, whose rows are neighbouring pixels of a map with edges.
namespace mgm::inline v0::cpu::MGM_ISA {

/// tile (kMr, kCols) = [tile +] Σ_t A_tᵀ·B_t over `taps` taps of `units` units. Row i of A_t starts at a + offsets[t] + i·step; B as in a
/// panel, tap after tap. The rows are read where they lie: neighbours differ by a step that is no multiple of 128 bytes, so L1 holds them
/// all.
template <int kMr, bool kPair>
MGM_NOINLINE void multiply_taps(std::uint32_t const* __restrict a, Size step, Size const* offsets, Size taps,
                                std::uint32_t const* __restrict b, Size units, float* __restrict tile, bool add) {
  F low[kMr], high[kMr];
  MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) {
    low[i] = add ? load(tile + i * kCols) : F{};
    high[i] = add ? load(tile + i * kCols + kLanes) : F{};
  }
  for (Size t = 0; t < taps; ++t) {
    std::uint32_t const* rows[(kMr + 2) / 3];  // every third row; the others at one and two steps from it: few pointers, all in registers
    MGM_SIMD_UNROLL for (int i = 0; i < (kMr + 2) / 3; ++i) rows[i] = a + offsets[t] + 3 * i * step;
    for (Size u = 0; u < units; ++u, b += kCols) {
      U const b0 = *reinterpret_cast<Um const*>(b), b1 = *reinterpret_cast<Um const*>(b + kLanes);
      MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) {
        U const x = word(rows[i / 3][i % 3 * step]);
#if MGM_ISA_LEVEL >= 3
        if constexpr (kPair) {
          low[i] = dot2(low[i], b0, x);
          high[i] = dot2(high[i], b1, x);
          continue;
        }
#endif
        low[i] = fma(as_float(b0), as_float(x), low[i]);
        high[i] = fma(as_float(b1), as_float(x), high[i]);
      }
      MGM_SIMD_UNROLL for (int i = 0; i < (kMr + 2) / 3; ++i) rows[i] += 1;
    }
  }
  MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) {
    store(tile + i * kCols, low[i]);
    store(tile + i * kCols + kLanes, high[i]);
  }
}
/// The least kernel that covers `rows`; rows beyond are read and their sums go nowhere.
template <bool kPair>
MGM_INLINE void multiply_taps(int rows, std::uint32_t const* a, Size step, Size const* offsets, Size taps, std::uint32_t const* b,
                              Size units, float* tile, bool add) {
  if constexpr (kRows > 8) {
    if (rows > 11) return multiply_taps<12, kPair>(a, step, offsets, taps, b, units, tile, add);
    if (rows > 10) return multiply_taps<11, kPair>(a, step, offsets, taps, b, units, tile, add);
    if (rows > 8) return multiply_taps<10, kPair>(a, step, offsets, taps, b, units, tile, add);
    if (rows > 4) return multiply_taps<8, kPair>(a, step, offsets, taps, b, units, tile, add);
  } else {
    if (rows > 5) return multiply_taps<6, kPair>(a, step, offsets, taps, b, units, tile, add);
    if (rows > 4) return multiply_taps<5, kPair>(a, step, offsets, taps, b, units, tile, add);
  }
  multiply_taps<4, kPair>(a, step, offsets, taps, b, units, tile, add);
}

/// A pixel's channels as the inner kernel reads them: as they are, or through the affine map and SiLU.
template <class T, class P>
MGM_INLINE void pack_channels(T const* from, float const* scale, float const* shift, bool silu_, Size n, P* to) {
  if (scale != nullptr) {
    affine_row(from, scale, shift, silu_, n, to);
  } else if constexpr (std::is_same_v<T, P>) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
  } else {
    Size i = 0;
    for (; i + kLanes <= n; i += kLanes) store(to + i, load(from + i));
    if (i < n) store(to + i, load(from + i, static_cast<int>(n - i)), static_cast<int>(n - i));
  }
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
