/// The tensor-core product with K in parts, for long K and few columns, whose tiles alone would leave multiprocessors idle: each part's
/// sums go to a layer of scratch memory, then the layers are added, in order, and finished.
///   out = epilogue(((s_0 + s_1) + s_2) + …),   s_i = the sum over the i-th part of K
/// How many parts there are follows from N and K alone, so that a row has the same bits whatever M is. Not measured on any GPU.
#pragma once
#include <mgm/kernels/gemm/gemm_mma.cuh>

namespace mgm::inline v0::kernels {

struct GemmSplitTraits {
  static constexpr int kThreads = 128, kMaxParts = 4, kDepth = 64;  // a part is a multiple of kDepth, the deeper tile's panel
  static constexpr int kRegisters = 80;                            // of a thread, at most: nvcc-gate
};

/// The parts that K is worth cutting into for x·wᵀ with w (N, K): 2 from K = 4·N on, 4 from 8·N on, each of at least 1024.
[[nodiscard]] constexpr int gemm_parts(Size n, Size k) {
  int const wanted = k >= 8 * n ? 4 : k >= 4 * n ? 2 : 1;
  return k >= Size{wanted} * 1024 ? wanted : k >= 2048 && wanted > 1 ? 2 : 1;
}

template <class T, class TOut, class Dev>
MGM_GLOBAL(GemmSplitTraits::kThreads)
void gemm_split_sum_kernel(View<float const, 3, Dev> layers, Epilogue<T, Dev> epilogue, bool wide, View<TOut, 2, Dev> out) {
  Size const eights = (out.extent(1) + 7) / 8, at = Size{simt::block_idx().x} * GemmSplitTraits::kThreads + simt::thread_idx();
  Size const m = at / eights, n = at % eights * 8;
  if (m >= out.extent(0)) return;
  int const parts = static_cast<int>(layers.extent(0));
  if (wide && n + 8 <= out.extent(1)) {
    float y[8], v[8];
    tile::load_eight(y, layers.row(0, m) + n);
    for (int i = 1; i < parts; ++i) {
      tile::load_eight(v, layers.row(i, m) + n);
      MGM_UNROLL for (int j = 0; j < 8; ++j) y[j] += v[j];
    }
    tile::finish_eight(epilogue, y, m, n, out);
    return;
  }
  MGM_ROLLED for (Size j = n; j < n + 8 && j < out.extent(1); ++j) {
    float y = layers(0, m, j);
    for (int i = 1; i < parts; ++i) y += layers(i, m, j);
    out(m, j) = simt::narrow<TOut>(tile::finish(epilogue, y, m, j));
  }
}

/// As gemm_mma, with scratch (parts, M, N) of float that nobody else uses until the work is done; its first extent says how many parts.
/// Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <class Tr, simt::HalfReal T, class TOut, KernelDevice Dev>
void gemm_split(simt::Stream<Dev> stream, In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e,
                std::type_identity_t<View<float, 3, Dev>> scratch, Out<TOut, 2, Dev> out) {
  using Split = GemmSplitTraits;
  check_gemm<T, TOut, Dev>(x, w, e, out);
  require<ArgumentError>(gemm_mma_fits<T, Dev>(x, w), "gemm_split: x and w need dense rows that begin on 16 bytes, and K below 2^28");
  check_output("gemm_split: scratch", scratch);
  check_shape("gemm_split: scratch", scratch, any, out.extent(0), out.extent(1));
  Size const parts = scratch.extent(0), k = x.extent(1);
  require<ShapeError>(parts >= 1 && parts <= Split::kMaxParts, "gemm_split: scratch: 1 to ", Split::kMaxParts, " parts, found ", parts);
  check_apart("gemm_split: scratch", scratch, "x", x), check_apart("gemm_split: scratch", scratch, "w", w),
      check_apart("gemm_split: out", out, "scratch", scratch);
  if (out.count() == 0) return;
  Size const part_of_k = simt::ceil_div(simt::ceil_div(k, parts), Split::kDepth) * Split::kDepth;
  View<float, 3, Dev> const layers = scratch.slice(0, 0, k > 0 ? simt::ceil_div(k, part_of_k) : 1);  // rounding up may leave no last part
  detail::send_gemm_mma<Tr, T, float, Dev>(stream, x, w, {}, part_of_k, layers);
  bool const wide = is_wide(e, out) && is_aligned(layers, 16);
  simt::launch(stream,
               {.name = "gemm_split_sum",
                .grid = simt::ceil_div(out.extent(0) * simt::ceil_div(out.extent(1), 8), Split::kThreads),
                .block = Split::kThreads},
               gemm_split_sum_kernel<T, TOut, Dev>, View<float const, 3, Dev>(layers), e, wide, out);
}

}  // namespace mgm::inline v0::kernels
