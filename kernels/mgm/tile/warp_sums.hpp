/// Eight sums over the lanes of a warp for little more than the price of two.
#pragma once
#include <mgm/simt/thread.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::tile {

/// What a lane keeps of two values, plus what its partner gives away: lanes with `bit` keep the second. By value, so that nothing is
/// indexed by what only the lane knows: registers have no addresses.
MGM_DEVICE float keep_and_add(float first, float second, int bit) {
  bool const keeps_second = (simt::lane_idx() & bit) != 0;
  return (keeps_second ? second : first) + simt::shuffle_xor(keeps_second ? first : second, bit);
}

/// Lane l returns Σ over all lanes of values[l / 4]. All lanes meet. In each of three steps a lane gives away the half of its values that
/// it will not return: 9 shuffles where eight butterflies take 40. The tree is that of simt::warp_sum.
MGM_DEVICE float warp_sums(float const (&values)[8]) {
  float four[4], two[2];
  MGM_UNROLL for (int i = 0; i < 4; ++i) four[i] = keep_and_add(values[i], values[i + 4], 16);
  MGM_UNROLL for (int i = 0; i < 2; ++i) two[i] = keep_and_add(four[i], four[i + 2], 8);
  float one = keep_and_add(two[0], two[1], 4);
  one += simt::shuffle_xor(one, 2);
  return one + simt::shuffle_xor(one, 1);
}

}  // namespace mgm::inline v0::tile
