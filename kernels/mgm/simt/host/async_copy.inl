/// async_copy.hpp on the host.
#pragma once
#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

template <int Bytes>
MGM_DEVICE void copy_async(void* to, void const* from, int source_bytes, Site at) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp.async copies 4, 8 or 16 bytes");
  host::Runner& r = *host::Runner::current;
  host::Runner::Busy const busy(r);
  auto const when = r.machine().config().seed % 3;
  bool const early = when == 2 || (when == 0 && r.random() % 2 == 0);
  if (std::string const found = r.copies().issue(r.self().index, to, from, Bytes, source_bytes, early, at); !found.empty()) [[unlikely]]
    r.fail(text("copy_async: ", found), at);
  if (source_bytes > 0) r.touch(from, source_bytes, host::Touch::read, at);
  r.touch(to, Bytes, host::Touch::write, at);  // it may land at once
}
MGM_DEVICE void copy_async_commit(Site) {
  host::Runner& r = *host::Runner::current;
  host::Runner::Busy const busy(r);
  r.copies().commit(r.self().index);
}
template <int Pending>
MGM_DEVICE void copy_async_wait(Site at) {
  static_assert(Pending >= 0);
  host::Runner& r = *host::Runner::current;
  host::Runner::Busy const busy(r);
  auto const landed = [&](host::AsyncCopy const& copy) {  // at the latest now: who reads it must come after this wait
    if (copy.source_bytes > 0) r.touch(copy.from, copy.source_bytes, host::Touch::read, copy.site);
    r.touch(copy.to, copy.bytes, host::Touch::write, copy.site);
  };
  if (std::string const found = r.copies().wait(r.self().index, Pending, landed); !found.empty()) [[unlikely]]
    r.fail(text("copy_async_wait: ", found), at);
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
