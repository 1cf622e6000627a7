/// warp.hpp on the host: publish the value, meet, read the partner's.
#pragma once
#include <bit>
#include <cstring>

#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

namespace detail {
/// One meeting: `read` gets what every lane brought, as `T at(lane)`.
template <class T, class Read>
MGM_DEVICE auto across(char const* what, T const& value, unsigned mask, Site at, Read read) {
  static_assert(sizeof(T) <= 16 && std::is_trivially_copyable_v<T>, "a shuffle carries at most 16 trivially copyable bytes");
  host::Runner& r = *host::Runner::current;
  host::Runner::Busy const busy(r);
  host::Exchange& e = r.exchange(what, &value, sizeof value, mask, at);
  auto const result = read([&](int lane) {
    if ((e.mask >> lane & 1u) == 0) r.fail(text(what, ": reads lane ", lane, ", which the mask does not name"), at);
    T out;
    std::memcpy(&out, e.value[lane], sizeof out);
    return out;
  });
  r.leave(e);
  return result;
}
}  // namespace detail

template <class T>
MGM_DEVICE T shuffle(T value, int source, unsigned mask, Site at) {
  return detail::across("shuffle", value, mask, at, [&](auto lane) { return lane(source & (kWarp - 1)); });
}
template <class T>
MGM_DEVICE T shuffle_xor(T value, int bits, unsigned mask, Site at) {
  int const me = host::Runner::current->self().index % kWarp;
  return detail::across("shuffle_xor", value, mask, at, [&](auto lane) { return lane((me ^ bits) & (kWarp - 1)); });
}
template <class T>
MGM_DEVICE T shuffle_down(T value, int by, unsigned mask, Site at) {
  int const from = host::Runner::current->self().index % kWarp + by;
  return detail::across("shuffle_down", value, mask, at, [&](auto lane) { return from < kWarp ? lane(from) : value; });
}
MGM_DEVICE unsigned ballot(bool yes, unsigned mask, Site at) {
  return detail::across("ballot", yes, mask, at, [&](auto lane) {
    unsigned bits = 0;
    for (int i = 0; i < kWarp; ++i)
      if ((mask >> i & 1u) != 0 && lane(i)) bits |= 1u << i;
    return bits;
  });
}

namespace detail {
/// What Width-wide butterflies give: the same tree as the shuffles of cuda/warp.inl, in one meeting. The first lane to go on computes for
/// all.
template <int Width, class Op>
MGM_DEVICE float butterfly(char const* what, float value, Site at, Op op) {
  static_assert(Width >= 2 && Width <= kWarp && (Width & (Width - 1)) == 0);
  host::Runner& r = *host::Runner::current;
  host::Runner::Busy const busy(r);
  host::Exchange& e = r.exchange(what, &value, sizeof value, kFullMask, at);
  if (e.to_read == static_cast<unsigned>(std::popcount(e.mask))) {
    for (int base = 0; base < kWarp; base += Width) {
      float v[Width];
      for (int i = 0; i < Width; ++i) std::memcpy(&v[i], e.value[base + i], sizeof v[i]);
      for (int bit = Width / 2; bit > 0; bit /= 2)  // after it, the first `bit` entries hold what the lanes with these low bits hold
        for (int i = 0; i < bit; ++i) v[i] = op(v[i], v[i + bit]);
      std::memcpy(e.value[base], &v[0], sizeof v[0]);
    }
  }
  int const base = r.self().index % kWarp / Width * Width;
  if (unsigned const missing = ~e.mask & (kFullMask >> (kWarp - Width)) << base; missing != 0)
    r.fail(text(what, ": reads lane ", std::countr_zero(missing), ", which the block does not have"), at);
  float result;
  std::memcpy(&result, e.value[base], sizeof result);
  r.leave(e);
  return result;
}
}  // namespace detail
template <int Width>
MGM_DEVICE float warp_sum(float value, Site at) {
  return detail::butterfly<Width>("warp_sum", value, at, [](float a, float b) { return a + b; });
}
template <int Width>
MGM_DEVICE float warp_max(float value, Site at) {
  return detail::butterfly<Width>("warp_max", value, at, [](float a, float b) { return a > b ? a : b; });
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
