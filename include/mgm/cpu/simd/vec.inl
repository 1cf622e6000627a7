// Read by vec.hpp once per instruction set.
namespace mgm::inline v0::cpu::MGM_ISA {

#if MGM_ISA_LEVEL >= 2
inline constexpr int kLanes = 16;
#elif MGM_ISA_LEVEL == 1
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif
/// Whether this set multiplies bf16 pairs (dot2 below).
inline constexpr bool kHasDot2 = MGM_ISA_LEVEL >= 3;

// (The maskz forms with a full mask below are plain instructions; g++ 12 warns of its own undefined values in the unmasked ones.)
typedef float F __attribute__((vector_size(4 * kLanes)));           // kLanes floats
typedef std::int32_t I __attribute__((vector_size(4 * kLanes)));    // kLanes integers; a comparison of F gives 0 or -1
typedef std::uint32_t U __attribute__((vector_size(4 * kLanes)));   // kLanes words
typedef std::uint16_t H __attribute__((vector_size(2 * kLanes)));   // kLanes halves or bf16 as stored
// The same in memory: any alignment, any declared type.
typedef float Fm __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef std::uint32_t Um __attribute__((vector_size(4 * kLanes), aligned(2), may_alias));
typedef std::uint16_t Hm __attribute__((vector_size(2 * kLanes), aligned(2), may_alias));

MGM_INLINE F set(float x) {
#if MGM_ISA_LEVEL >= 2
  return (F)_mm512_set1_ps(x);
#elif MGM_ISA_LEVEL == 1
  return (F)_mm256_set1_ps(x);
#else
  return F{x, x, x, x};
#endif
}
MGM_INLINE U word(std::uint32_t x) {
#if MGM_ISA_LEVEL >= 2
  return (U)_mm512_set1_epi32((int)x);
#else
  return U{} + x;
#endif
}
MGM_INLINE F as_float(U x) { return (F)x; }
MGM_INLINE F as_float(I x) { return (F)x; }
MGM_INLINE U as_word(F x) { return (U)x; }
MGM_INLINE I as_int(F x) { return (I)x; }

/// a·b + c, one rounding where the machine has it.
MGM_INLINE F fma(F a, F b, F c) {
#if MGM_ISA_LEVEL >= 2
  return (F)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif MGM_ISA_LEVEL == 1
  return (F)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}
/// Lane by lane; the second argument where either is NaN.
MGM_INLINE F min(F a, F b) { return a < b ? a : b; }
MGM_INLINE F max(F a, F b) { return a > b ? a : b; }
MGM_INLINE F abs(F x) { return as_float(as_word(x) & 0x7FFFFFFFu); }
MGM_INLINE F select(I mask, F yes, F no) { return mask ? yes : no; }
MGM_INLINE F sqrt(F x) {
#if MGM_ISA_LEVEL >= 2
  return (F)_mm512_maskz_sqrt_ps((__mmask16)-1, (__m512)x);
#elif MGM_ISA_LEVEL == 1
  return (F)_mm256_sqrt_ps((__m256)x);
#else
  return F{__builtin_sqrtf(x[0]), __builtin_sqrtf(x[1]), __builtin_sqrtf(x[2]), __builtin_sqrtf(x[3])};
#endif
}
/// 0, 1, 2, … in the lanes.
MGM_INLINE I lane_index() {
#if MGM_ISA_LEVEL >= 2
  return I{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif MGM_ISA_LEVEL == 1
  return I{0, 1, 2, 3, 4, 5, 6, 7};
#else
  return I{0, 1, 2, 3};
#endif
}

/// Sum of the lanes, always as a tree over halves: lane i with lane i + kLanes/2, and so on.
MGM_INLINE float sum(F x) {
#if MGM_ISA_LEVEL >= 2
  x += __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3);
  x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1);
#elif MGM_ISA_LEVEL == 1
  x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
  x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 2, 3, 0, 1);
#else
  x += __builtin_shufflevector(x, x, 2, 3, 0, 1);
#endif
  return x[0] + x[1];
}
/// Greatest lane.
MGM_INLINE float peak(F x) {
#if MGM_ISA_LEVEL >= 2
  x = max(x, __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  x = max(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3));
  x = max(x, __builtin_shufflevector(x, x, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1));
#elif MGM_ISA_LEVEL == 1
  x = max(x, __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3));
  x = max(x, __builtin_shufflevector(x, x, 2, 3, 0, 1, 2, 3, 0, 1));
