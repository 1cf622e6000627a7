/// atomic.hpp on the GPU: one instruction each (PTX ISA: ld, st, atom), scope gpu.
#pragma once

namespace mgm::inline v0::simt::inline MGM_TWIN {

namespace detail {
template <class T>
MGM_DEVICE unsigned bits_of(T value) {
  unsigned out;
  __builtin_memcpy(&out, &value, sizeof out);
  return out;
}
template <class T>
MGM_DEVICE T from_bits(unsigned bits) {
  T out;
  __builtin_memcpy(&out, &bits, sizeof out);
  return out;
}
}  // namespace detail

template <Memory M, AtomicWord T>
MGM_DEVICE T atomic_load(T const* from, Site) {
  static_assert(M == Memory::relaxed || M == Memory::acquire, "a load acquires or is relaxed");
  if constexpr (sizeof(T) == 8) {
    unsigned long long value;
    if constexpr (M == Memory::acquire) asm volatile("ld.acquire.gpu.b64 %0, [%1];" : "=l"(value) : "l"(from) : "memory");
    else asm volatile("ld.relaxed.gpu.b64 %0, [%1];" : "=l"(value) : "l"(from) : "memory");
    return value;
  } else {
    unsigned value;
    if constexpr (M == Memory::acquire) asm volatile("ld.acquire.gpu.b32 %0, [%1];" : "=r"(value) : "l"(from) : "memory");
    else asm volatile("ld.relaxed.gpu.b32 %0, [%1];" : "=r"(value) : "l"(from) : "memory");
    return detail::from_bits<T>(value);
  }
}
template <Memory M, AtomicWord T>
MGM_DEVICE void atomic_store(T* to, T value, Site) {
  static_assert(M == Memory::relaxed || M == Memory::release, "a store releases or is relaxed");
  if constexpr (sizeof(T) == 8) {
    if constexpr (M == Memory::release) asm volatile("st.release.gpu.b64 [%0], %1;" ::"l"(to), "l"(value) : "memory");
    else asm volatile("st.relaxed.gpu.b64 [%0], %1;" ::"l"(to), "l"(value) : "memory");
  } else {
    unsigned const bits = detail::bits_of(value);
    if constexpr (M == Memory::release) asm volatile("st.release.gpu.b32 [%0], %1;" ::"l"(to), "r"(bits) : "memory");
    else asm volatile("st.relaxed.gpu.b32 [%0], %1;" ::"l"(to), "r"(bits) : "memory");
  }
}

// the four orders of one instruction
#define MGM_ATOM(operation, out, ...)                                                                             \
  if constexpr (M == Memory::relaxed) asm volatile("atom.relaxed.gpu." operation : out : __VA_ARGS__ : "memory"); \
  else if constexpr (M == Memory::acquire) asm volatile("atom.acquire.gpu." operation : out : __VA_ARGS__ : "memory"); \
  else if constexpr (M == Memory::release) asm volatile("atom.release.gpu." operation : out : __VA_ARGS__ : "memory"); \
  else asm volatile("atom.acq_rel.gpu." operation : out : __VA_ARGS__ : "memory")

template <Memory M, AtomicWord T>
MGM_DEVICE T atomic_add(T* to, T value, Site) {
  if constexpr (std::same_as<T, float>) {
    float old;
    MGM_ATOM("add.f32 %0, [%1], %2;", "=f"(old), "l"(to), "f"(value));
    return old;
  } else if constexpr (sizeof(T) == 8) {
    unsigned long long old;
    MGM_ATOM("add.u64 %0, [%1], %2;", "=l"(old), "l"(to), "l"(value));
    return old;
  } else {
    unsigned old;
    MGM_ATOM("add.u32 %0, [%1], %2;", "=r"(old), "l"(to), "r"(detail::bits_of(value)));
    return detail::from_bits<T>(old);
  }
}
template <Memory M, AtomicWord T>
  requires std::integral<T>
MGM_DEVICE T atomic_cas(T* to, T expected, T value, Site) {
  if constexpr (sizeof(T) == 8) {
    unsigned long long old;
    MGM_ATOM("cas.b64 %0, [%1], %2, %3;", "=l"(old), "l"(to), "l"(expected), "l"(value));
    return old;
  } else {
    unsigned old;
    MGM_ATOM("cas.b32 %0, [%1], %2, %3;", "=r"(old), "l"(to), "r"(detail::bits_of(expected)), "r"(detail::bits_of(value)));
    return detail::from_bits<T>(old);
  }
}
#undef MGM_ATOM

template <AtomicWord T, class Until>
MGM_DEVICE T wait_until(T const* counter, Until until, Site) {
#if defined(MGM_CHECKED)
  long long const begin = clock64();
#endif
  for (;;) {
    T const value = atomic_load<Memory::acquire>(counter);
    if (until(value)) return value;
    __nanosleep(40);
#if defined(MGM_CHECKED)
    if (clock64() - begin > 20'000'000'000ll) __trap();
#endif
  }
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
