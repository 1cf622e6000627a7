/// barrier.hpp on the host.
#pragma once
#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

MGM_DEVICE void sync_block(Site at) { host::Runner::current->meet(0, 0, true, at); }

namespace detail {
MGM_DEVICE void meet_named(int id, int threads, bool wait, Site at) {
  host::Runner& r = *host::Runner::current;
  if (id < 1 || id >= r.machine().limits().named_barriers)
    r.fail(text("named barrier ", id, ": ids are 1 to 15; 0 is the block's own"), at);
  if (threads < kWarp || threads % kWarp != 0 || threads > r.shape().block)
    r.fail(text("named barrier ", id, ": ", threads, " threads; a multiple of 32 up to the block's ", r.shape().block, " is needed"), at);
  r.meet(id, threads, wait, at);
}
}  // namespace detail
MGM_DEVICE void sync_named(int id, int threads, Site at) { detail::meet_named(id, threads, true, at); }
MGM_DEVICE void arrive_named(int id, int threads, Site at) { detail::meet_named(id, threads, false, at); }

MGM_DEVICE void sync_warp(unsigned mask, Site at) {
  host::Runner& r = *host::Runner::current;
  host::Runner::Busy const busy(r);
  int const nothing = 0;
  r.leave(r.exchange("sync_warp", &nothing, sizeof nothing, mask, at, true));
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