#else
  x = max(x, __builtin_shufflevector(x, x, 2, 3, 0, 1));
#endif
  return x[0] > x[1] ? x[0] : x[1];
}

/// bf16 bits as stored to float and back; rounds as core's bf16 does.
MGM_INLINE U widen_bits(H h) {  // spelled out: g++ 12 splits a conversion of vectors in halves
#if MGM_ISA_LEVEL >= 2
  return (U)_mm512_maskz_cvtepu16_epi32((__mmask16)-1, (__m256i)h);
#elif MGM_ISA_LEVEL == 1
  return (U)_mm256_cvtepu16_epi32((__m128i)h);
#else
  return __builtin_convertvector(h, U);
#endif
}
MGM_INLINE H narrow_bits(U u) {  // words below 2^16
#if MGM_ISA_LEVEL >= 2
  return (H)_mm512_maskz_cvtepi32_epi16((__mmask16)-1, (__m512i)u);
#elif MGM_ISA_LEVEL == 1
  __m256i const pairs = _mm256_packus_epi32((__m256i)u, (__m256i)u);
  return (H)_mm256_castsi256_si128(_mm256_permute4x64_epi64(pairs, 0x08));
#else
  return __builtin_convertvector(u, H);
#endif
}
MGM_INLINE F widen_bf16(H h) { return as_float(widen_bits(h) << 16); }
MGM_INLINE H narrow_bf16(F x) {
  U const u = as_word(x), rounded = (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
  return narrow_bits(as_word(select(x == x, as_float(rounded), as_float((u >> 16) | 0x40u))));
}
/// IEEE half as stored to float and back; rounds as core's half does.
MGM_INLINE F widen_half(H h) {
#if MGM_ISA_LEVEL >= 2
  return (F)_mm512_maskz_cvtph_ps((__mmask16)-1, (__m256i)h);
#elif MGM_ISA_LEVEL == 1
  return (F)_mm256_cvtph_ps((__m128i)h);
#else
  U const u = __builtin_convertvector(h, U), magnitude = (u & 0x7FFFu) << 13;
  F const value = as_float(magnitude) * set(0x1p112f);  // moves the exponent's bias; right for subnormals too
  U const special = magnitude | 0x7F800000u;            // infinity and NaN keep their mantissa
  return as_float(as_word(select(I(magnitude) >= 0x0F800000, as_float(special), value)) | ((u & 0x8000u) << 16));
#endif
}
MGM_INLINE H narrow_half(F x) {
#if MGM_ISA_LEVEL >= 2
  H const h = (H)_mm512_maskz_cvtps_ph((__mmask16)-1, (__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  H const nan = narrow_bits(((as_word(x) >> 16) & 0x8000u) | 0x7E00u);  // one NaN, as core's
  return narrow_bits(as_word(as_float(x != x)) & 0xFFFFu) ? nan : h;
#elif MGM_ISA_LEVEL == 1
  H const h = (H)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  H const nan = narrow_bits(((as_word(x) >> 16) & 0x8000u) | 0x7E00u);  // one NaN, as core's
  return narrow_bits(as_word(as_float(x != x)) & 0xFFFFu) ? nan : h;
#else
  U const u = as_word(x), sign = (u >> 16) & 0x8000u, m = u & 0x7FFFFFFFu;
  U const normal = (m - 0x38000000u + 0xFFFu + ((m >> 13) & 1u)) >> 13;
  U const tiny = as_word(as_float(m) + set(0.5f)) - 0x3F000000u;  // the sum's own rounding leaves 24 bits below 2^-1: steps of 2^-24
  I const magnitude = I(m);
  F r = select(magnitude < 0x38800000, as_float(tiny), as_float(normal));
  r = select(magnitude >= 0x477FF000, as_float(U{} + 0x7C00u), r);
  r = select(magnitude > 0x7F800000, as_float(U{} + 0x7E00u), r);
  return __builtin_convertvector(as_word(r) | sign, H);
#endif
}

/// kLanes elements at p as floats.
MGM_INLINE F load(float const* p) { return *reinterpret_cast<Fm const*>(p); }
MGM_INLINE F load(bf16 const* p) { return widen_bf16(*reinterpret_cast<Hm const*>(p)); }
MGM_INLINE F load(half const* p) { return widen_half(*reinterpret_cast<Hm const*>(p)); }
MGM_INLINE void store(float* p, F x) { *reinterpret_cast<Fm*>(p) = x; }
MGM_INLINE void store(bf16* p, F x) { *reinterpret_cast<Hm*>(p) = narrow_bf16(x); }
MGM_INLINE void store(half* p, F x) { *reinterpret_cast<Hm*>(p) = narrow_half(x); }

/// The first n (0 … kLanes) 16-bit or 32-bit elements at p, zeros behind; nothing beyond them is touched.
MGM_INLINE H load_bits(void const* p, int n) {
#if MGM_ISA_LEVEL >= 2
  return (H)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1u), p);
#else
  std::uint16_t buffer[kLanes] = {};
  if (n > 0) __builtin_memcpy(buffer, p, static_cast<unsigned>(n) * 2u);
  return *reinterpret_cast<Hm const*>(buffer);
#endif
}
MGM_INLINE U load_words(void const* p, int n) {
#if MGM_ISA_LEVEL >= 2
  return (U)_mm512_maskz_loadu_epi32((__mmask16)((1u << n) - 1u), p);
#elif MGM_ISA_LEVEL == 1
  return (U)_mm256_maskload_epi32(static_cast<int const*>(p), (__m256i)(lane_index() < n));
#else
  std::uint32_t buffer[kLanes] = {};
  if (n > 0) __builtin_memcpy(buffer, p, static_cast<unsigned>(n) * 4u);
  return *reinterpret_cast<Um const*>(buffer);
#endif
}
MGM_INLINE void store_bits(void* p, H x, int n) {
#if MGM_ISA_LEVEL >= 2
  _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1u), (__m256i)x);
