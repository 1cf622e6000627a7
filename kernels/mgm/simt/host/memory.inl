/// memory.hpp on the host.
#pragma once
#include <cstdint>
#include <cstring>

#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

namespace detail {
template <class T, int N>
MGM_DEVICE void check_access(void const* p, host::Touch touch, Site at) {
  static_assert(sizeof(T) * N <= 16 && (sizeof(T) * N & (sizeof(T) * N - 1)) == 0, "one access moves 1, 2, 4, 8 or 16 bytes");
  if (reinterpret_cast<std::uintptr_t>(p) % (sizeof(T) * N) != 0) [[unlikely]]
    host::Runner::current->fail(text("an access of ", sizeof(T) * N, " bytes is misaligned by ",
                                     reinterpret_cast<std::uintptr_t>(p) % (sizeof(T) * N)), at);
  host::Runner& r = *host::Runner::current;
  if (r.copies().any()) [[unlikely]]
    if (std::string const found = r.copies().touched(p, sizeof(T) * N, touch == host::Touch::write ? "written" : "read"); !found.empty())
      r.fail(found, at);
  r.touch(p, sizeof(T) * N, touch, at);
}
}  // namespace detail

template <int N, class T>
MGM_DEVICE Vec<T, N> load(T const* from, Site at) {
  detail::check_access<T, N>(from, host::Touch::read, at);
  Vec<T, N> out;
  std::memcpy(&out, from, sizeof out);
  return out;
}
template <int N, class T>
MGM_DEVICE void store(T* to, Vec<T, N> const& value, Site at) {
  detail::check_access<T, N>(to, host::Touch::write, at);
  std::memcpy(to, &value, sizeof value);
}
template <int N, class T>
MGM_DEVICE void store_global(T* to, Vec<T, N> const& value, Site at) {
  store<N>(to, value, at);
}
template <int N, class T>
MGM_DEVICE Vec<T, N> load_readonly(T const* from, Site at) {
  detail::check_access<T, N>(from, host::Touch::readonly, at);
  Vec<T, N> out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

template <class S>
MGM_DEVICE S& shared() {
  host::Runner& r = *host::Runner::current;
  if (Size{sizeof(S)} > r.shape().shared)
    r.fail(text("shared memory: the kernel takes ", sizeof(S), " bytes, the launch gives ", r.shape().shared), Site::here());
  return *reinterpret_cast<S*>(r.shared());
}

template <Real T>
MGM_DEVICE float widen(T value) {
  return static_cast<float>(value);
}
template <Real T>
MGM_DEVICE T narrow(float value) {
  return T(value);
}
template <Real T>
  requires(sizeof(T) == 2)
MGM_DEVICE unsigned narrow_pair(float low, float high) {
  return unsigned{T(low).bits} | unsigned{T(high).bits} << 16;
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
