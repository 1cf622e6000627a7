/// Wide accesses, shared memory, and what widens and narrows on the way.
#pragma once
#include <mgm/core/dtype.hpp>
#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// N elements that move together.
template <class T, int N>
struct alignas(sizeof(T) * N) Vec {
  T at[N];
  MGM_HD constexpr T& operator[](int i) { return at[i]; }
  MGM_HD constexpr T const& operator[](int i) const { return at[i]; }
};

/// One access of N·sizeof(T) bytes (1 to 16, a power of two); `from` is aligned to it. Simt checks that.
template <int N, class T>
MGM_DEVICE Vec<T, N> load(T const* from, Site at = Site::here());
template <int N, class T>
MGM_DEVICE void store(T* to, Vec<T, N> const& value, Site at = Site::here());
/// The same into global memory, and surely one instruction: for results, where a compiler would join narrower stores or not.
template <int N, class T>
MGM_DEVICE void store_global(T* to, Vec<T, N> const& value, Site at = Site::here());
/// A load through the read-only path, for words that no thread of the launch writes.
template <int N, class T>
MGM_DEVICE Vec<T, N> load_readonly(T const* from, Site at = Site::here());

/// The block's dynamic shared memory as an S, uninitialised: poisoned on Simt.
template <class S>
MGM_DEVICE S& shared();

/// float from an element, and an element from float (round to nearest even), by the device's own instructions where it has them.
template <Real T>
MGM_DEVICE float widen(T value);
template <Real T>
MGM_DEVICE T narrow(float value);
/// Two elements in a register, `low` in its lower half: what an operand of a matrix instruction holds.
template <Real T>
  requires(sizeof(T) == 2)
MGM_DEVICE unsigned narrow_pair(float low, float high);

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/memory.inl>
#else
#  include <mgm/simt/host/memory.inl>
#endif
