// Read by gemm.hpp once per instruction set: operands cut into panels, the form that the inner kernel reads straight through.
// A panel holds `width` rows of A or W turned over: word [unit][row]. A unit is one step of the sum: a float, or, where the machine
// multiplies bf16 pairs, two neighbouring bf16. Rows that are missing and the odd last element are zero.
namespace mgm::inline v0::cpu::MGM_ISA {

/// Products of T are summed by pairs of bf16 in this set.
template <class T>
inline constexpr bool kPairs = kHasDot2 && sizeof(T) == 2 && std::is_same_v<T, bf16>;
template <class T>
inline constexpr int kPerUnit = kPairs<T> ? 2 : 1;

inline constexpr int kCols = 2 * kLanes;                       // columns of a tile
inline constexpr int kRows = MGM_ISA_LEVEL >= 2 ? 12 : 6;      // rows of a tile: kRows · 2 sums of 32 (16) registers, and 2 + 1 operands
inline constexpr Size kUnits = 512;                            // units in a block of the sum: a 12-row panel of 24 KiB stays in L1

/// kLanes units of a row, or as many as `elements` give.
template <class T>
MGM_INLINE U load_units(T const* p) {
  if constexpr (kPairs<T>) return *reinterpret_cast<Um const*>(p);
  else return as_word(load(p));
}
template <class T>
MGM_INLINE U load_units(T const* p, Size elements) {
  if constexpr (kPairs<T>) {
#if MGM_ISA_LEVEL >= 3
    return (U)_mm512_maskz_loadu_epi16((__mmask32)((std::uint64_t{1} << elements) - 1u), p);
#endif
  } else {
    return as_word(load(p, static_cast<int>(elements)));
  }
}

/// `rows` rows of K elements, `stride` apart, as a panel `width` wide; writes ceil(K / kPerUnit) · width words and none behind them.
template <class T>
MGM_NOINLINE void pack_rows(T const* p, Size stride, int rows, Size k, int width, std::uint32_t* out) {
  constexpr Size kStep = kLanes * kPerUnit<T>;
  for (int first = 0; first < width; first += kLanes) {
    int const here = rows - first < kLanes ? rows - first : kLanes, lanes = width - first < kLanes ? width - first : kLanes;
    std::uint32_t* to = out + first;
    for (Size at = 0; at < k; at += kStep) {
      U r[kLanes];
      T const* const source = p + first * stride + at;
      Size const left = k - at;
      if (left >= kStep && here == kLanes) {
        MGM_SIMD_UNROLL for (int i = 0; i < kLanes; ++i) r[i] = load_units(source + i * stride);
      } else if (left >= kStep && here == kRows) {  // a whole panel of A
        MGM_SIMD_UNROLL for (int i = 0; i < kLanes; ++i) r[i] = i < kRows ? load_units(source + i * stride) : U{};
      } else {
        for (int i = 0; i < kLanes; ++i) {
          if (i >= here) r[i] = U{};
          else r[i] = left >= kStep ? load_units(source + i * stride) : load_units(source + i * stride, left);
        }
      }
      transpose(r);
      Size const units = left >= kStep ? kLanes : (left + kPerUnit<T> - 1) / kPerUnit<T>;
      if (units == kLanes && (lanes == kLanes || (width < kLanes && left > kStep))) {  // what a narrow row spills the next one overwrites
        MGM_SIMD_UNROLL for (int i = 0; i < kLanes; ++i) *reinterpret_cast<Um*>(to + i * width) = r[i];
      } else {
        U spilled[kLanes];
        MGM_SIMD_UNROLL for (int i = 0; i < kLanes; ++i) spilled[i] = r[i];
        for (Size i = 0; i < units; ++i) store_words(to + i * width, spilled[i], lanes);
      }
      to += units * width;
    }
  }
}

/// The same panel, kCols wide, from `cols` columns of a matrix whose rows run along the sum.
template <class T>
MGM_NOINLINE void pack_cols(T const* p, Size stride, int cols, Size k, std::uint32_t* out) {
  for (Size at = 0; at < k; at += kPerUnit<T>, p += stride * kPerUnit<T>) {
    MGM_SIMD_UNROLL for (int half_ = 0; half_ < 2; ++half_, out += kLanes) {
      int const first = half_ * kLanes, n = cols - first < 0 ? 0 : cols - first < kLanes ? cols - first : kLanes;
      U words{};
      if constexpr (kPairs<T>) {
        H const even = n == kLanes ? *reinterpret_cast<Hm const*>(p + first) : load_bits(p + first, n);
        H odd{};
        if (at + 1 < k) odd = n == kLanes ? *reinterpret_cast<Hm const*>(p + stride + first) : load_bits(p + stride + first, n);
        words = __builtin_convertvector(even, U) | (__builtin_convertvector(odd, U) << 16);
      } else {
        words = n == kLanes ? as_word(load(p + first)) : as_word(load(p + first, n));
      }
      *reinterpret_cast<Um*>(out) = words;
    }
  }
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
