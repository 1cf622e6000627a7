/// The gated product of a transformer's feed-forward (GEGLU, Shazeer 2020, arXiv:2002.05202), general form: both halves in one pass over x,
/// so that neither is ever written.
///   out[m,n] = (x·wᵀ + b)[m, n] · gelu((x·wᵀ + b)[m, N + n]),  gelu the exact one
/// Shapes  x (M, K), w (2N, K), values first, b (2N) or null, out (M, N).   Types  T = float, half, bf16; sums in float, rounded once.
/// Method  gemm_general's, with rows of w laced: each thread's 4×4 sums are two values and two gates of four rows.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/gemm/gemm_general.cuh>

namespace mgm::inline v0::kernels {

/// Rows of w laced, value n, gate n, value n + 1, …: 32 of each from n0 on, columns [k, k + kK), with zeros beyond.
template <class Tr, class T, class Dev, int kWidth>
MGM_DEVICE void geglu_panel(View<T const, 2, Dev> w, Size n0, Size k, float (&to)[Tr::kK][kWidth]) {
  Size const half = w.extent(0) / 2;
  for (int i = simt::thread_idx(); i < Tr::kK * Tr::kN; i += Tr::kThreads) {
    int const row = i / Tr::kK, col = i % Tr::kK;
    Size const n = n0 + row / 2;
    to[col][row] = n < half && k + col < w.extent(1) ? simt::widen(w(n + row % 2 * half, k + col)) : 0.0f;
  }
}

template <class T, class Dev>
MGM_GLOBAL(GemmGeneralTraits::kThreads)
void geglu_kernel(View<T const, 2, Dev> x, View<T const, 2, Dev> w, View<T const, 1, Dev> bias, View<T, 2, Dev> out) {
  using Tr = GemmGeneralTraits;
  auto& s = simt::shared<Tr::Shared>();
  Size const m0 = Size{simt::block_idx().y} * Tr::kM, n0 = Size{simt::block_idx().x} * (Tr::kN / 2);
  int const mine_m = simt::thread_idx() / (Tr::kN / Tr::kPart) * Tr::kPart, mine_n = simt::thread_idx() % (Tr::kN / Tr::kPart) * Tr::kPart;
  float sum[Tr::kPart][Tr::kPart] = {};  // (4, 4)
  for (Size k = 0; k < x.extent(1); k += Tr::kK) {
    gemm_panel<Tr>(x, m0, k, s.x);   // (16, 64)
    geglu_panel<Tr>(w, n0, k, s.w);  // (16, 64)
    simt::sync_block();
    for (int i = 0; i < Tr::kK; ++i)
      MGM_UNROLL for (int a = 0; a < Tr::kPart; ++a) MGM_UNROLL for (int b = 0; b < Tr::kPart; ++b) sum[a][b] =
          simt::fma(s.x[i][mine_m + a], s.w[i][mine_n + b], sum[a][b]);
    simt::sync_block();  // before the panels are overwritten
  }
  MGM_UNROLL for (int a = 0; a < Tr::kPart; ++a) MGM_UNROLL for (int b = 0; b < Tr::kPart; b += 2) {  // unrolled: sums stay in registers
    Size const m = m0 + mine_m + a, n = n0 + (mine_n + b) / 2, half = out.extent(1);
    if (m >= out.extent(0) || n >= half) continue;
    float const value = sum[a][b] + (bias.data() != nullptr ? simt::widen(bias(n)) : 0.0f);
    float const gate = sum[a][b + 1] + (bias.data() != nullptr ? simt::widen(bias(half + n)) : 0.0f);
    out(m, n) = simt::narrow<T>(value * simt::activate(Activation::gelu, gate));
  }
}

/// x (M, K), w (2N, K), bias (2N) or null, out (M, N), any strides. Enqueues and returns. Throws ShapeError and ArgumentError naming the
/// argument.
template <Real T, KernelDevice Dev>
void geglu(simt::Stream<Dev> stream, In<T, 2, Dev> x, In<T, 2, Dev> w, In<T, 1, Dev> bias, Out<T, 2, Dev> out) {
  using Tr = GemmGeneralTraits;
  check_input("geglu: x", x), check_input("geglu: w", w), check_output("geglu: out", out);
  check_shape("geglu: x", x, out.extent(0), any), check_shape("geglu: w", w, 2 * out.extent(1), x.extent(1));
  check_apart("geglu: out", out, "x", x), check_apart("geglu: out", out, "w", w);
  if (bias.data())
    check_input("geglu: bias", bias), check_shape("geglu: bias", bias, 2 * out.extent(1)), check_apart("geglu: out", out, "bias", bias);
  if (out.count() == 0) return;
  simt::launch(stream,
               {.name = "geglu",
                .grid = {simt::ceil_div(out.extent(1), Tr::kN / 2), simt::ceil_div(out.extent(0), Tr::kM)},
                .block = Tr::kThreads,
                .shared = sizeof(Tr::Shared)},
               geglu_kernel<T, Dev>, x, w, bias, out);
}

constexpr Cost geglu_cost(Size m, Size n, Size k, Size bytes) { return {((m + 2 * n) * k + m * n) * bytes, 4 * m * n * k}; }

}  // namespace mgm::inline v0::kernels
