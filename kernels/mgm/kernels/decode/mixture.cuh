/// Mixtral's mixture of gated feed-forwards (Jiang et al. 2024, arXiv:2401.04088) for rows whose experts only the device knows.
///   out[p] = residual[p] + Σ_i weight[p,i] · Wdown_e (act(Wgate_e x[p]) ⊙ Wup_e x[p]),   e = ids[p,i], ascending
/// Shapes  x, residual, out (P, H); ids, weights (P, top); hidden (P, top, F); each expert's gate, up (F, H) and down (H, F) without gaps.
/// Types   T = float, bf16, half; sums in float; hidden is rounded to T once, out once.
/// Method  few rows (decode): each row streams its experts' weights, one warp an output, x in shared memory; which lane takes which
///         element depends on T alone. Many rows: grouped products over route_lists, whose results `mixture_combine` adds up.
/// Cost    3·H·F·sizeof(T) bytes for each expert of each row: bound by memory.
#pragma once
#include <climits>
#include <cstdint>

#include <mgm/core/cost.hpp>
#include <mgm/core/epilogue.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/kernels/elementwise/elementwise.cuh>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

/// The matrices of one expert, in the device's memory.
template <class T>
struct ExpertWeights {
  T const *gate, *up, *down;  ///< (F, H), (F, H), (H, F), row after row without gaps
};

struct MixtureTraits {
  static constexpr int kWarps = 8, kThreads = 32 * kWarps;  // outputs of a block; not measured yet
  static constexpr int kRegisters = 128;                    // of a thread, at most: nvcc-gate
  static constexpr int kPanel = 4096;                       // elements of x that lie in shared memory at a time, as float
  static constexpr Size kMostBlocks = 65535;                // choices, or rows, in the grid's second axis
  struct Shared {
    alignas(16) float x[kPanel];
  };
};

/// sum[r] += w[r]·x over one panel of K, this lane's part: pieces of 16 bytes in turn, in one access where the rows are aligned.
template <class T, int kRows>
MGM_DEVICE void mixture_dot(T const* const (&w)[kRows], float const* x, int count, float (&sum)[kRows]) {
  constexpr int kVec = 16 / static_cast<int>(sizeof(T));
  bool aligned = true;
  MGM_UNROLL for (int r = 0; r < kRows; ++r) aligned = aligned && reinterpret_cast<std::uintptr_t>(w[r]) % 16 == 0;
  for (int i = simt::lane_idx() * kVec; i < count; i += simt::kWarp * kVec) {
    if (aligned && i + kVec <= count) {
      MGM_UNROLL for (int r = 0; r < kRows; ++r) {
        auto const piece = simt::load<kVec>(w[r] + i);
        MGM_UNROLL for (int j = 0; j < kVec; ++j) sum[r] = simt::fma(simt::widen(piece[j]), x[i + j], sum[r]);
      }
    } else {
      for (int j = i; j < i + kVec && j < count; ++j)
        MGM_UNROLL for (int r = 0; r < kRows; ++r) sum[r] = simt::fma(simt::widen(w[r][j]), x[j], sum[r]);
    }
  }
}

template <class T, class Dev>
MGM_GLOBAL(MixtureTraits::kThreads)
void mixture_hidden_kernel(View<T const, 2, Dev> x, View<int const, 2, Dev> ids, View<ExpertWeights<T> const, 1, Dev> experts,
                           Activation activation, View<T, 3, Dev> hidden) {
  using Tr = MixtureTraits;
  auto& s = simt::shared<typename Tr::Shared>();
  int const top = static_cast<int>(ids.extent(1)), p = simt::block_idx().y / top, choice = simt::block_idx().y % top;
  Size const f = Size{simt::block_idx().x} * Tr::kWarps + simt::warp_idx(), width = x.extent(1);
  int const id = ids(p, choice);
  bool const known = id >= 0 && id < experts.extent(0);                            // the same for the whole block
  float sum[2] = {};                                                               // of gate and up
  for (Size k = 0; known && k < width; k += Tr::kPanel) {
    int const count = static_cast<int>(width - k < Tr::kPanel ? width - k : Tr::kPanel);
    for (int i = simt::thread_idx(); i < count; i += Tr::kThreads) s.x[i] = simt::widen(x(p, k + i));  // (count)
    simt::sync_block();
    if (f < hidden.extent(2)) {
      T const* const rows[2] = {experts(id).gate + f * width + k, experts(id).up + f * width + k};
      mixture_dot(rows, s.x, count, sum);
    }
    simt::sync_block();                                                            // before the panel is overwritten
  }
  float const gate = simt::warp_sum(sum[0]), up = simt::warp_sum(sum[1]);
  if (f < hidden.extent(2) && simt::lane_idx() == 0)
    hidden(p, choice, f) = simt::narrow<T>(known ? simt::activate(activation, gate) * up : NAN);
}

