/// warp.hpp on the GPU: one shuffle instruction a word of 32 bits.
#pragma once
#include <type_traits>

namespace mgm::inline v0::simt::inline MGM_TWIN {

namespace detail {
/// `value` word by word through `move`.
template <class T, class Move>
MGM_DEVICE T across(T value, Move move) {
  static_assert(sizeof(T) <= 16 && std::is_trivially_copyable_v<T>, "a shuffle carries at most 16 trivially copyable bytes");
  constexpr int kWords = (sizeof(T) + 3) / 4;
  unsigned word[kWords] = {};
  __builtin_memcpy(word, &value, sizeof value);
  MGM_UNROLL for (int i = 0; i < kWords; ++i) word[i] = move(word[i]);
  __builtin_memcpy(&value, word, sizeof value);
  return value;
}
}  // namespace detail

template <class T>
MGM_DEVICE T shuffle(T value, int source, unsigned mask, Site) {
  return detail::across(value, [=](unsigned word) { return __shfl_sync(mask, word, source); });
}
template <class T>
MGM_DEVICE T shuffle_xor(T value, int bits, unsigned mask, Site) {
  return detail::across(value, [=](unsigned word) { return __shfl_xor_sync(mask, word, bits); });
}
template <class T>
MGM_DEVICE T shuffle_down(T value, int by, unsigned mask, Site) {
  return detail::across(value, [=](unsigned word) { return __shfl_down_sync(mask, word, static_cast<unsigned>(by)); });
}
MGM_DEVICE unsigned ballot(bool yes, unsigned mask, Site) { return __ballot_sync(mask, yes); }

template <int Width>
MGM_DEVICE float warp_sum(float value, Site) {
  static_assert(Width >= 2 && Width <= kWarp && (Width & (Width - 1)) == 0);
  MGM_UNROLL for (int bit = Width / 2; bit > 0; bit /= 2) value += __shfl_xor_sync(kFullMask, value, bit);
  return value;
}
template <int Width>
MGM_DEVICE float warp_max(float value, Site) {
  static_assert(Width >= 2 && Width <= kWarp && (Width & (Width - 1)) == 0);
  MGM_UNROLL for (int bit = Width / 2; bit > 0; bit /= 2) value = ::fmaxf(value, __shfl_xor_sync(kFullMask, value, bit));
  return value;
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
