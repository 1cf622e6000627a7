/// thread.hpp on the GPU. Blocks are one-dimensional.
#pragma once

namespace mgm::inline v0::simt::inline MGM_TWIN {

MGM_DEVICE int thread_idx() { return static_cast<int>(threadIdx.x); }
MGM_DEVICE int block_dim() { return static_cast<int>(blockDim.x); }
namespace detail {
template <class Index>
MGM_DEVICE Grid grid_of(Index const& at) {
  Grid grid;
  grid.x = static_cast<int>(at.x), grid.y = static_cast<int>(at.y), grid.z = static_cast<int>(at.z);
  return grid;
}
}  // namespace detail
MGM_DEVICE Grid block_idx() { return detail::grid_of(blockIdx); }
MGM_DEVICE Grid grid_dim() { return detail::grid_of(gridDim); }
MGM_DEVICE int lane_idx() { return thread_idx() % kWarp; }
MGM_DEVICE int warp_idx() { return thread_idx() / kWarp; }

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
