/// mma.hpp on the host: each lane brings its registers; the first to go on multiplies for all, by the tables of mma_decode.hpp.
#pragma once
#include <mgm/simt/host/mma_decode.hpp>
#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

namespace detail {
MGM_DEVICE void mma_meeting(char const* what, host::MmaOperands const& mine, void (*multiply)(host::MmaOperands const* const*), Site at) {
  host::Runner& r = *host::Runner::current;
  host::Runner::Busy const busy(r);
  host::MmaOperands const* const me = &mine;  // on this fiber's stack, which stands still until all have met
  host::Exchange& e = r.exchange(what, &me, sizeof me, kFullMask, at);
  if (e.mask != kFullMask) r.fail(text(what, ": needs all 32 lanes; this warp is the block's last, and short"), at);
  if (e.to_read == kWarp) {  // the first
    host::MmaOperands const* lanes[kWarp];
    for (int i = 0; i < kWarp; ++i) std::memcpy(&lanes[i], e.value[i], sizeof lanes[i]);
    for (int i = 1; i < kWarp; ++i)
      if (lanes[i]->m != lanes[0]->m || lanes[i]->n != lanes[0]->n)
        r.fail(text(what, ": lane ", i, " brings other operands than lane 0"), at);
    multiply(lanes);
  }
  r.leave(e);
}
}  // namespace detail

template <HalfReal T>
MGM_DEVICE void mma(float (&d)[4], unsigned const (&a)[4], unsigned const (&b)[2], Site at) {
  detail::mma_meeting("mma", {d, a, b, 1, 1}, &host::multiply_all_16<std::same_as<T, bf16>>, at);
}
MGM_DEVICE void mma_s8(int (&d)[4], unsigned const (&a)[4], unsigned const (&b)[2], Site at) {
  detail::mma_meeting("mma_s8", {d, a, b, 1, 1}, &host::multiply_all_8, at);
}
template <HalfReal T, int M, int N>
MGM_DEVICE void mma_outer(float (&d)[M][N][4], unsigned const (&a)[M][4], unsigned const (&b)[N][2], Site at) {
  detail::mma_meeting("mma", {d, &a[0][0], &b[0][0], M, N}, &host::multiply_all_16<std::same_as<T, bf16>>, at);
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
