/// The mixture of experts where the router's choice never leaves the device (kernels/decode/route.cuh, mixture.cuh).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include <mgm/kernels/instances/mixture.hpp>
#include <mgm/kernels/instances/untyped.hpp>
#include <mgm/mem/context.hpp>

namespace mgm::inline v0::ops {

using kernels::ExpertWeights;

/// The most experts a row that `mixture` takes.
inline constexpr Size kMostRoutedExperts = kernels::RouteTraits::kMostKept;

/// x += Σ over the `top` most probable experts e, ascending, of p_e · down_e(act(gate_e n) ⊙ up_e n), p by the router's logits: for few
/// rows, since each row reads its experts' weights.   n, x (P, H), logits (P, E), experts (E) in the device's memory, whose gate and up are
/// (F, H), down (H, F), without gaps. The product of gate and up is rounded to T, the sum once, with x. Enqueues and returns. Throws
/// ShapeError, LimitError.
template <Real T, KernelDevice Dev>
void mixture(Context<Dev>& ctx, In<T, 2, Dev> n, In<float, 2, Dev> logits, Size top,
             std::type_identity_t<View<ExpertWeights<T> const, 1, Dev>> experts, Size ffn, Activation activation, Out<T, 2, Dev> x) {
  Size const rows = x.extent(0);
  require<ShapeError>(experts.extent(0) == logits.extent(1), "mixture: ", experts.extent(0), " experts for ", logits.extent(1), " logits");
  auto ids = ctx.template empty<int>(Extents{rows, top});
  auto weights = ctx.template empty<float>(Extents{rows, top});
  kernels::route<Dev>(ctx.stream(), logits, ids, weights.view());
  auto hidden = ctx.template empty<T>(Extents{rows, top, ffn});  // (P, top, F)
  kernels::mixture_decode<T, Dev>(ctx.stream(), n, ids, weights, experts, activation, hidden.view(), x, x);
}

namespace detail {
/// Whether the grouped product takes matrix instructions: rows and matrices that begin on 16 bytes and have a multiple of 8 columns.
template <Real T, KernelDevice Dev>
[[nodiscard]] bool fits_matrix_instructions(View<T const, 2, Dev> n, std::span<ExpertWeights<T> const> experts, Size ffn) {
  bool fits = sizeof(T) == 2 && kernels::is_aligned(n, 16) && n.extent(1) % 8 == 0 && ffn % 8 == 0;
  for (auto const& e : experts)
    for (T const* const matrix : {e.gate, e.up, e.down}) fits = fits && reinterpret_cast<std::uintptr_t>(matrix) % 16 == 0;
  return fits;
}
}  // namespace detail

/// The same as `mixture` for many rows: each expert's rows are listed on the device, and a product of all experts is one launch. Gate,
/// their product with up, and each expert's result are rounded to T, the sum once, with x. Enqueues and returns. Throws ShapeError,
/// ArgumentError, LimitError.
template <Real T, KernelDevice Dev>
void mixture_grouped(Context<Dev>& ctx, In<T, 2, Dev> n, In<float, 2, Dev> logits, Size top, std::span<ExpertWeights<T> const> experts,
                     Size ffn, Activation activation, Out<T, 2, Dev> x) {
  Size const rows = x.extent(0), count = static_cast<Size>(experts.size());
  require<ShapeError>(count == logits.extent(1), "mixture: ", count, " experts for ", logits.extent(1), " logits");
  auto ids = ctx.template empty<int>(Extents{rows, top}), places = ctx.template empty<int>(Extents{rows, top});
  auto weights = ctx.template empty<float>(Extents{rows, top});
  auto offsets = ctx.template empty<int>(Extents{count + 1}), list = ctx.template empty<int>(Extents{rows * top});
  kernels::route<Dev>(ctx.stream(), logits, ids, weights.view());
  kernels::route_lists<Dev>(ctx.stream(), ids, offsets, list, places);
  std::vector<T const*> pointers;
  for (auto const matrix : {&ExpertWeights<T>::gate, &ExpertWeights<T>::up, &ExpertWeights<T>::down})
    for (auto const& e : experts) pointers.push_back(e.*matrix);
  auto const matrices = ctx.on_device(View<T const* const, 1, Cpu>(pointers.data(), {3 * count}));
  bool const fast = ctx.tuned() && detail::fits_matrix_instructions<T, Dev>(n, experts, ffn);
  auto const product = [&](int which, View<T const, 2, Dev> in, View<int const, 1, Dev> from, Epilogue<T, Dev> const& e,
                           View<T, 2, Dev> out) {
    View<T const* const, 1, Dev> const w(matrices.data() + which * count, {count});
    if constexpr (simt::HalfReal<T>)
      if (fast) return kernels::gemm_grouped<kernels::GemmMmaSmall, T, T, Dev>(ctx.stream(), in, from, offsets, w, e, out);
    kernels::gemm_grouped_general<T, T, Dev>(ctx.stream(), in, from, offsets, w, e, out);
  };
  auto wide = ctx.template empty<T>(Extents{rows * top, ffn});                 // (P·top, F), expert after expert
  auto results = ctx.template empty<T>(Extents{rows * top, x.extent(1)});      // (P·top, H)
  product(0, n, list, {.activation = activation}, wide);
  product(1, n, list, {.factor = wide}, wide);
  product(2, wide, {}, {}, results);
  kernels::mixture_combine<T, Dev>(ctx.stream(), results, places, weights, x, x);
}

}  // namespace mgm::inline v0::ops
