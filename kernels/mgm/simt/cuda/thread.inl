/// thread.hpp on the GPU. Blocks are one-dimensional.
#pragma once

namespace mgm::inline v0::simt::inline MGM_TWIN {

MGM_DEVICE int thread_idx() { return static_cast<int>(threadIdx.x); }
MGM_DEVICE int block_dim() { return static_cast<int>(blockDim.x); }
MGM_DEVICE Grid block_idx() { return Grid(Size{blockIdx.x}, Size{blockIdx.y}, Size{blockIdx.z}); }
MGM_DEVICE Grid grid_dim() { return Grid(Size{gridDim.x}, Size{gridDim.y}, Size{gridDim.z}); }
MGM_DEVICE int lane_idx() { return thread_idx() % kWarp; }
MGM_DEVICE int warp_idx() { return thread_idx() / kWarp; }

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