#else
  if (n > 0) __builtin_memcpy(p, &x, static_cast<unsigned>(n) * 2u);
#endif
}
MGM_INLINE void store_words(void* p, U x, int n) {
#if MGM_ISA_LEVEL >= 2
  _mm512_mask_storeu_epi32(p, (__mmask16)((1u << n) - 1u), (__m512i)x);
#elif MGM_ISA_LEVEL == 1
  _mm256_maskstore_epi32(static_cast<int*>(p), (__m256i)(lane_index() < n), (__m256i)x);
#else
  if (n > 0) __builtin_memcpy(p, &x, static_cast<unsigned>(n) * 4u);
#endif
}
MGM_INLINE F load(float const* p, int n) { return as_float(load_words(p, n)); }
MGM_INLINE F load(bf16 const* p, int n) { return widen_bf16(load_bits(p, n)); }
MGM_INLINE F load(half const* p, int n) { return widen_half(load_bits(p, n)); }
MGM_INLINE void store(float* p, F x, int n) { store_words(p, as_word(x), n); }
MGM_INLINE void store(bf16* p, F x, int n) { store_bits(p, narrow_bf16(x), n); }
MGM_INLINE void store(half* p, F x, int n) { store_bits(p, narrow_half(x), n); }

/// Rows a and b laced: a0 b0 a1 b1 … , the first kLanes of them (low) or the last (high).
MGM_INLINE U lace_low(U a, U b) {
#if MGM_ISA_LEVEL >= 2
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif MGM_ISA_LEVEL == 1
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
#else
  return __builtin_shufflevector(a, b, 0, 4, 1, 5);
#endif
}
MGM_INLINE U lace_high(U a, U b) {
#if MGM_ISA_LEVEL >= 2
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif MGM_ISA_LEVEL == 1
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  return __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
}
/// Transposes kLanes × kLanes words: log2(kLanes) rounds of lacing row i with row i + kLanes/2.
MGM_INLINE void transpose(U (&r)[kLanes]) {
  MGM_SIMD_UNROLL for (int round = 1; round < kLanes; round *= 2) {
    U t[kLanes];
    MGM_SIMD_UNROLL for (int i = 0; i < kLanes / 2; ++i) {
      t[2 * i] = lace_low(r[i], r[i + kLanes / 2]);
      t[2 * i + 1] = lace_high(r[i], r[i + kLanes / 2]);
    }
    MGM_SIMD_UNROLL for (int i = 0; i < kLanes; ++i) r[i] = t[i];
  }
}

#if MGM_ISA_LEVEL >= 3
/// sum[l] + a[2l]·b[2l] + a[2l+1]·b[2l+1], the lanes being pairs of bf16. Subnormals count as zero.
MGM_INLINE F dot2(F sum, U a, U b) {
#  if defined(__clang__)  // as text: clang 16's optimiser does not come back from the cost of shuffling 32 bf16
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
#  else
  return (F)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#  endif
}
#endif

}  // namespace mgm::inline v0::cpu::MGM_ISA
