/// async_copy.hpp on a GPU. Sixteen bytes go past the first-level cache (.cg): a block reads a tile once.
#pragma once

namespace mgm::inline v0::simt::inline MGM_TWIN {

template <int Bytes>
MGM_DEVICE void copy_async(void* to, void const* from, int source_bytes, Site) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp.async copies 4, 8 or 16 bytes");
  auto const at = static_cast<unsigned>(__cvta_generic_to_shared(to));
  auto const source = __cvta_generic_to_global(from);
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(source), "r"(source_bytes) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(at), "l"(source), "n"(Bytes), "r"(source_bytes) : "memory");
}
MGM_DEVICE void copy_async_commit(Site) { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Pending>
MGM_DEVICE void copy_async_wait(Site) {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
