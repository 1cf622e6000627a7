/// Bits of a word, as ballots give them. One body for all compilers, which know the pattern or take a dozen instructions.
#pragma once
#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::simt {

/// How many bits are set.
[[nodiscard]] MGM_HD constexpr int count_bits(unsigned word) {
  word -= word >> 1 & 0x55555555u;
  word = (word & 0x33333333u) + (word >> 2 & 0x33333333u);
  word = (word + (word >> 4)) & 0x0F0F0F0Fu;
  return static_cast<int>(word * 0x01010101u >> 24);
}
/// The bits below bit `i`, for i in [0, 32).
[[nodiscard]] MGM_HD constexpr unsigned bits_below(int i) { return (1u << i) - 1u; }

/// The float whose bits these are.
[[nodiscard]] MGM_HD constexpr float float_of(unsigned bits) { return __builtin_bit_cast(float, bits); }

/// A word that is ordered as the floats are, −0 as 0; not for NaN.
[[nodiscard]] MGM_HD constexpr unsigned ordered_bits(float x) {
  unsigned const bits = x == 0 ? 0 : __builtin_bit_cast(unsigned, x);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

static_assert(count_bits(0) == 0 && count_bits(0xFFFFFFFFu) == 32 && count_bits(0x80010010u) == 3);
static_assert(ordered_bits(-1.5f) < ordered_bits(-1) && ordered_bits(-1e-40f) < ordered_bits(-0.0f));
static_assert(ordered_bits(-0.0f) == ordered_bits(0) && ordered_bits(0) < ordered_bits(1) && ordered_bits(1) < ordered_bits(1.5f));
static_assert(bits_below(0) == 0 && bits_below(31) == 0x7FFFFFFFu);

}  // namespace mgm::inline v0::simt
