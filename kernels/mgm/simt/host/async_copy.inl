/// async_copy.hpp on the host.
#pragma once
#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

template <int Bytes>
MGM_DEVICE void copy_async(void* to, void const* from, int source_bytes, Site at) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp.async copies 4, 8 or 16 bytes");
  host::Runner& r = *host::Runner::current;
  auto const when = r.machine().config().seed % 3;
  bool const early = when == 2 || (when == 0 && r.random() % 2 == 0);
  if (std::string const found = r.copies().issue(r.self().index, to, from, Bytes, source_bytes, early, at); !found.empty()) [[unlikely]]
    r.fail(text("copy_async: ", found), at);
}
MGM_DEVICE void copy_async_commit(Site) {
  host::Runner& r = *host::Runner::current;
  r.copies().commit(r.self().index);
}
template <int Pending>
MGM_DEVICE void copy_async_wait(Site at) {
  static_assert(Pending >= 0);
  host::Runner& r = *host::Runner::current;
  if (std::string const found = r.copies().wait(r.self().index, Pending); !found.empty()) [[unlikely]]
    r.fail(text("copy_async_wait: ", found), at);
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
