/// Words that several threads, of several blocks too, change at once, with the orders of C++: who acquires what another released sees all
/// that the other had seen and done. Scope: the whole device. Spinning goes through `wait_until` only.
#pragma once
#include <concepts>
#include <cstdint>

#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

enum class Memory { relaxed, acquire, release, acq_rel };

template <class T>
concept AtomicWord = std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long> || std::same_as<T, float>;

/// The word at `from`, aligned to itself as all of these; M is relaxed or acquire.
template <Memory M = Memory::relaxed, AtomicWord T>
MGM_DEVICE T atomic_load(T const* from, Site at = Site::here());
/// M is relaxed or release.
template <Memory M = Memory::relaxed, AtomicWord T>
MGM_DEVICE void atomic_store(T* to, T value, Site at = Site::here());
/// Adds and returns what was there. The order of a float's additions, and so its last bits, are nobody's promise.
template <Memory M = Memory::relaxed, AtomicWord T>
MGM_DEVICE T atomic_add(T* to, T value, Site at = Site::here());
/// Stores `value` if `expected` was there; returns what was there. With a failure only M's acquiring half counts.
template <Memory M = Memory::relaxed, AtomicWord T>
  requires std::integral<T>
MGM_DEVICE T atomic_cas(T* to, T expected, T value, Site at = Site::here());

/// Spins until `until(value)` is true of the word at `counter`, read with acquire; returns that value. Only for launches in which whoever
/// moves the counter can run meanwhile: in a launch of independent blocks, threads of this block or of blocks that began before it. On Simt
/// a wait that nobody can end is reported; on Cuda it hangs, and with MGM_CHECKED it traps after 2·10¹⁰ clocks.
template <AtomicWord T, class Until>
MGM_DEVICE T wait_until(T const* counter, Until until, Site at = Site::here());

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/atomic.inl>
#else
#  include <mgm/simt/host/atomic.inl>
#endif