template <class T, class Dev>
MGM_GLOBAL(MixtureTraits::kThreads)
void mixture_down_kernel(View<T const, 3, Dev> hidden, View<int const, 2, Dev> ids, View<float const, 2, Dev> weights,
                         View<ExpertWeights<T> const, 1, Dev> experts, View<T const, 2, Dev> residual, View<T, 2, Dev> out) {
  using Tr = MixtureTraits;
  auto& s = simt::shared<typename Tr::Shared>();
  int const top = static_cast<int>(ids.extent(1)), p = simt::block_idx().y;
  Size const h = Size{simt::block_idx().x} * Tr::kWarps + simt::warp_idx(), ffn = hidden.extent(2);
  float total = 0;
  for (int choice = 0; choice < top; ++choice) {                                   // experts ascend
    int const id = ids(p, choice);
    bool const known = id >= 0 && id < experts.extent(0);
    float sum[1] = {};
    for (Size k = 0; known && k < ffn; k += Tr::kPanel) {
      int const count = static_cast<int>(ffn - k < Tr::kPanel ? ffn - k : Tr::kPanel);
      for (int i = simt::thread_idx(); i < count; i += Tr::kThreads) s.x[i] = simt::widen(hidden(p, choice, k + i));  // (count)
      simt::sync_block();
      if (h < out.extent(1)) {
        T const* const rows[1] = {experts(id).down + h * ffn + k};
        mixture_dot(rows, s.x, count, sum);
      }
      simt::sync_block();
    }
    float const whole = simt::warp_sum(sum[0]);
    total = simt::fma(weights(p, choice), known ? whole : NAN, total);
  }
  if (h < out.extent(1) && simt::lane_idx() == 0) out(p, h) = simt::narrow<T>(simt::widen(residual(p, h)) + total);
}

template <int kVec, class T, class Dev>
MGM_GLOBAL(MapTraits::kThreads)
void mixture_combine_kernel(MapShape shape, View<T const, 2, Dev> results, View<int const, 2, Dev> places,
                            View<float const, 2, Dev> weights, View<T const, 2, Dev> residual, View<T, 2, Dev> out) {
  int const top = static_cast<int>(places.extent(1));
  for (Size n = shape.first_row(); n < shape.rows; n += shape.row_step())
    for (Size p = shape.first_piece(); p < shape.pieces; p += shape.piece_step()) {
      Size const c = p * kVec;
      float total[kVec] = {};
      for (int i = 0; i < top; ++i) {                                              // experts ascend
        Size const place = places(n, i);
        float const weight = place >= 0 && place < results.extent(0) ? weights(n, i) : NAN;
        T const* const from = results.row(weight == weight ? place : 0) + c * results.stride(1);
        auto const piece = simt::load<kVec>(from);
        MGM_UNROLL for (int j = 0; j < kVec; ++j) total[j] = simt::fma(weight, simt::widen(piece[j]), total[j]);
      }
      auto const before = simt::load<kVec>(residual.row(n) + c * residual.stride(1));
      simt::Vec<T, kVec> after;
      MGM_UNROLL for (int j = 0; j < kVec; ++j) after[j] = simt::narrow<T>(simt::widen(before[j]) + total[j]);
      simt::store<kVec>(out.row(n) + c * out.stride(1), after);
    }
}

namespace detail {
/// What both launchers ask of the router's choice.
template <Device Dev>
void check_choice(std::string_view what, Size rows, View<int const, 2, Dev> ids, View<float const, 2, Dev> weights) {
  check_input(text(what, ": ids"), ids), check_input(text(what, ": weights"), weights);
  check_shape(text(what, ": ids"), ids, rows, any), check_shape(text(what, ": weights"), weights, rows, ids.extent(1));
}
}  // namespace detail

