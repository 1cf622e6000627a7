/// The gate of a feed-forward (Shazeer 2020, arXiv:2002.05202) when one product has made both halves, as a decode step does with the rows
/// of gate and up stored one matrix after the other.
///   out[n,f] = act(both[n,f]) · both[n, F + f]
/// Shapes  both (N, 2F) of T or float, out (N, F).   Types  computed in float, rounded to T once.
/// Cost    (2·sizeof(both's) + sizeof(T))·N·F bytes: bound by memory.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/core/epilogue.hpp>
#include <mgm/kernels/elementwise/elementwise.cuh>
#include <mgm/simt/math.hpp>

namespace mgm::inline v0::kernels {

template <class T>
struct GateOp {
  Activation activation;
  template <class A>
  MGM_DEVICE T operator()(A gate, A up) const {
    return simt::narrow<T>(simt::activate(activation, simt::widen(gate)) * simt::widen(up));
  }
};

/// out = act(first half of both) ⊙ second half.   both (N, 2F) of T or float, out (N, F), any strides. Enqueues and returns.
/// Throws ShapeError and ArgumentError naming the argument.
template <Real A, Real T, KernelDevice Dev>
void gated(simt::Stream<Dev> stream, In<A, 2, Dev> both, Activation activation, Out<T, 2, Dev> out) {
  static_assert(std::is_same_v<A, T> || std::is_same_v<A, float>, "gated: the halves are of the result's type or float");
  check_input("gated: both", both), check_shape("gated: both", both, out.extent(0), 2 * out.extent(1));
  check_output("gated: out", out), check_apart("gated: out", out, "both", both);
  if (out.count() == 0) return;
  View<A const, 2, Dev> const gate = both.slice(1, 0, out.extent(1)), up = both.slice(1, out.extent(1), out.extent(1));
  map(stream, "gated", GateOp<T>{activation}, out, gate, up);
}

constexpr Cost gated_cost(Size n, Size f, Size in_bytes, Size bytes) { return {n * f * (2 * in_bytes + bytes), 6 * n * f}; }

}  // namespace mgm::inline v0::kernels
