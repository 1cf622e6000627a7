/// The convolution as a matrix product whose left operand is gathered as it is read (implicit GEMM), general form: any window, stride and
/// resampling, one map or two whose channels follow each other, normalised on the way or not, any strides. The measure of all faster forms.
///   out[p, n] = epilogue(Σ_tap Σ_c map(source(p, tap), c)·w[n, (tap, c)]), zero outside
/// One block makes 64 pixels × 64 channels, each thread 4×4; panels of 16 channels of one tap pass through shared memory as float.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/conv/map_value.hpp>
#include <mgm/kernels/gemm/gemm_general.cuh>

namespace mgm::inline v0::kernels {

/// Channels [c, c + kK) of the source pixels that lie under tap (ky, kx) of 64 output pixels from `first` on, with zeros beyond.
template <class Tr, class T, class Dev, int kWidth>
MGM_DEVICE void conv_panel(MapSource<T, Dev> const& map, Window const& window, Size first, int ky, int kx, Size c,
                           float (&to)[Tr::kK][kWidth]) {
  for (int i = simt::thread_idx(); i < Tr::kK * Tr::kM; i += Tr::kThreads) {
    int const row = i / Tr::kK, col = i % Tr::kK;
    Size const pixel = first + row;
    float v = 0;
    if (pixel < window.out_rows * window.out_cols && c + col < map.channels())
      v = map_value(map, window.source_row(pixel / window.out_cols, ky, map.rows()),
                    window.source_col(pixel % window.out_cols, kx, map.cols()), c + col);
    to[col][row] = v;
  }
}

template <class T, class TOut, class Dev>
MGM_GLOBAL(GemmGeneralTraits::kThreads)
void conv_general_kernel(MapSource<T, Dev> map, Window window, View<T const, 2, Dev> w, Epilogue<T, Dev> epilogue, View<TOut, 2, Dev> out) {
  using Tr = GemmGeneralTraits;
  auto& s = simt::shared<Tr::Shared>();
  Size const m0 = Size{simt::block_idx().y} * Tr::kM, n0 = Size{simt::block_idx().x} * Tr::kN, channels = map.channels();
  int const mine_m = simt::thread_idx() / (Tr::kN / Tr::kPart) * Tr::kPart, mine_n = simt::thread_idx() % (Tr::kN / Tr::kPart) * Tr::kPart;
  float sum[Tr::kPart][Tr::kPart] = {};  // (4, 4)
  for (int tap = 0; tap < window.side * window.side; ++tap) {
    auto const weights = w.slice(1, tap * channels, channels);  // (N, C)
    for (Size c = 0; c < channels; c += Tr::kK) {
      conv_panel<Tr>(map, window, m0, tap / window.side, tap % window.side, c, s.x);  // (16, 64)
      gemm_panel<Tr>(weights, n0, c, s.w);                                            // (16, 64)
      simt::sync_block();
      for (int i = 0; i < Tr::kK; ++i)
        MGM_UNROLL for (int a = 0; a < Tr::kPart; ++a) MGM_UNROLL for (int b = 0; b < Tr::kPart; ++b) sum[a][b] =
            simt::fma(s.x[i][mine_m + a], s.w[i][mine_n + b], sum[a][b]);
      simt::sync_block();  // before the panels are overwritten
    }
  }
  MGM_UNROLL for (int a = 0; a < Tr::kPart; ++a) MGM_UNROLL for (int b = 0; b < Tr::kPart; ++b) {  // unrolled: sums stay in registers
    Size const m = m0 + mine_m + a, n = n0 + mine_n + b;
    if (m < out.extent(0) && n < out.extent(1)) out(m, n) = simt::narrow<TOut>(tile::finish(epilogue, sum[a][b], m, n));
  }
}

/// x (H, W, C) as core/map_source.hpp says; w (N, side²·C) in (ky, kx, c) order; out (out_rows·out_cols, N) of T or float; any strides;
/// `out` may be the epilogue's factor or residual. Sums in float. Enqueues and returns. Throws ShapeError and ArgumentError naming the
/// argument.
template <Real T, class TOut, KernelDevice Dev>
void conv_general(simt::Stream<Dev> stream, std::type_identity_t<MapSource<T, Dev>> const& x, Window const& window, In<T, 2, Dev> w,
                  Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  using Tr = GemmGeneralTraits;
  check_map("conv", x), check_input("conv: w", w), check_output("conv: out", out);
  require<ArgumentError>(window.side >= 1 && window.side <= 64 && window.stride >= 1, "conv: a window of side ", window.side,
                         " and stride ", window.stride, "; sides 1 to 64 and strides from 1 are taken");
  check_shape("conv: w", w, out.extent(1), Size{window.side} * window.side * x.channels());
  check_shape("conv: out", out, window.out_rows * window.out_cols, w.extent(0));
  check_map_apart("conv", out, x), check_apart("conv: out", out, "w", w), check_epilogue("conv", e, out), check_no_norm("conv", e);
  if (out.count() == 0) return;
  simt::launch(stream,
               {.name = "conv_general",
                .grid = {simt::ceil_div(out.extent(1), Tr::kN), simt::ceil_div(out.extent(0), Tr::kM)},
                .block = Tr::kThreads,
                .shared = sizeof(Tr::Shared)},
               conv_general_kernel<T, TOut, Dev>, x, window, w, e, out);
}

constexpr Cost conv_cost(Size in_pixels, Size out_pixels, Size side, Size c, Size n, Size bytes, Size out_bytes) {
  return {(in_pixels * c + n * side * side * c) * bytes + out_pixels * n * out_bytes, 2 * out_pixels * n * side * side * c};
}

}  // namespace mgm::inline v0::kernels
