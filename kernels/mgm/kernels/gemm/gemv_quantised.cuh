/// Few rows times weights of 8 or 4 bits (quantised.hpp), bound by the reading of w: 16 bytes an access, each read once for four rows of x.
///   out = epilogue(x·wᵀ),   w(n, k) = scale(n, k/128)·q(n, k)
/// As in gemm_skinny.cuh a block makes kCols columns and its threads share K; thread t of 128 adds the vectors t, t + 128, … of the row:
/// the products of a vector by FMA in order, then times their scale into the sum. Then come the lanes of each warp, then the four warps. So
/// the bits of a row depend neither on how many rows there are nor on the grid. Not measured on any GPU.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/gemm/gemm_arguments.hpp>
#include <mgm/kernels/gemm/quantised.hpp>
#include <mgm/simt/bits.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/tile/epilogue.hpp>
#include <mgm/tile/warp_spread.hpp>

namespace mgm::inline v0::kernels {

struct GemvQuantisedTraits {
  static constexpr int kMaxRows = 16, kRows = 4, kCols = 4, kThreads = 128;  // rows and columns of a block at most
  static constexpr int kRegisters = 255;                                     // of a thread, at most: nvcc-gate
};
template <int kRows>
struct GemvQuantisedShared {
  float sum[4][kRows * GemvQuantisedTraits::kCols];
};

/// Weight `i` of a word, exactly: its bits at the low end of 2²³ as a float, less 2²³ and the format's zero. No conversion, which is slow.
template <int Bits>
MGM_DEVICE float unpack_weight(unsigned word, int i) {
  return simt::float_of(0x4B000000u | (word >> Bits * i & ((1u << Bits) - 1u))) - (8388608.0f + Quantised<Bits>::kZero);
}
/// Eight elements of a row of x from k on, with zeros from `end` on; `wide`: rows begin on 16 bytes.
template <class T>
MGM_DEVICE void load_eight_of(float (&to)[8], T const* row, Size k, Size end, bool wide) {
  if (wide && k + 8 <= end) return tile::load_eight(to, row + k);
  MGM_UNROLL for (int i = 0; i < 8; ++i) to[i] = k + i < end ? simt::widen(row[k + i]) : 0.0f;
}

template <int Bits, int kRows, class T, class TOut, class Dev>
MGM_GLOBAL(GemvQuantisedTraits::kThreads)
void gemv_quantised_kernel(View<T const, 2, Dev> x, QuantisedWeight<Bits, Dev> w, Epilogue<T, Dev> epilogue, bool wide,
                           View<TOut, 2, Dev> out) {
  using Tr = GemvQuantisedTraits;
  using Q = Quantised<Bits>;
  constexpr int kSums = kRows * Tr::kCols, kWords = 8 / Q::kInWord;                // words of eight weights
  auto& s = simt::shared<GemvQuantisedShared<kRows>>();
  int const thread = simt::thread_idx();
  Size const n0 = Size{simt::block_idx().x} * Tr::kCols, m0 = Size{simt::block_idx().y} * kRows;
  Size row_x[kRows], row_w[Tr::kCols];  // rows beyond the edge are the last one again; their sums are not stored
  MGM_UNROLL for (int m = 0; m < kRows; ++m) row_x[m] = m0 + m < x.extent(0) ? m0 + m : x.extent(0) - 1;
  MGM_UNROLL for (int n = 0; n < Tr::kCols; ++n) row_w[n] = n0 + n < out.extent(1) ? n0 + n : out.extent(1) - 1;

  float sum[kSums] = {};                                                           // (kRows, kCols)
  for (Size k = Size{thread} * Q::kInVector; k < w.k; k += Tr::kThreads * Q::kInVector) {
    simt::Vec<unsigned, 4> bits[Tr::kCols];
    float part[kSums] = {};
    MGM_UNROLL for (int n = 0; n < Tr::kCols; ++n)
      bits[n] = simt::load<4>(reinterpret_cast<unsigned const*>(w.values.row(row_w[n]) + k * Bits / 8));
    MGM_UNROLL for (int eight = 0; eight < Q::kInVector / 8; ++eight) {
      float weight[Tr::kCols][8];
      MGM_UNROLL for (int n = 0; n < Tr::kCols; ++n)
        MGM_UNROLL for (int i = 0; i < 8; ++i) weight[n][i] = unpack_weight<Bits>(bits[n][eight * kWords + i / Q::kInWord], i % Q::kInWord);
      MGM_UNROLL for (int m = 0; m < kRows; ++m) {
        float value[8];
        load_eight_of(value, x.row(row_x[m]), k + 8 * eight, w.k, wide);
        MGM_UNROLL for (int n = 0; n < Tr::kCols; ++n)
          MGM_UNROLL for (int i = 0; i < 8; ++i) part[m * Tr::kCols + n] = simt::fma(value[i], weight[n][i], part[m * Tr::kCols + n]);
      }
    }
    MGM_UNROLL for (int n = 0; n < Tr::kCols; ++n) {
      float const scale = simt::widen(w.scales(row_w[n], k / Q::kGroup));
      MGM_UNROLL for (int m = 0; m < kRows; ++m) sum[m * Tr::kCols + n] = simt::fma(scale, part[m * Tr::kCols + n], sum[m * Tr::kCols + n]);
    }
  }
  float const all = tile::block_spread_sums(sum, s.sum);
  if (thread >= kSums) return;
  Size const m = m0 + thread / Tr::kCols, n = n0 + thread % Tr::kCols;
  if (m < out.extent(0) && n < out.extent(1)) out(m, n) = simt::narrow<TOut>(tile::finish(epilogue, all, m, n));
}

/// x (M <= 16, K) with dense rows, w (N, K) as quantise() packs it with rows that begin on 16 bytes, out (M, N) of T or float; sums in
/// float. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <int Bits, Real T, class TOut, KernelDevice Dev>
void gemv_quantised(simt::Stream<Dev> stream, In<T, 2, Dev> x, QuantisedWeight<Bits, Dev> const& w, Epilogue<T, Dev> const& e,
                    Out<TOut, 2, Dev> out) {
  using Tr = GemvQuantisedTraits;
  using Q = Quantised<Bits>;
  Size const m = out.extent(0), n = out.extent(1), k = w.k;
  check_shape("gemv_quantised: x", x, m, k), check_input("gemv_quantised: values", w.values),
      check_input("gemv_quantised: scales", w.scales);
  require<ShapeError>(m <= Tr::kMaxRows, "gemv_quantised: x: at most ", Tr::kMaxRows, " rows, found ", m);
  check_shape("gemv_quantised: values", w.values, n, Q::row_bytes(k)), check_shape("gemv_quantised: scales", w.scales, n, Q::row_scales(k));
  require<ArgumentError>(is_aligned(w.values, 16), "gemv_quantised: values: rows must be dense and begin on 16 bytes");
  require<ArgumentError>(x.stride(1) == 1 || k <= 1, "gemv_quantised: x: rows must be dense");
  check_input("gemv_quantised: x", x), check_output("gemv_quantised: out", out), check_apart("gemv_quantised: out", out, "x", x);
  check_epilogue("gemv_quantised", e, out);
  check_apart("gemv_quantised: out", out, "values", w.values), check_apart("gemv_quantised: out", out, "scales", w.scales);
  if (out.count() == 0) return;
  auto const send = [&](auto rows) {
    constexpr int kRows = decltype(rows)::value;
    simt::launch(stream,
                 {.name = Bits == 8 ? "gemv_int8" : "gemv_int4",
                  .grid = {simt::ceil_div(n, Tr::kCols), simt::ceil_div(m, kRows)},
                  .block = Tr::kThreads,
                  .shared = sizeof(GemvQuantisedShared<kRows>)},
                 gemv_quantised_kernel<Bits, kRows, T, TOut, Dev>, x, w, e, is_aligned(x, 16), out);
  };
  if (m == 1) send(std::integral_constant<int, 1>{});
  else if (m == 2) send(std::integral_constant<int, 2>{});
  else send(std::integral_constant<int, Tr::kRows>{});
}

/// Weights and scales once, x and out in `bytes` an element.
constexpr Cost gemv_quantised_cost(Size m, Size n, Size k, int bits, Size bytes) {
  return {n * (k * bits / 8 + (k + 127) / 128 * 2) + m * (n + k) * bytes, 2 * m * n * k};
}

}  // namespace mgm::inline v0::kernels
