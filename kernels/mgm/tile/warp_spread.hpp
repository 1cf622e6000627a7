/// Many sums over the lanes of a warp or the threads of a block, each lane keeping its share of them.
#pragma once
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/thread.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::tile {

namespace detail {
/// One step of the tree and those below it. Steps are types, so that every index is a constant and the entries stay in registers.
template <int Held, int Bit, int Count>
MGM_DEVICE void spread_step(float (&v)[Count]) {
  constexpr int kKeep = Held > 1 ? Held / 2 : 1;
  if constexpr (Held == 1) {
    v[0] += simt::shuffle_xor(v[0], Bit);
  } else {
    bool const upper = (simt::lane_idx() & Bit) != 0;
    MGM_UNROLL for (int i = 0; i < kKeep; ++i) {
      float const low = v[i], high = v[i + kKeep];  // values: to choose between places would put them in memory
      v[i] = (upper ? high : low) + simt::shuffle_xor(upper ? low : high, Bit);
    }
  }
  if constexpr (Bit > 1) spread_step<kKeep, Bit / 2>(v);
}
}  // namespace detail

/// Sums each of `v` over all lanes; afterwards lane l holds the sums of entries [l·Count/32, (l + 1)·Count/32) in the first of `v`, and
/// with fewer than 32 the lanes of an aligned group of 32/Count the one of entry l·Count/32. Count is a power of two. All lanes meet. In
/// each step a lane hands on the half of its entries that it will not keep: about Count shuffles where butterflies take 5·Count. The tree
/// is that of simt::warp_sum.
template <int Count>
MGM_DEVICE void warp_spread_sums(float (&v)[Count]) {
  static_assert(Count >= 1 && (Count & (Count - 1)) == 0);
  detail::spread_step<Count, simt::kWarp / 2>(v);
}

/// The same over a block of four warps, which all meet: thread t below Count returns the sum of entry t, others nothing of use. `scratch`
/// is in shared memory and used by nobody else. Warps are added as (0 + 1) + (2 + 3).
template <int Count>
MGM_DEVICE float block_spread_sums(float (&v)[Count], float (&scratch)[4][Count]) {
  constexpr int kKept = Count > simt::kWarp ? Count / simt::kWarp : 1, kSharing = Count < simt::kWarp ? simt::kWarp / Count : 1;
  int const lane = simt::lane_idx(), thread = simt::thread_idx();
  warp_spread_sums(v);
  MGM_UNROLL for (int i = 0; i < kKept; ++i)
    if (lane % kSharing == 0) scratch[simt::warp_idx()][lane * Count / simt::kWarp + i] = v[i];
  simt::sync_block();
  return thread < Count ? (scratch[0][thread] + scratch[1][thread]) + (scratch[2][thread] + scratch[3][thread]) : 0;
}

}  // namespace mgm::inline v0::tile
