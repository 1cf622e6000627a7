/// Copies from global to shared memory that go on while the thread computes (cp.async, sm_80 and up).
/// A thread issues copies, closes them into groups, and waits for its own groups; others may read after that wait and a barrier.
/// Until then nobody reads or writes the destination and nobody writes the source. A thread waits for all of its copies before it returns.
#pragma once
#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// `Bytes` of 4, 8 or 16: the first `source_bytes` from `from`, zeros for the rest. Both pointers are aligned to Bytes; with 0 source bytes
/// `from` is not read, but must still be a pointer into global memory.
template <int Bytes>
MGM_DEVICE void copy_async(void* to, void const* from, int source_bytes = Bytes, Site at = Site::here());
/// Closes the copies since the last call into a group; it may be empty.
MGM_DEVICE void copy_async_commit(Site at = Site::here());
/// Waits until all of this thread's groups but the latest `Pending` have landed. Copies that no group holds are not waited for.
template <int Pending>
MGM_DEVICE void copy_async_wait(Site at = Site::here());

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/async_copy.inl>
#else
#  include <mgm/simt/host/async_copy.inl>
#endif
