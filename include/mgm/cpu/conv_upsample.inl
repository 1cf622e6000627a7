// Read by conv.hpp once per instruction set: a 3×3 convolution behind a doubling of the map, folded. Of the four kinds of output pixels
// (row and column odd or even) each sees 2×2 pixels of the small map: the taps that read one pixel are summed, which leaves 4/9 of the
// products.
//   even rows: y−1 by w[0], y by w[1] + w[2];   odd rows: y by w[0] + w[1], y+1 by w[2]
// The sums of taps are made in float; where pairs of bf16 are multiplied they are rounded to bf16 once more.
namespace mgm::inline v0::cpu::MGM_ISA {

/// to[c] = Σ over taps of from[tap·channels + c].
template <class T, class P>
MGM_NOINLINE void sum_taps(T const* from, Size const* taps, int count, Size channels, P* to) {
  for (Size c = 0; c < channels; c += kLanes) {
    int const here = static_cast<int>(channels - c < kLanes ? channels - c : kLanes);
    F s = set(0);
    for (int t = 0; t < count; ++t) s += load(from + taps[t] * channels + c, here);
    store(to + c, s, here);
  }
}

/// The 2×2 weights (N, 4·C) that pixels of one kind see.
template <class T, class P>
struct SumTask {
  View<T const, 2, Cpu> w;
  Size channels, odd_row, odd_col;
  View<P, 2, Cpu> to;
  void operator()(Size n) const {
    for (Size ty = 0; ty < 2; ++ty)
      for (Size tx = 0; tx < 2; ++tx) {
        Size taps[4];
        int count = 0;
        for (Size ky = 0; ky < 3; ++ky)
          for (Size kx = 0; kx < 3; ++kx)
            if ((ky + 1 - odd_row) / 2 == ty && (kx + 1 - odd_col) / 2 == tx) taps[count++] = 3 * ky + kx;
        sum_taps(w.row(n), taps, count, channels, to.row(n) + (2 * ty + tx) * channels);
      }
  }
};

/// Whether the window is 3×3 over a map resampled to exactly twice its size, and the epilogue has no matrices.
template <class T>
bool is_doubling(MapSource<T, Cpu> const& x, Window const& w, Epilogue<T, Cpu> const& e) {
  return w.side == 3 && w.stride == 1 && w.top == 1 && w.left == 1 && w.rows == 2 * x.rows() && w.cols == 2 * x.cols() &&
         w.out_rows == w.rows && w.out_cols == w.cols && e.residual.data() == nullptr && e.factor.data() == nullptr;
}

template <class T, class TOut>
void conv_any(Executor const& ex, MapSource<T, Cpu> const& x, Window const& window, View<T const, 2, Cpu> w, Epilogue<T, Cpu> const& e,
              View<TOut, 2, Cpu> out) {
  if (!is_doubling(x, window, e) || out.count() == 0) return conv<T, TOut>(ex, x, window, w, e, out, 0);
  using P = std::conditional_t<kPairs<T>, bf16, float>;
  Size const rows = x.rows(), cols = x.cols(), channels = x.channels(), step = out.stride(0);
  Scratch const memory(out.extent(1) * 4 * channels * static_cast<Size>(sizeof(P)));
  View<P, 2, Cpu> const sums(memory.as<P>(), Extents<2>{out.extent(1), 4 * channels});
  for (Size odd_row = 0; odd_row < 2; ++odd_row)
    for (Size odd_col = 0; odd_col < 2; ++odd_col) {
      ex.parallel(out.extent(1), SumTask<T, P>{w, channels, odd_row, odd_col, sums});
      Window const small{2, 1, static_cast<int>(1 - odd_row), static_cast<int>(1 - odd_col), rows, cols, rows, cols};
      // row y·cols + u of this view is pixel (2y + odd_row, 2u + odd_col): rows of the map are skipped by adding cols for each
      View<TOut, 2, Cpu> const part(out.data() + (odd_row * 2 * cols + odd_col) * step, Extents<2>{2 * rows * cols, out.extent(1)},
                                    Extents<2>{2 * step, out.stride(1)});
      conv<T, TOut, P>(ex, x, small, View<P const, 2, Cpu>(sums), e, part, cols);
    }
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
