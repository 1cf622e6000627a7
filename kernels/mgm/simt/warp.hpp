/// Values that cross the lanes of a warp. Every lane of `mask` arrives, the caller among them; on Simt one that has left, or stands at another
/// line, is reported. T is at most 16 bytes, trivially copyable. A shuffle orders no memory: that is what barriers are for.
#pragma once
#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// The value of lane `source` (modulo 32).
template <class T>
MGM_DEVICE T shuffle(T value, int source, unsigned mask = kFullMask, Site at = Site::here());
/// The value of lane `lane ^ bits`.
template <class T>
MGM_DEVICE T shuffle_xor(T value, int bits, unsigned mask = kFullMask, Site at = Site::here());
/// The value of lane `lane + by`; lanes beyond the end keep their own.
template <class T>
MGM_DEVICE T shuffle_down(T value, int by, unsigned mask = kFullMask, Site at = Site::here());
/// Bit i is set where lane i of `mask` says yes.
MGM_DEVICE unsigned ballot(bool yes, unsigned mask = kFullMask, Site at = Site::here());

/// Sum, or largest, over all lanes, the same bits in each: a butterfly from bit 4 down to bit 0, so that rounding is the same on all devices.
/// With `Width` below 32, over each aligned group of so many lanes.
template <int Width = kWarp>
MGM_DEVICE float warp_sum(float value, Site at = Site::here());
template <int Width = kWarp>
MGM_DEVICE float warp_max(float value, Site at = Site::here());

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/warp.inl>
#else
#  include <mgm/simt/host/warp.inl>
#endif