/// The whole mixture for few rows, P·top up to 65535.   x, residual, out (P, H), ids, weights (P, top) as `route` gives them, experts (E)
/// in the device's memory, hidden (P, top, F) scratch, any strides; `out` may be the residual. The product of gate and up is
/// rounded to T, the down product is not. An id outside of the experts gives NaN. Enqueues two kernels and returns.
/// Throws ShapeError, ArgumentError, LimitError naming the argument.
template <Real T, KernelDevice Dev>
void mixture_decode(simt::Stream<Dev> stream, In<T, 2, Dev> x, View<int const, 2, Dev> ids, View<float const, 2, Dev> weights,
                    View<ExpertWeights<T> const, 1, Dev> experts, Activation activation, Out<T, 3, Dev> hidden, In<T, 2, Dev> residual,
                    Out<T, 2, Dev> out) {
  using Tr = MixtureTraits;
  Size const rows = out.extent(0), top = ids.extent(1);
  check_input("mixture_decode: x", x), check_shape("mixture_decode: x", x, rows, out.extent(1));
  detail::check_choice("mixture_decode", rows, ids, weights), check_input("mixture_decode: experts", experts);
  check_input("mixture_decode: residual", residual), check_shape("mixture_decode: residual", residual, rows, out.extent(1));
  check_output("mixture_decode: hidden", hidden), check_shape("mixture_decode: hidden", hidden, rows, top, any);
  check_output("mixture_decode: out", out), check_same_or_apart("mixture_decode: out", out, "residual", residual);
  check_apart("mixture_decode: out", out, "x", x), check_apart("mixture_decode: out", out, "hidden", hidden);
  check_apart("mixture_decode: hidden", hidden, "x", x), check_apart("mixture_decode: hidden", hidden, "residual", residual);
  check_apart("mixture_decode: hidden", hidden, "weights", weights), check_apart("mixture_decode: hidden", hidden, "ids", ids);
  check_apart("mixture_decode: out", out, "weights", weights), check_apart("mixture_decode: out", out, "ids", ids);
  require<LimitError>(rows * top <= Tr::kMostBlocks, "mixture_decode: ids: at most ", Tr::kMostBlocks, " choices, found ", rows * top,
                      "; use route_lists and grouped products");
  require<LimitError>(out.extent(1) <= INT_MAX && hidden.extent(2) <= INT_MAX, "mixture_decode: experts: sides beyond 2^31");
  if (out.count() == 0) return;
  if (hidden.count() > 0)
    simt::launch(stream,
                 {.name = "mixture_hidden", .grid = {simt::ceil_div(hidden.extent(2), Tr::kWarps), rows * top}, .block = Tr::kThreads,
                  .shared = sizeof(Tr::Shared)},
                 mixture_hidden_kernel<T, Dev>, x, ids, experts, activation, hidden);
  simt::launch(stream,
               {.name = "mixture_down", .grid = {simt::ceil_div(out.extent(1), Tr::kWarps), rows}, .block = Tr::kThreads,
                .shared = sizeof(Tr::Shared)},
               mixture_down_kernel<T, Dev>, hidden, ids, weights, experts, residual, out);
}

/// out[p] = residual[p] + Σ_i weights[p,i]·results[places[p,i]], in that order, in float, rounded once.   results (R, H): the experts'
/// outputs in the order of route_lists; places, weights (P, top); residual, out (P, H), any strides; `out` may be the residual. A place
/// outside of the results gives NaN. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void mixture_combine(simt::Stream<Dev> stream, In<T, 2, Dev> results, View<int const, 2, Dev> places, View<float const, 2, Dev> weights,
                     In<T, 2, Dev> residual, Out<T, 2, Dev> out) {
  check_input("mixture_combine: results", results), check_shape("mixture_combine: results", results, any, out.extent(1));
  detail::check_choice("mixture_combine", out.extent(0), places, weights);
  check_input("mixture_combine: residual", residual), check_shape("mixture_combine: residual", residual, out.extent(0), out.extent(1));
  check_output("mixture_combine: out", out), check_same_or_apart("mixture_combine: out", out, "residual", residual);
  check_apart("mixture_combine: out", out, "results", results), check_apart("mixture_combine: out", out, "places", places);
  check_apart("mixture_combine: out", out, "weights", weights);
  require<ShapeError>(results.extent(0) > 0 || places.count() == 0, "mixture_combine: results: there are none for ", places.count(),
                      " places");
  if (out.count() == 0) return;
  constexpr int kVec = 16 / static_cast<int>(sizeof(T));
  bool const wide = is_aligned(results, 16) && is_aligned(residual, 16) && is_aligned(out, 16) && out.extent(1) % kVec == 0;
  auto const shape = MapShape::of(out.extent(0), out.extent(1) / (wide ? kVec : 1));
  simt::launch(stream, {.name = "mixture_combine", .grid = shape.grid(), .block = MapTraits::kThreads},
               wide ? mixture_combine_kernel<kVec, T, Dev> : mixture_combine_kernel<1, T, Dev>, shape, results, places, weights, residual,
               out);
}

constexpr Cost mixture_decode_cost(Size p, Size top, Size h, Size f, Size bytes) {
  return {p * top * (3 * h * f * bytes + 8) + 3 * p * h * bytes, 6 * p * top * h * f};
}
constexpr Cost mixture_combine_cost(Size p, Size top, Size h, Size bytes) {
  return {p * ((top + 2) * h * bytes + 8 * top), (2 * top + 1) * p * h};
}

}  // namespace mgm::inline v0::kernels
