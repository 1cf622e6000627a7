/// Rotary positions, half-rotation: channel i of the first half of a head is paired with channel i of the second.
#pragma once
#include <cmath>
#include <vector>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/rows.hpp>

namespace mgm::inline v0::cpu {

/// cos and sin of φ_i(p) = p·θ^(−2i/d), i < d/2, for p = first_position …: table (T, 2, d/2), table(t, 0, i) the cosine.
/// Frequencies and angles are double, so that the last position is as exact as the first.
inline void rope_table(Executor const& ex, Size first_position, float theta, View<float, 3> table) {
  Size const half = table.extent(2);
  std::vector<double> frequency(static_cast<std::size_t>(half));
  for (Size i = 0; i < half; ++i) frequency[std::size_t(i)] = std::pow(double(theta), -double(i) / double(half));
  for_rows(ex, table.extent(0), 64 * half, [&](Size t) {  // a sine costs about as much as 64 copies
    for (Size i = 0; i < half; ++i) {
      double const angle = double(first_position + t) * frequency[std::size_t(i)];
      table(t, 0, i) = float(std::cos(angle)), table(t, 1, i) = float(std::sin(angle));
    }
  });
}

/// In place on x (T, heads, d), d even: a' = a·cos φ − b·sin φ, b' = b·cos φ + a·sin φ, in float, from a table of `rope_table`.
template <Real T>
void rope(Executor const& ex, View<T, 3> x, View<float const, 3> table) {
  Size const half = x.extent(2) / 2;
  for_rows(ex, x.extent(0), x.extent(1) * x.extent(2), [&](Size t) {
    float const *cosine = table.row(t, 0), *sine = table.row(t, 1);
    for (Size h = 0; h < x.extent(1); ++h) {
      T* a = x.row(t, h);
      T* b = a + half;
      for (Size i = 0; i < half; ++i) {
        float const p = float(a[i]), q = float(b[i]);
        a[i] = T(p * cosine[i] - q * sine[i]), b[i] = T(q * cosine[i] + p * sine[i]);
      }
    }
  });
}

/// The same, with a table made for this call: positions first_position … first_position + T − 1.
template <Real T>
void rope(Executor const& ex, View<T, 3> x, Size first_position, float theta) {
  Size const half = x.extent(2) / 2;
  std::vector<float> storage(static_cast<std::size_t>(2 * half * x.extent(0)));
  View<float, 3> const table(storage.data(), Extents<3>{{x.extent(0), 2, half}});
  rope_table(ex, first_position, theta, table);
  rope<T>(ex, x, table);
}

}  // namespace mgm::inline v0::cpu
