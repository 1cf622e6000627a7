/// limits.hpp on the GPU.
#pragma once
#include <mgm/simt/cuda/calls.inl>

namespace mgm::inline v0::simt::inline MGM_TWIN {

template <KernelDevice Dev>
Size shared_limit(Stream<Dev> stream) {
  int device = 0, most = 0;
  MGM_CUDA("shared_limit", cudaStreamGetDevice, stream.handle, &device);
  MGM_CUDA("shared_limit", cudaDeviceGetAttribute, &most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return most;
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
