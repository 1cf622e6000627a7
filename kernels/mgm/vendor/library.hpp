/// What the backends of this folder share. Each is optional when a project is configured (MGM_CUBLASLT, MGM_CUDNN), and no operation needs
/// one. CUB is not among them: of what a decoding step does it could serve the draw of a token alone, which sorts and scans one row of
/// logits, and sampling.cuh does that in one block, without a temporary buffer, and fused; nothing else here sorts or scans. Kernel headers
/// never include CUB, which alone takes longer to compile than a kernel's header may.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>

#include <mgm/simt/cuda/calls.inl>

namespace mgm::inline v0::vendor::detail {

using simt::cuda::OnDevice;  // these libraries work on the thread's current device

/// Bytes, at most 256, that all of these begin on; null pointers do not count.
inline Size alignment_of(std::initializer_list<void const*> pointers) {
  std::uintptr_t all = 256;
  for (void const* p : pointers) all |= reinterpret_cast<std::uintptr_t>(p);
  return static_cast<Size>(all & (~all + 1));
}

}  // namespace mgm::inline v0::vendor::detail
