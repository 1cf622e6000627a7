/// Matrix products on the CPU.
#pragma once
#include <mgm/core/epilogue.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/simd/vec.hpp>

namespace mgm::inline v0::cpu {

namespace detail {
template <Real T, class TOut, bool kTransposed>
void gemm_plain(Executor const& ex, View<T const, 2, Cpu> a, View<T const, 2, Cpu> w, Epilogue<T, Cpu> const& e, View<TOut, 2, Cpu> out) {
  ex.parallel(out.extent(0), [&](Size m) {
    for (Size n = 0; n < out.extent(1); ++n) {
      float sum = 0;
      for (Size k = 0; k < a.extent(1); ++k) sum += float(a(m, k)) * float(kTransposed ? w(n, k) : w(k, n));
      float y = sum * e.alpha;
      if (e.bias.data()) y += float(e.bias(n));
      y = static_cast<float>(activate(e.activation, double(y)));
      if (e.scale.data()) y *= float(e.scale(n));
      if (e.factor.data()) y *= float(e.factor(m, n));
      if (e.residual.data()) y += float(e.residual(m, n));
      out(m, n) = TOut(y);
    }
  });
}
}  // namespace detail

/// out = epilogue(a·wᵀ).   a (M, K), w (N, K) as checkpoints store it, out (M, N) of T or float; sums in float.
/// Last axes contiguous, rows at any stride. Shapes must fit (ops checks them). The same bits for any number of threads.
template <Real T, class TOut>
void gemm_nt(Executor const& ex, View<T const, 2, Cpu> a, View<T const, 2, Cpu> w, Epilogue<T, Cpu> const& e, View<TOut, 2, Cpu> out) {
  detail::gemm_plain<T, TOut, true>(ex, a, w, e, out);
}
/// out = epilogue(a·w).   a (M, K), w (K, N), out (M, N); else as gemm_nt.
template <Real T, class TOut>
void gemm_nn(Executor const& ex, View<T const, 2, Cpu> a, View<T const, 2, Cpu> w, Epilogue<T, Cpu> const& e, View<TOut, 2, Cpu> out) {
  detail::gemm_plain<T, TOut, false>(ex, a, w, e, out);
}

}  // namespace mgm::inline v0::cpu
