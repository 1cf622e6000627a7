/// What happens to sums before they are stored (core/epilogue.hpp), in float: one element, or eight neighbours at once.
#pragma once
#include <mgm/core/epilogue.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>

namespace mgm::inline v0::tile {

/// rstd·(sum − mean·column) + shift.
template <class Dev>
MGM_DEVICE float unfold_norm(NormFold<Dev> const& norm, float sum, Size m, Size n) {
  return simt::fma(norm.rows(m, 1), simt::fma(-norm.rows(m, 0), norm.columns(0, n), sum), norm.columns(1, n));
}

/// residual + factor ⊙ scale ⊙ activation(alpha·norm(sum) + bias) at (m, n); what is null is left out.
template <class T, class Dev>
MGM_DEVICE float finish(Epilogue<T, Dev> const& e, float sum, Size m, Size n) {
  if (e.norm.rows.data()) sum = unfold_norm(e.norm, sum, m, n);
  float y = e.alpha * sum;
  if (e.bias.data()) y += simt::widen(e.bias(n));
  y = simt::activate(e.activation, y);
  if (e.scale.data()) y *= simt::widen(e.scale(n));
  if (e.factor.data()) y *= simt::widen(e.factor(m, n));
  if (e.residual.data()) y += simt::widen(e.residual(m, n));
  return y;
}

/// Eight elements from an address that is aligned to 16 bytes.
template <class T>
MGM_DEVICE void load_eight(float (&to)[8], T const* from) {
  if constexpr (sizeof(T) == 2) {
    auto const v = simt::load<8>(from);
    MGM_UNROLL for (int i = 0; i < 8; ++i) to[i] = simt::widen(v[i]);
  } else {
    auto const v = simt::load<4>(from), u = simt::load<4>(from + 4);
    MGM_UNROLL for (int i = 0; i < 4; ++i) to[i] = v[i], to[4 + i] = u[i];
  }
}
template <class T>
MGM_DEVICE void store_eight(T* to, float const (&from)[8]) {
  if constexpr (sizeof(T) == 2) {
    simt::Vec<unsigned, 4> v;  // made of pairs: stores of single halves would not be joined
    MGM_UNROLL for (int i = 0; i < 4; ++i) v[i] = simt::narrow_pair<T>(from[2 * i], from[2 * i + 1]);
    simt::store_global<4>(reinterpret_cast<unsigned*>(to), v);
  } else {
    simt::store_global<4>(to, simt::Vec<T, 4>{from[0], from[1], from[2], from[3]});
    simt::store_global<4>(to + 4, simt::Vec<T, 4>{from[4], from[5], from[6], from[7]});
  }
}

/// Finishes eight neighbouring sums of row m, from column n on, and stores them: rows and vectors of `out` and the epilogue are dense and
/// begin on 16 bytes.
template <class T, class TOut, class Dev>
MGM_DEVICE void finish_eight(Epilogue<T, Dev> const& e, float (&y)[8], Size m, Size n, View<TOut, 2, Dev> out) {
  float v[8];
  if (e.norm.rows.data()) {
    float const mean = e.norm.rows(m, 0), rstd = e.norm.rows(m, 1);
    load_eight(v, e.norm.columns.row(0) + n);
    MGM_UNROLL for (int i = 0; i < 8; ++i) y[i] = simt::fma(-mean, v[i], y[i]);
    load_eight(v, e.norm.columns.row(1) + n);
    MGM_UNROLL for (int i = 0; i < 8; ++i) y[i] = simt::fma(rstd, y[i], v[i]);
  }
  MGM_UNROLL for (int i = 0; i < 8; ++i) y[i] *= e.alpha;
  if (e.bias.data()) {
    load_eight(v, e.bias.data() + n);
    MGM_UNROLL for (int i = 0; i < 8; ++i) y[i] += v[i];
  }
  if (e.activation != Activation::none)
    MGM_UNROLL for (int i = 0; i < 8; ++i) y[i] = simt::activate(e.activation, y[i]);
  if (e.scale.data()) {
    load_eight(v, e.scale.data() + n);
    MGM_UNROLL for (int i = 0; i < 8; ++i) y[i] *= v[i];
  }
  if (e.factor.data()) {
    load_eight(v, e.factor.row(m) + n);
    MGM_UNROLL for (int i = 0; i < 8; ++i) y[i] *= v[i];
  }
  if (e.residual.data()) {
    load_eight(v, e.residual.row(m) + n);
    MGM_UNROLL for (int i = 0; i < 8; ++i) y[i] += v[i];
  }
  store_eight(out.row(m) + n, y);
}
/// The same for sums in memory, of which those beyond the last column are left out; where not all is `wide`, one by one.
template <class T, class TOut, class Dev>
MGM_DEVICE void finish_eight(Epilogue<T, Dev> const& e, float const* sums, Size m, Size n, bool wide, View<TOut, 2, Dev> out) {
  if (wide && n + 8 <= out.extent(1)) {
    float y[8];
    load_eight(y, sums);
    finish_eight(e, y, m, n, out);
  } else {
    MGM_ROLLED for (int i = 0; i < 8 && n + i < out.extent(1); ++i) out(m, n + i) = simt::narrow<TOut>(finish(e, sums[i], m, n + i));
  }
}

}  // namespace mgm::inline v0::tile
