/// Who runs: the thread in its block, the block in its grid.
#pragma once
#include <mgm/simt/platform.hpp>
#include <mgm/simt/stream.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// Index of the thread in its block, in [0, block_dim()).
MGM_DEVICE int thread_idx();
MGM_DEVICE int block_dim();
MGM_DEVICE Grid block_idx();
MGM_DEVICE Grid grid_dim();
MGM_DEVICE int lane_idx();
MGM_DEVICE int warp_idx();

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/thread.inl>
#else
#  include <mgm/simt/host/thread.inl>
#endif
