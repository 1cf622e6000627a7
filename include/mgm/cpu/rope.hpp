/// Rotary positions, half-rotation: channel i of the first half of a head is paired with channel i of the second.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/rows.hpp>
#include <mgm/cpu/simd/vec.hpp>

#define MGM_SIMD_SOURCE <mgm/cpu/rope.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

/// cos and sin of φ_i(p) = p·θ^(−2i/d), i < d/2, for p = first_position …: table (T, 2, d/2), table(t, 0, i) the cosine.
/// Frequencies and angles are double, so that the last position is as exact as the first. Every 32nd position of the table is computed
/// from its angle, those between by turning their neighbour in double, which adds less than 1e-14.
inline void rope_table(Executor const& ex, Size first_position, float theta, View<float, 3> table) {
  constexpr Size kBlock = 32;
  Size const half = table.extent(2), rows = table.extent(0);
  std::vector<double> frequency(static_cast<std::size_t>(half)), turn_cos(frequency), turn_sin(frequency);
  for (std::size_t i = 0; i < frequency.size(); ++i) {
    frequency[i] = std::pow(double(theta), -double(i) / double(half));
    if (rows > 1) turn_cos[i] = std::cos(frequency[i]), turn_sin[i] = std::sin(frequency[i]);
  }
  for_rows(ex, (rows + kBlock - 1) / kBlock, 8 * kBlock * half, [&](Size block) {
    for (Size i = 0; i < half; ++i) {
      double const angle = double(first_position + block * kBlock) * frequency[std::size_t(i)];
      double c = std::cos(angle), s = std::sin(angle);
      double const dc = turn_cos[std::size_t(i)], ds = turn_sin[std::size_t(i)];
      for (Size t = block * kBlock; t < std::min(rows, (block + 1) * kBlock); ++t) {
        table(t, 0, i) = float(c), table(t, 1, i) = float(s);
        double const next = c * dc - s * ds;
        s = s * dc + c * ds, c = next;
      }
    }
  });
}

/// The same for positions 0, 1, …, each from its own angle, as a table of that row alone has it.
inline void rope_single_rows(Executor const& ex, float theta, View<float, 3> table) {
  Size const half = table.extent(2);
  std::vector<double> frequency(static_cast<std::size_t>(half));
  for (std::size_t i = 0; i < frequency.size(); ++i) frequency[i] = std::pow(double(theta), -double(i) / double(half));
  for_rows(ex, table.extent(0), 8 * half, [&](Size t) {
    for (Size i = 0; i < half; ++i) {
      double const angle = double(t) * frequency[std::size_t(i)];
      table(t, 0, i) = float(std::cos(angle)), table(t, 1, i) = float(std::sin(angle));
    }
  });
}

/// In place on x (T, heads, d), d even: a' = a·cos φ − b·sin φ, b' = b·cos φ + a·sin φ, in float, from a table of `rope_table`.
template <Real T>
void rope(Executor const& ex, View<T, 3> x, View<float const, 3> table) {
  Size const half = x.extent(2) / 2;
  for_rows(ex, x.extent(0), x.extent(1) * x.extent(2), [&](Size t) {
    for (Size h = 0; h < x.extent(1); ++h)
      MGM_SIMD_CALL(ex.isa, rotate_row(x.row(t, h), x.row(t, h) + half, table.row(t, 0), table.row(t, 1), half));
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
