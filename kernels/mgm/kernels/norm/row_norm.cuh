/// LayerNorm and RMSNorm over the last axis: one warp a row, statistics in float, each row read from memory once if it is short enough for
/// the caches.   layer_norm (Ba et al. 2016, arXiv:1607.06450), rms_norm (Zhang and Sennrich 2019, arXiv:1910.07467).
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

struct RowNormTraits {
  static constexpr int kWarps = 4, kThreads = 32 * kWarps;  // rows per block: enough warps to hide latency; not measured yet
  static constexpr int kRegisters = 64;                     // of a thread, at most: nvcc-gate
};

template <class T, class Dev>
MGM_GLOBAL(RowNormTraits::kThreads)
void layer_norm_kernel(View<T const, 2, Dev> x, View<T const, 1, Dev> gain, View<T const, 1, Dev> bias, float eps, View<T, 2, Dev> out) {
  Size const n = Size{simt::block_idx().x} * RowNormTraits::kWarps + simt::warp_idx();
  int const channels = static_cast<int>(x.extent(1)), lane = simt::lane_idx();
  if (n >= x.extent(0)) return;  // whole warps leave together
  float sum = 0, squares = 0;
  for (int c = lane; c < channels; c += simt::kWarp) sum += simt::widen(x(n, c));
  float const mean = simt::warp_sum(sum) / float(channels);
  for (int c = lane; c < channels; c += simt::kWarp) {  // a second pass: E[x²] − E[x]² loses what a large mean hides
    float const d = simt::widen(x(n, c)) - mean;
    squares = simt::fma(d, d, squares);
  }
  float const rstd = 1 / simt::sqrt(simt::warp_sum(squares) / float(channels) + eps);
  for (int c = lane; c < channels; c += simt::kWarp) {
    float const y = (simt::widen(x(n, c)) - mean) * rstd;
    out(n, c) = simt::narrow<T>(simt::fma(y, simt::widen(gain(c)), simt::widen(bias(c))));
  }
}

template <class T, class Dev>
MGM_GLOBAL(RowNormTraits::kThreads)
void rms_norm_kernel(View<T const, 2, Dev> x, View<T const, 1, Dev> gain, float eps, float offset, View<T, 2, Dev> out) {
  Size const n = Size{simt::block_idx().x} * RowNormTraits::kWarps + simt::warp_idx();
  int const channels = static_cast<int>(x.extent(1)), lane = simt::lane_idx();
  if (n >= x.extent(0)) return;
  float squares = 0;
  for (int c = lane; c < channels; c += simt::kWarp) {
    float const v = simt::widen(x(n, c));
    squares = simt::fma(v, v, squares);
  }
  float const rstd = 1 / simt::sqrt(simt::warp_sum(squares) / float(channels) + eps);
  for (int c = lane; c < channels; c += simt::kWarp) {
    float const y = simt::widen(x(n, c)) * rstd, g = simt::widen(gain(c));
    out(n, c) = simt::narrow<T>(offset == 0 ? g * simt::widen(simt::narrow<T>(y)) : y * (g + offset));  // LLaMA rounds y first
  }
}

/// out = (x − mean) / sqrt(var + eps) · gain + bias.   x, out (N, C), any strides; gain, bias (C); `out` may be x.
/// Enqueues and returns. Throws ShapeError, ArgumentError and LimitError naming the argument.
template <Real T, KernelDevice Dev>
void layer_norm(simt::Stream<Dev> stream, In<T, 2, Dev> x, In<T, 1, Dev> gain, In<T, 1, Dev> bias, float eps, Out<T, 2, Dev> out) {
  check_input("layer_norm: x", x), check_int("layer_norm: x", x.extent(1)), check_input("layer_norm: gain", gain),
      check_input("layer_norm: bias", bias);
  check_shape("layer_norm: gain", gain, x.extent(1)), check_shape("layer_norm: bias", bias, x.extent(1));
  check_shape("layer_norm: out", out, x.extent(0), x.extent(1));
  check_output("layer_norm: out", out), check_same_or_apart("layer_norm: out", out, "x", x);
  check_apart("layer_norm: out", out, "gain", gain), check_apart("layer_norm: out", out, "bias", bias);
  if (out.count() == 0) return;
  simt::launch(stream, {.name = "layer_norm", .grid = simt::ceil_div(x.extent(0), RowNormTraits::kWarps), .block = RowNormTraits::kThreads},
               layer_norm_kernel<T, Dev>, x, gain, bias, eps, out);
}

/// out = x / sqrt(mean(x²) + eps) · (gain + offset); with offset 0 the quotient is rounded to T before the product, as LLaMA does.
/// x, out (N, C), any strides; gain (C); `out` may be x. Enqueues and returns. Throws ShapeError, ArgumentError and LimitError naming the
/// argument.
template <Real T, KernelDevice Dev>
void rms_norm(simt::Stream<Dev> stream, In<T, 2, Dev> x, In<T, 1, Dev> gain, float eps, float offset, Out<T, 2, Dev> out) {
  check_input("rms_norm: x", x), check_int("rms_norm: x", x.extent(1)), check_input("rms_norm: gain", gain),
      check_shape("rms_norm: gain", gain, x.extent(1));
  check_shape("rms_norm: out", out, x.extent(0), x.extent(1));
  check_output("rms_norm: out", out), check_same_or_apart("rms_norm: out", out, "x", x), check_apart("rms_norm: out", out, "gain", gain);
  if (out.count() == 0) return;
  simt::launch(stream, {.name = "rms_norm", .grid = simt::ceil_div(x.extent(0), RowNormTraits::kWarps), .block = RowNormTraits::kThreads},
               rms_norm_kernel<T, Dev>, x, gain, eps, offset, out);
}

constexpr Cost layer_norm_cost(Size n, Size c, Size bytes) { return {(2 * n + 2) * c * bytes, 8 * n * c}; }
constexpr Cost rms_norm_cost(Size n, Size c, Size bytes) { return {(2 * n + 1) * c * bytes, 4 * n * c}; }

}  // namespace mgm::inline v0::kernels
