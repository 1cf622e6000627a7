/// ldmatrix.hpp on the host: each lane brings an address; the first to go on reads for all, by ldmatrix_decode.hpp.
#pragma once
#include <mgm/simt/host/ldmatrix_decode.hpp>
#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

namespace detail {
MGM_DEVICE void ldmatrix_meeting(char const* what, void const* row, unsigned* out, int count, bool turned, Site at) {
  host::Runner& r = *host::Runner::current;
  host::Runner::Busy const busy(r);
  if (host::Thread const& me = r.self(); me.index % kWarp < 8 * count) {
    auto const offset = static_cast<std::byte const*>(row) - r.shared();
    if (offset < 0 || offset + 16 > r.shape().shared)
      r.fail(text(what, ": the row that lane ", me.index % kWarp, " brings lies outside of the block's shared memory"), at);
    if (offset % 16 != 0)
      r.fail(text(what, ": the row that lane ", me.index % kWarp, " brings is misaligned by ", offset % 16, " of 16 bytes"), at);
    if (std::string const found = r.copies().touched(row, 16, "read"); !found.empty()) [[unlikely]]
      r.fail(text(what, ": ", found), at);
    r.touch(row, 16, host::Touch::read, at);
  }
  host::RowOfMatrix const mine{static_cast<std::byte const*>(row), out}, *const me = &mine;
  host::Exchange& e = r.exchange(what, &me, sizeof me, kFullMask, at);
  if (e.mask != kFullMask) r.fail(text(what, ": needs all 32 lanes; this warp is the block's last, and short"), at);
  if (e.to_read == kWarp) {  // the first
    host::RowOfMatrix const* lanes[kWarp];
    for (int i = 0; i < kWarp; ++i) std::memcpy(&lanes[i], e.value[i], sizeof lanes[i]);
    host::hand_out_matrices(lanes, count, turned);
    for (int i = 0; i < count; ++i) r.machine().count_ldmatrix(host::extra_passes(lanes + 8 * i));
  }
  r.leave(e);
}
}  // namespace detail

template <int N>
MGM_DEVICE void ldmatrix(unsigned (&out)[N], void const* row, Site at) {
  static_assert(N == 1 || N == 2 || N == 4, "ldmatrix reads 1, 2 or 4 matrices");
  detail::ldmatrix_meeting("ldmatrix", row, out, N, false, at);
}
template <int N>
MGM_DEVICE void ldmatrix_trans(unsigned (&out)[N], void const* row, Site at) {
  static_assert(N == 1 || N == 2 || N == 4, "ldmatrix reads 1, 2 or 4 matrices");
  detail::ldmatrix_meeting("ldmatrix_trans", row, out, N, true, at);
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
