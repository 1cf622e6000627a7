/// thread.hpp on the host.
#pragma once
#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

MGM_UNWATCHED MGM_DEVICE int thread_idx() { return host::Runner::current->self().index; }
MGM_UNWATCHED MGM_DEVICE int block_dim() { return host::Runner::current->shape().block; }
MGM_UNWATCHED MGM_DEVICE Grid block_idx() { return host::Runner::current->index(); }
MGM_UNWATCHED MGM_DEVICE Grid grid_dim() { return host::Runner::current->shape().grid; }
MGM_UNWATCHED MGM_DEVICE int lane_idx() { return thread_idx() % kWarp; }
MGM_UNWATCHED MGM_DEVICE int warp_idx() { return thread_idx() / kWarp; }

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
