/// Operations element by element, pooling, and changes of layout. Arithmetic in float, rounded once on storing.
#pragma once
#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/rows.hpp>
#include <mgm/cpu/simd/vec.hpp>

#define MGM_SIMD_SOURCE <mgm/cpu/elementwise.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

namespace detail {
/// The last axis of `v` at linear index `row` over the leading axes.
template <class T, int R>
T* linear_row(View<T, R> v, Size row) {
  Size offset = 0;
  for (int a = R - 2; a >= 0; --a) offset += row % v.extent(a) * v.stride(a), row /= v.extent(a);
  return v.data() + offset;
}
/// Calls body(row, width) over all rows of the last axis.
template <class T, int R, class Body>
void each_row(Executor const& ex, View<T, R> v, Body const& body) {
  Size const width = v.extent(R - 1), rows = width > 0 ? v.count() / width : 0;
  for_rows(ex, rows, width, [&](Size row) { body(row, width); });
}
}  // namespace detail

/// out = x in another element type, rounded to nearest even. Same extents, last axes dense.
template <Real From, Real To, int R>
void convert(Executor const& ex, In<From, R> x, View<To, R> out) {
  detail::each_row(ex, out, [&](Size row, Size width) {
    MGM_SIMD_CALL(ex.isa, convert_row(detail::linear_row(x, row), detail::linear_row(out, row), width));
  });
}

/// out = a + b. Same extents, last axes dense; `out` may be an operand.
template <Real T, int R>
void add(Executor const& ex, In<T, R> a, In<T, R> b, View<T, R> out) {
  detail::each_row(ex, out, [&](Size row, Size width) {
    MGM_SIMD_CALL(ex.isa, add_row(detail::linear_row(a, row), detail::linear_row(b, row), detail::linear_row(out, row), width));
  });
}

/// out = a ⊙ b. Same extents, last axes dense; `out` may be an operand.
template <Real T, int R>
void multiply(Executor const& ex, In<T, R> a, In<T, R> b, View<T, R> out) {
  detail::each_row(ex, out, [&](Size row, Size width) {
    MGM_SIMD_CALL(ex.isa, multiply_row(detail::linear_row(a, row), detail::linear_row(b, row), detail::linear_row(out, row), width));
  });
}

/// out = factor · x. Same extents, last axes dense; `out` may be x.
template <Real T, int R>
void scale(Executor const& ex, In<T, R> x, float factor, View<T, R> out) {
  detail::each_row(ex, out, [&](Size row, Size width) {
    MGM_SIMD_CALL(ex.isa, scale_row(detail::linear_row(x, row), factor, detail::linear_row(out, row), width));
  });
}

/// out(y, x, c) = mean of the 2×2 pixels (2y…, 2x…) of x (H, W, C); out (H/2, W/2, C), odd rows and columns at the end dropped.
template <Real T>
void mean2x2(Executor const& ex, In<T, 3> x, Out<T, 3> out) {
  Size const width = out.extent(1), channels = out.extent(2);
  for_rows(ex, out.extent(0) * width, 4 * channels, [&](Size n) {
    Size const v = n / width, u = n % width;
    MGM_SIMD_CALL(ex.isa, mean4_row(x.row(2 * v, 2 * u), x.row(2 * v, 2 * u + 1), x.row(2 * v + 1, 2 * u), x.row(2 * v + 1, 2 * u + 1),
                                    out.row(v, u), channels));
  });
}

/// Channels-last (H, W, C) to planes (C, H, W), in any element types: what dumps and other programs expect.
template <class From, class To>
void to_planes(Executor const& ex, View<From, 3> x, View<To, 3> out) {
  for_rows(ex, x.extent(0), x.extent(1) * x.extent(2), [&](Size v) {
    for (Size c = 0; c < x.extent(2); ++c)
      for (Size u = 0; u < x.extent(1); ++u) out(c, v, u) = To(float(x(v, u, c)));
  });
}

/// Planes (C, H, W) to channels-last (H, W, C), in any element types.
template <class From, class To>
void from_planes(Executor const& ex, View<From, 3> x, View<To, 3> out) {
  for_rows(ex, out.extent(0), out.extent(1) * out.extent(2), [&](Size v) {
    for (Size u = 0; u < out.extent(1); ++u)
      for (Size c = 0; c < out.extent(2); ++c) out(v, u, c) = To(float(x(c, v, u)));
  });
}

}  // namespace mgm::inline v0::cpu
