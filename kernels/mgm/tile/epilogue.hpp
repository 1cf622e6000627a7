/// What happens to a sum before it is stored (core/epilogue.hpp), one element, in float.
#pragma once
#include <mgm/core/epilogue.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>

namespace mgm::inline v0::tile {

/// residual + factor ⊙ scale ⊙ activation(alpha·sum + bias) at (m, n); what is null is left out.
template <class T, class Dev>
MGM_DEVICE float finish(Epilogue<T, Dev> const& e, float sum, Size m, Size n) {
  float y = e.alpha * sum;
  if (e.bias.data()) y += simt::widen(e.bias(n));
  y = simt::activate(e.activation, y);
  if (e.scale.data()) y *= simt::widen(e.scale(n));
  if (e.factor.data()) y *= simt::widen(e.factor(m, n));
  if (e.residual.data()) y += simt::widen(e.residual(m, n));
  return y;
}

}  // namespace mgm::inline v0::tile
