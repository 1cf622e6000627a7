/// Where the matrix instructions keep the elements of their operands, element by element, as the PTX ISA draws them; and what they compute.
/// Written without mma_layout.hpp, in the other direction, so that a test can hold the two against each other.
#pragma once
#include <cstdint>

#include <mgm/core/platform.hpp>

/// The twins' inner products are not watched by sanitizers: they touch only operands that were checked when they came.
#define MGM_UNINSTRUMENTED __attribute__((no_sanitize("address", "undefined", "thread")))

namespace mgm::inline v0::simt::host {

/// A lane, one of its registers, and the part of the register, counted from its low end.
struct Place {
  int lane, reg, part;
};
/// m16n8k16: rows in groups of eight lie in alternate registers, columns of eight in pairs of registers.
constexpr Place place_of_a16(int row, int k) { return {(row & 7) << 2 | (k & 7) >> 1, (row >> 3) | (k >> 3) << 1, k & 1}; }
constexpr Place place_of_b16(int k, int col) { return {col << 2 | (k & 7) >> 1, k >> 3, k & 1}; }
/// m16n8k32: the same with four elements a register.
constexpr Place place_of_a8(int row, int k) { return {(row & 7) << 2 | (k & 15) >> 2, (row >> 3) | (k >> 4) << 1, k & 3}; }
constexpr Place place_of_b8(int k, int col) { return {col << 2 | (k & 15) >> 2, k >> 4, k & 3}; }
/// Sums: of either.
constexpr Place place_of_d(int row, int col) { return {(row & 7) << 2 | col >> 1, (row >> 3) << 1 | (col & 1), 0}; }

/// The tables that the twin walks: for each lane, register and part, the index of the element in a dense operand.
struct MmaTables {
  std::int16_t a16[32][4][2] = {}, b16[32][2][2] = {}, a8[32][4][4] = {}, b8[32][2][4] = {}, d[32][4] = {};
  constexpr MmaTables() {
    for (int row = 0; row < 16; ++row)
      for (int k = 0; k < 32; ++k) {
        if (Place const p = place_of_a8(row, k); true) a8[p.lane][p.reg][p.part] = static_cast<std::int16_t>(row * 32 + k);
        if (k >= 16) continue;
        Place const p = place_of_a16(row, k);
        a16[p.lane][p.reg][p.part] = static_cast<std::int16_t>(row * 16 + k);
      }
    for (int col = 0; col < 8; ++col)
      for (int k = 0; k < 32; ++k) {
        if (Place const p = place_of_b8(k, col); true) b8[p.lane][p.reg][p.part] = static_cast<std::int16_t>(k * 8 + col);
        if (k >= 16) continue;
        Place const p = place_of_b16(k, col);
        b16[p.lane][p.reg][p.part] = static_cast<std::int16_t>(k * 8 + col);
        Place const q = place_of_d(k, col);
        d[q.lane][q.reg] = static_cast<std::int16_t>(k * 8 + col);
      }
  }
};
inline constexpr MmaTables kMmaTables;

/// Four columns of sums at once: what every machine's registers hold.
using Four = float __attribute__((vector_size(16), may_alias));
using FourInts = std::uint32_t __attribute__((vector_size(16), may_alias));

/// The 16-bit floats by their bits, without a call that a sanitizer would watch.
template <bool kBrain>
MGM_UNINSTRUMENTED inline float widen_bits(std::uint32_t bits) {
  if constexpr (kBrain) {
    return __builtin_bit_cast(float, bits << 16);
  } else {
    float const scaled = __builtin_bit_cast(float, (bits & 0x7FFFu) << 13) * 0x1p112f;  // subnormals come out right too
    std::uint32_t out = __builtin_bit_cast(std::uint32_t, scaled);
    if ((bits & 0x7C00u) == 0x7C00u) out |= 0x7F800000u;
    return __builtin_bit_cast(float, out | (bits & 0x8000u) << 16);
  }
}

/// d (16, 8) += a (16, kDepth)·b (kDepth, 8), k ascending: in float, or in 32 bits that wrap.
template <int kDepth, class V, class T>
MGM_UNINSTRUMENTED inline void multiply_dense(T* d, T const* a, T const* b) {
  for (int row = 0; row < 16; ++row) {
    V low = *reinterpret_cast<V*>(d + row * 8), high = *reinterpret_cast<V*>(d + row * 8 + 4);
    for (int k = 0; k < kDepth; ++k) {
      low += a[row * kDepth + k] * *reinterpret_cast<V const*>(b + k * 8);
      high += a[row * kDepth + k] * *reinterpret_cast<V const*>(b + k * 8 + 4);
    }
    *reinterpret_cast<V*>(d + row * 8) = low, *reinterpret_cast<V*>(d + row * 8 + 4) = high;
  }
}

/// What a lane brings to a meeting: M fragments of A, N of B and M·N of D, and where they lie.
struct MmaOperands {
  void* d;            // [M][N][4]
  unsigned const* a;  // [M][4]
  unsigned const* b;  // [N][2]
  int m, n;
};

/// The right operand of one product, dense.
template <bool kBrain>
MGM_UNINSTRUMENTED inline void unpack_right(MmaOperands const* const* lanes, int n, float* b) {
  for (int lane = 0; lane < 32; ++lane)
    for (int reg = 0; reg < 2; ++reg) {
      unsigned const two = lanes[lane]->b[n * 2 + reg];
      b[kMmaTables.b16[lane][reg][0]] = widen_bits<kBrain>(two & 0xFFFFu), b[kMmaTables.b16[lane][reg][1]] = widen_bits<kBrain>(two >> 16);
    }
}
/// All lanes' products of 16-bit floats.
template <bool kBrain>
MGM_UNINSTRUMENTED inline void multiply_all_16(MmaOperands const* const* lanes) {
  constexpr int kKept = 8;  // right operands that are unpacked once for all rows; beyond them once a row
  alignas(32) float a[16 * 16], b[kKept][16 * 8], d[16 * 8];
  int const count_m = lanes[0]->m, count_n = lanes[0]->n;
  for (int m = 0; m < count_m; ++m) {
    for (int lane = 0; lane < 32; ++lane)
      for (int reg = 0; reg < 4; ++reg) {
        unsigned const two = lanes[lane]->a[m * 4 + reg];
        a[kMmaTables.a16[lane][reg][0]] = widen_bits<kBrain>(two & 0xFFFFu),
        a[kMmaTables.a16[lane][reg][1]] = widen_bits<kBrain>(two >> 16);
      }
    for (int n = 0; n < count_n; ++n) {
      if (m == 0 || count_n > kKept) unpack_right<kBrain>(lanes, n, b[n % kKept]);
      for (int lane = 0; lane < 32; ++lane) {
        float const* const own = static_cast<float const*>(lanes[lane]->d) + (m * count_n + n) * 4;
        for (int i = 0; i < 4; ++i) d[kMmaTables.d[lane][i]] = own[i];
      }
      multiply_dense<16, Four>(d, a, b[n % kKept]);
      for (int lane = 0; lane < 32; ++lane) {
        float* const own = static_cast<float*>(lanes[lane]->d) + (m * count_n + n) * 4;
        for (int i = 0; i < 4; ++i) own[i] = d[kMmaTables.d[lane][i]];
      }
    }
  }
}
/// Byte `i` of a register, its sign carried to 32 bits.
MGM_UNINSTRUMENTED inline std::uint32_t signed_byte(unsigned word, int i) {
  std::uint32_t const byte = word >> (8 * i) & 0xFFu;
  return byte | (byte & 0x80u ? 0xFFFFFF00u : 0u);
}
/// All lanes' product of signed bytes.
MGM_UNINSTRUMENTED inline void multiply_all_8(MmaOperands const* const* lanes) {
  alignas(32) std::uint32_t a[16 * 32], b[32 * 8], d[16 * 8];
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      for (int reg = 0; reg < 4; ++reg) a[kMmaTables.a8[lane][reg][i]] = signed_byte(lanes[lane]->a[reg], i);
      for (int reg = 0; reg < 2; ++reg) b[kMmaTables.b8[lane][reg][i]] = signed_byte(lanes[lane]->b[reg], i);
      d[kMmaTables.d[lane][i]] = static_cast<std::uint32_t const*>(lanes[lane]->d)[i];
    }
  }
  multiply_dense<32, FourInts>(d, a, b);
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) static_cast<std::uint32_t*>(lanes[lane]->d)[i] = d[kMmaTables.d[lane][i]];
}

}  // namespace mgm::inline v0::simt::host
