/// Sends a kernel to a stream.
#pragma once
#include <mgm/core/error.hpp>
#include <mgm/simt/dry_run.hpp>
#include <mgm/simt/stream.hpp>
#include <mgm/simt/thread.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// Throws LimitError for a grid that no device takes.
inline void check_grid(LaunchShape const& shape) {
  require<LimitError>(shape.grid.fits(), shape.name, ": a grid has less than 2^31 blocks a row, and at most 65535 rows and layers, found ",
                      shape.grid.x, ", ", shape.grid.y, " and ", shape.grid.z, "; -1 stands for 2^31 and more");
}

/// Enqueues `kernel(args...)` and returns; an empty grid is a no-op. On Simt the work is done when it returns, unless the machine records
/// (graph.hpp). Under a DryRun it ends after the checks.
/// Throws LimitError when the shape is beyond the device's limits, DeviceError when the launch fails, KernelError (Simt) for what the
/// strict machine found.
template <KernelDevice Dev, class Kernel, class... Args>
void launch(Stream<Dev> stream, LaunchShape const& shape, Kernel kernel, Args const&... args);

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/launch.inl>
#else
#  include <mgm/simt/host/launch.inl>
#endif
