/// memory.hpp on the GPU: each access is one instruction, whatever the elements are.
#pragma once

namespace mgm::inline v0::simt::inline MGM_TWIN {

namespace detail {
/// The machine's own type of so many bytes; what is copied through it moves at once.
template <int Bytes>
struct Word;
template <> struct Word<1> { using Type = unsigned char; };
template <> struct Word<2> { using Type = unsigned short; };
template <> struct Word<4> { using Type = unsigned; };
template <> struct Word<8> { using Type = uint2; };
template <> struct Word<16> { using Type = uint4; };

template <class T, int N>
MGM_DEVICE Vec<T, N> from_word(typename Word<sizeof(T) * N>::Type word) {  // by value: a copy out of memory would go byte by byte
  Vec<T, N> out;
  __builtin_memcpy(&out, &word, sizeof out);
  return out;
}
}  // namespace detail

template <int N, class T>
MGM_DEVICE Vec<T, N> load(T const* from, Site) {
  return detail::from_word<T, N>(*reinterpret_cast<typename detail::Word<sizeof(T) * N>::Type const*>(from));
}
template <int N, class T>
MGM_DEVICE void store(T* to, Vec<T, N> const& value, Site) {
  typename detail::Word<sizeof(T) * N>::Type word;
  __builtin_memcpy(&word, &value, sizeof word);
  *reinterpret_cast<decltype(word)*>(to) = word;
}
template <int N, class T>
MGM_DEVICE void store_global(T* to, Vec<T, N> const& value, Site at) {
  if constexpr (sizeof(T) * N == 16) {
    unsigned part[4];
    __builtin_memcpy(part, &value, sizeof part);
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(part[0]), "r"(part[1]), "r"(part[2]),
                 "r"(part[3])
                 : "memory");
  } else {
    store<N>(to, value, at);
  }
}
template <int N, class T>
MGM_DEVICE Vec<T, N> load_readonly(T const* from, Site) {
  return detail::from_word<T, N>(__ldg(reinterpret_cast<typename detail::Word<sizeof(T) * N>::Type const*>(from)));
}

template <class S>
MGM_DEVICE S& shared() {
  extern __shared__ __align__(1024) unsigned char mgm_shared[];  // 1024: what the widest swizzle repeats after
  static_assert(alignof(S) <= 1024);
  return *reinterpret_cast<S*>(mgm_shared);
}

template <Real T>
MGM_DEVICE float widen(T value) {
  if constexpr (std::is_same_v<T, half>) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
    return wide;
  } else {
    return static_cast<float>(value);  // bf16: a shift
  }
}
template <Real T>
MGM_DEVICE T narrow(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    T out;
    if constexpr (std::is_same_v<T, half>) asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(value));
    else asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out.bits) : "f"(value));
    return out;
  }
}
template <Real T>
  requires(sizeof(T) == 2)
MGM_DEVICE unsigned narrow_pair(float low, float high) {
  unsigned pair;
  if constexpr (std::is_same_v<T, half>) asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  else asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
