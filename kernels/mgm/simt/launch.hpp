/// Sends a kernel to a stream.
#pragma once
#include <mgm/core/error.hpp>
#include <mgm/simt/stream.hpp>
#include <mgm/simt/thread.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// Enqueues `kernel(args...)` and returns; an empty grid is a no-op. On Simt the work is done when it returns.
/// Throws LimitError when the shape is beyond the device's limits, DeviceError when the launch fails, KernelError (Simt) for what the strict
/// machine found.
template <KernelDevice Dev, class Kernel, class... Args>
void launch(Stream<Dev> stream, LaunchShape const& shape, Kernel kernel, Args const&... args);

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/launch.inl>
#else
#  include <mgm/simt/host/launch.inl>
#endif
