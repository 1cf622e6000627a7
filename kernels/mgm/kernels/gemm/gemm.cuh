/// The matrix product of layers: out = epilogue(x·wᵀ), by the form that its shape calls for.
#pragma once
#include <mgm/kernels/gemm/gemm_general.cuh>

namespace mgm::inline v0::kernels {

/// x (M, K), w (N, K), out (M, N) of T or float; sums in float. `tuned` allows the forms that need certain shapes and alignments; without
/// it the general form is taken. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, class TOut, KernelDevice Dev>
void gemm(simt::Stream<Dev> stream, bool tuned, In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  (void)tuned;
  gemm_general<T, TOut, Dev>(stream, x, w, e, out);
}

}  // namespace mgm::inline v0::kernels
