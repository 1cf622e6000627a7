// Read by gemv.hpp once per instruction set: few rows of A, W read once from memory, four rows side by side.
namespace mgm::inline v0::cpu::MGM_ISA {

inline constexpr Size kStream = 2 * kLanes;  // elements of a row in one step

/// One step of a row of W or A. By pairs: one vector of words; else two vectors of floats, in any order that A and W share.
template <class T, bool kPair = kPairs<T>>
struct Stream {
  F low, high;
};
template <class T>
struct Stream<T, true> {
  U words;
};
template <class T>
MGM_INLINE Stream<T> load_stream(T const* p) {
  if constexpr (kPairs<T>) {
    return {*reinterpret_cast<Um const*>(p)};
  } else if constexpr (std::is_same_v<T, bf16>) {
    U const words = *reinterpret_cast<Um const*>(p);  // even elements, odd elements: one operation each
    return {as_float(words << 16), as_float(words & 0xFFFF0000u)};
  } else {
    return {load(p), load(p + kLanes)};
  }
}
/// The first `count` elements, zeros behind.
template <class T>
MGM_INLINE Stream<T> load_stream(T const* p, Size count) {
  if constexpr (kPairs<T>) {
    return {load_units(p, count)};
  } else {
    T buffer[kStream];
    __builtin_memset(buffer, 0, sizeof buffer);  // all bits clear is 0 in each T
    __builtin_memcpy(buffer, p, static_cast<std::size_t>(count) * sizeof(T));
    return load_stream(buffer);
  }
}
/// sum + the products of one step. `a` points at the step as `prepare` stored it.
template <class T>
MGM_INLINE F accumulate(F sum, Stream<T> const& w, float const* a) {
#if MGM_ISA_LEVEL >= 3
  if constexpr (kPairs<T>) return dot2(sum, w.words, *reinterpret_cast<Um const*>(a));
  else
#endif
    return fma(w.high, load(a + kLanes), fma(w.low, load(a), sum));
}
template <class T>
inline constexpr Size kStepWords = kPairs<T> ? kLanes : 2 * kLanes;

/// A row of A in steps, as `accumulate` reads it.
template <class T>
MGM_NOINLINE void prepare(T const* p, Size k, float* to) {
  for (Size at = 0; at < k; at += kStream, to += kStepWords<T>) {
    Stream<T> const s = k - at >= kStream ? load_stream(p + at) : load_stream(p + at, k - at);
    if constexpr (kPairs<T>) store(to, as_float(s.words));
    else store(to, s.low), store(to + kLanes, s.high);
  }
}

/// out[i·kCols + j] = A's row i · W's row j for kMr rows and kNr rows. The order of each sum does not depend on kMr and kNr.
template <class T, int kMr, int kNr>
MGM_NOINLINE void dot_rows(float const* a, Size a_stride, T const* w, Size w_stride, Size k, float* out) {
  F sums[kMr][kNr];
  MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) MGM_SIMD_UNROLL for (int j = 0; j < kNr; ++j) sums[i][j] = F{};
  Size at = 0;
  for (; at + kStream <= k; at += kStream, a += kStepWords<T>) {
    MGM_SIMD_UNROLL for (int j = 0; j < kNr; ++j) {
      Stream<T> const s = load_stream(w + j * w_stride + at);
      MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) sums[i][j] = accumulate(sums[i][j], s, a + i * a_stride);
    }
  }
  if (at < k) {
    MGM_SIMD_UNROLL for (int j = 0; j < kNr; ++j) {
      Stream<T> const s = load_stream(w + j * w_stride + at, k - at);
      MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) sums[i][j] = accumulate(sums[i][j], s, a + i * a_stride);
    }
  }
  MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) MGM_SIMD_UNROLL for (int j = 0; j < kNr; ++j) out[i * kCols + j] = sum(sums[i][j]);
}
/// The same for any numbers of rows.
template <class T, int kNr>
MGM_INLINE void dot_rows(int rows, float const* a, Size a_stride, T const* w, Size w_stride, Size k, float* out) {
  constexpr int kMost = MGM_ISA_LEVEL >= 2 ? 4 : 2;  // 16 sums of 32 registers, 8 of 16
  int i = 0;
  for (; i + kMost <= rows; i += kMost) dot_rows<T, kMost, kNr>(a + i * a_stride, a_stride, w, w_stride, k, out + i * kCols);
  for (; i < rows; ++i) dot_rows<T, 1, kNr>(a + i * a_stride, a_stride, w, w_stride, k, out + i * kCols);
}
/// out (rows, cols <= kCols) = A·Wᵀ, row length kCols.
template <class T>
MGM_NOINLINE void dot_tile(int rows, int cols, float const* a, Size a_stride, T const* w, Size w_stride, Size k, float* out) {
  int j = 0;
  for (; j + 4 <= cols; j += 4) dot_rows<T, 4>(rows, a, a_stride, w + j * w_stride, w_stride, k, out + j);
  for (; j < cols; ++j) dot_rows<T, 1>(rows, a, a_stride, w + j * w_stride, w_stride, k, out + j);
}

template <class T, class TOut>
struct Gemv {
  float const* a;  // prepared rows
  Size a_stride;
  View<T const, 2, Cpu> w;
  Epilogue<T, Cpu> const& e;
  View<TOut, 2, Cpu> out;
  Size group;  // column tiles of a task
  MGM_NOINLINE void operator()(Size task) const {
    alignas(64) float tile[kFewRows * kCols];
    int const rows = static_cast<int>(out.extent(0));
    Size const end = (task + 1) * group * kCols < out.extent(1) ? (task + 1) * group * kCols : out.extent(1);
    for (Size n = task * group * kCols; n < end; n += kCols) {
      int const cols = static_cast<int>(end - n < kCols ? end - n : kCols);
      dot_tile<T>(rows, cols, a, a_stride, w.row(n), w.stride(0), w.extent(1), tile);
      write_tile<T, TOut>(tile, rows, cols, 0, n, e, out);
    }
  }
};

template <class T, class TOut>
void gemv(Executor const& ex, View<T const, 2, Cpu> a, View<T const, 2, Cpu> w, Epilogue<T, Cpu> const& e, View<TOut, 2, Cpu> out) {
  Size const rows = out.extent(0), k = w.extent(1), tiles = (out.extent(1) + kCols - 1) / kCols;
  if (rows <= 0 || tiles <= 0) return;
  Size const stride = (k + kStream - 1) / kStream * kStepWords<T>;
  Scratch const memory(rows * stride * 4);
  for (Size m = 0; m < rows; ++m) prepare(a.row(m), k, memory.as<float>() + m * stride);
  Size const threads = ex.threads ? ex.threads->concurrency() : 1;
  Size const bytes = kCols * k * static_cast<Size>(sizeof(T)), least = bytes > 0 ? (Size{1} << 17) / bytes + 1 : tiles;  // 128 KiB: 8 µs
  Size const even = (tiles + 16 * threads - 1) / (16 * threads);
  Gemv<T, TOut> const g{memory.as<float>(), stride, w, e, out, even > least ? even : least};
  ex.parallel((tiles + g.group - 1) / g.group, g);
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
