/// The mixture of experts where the router's choice never leaves the device (kernels/decode/route.cuh, mixture.cuh).
#pragma once
#include <span>

#include <mgm/kernels/instances/mixture.hpp>
#include <mgm/kernels/instances/untyped.hpp>
#include <mgm/mem/context.hpp>

namespace mgm::inline v0::ops {

using kernels::ExpertWeights;

/// The most experts a row that `mixture` takes.
inline constexpr Size kMostRoutedExperts = kernels::RouteTraits::kMostKept;

/// x += Σ over the `top` most probable experts e, ascending, of p_e · down_e(act(gate_e n) ⊙ up_e n), p by the router's logits: for few
/// rows, since each row reads its experts' weights.   n, x (P, H), logits (P, E), experts (E), whose gate and up are (F, H), down (H, F),
/// without gaps. The product of gate and up is rounded to T, the sum once, with x. Enqueues and returns. Throws ShapeError, LimitError.
template <Real T, KernelDevice Dev>
void mixture(Context<Dev>& ctx, In<T, 2, Dev> n, In<float, 2, Dev> logits, Size top, std::span<ExpertWeights<T> const> experts, Size ffn,
             Activation activation, Out<T, 2, Dev> x) {
  Size const rows = x.extent(0);
  require<ShapeError>(static_cast<Size>(experts.size()) == logits.extent(1), "mixture: ", experts.size(), " experts for ", logits.extent(1),
                      " logits");
  auto ids = ctx.template empty<int>(Extents{rows, top});
  auto weights = ctx.template empty<float>(Extents{rows, top});
  kernels::route<Dev>(ctx.stream(), logits, ids, weights.view());
  auto const list = ctx.on_device(View<ExpertWeights<T> const, 1, Cpu>(experts.data(), {static_cast<Size>(experts.size())}));
  auto hidden = ctx.template empty<T>(Extents{rows, top, ffn});  // (P, top, F)
  kernels::mixture_decode<T, Dev>(ctx.stream(), n, ids, weights, list, activation, hidden.view(), x, x);
}

}  // namespace mgm::inline v0::ops
