/// Softmax of rows, and the place of the largest value.
#pragma once
#include <limits>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/rows.hpp>
#include <mgm/cpu/simd/vec.hpp>

#define MGM_SIMD_SOURCE <mgm/cpu/softmax.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

/// out(n, m) = exp(x(n, m) − max) / Σ exp(x(n, ·) − max). x, out (N, M), M >= 1, last axis dense. `out` may be x.
/// A row of −inf alone, and a row with a NaN, become NaN, as in the definition.
inline void softmax_rows(Executor const& ex, View<float const, 2> x, View<float, 2> out) {
  for_rows(ex, x.extent(0), 8 * x.extent(1), [&](Size n) { MGM_SIMD_CALL(ex.isa, softmax_row(x.row(n), out.row(n), x.extent(1))); });
}

/// Index of the largest of n values, the lowest index on ties; NaN never wins, and 0 is the answer when all are NaN. n >= 1.
[[nodiscard]] inline Size argmax(float const* values, Size n) {
  Size best = 0;
  float peak = -std::numeric_limits<float>::infinity();
  bool found = false;
  for (Size i = 0; i < n; ++i)
    if (values[i] > peak || (!found && values[i] == peak)) peak = values[i], best = i, found = true;
  return best;
}

}  // namespace mgm::inline v0::cpu
