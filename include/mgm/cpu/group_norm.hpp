/// GroupNorm over a map, with SiLU if wished (Wu and He 2018, arXiv:1803.08494).
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/rows.hpp>

namespace mgm::inline v0::cpu {

/// out = act((x − mean_g) / sqrt(var_g + eps) · gain + bias), mean and variance over all rows and the C/groups channels of group g.
/// x, out (N, C), rows dense; `out` may be x. Sums in double over blocks of rows that do not depend on the threads, added in order.
template <Real T>
void group_norm(Executor const& ex, In<T, 2> x, Size groups, In<T, 1> gain, In<T, 1> bias, float eps, bool silu, Out<T, 2> out) {
  constexpr Size kBlock = 256;
  Size const rows = x.extent(0), channels = x.extent(1), width = channels / groups, blocks = (rows + kBlock - 1) / kBlock;
  if (rows == 0 || channels == 0) return;
  std::vector<double> sums(static_cast<std::size_t>(2 * blocks * groups));  // (blocks, groups, Σx and Σx²)
  for_rows(ex, blocks, 2 * kBlock * channels, [&](Size b) {
    std::vector<float> sum(static_cast<std::size_t>(channels)), square(sum);
    double* const to = &sums[static_cast<std::size_t>(2 * b * groups)];
    T const* const centre = x.row(0);  // any number near the mean keeps Σx² small
    for (Size n = b * kBlock; n < std::min(rows, (b + 1) * kBlock); ++n) {
      T const* const row = x.row(n);
      for (Size c = 0; c < channels; ++c) {
        float const v = static_cast<float>(row[c]) - static_cast<float>(centre[c / width * width]);
        sum[static_cast<std::size_t>(c)] += v, square[static_cast<std::size_t>(c)] += v * v;
      }
    }
    for (Size c = 0; c < channels; ++c) {
      to[2 * (c / width)] += static_cast<double>(sum[static_cast<std::size_t>(c)]);
      to[2 * (c / width) + 1] += static_cast<double>(square[static_cast<std::size_t>(c)]);
    }
  });
  std::vector<float> scale(static_cast<std::size_t>(channels)), shift(scale);  // (C)
  double const count = static_cast<double>(rows * width);
  for (Size g = 0; g < groups; ++g) {
    double sum = 0, square = 0;
    for (Size b = 0; b < blocks; ++b)
      sum += sums[static_cast<std::size_t>(2 * (b * groups + g))], square += sums[static_cast<std::size_t>(2 * (b * groups + g) + 1)];
    double const from_centre = sum / count, variance = std::max(0.0, square / count - from_centre * from_centre);
    double const mean = from_centre + static_cast<double>(static_cast<float>(x(0, g * width))),
                 rstd = 1 / std::sqrt(variance + static_cast<double>(eps));
    for (Size c = g * width; c < (g + 1) * width; ++c) {
      double const a = rstd * static_cast<double>(static_cast<float>(gain(c)));
      scale[static_cast<std::size_t>(c)] = static_cast<float>(a);
      shift[static_cast<std::size_t>(c)] = static_cast<float>(static_cast<double>(static_cast<float>(bias(c))) - a * mean);
    }
  }
  for_rows(ex, rows, 4 * channels, [&](Size n) {
    T const* const from = x.row(n);
    T* const to = out.row(n);
    for (Size c = 0; c < channels; ++c) {
      float const y = static_cast<float>(from[c]) * scale[static_cast<std::size_t>(c)] + shift[static_cast<std::size_t>(c)];
      to[c] = T(silu ? y / (1 + std::exp(-y)) : y);
    }
  });
}

}  // namespace mgm::inline v0::cpu
