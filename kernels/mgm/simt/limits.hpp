/// What a kernel may ask of the device that it goes to.
#pragma once
#include <mgm/core/error.hpp>
#include <mgm/simt/platform.hpp>
#include <mgm/simt/stream.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// Bytes of shared memory that one block on the stream's device may have. Throws DeviceError.
template <KernelDevice Dev>
[[nodiscard]] Size shared_limit(Stream<Dev> stream);

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/limits.inl>
#else
#  include <mgm/simt/host/limits.inl>
#endif
