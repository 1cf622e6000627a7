// Read by gemm.hpp once per instruction set: the inner kernel and what happens to its tile.
namespace mgm::inline v0::cpu::MGM_ISA {

/// tile (kMr, kCols) = [tile +] Aᵀ·B over `units` units of two panels: a kRows wide, b kCols wide. All sums stay in registers:
/// 2·kMr of them; each step loads two vectors of B and one word of A for each row.
template <int kMr, bool kPair>
MGM_NOINLINE void multiply(std::uint32_t const* __restrict a, std::uint32_t const* __restrict b, Size units, float* __restrict tile, bool add) {
  F low[kMr], high[kMr];
  MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) {
    low[i] = add ? load(tile + i * kCols) : F{};
    high[i] = add ? load(tile + i * kCols + kLanes) : F{};
  }
  for (Size u = 0; u < units; ++u, a += kRows, b += kCols) {
    U const b0 = *reinterpret_cast<Um const*>(b), b1 = *reinterpret_cast<Um const*>(b + kLanes);
    MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) {
      U const x = word(a[i]);
#if MGM_ISA_LEVEL >= 3
      if constexpr (kPair) {
        low[i] = dot2(low[i], b0, x);
        high[i] = dot2(high[i], b1, x);
        continue;
      }
#endif
      low[i] = fma(as_float(b0), as_float(x), low[i]);
      high[i] = fma(as_float(b1), as_float(x), high[i]);
    }
  }
  MGM_SIMD_UNROLL for (int i = 0; i < kMr; ++i) {
    store(tile + i * kCols, low[i]);
    store(tile + i * kCols + kLanes, high[i]);
  }
}
/// The least kernel that covers `rows`; each row's sums are the same in all of them.
template <bool kPair>
MGM_INLINE void multiply(int rows, std::uint32_t const* a, std::uint32_t const* b, Size units, float* tile, bool add) {
  if (rows > (kRows > 8 ? 8 : 4)) multiply<kRows, kPair>(a, b, units, tile, add);
  else if (kRows > 8 && rows > 4) multiply<(kRows > 8 ? 8 : 4), kPair>(a, b, units, tile, add);
  else if (rows > 1) multiply<4, kPair>(a, b, units, tile, add);
  else multiply<1, kPair>(a, b, units, tile, add);
}

/// One vector of the output: residual + factor ⊙ scale ⊙ activation(alpha·norm(sum) + bias), core/epilogue.hpp.
template <bool kWhole, class T, class TOut>
MGM_INLINE void finish(F y, Size m, Size n, int count, Epilogue<T, Cpu> const& e, View<TOut, 2, Cpu> const& out) {
#define MGM_TAKE(p) (kWhole ? load(p) : load(p, count))
  if (e.norm.rows.data() != nullptr)
    y = set(e.norm.rows(m, 1)) * (y - set(e.norm.rows(m, 0)) * MGM_TAKE(e.norm.columns.row(0) + n)) + MGM_TAKE(e.norm.columns.row(1) + n);
  y = y * set(e.alpha);
  if (e.bias.data() != nullptr) y += MGM_TAKE(e.bias.data() + n);
  if (e.activation != Activation::none) y = activate(e.activation, y);
  if (e.scale.data() != nullptr) y = y * MGM_TAKE(e.scale.data() + n);
  if (e.factor.data() != nullptr) y = y * MGM_TAKE(e.factor.row(m) + n);
  if (e.residual.data() != nullptr) y += MGM_TAKE(e.residual.row(m) + n);
#undef MGM_TAKE
  if constexpr (kWhole) store(out.row(m) + n, y);
  else store(out.row(m) + n, y, count);
}

/// Stores rows × cols of a tile at (m, n) of the output.
template <class T, class TOut>
MGM_NOINLINE void write_tile(float const* tile, int rows, int cols, Size m, Size n, Epilogue<T, Cpu> const& e, View<TOut, 2, Cpu> const& out) {
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < cols; j += kLanes) {
      F const y = load(tile + i * kCols + j);
      if (cols - j >= kLanes) finish<true>(y, m + i, n + j, kLanes, e, out);
      else finish<false>(y, m + i, n + j, cols - j, e, out);
    }
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
