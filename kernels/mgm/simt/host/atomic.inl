/// atomic.hpp on the host: std::atomic_ref of the same order, and the edges that the machine's clocks know.
#pragma once
#include <atomic>
#include <cstdint>

#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

namespace detail {
[[nodiscard]] constexpr bool acquires(Memory m) { return m == Memory::acquire || m == Memory::acq_rel; }
[[nodiscard]] constexpr bool releases(Memory m) { return m == Memory::release || m == Memory::acq_rel; }
[[nodiscard]] constexpr std::memory_order host_order(Memory m) {
  return m == Memory::relaxed   ? std::memory_order_relaxed
         : m == Memory::acquire ? std::memory_order_acquire
         : m == Memory::release ? std::memory_order_release
                                : std::memory_order_acq_rel;
}

/// What must hold before any of them; the access itself, as the machine sees it.
template <class T>
host::Runner& begin_atomic(T const* p, bool write, Site at) {
  host::Runner& r = *host::Runner::current;
  if (auto const odd = reinterpret_cast<std::uintptr_t>(p) % sizeof(T); odd != 0) [[unlikely]]
    r.fail(text("an atomic word of ", sizeof(T), " bytes is misaligned by ", odd), at);
  r.touch(p, sizeof(T), write ? host::Touch::atomic_write : host::Touch::atomic_read, at);
  return r;
}
/// `change` reads and writes the word and says whether it wrote.
template <Memory M, class T, class Change>
void change_atomic(host::Runner& r, T* p, Change change) {
  host::Runner::Busy const busy(r);
  bool const wrote = change();
  if (host::Watch* const watch = r.watch()) {
    auto const word = reinterpret_cast<std::uintptr_t>(p);
    if (acquires(M)) watch->acquire(r.self().index, word);
    if (releases(M) && wrote) watch->release(r.self().index, word, true);
  }
  if (wrote) r.progressed();
}
}  // namespace detail

template <Memory M, AtomicWord T>
MGM_DEVICE T atomic_load(T const* from, Site at) {
  static_assert(!detail::releases(M), "a load acquires or is relaxed");
  host::Runner& r = detail::begin_atomic(from, false, at);
  host::Runner::Busy const busy(r);
  T const value = std::atomic_ref<T>(const_cast<T&>(*from)).load(detail::host_order(M));
  if (host::Watch* const watch = r.watch(); watch != nullptr && detail::acquires(M))
    watch->acquire(r.self().index, reinterpret_cast<std::uintptr_t>(from));
  return value;
}
template <Memory M, AtomicWord T>
MGM_DEVICE void atomic_store(T* to, T value, Site at) {
  static_assert(!detail::acquires(M), "a store releases or is relaxed");
  host::Runner& r = detail::begin_atomic(to, true, at);
  host::Runner::Busy const busy(r);
  if (host::Watch* const watch = r.watch()) {
    auto const word = reinterpret_cast<std::uintptr_t>(to);
    if (detail::releases(M)) watch->release(r.self().index, word, false);
    else watch->drop(word);
  }
  std::atomic_ref<T>(*to).store(value, detail::host_order(M));
  r.progressed();
}
template <Memory M, AtomicWord T>
MGM_DEVICE T atomic_add(T* to, T value, Site at) {
  T old{};
  detail::change_atomic<M>(detail::begin_atomic(to, true, at), to, [&] {
    old = std::atomic_ref<T>(*to).fetch_add(value, detail::host_order(M));
    return true;
  });
  return old;
}
template <Memory M, AtomicWord T>
  requires std::integral<T>
MGM_DEVICE T atomic_cas(T* to, T expected, T value, Site at) {
  detail::change_atomic<M>(detail::begin_atomic(to, true, at), to, [&] {
    constexpr auto kFailed = detail::acquires(M) ? std::memory_order_acquire : std::memory_order_relaxed;
    return std::atomic_ref<T>(*to).compare_exchange_strong(expected, value, detail::host_order(M), kFailed);
  });
  return expected;
}

template <AtomicWord T, class Until>
MGM_DEVICE T wait_until(T const* counter, Until until, Site at) {
  for (;;) {
    T const value = atomic_load<Memory::acquire>(counter, at);
    if (until(value)) {
      host::Runner::current->went_on();
      return value;
    }
    host::Runner::current->yield("a counter", at);
  }
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
