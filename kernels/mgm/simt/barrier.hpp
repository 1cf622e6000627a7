/// Meeting points. What a thread wrote before one, those that it met see after it.
#pragma once
#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// All threads of the block, from the same line. On Simt a thread that returned counts as arrived.
MGM_DEVICE void sync_block(Site at = Site::here());
/// `threads` threads of whole warps at barrier `id` in [1, 16); nobody who returned counts.
MGM_DEVICE void sync_named(int id, int threads, Site at = Site::here());
/// Arrives at barrier `id` without waiting: the producer's half.
MGM_DEVICE void arrive_named(int id, int threads, Site at = Site::here());
/// The lanes of `mask`, which holds the caller.
MGM_DEVICE void sync_warp(unsigned mask = kFullMask, Site at = Site::here());

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/barrier.inl>
#else
#  include <mgm/simt/host/barrier.inl>
#endif
