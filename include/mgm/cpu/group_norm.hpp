/// GroupNorm over a map, with SiLU if wished (Wu and He 2018, arXiv:1803.08494), and its statistics alone.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <mgm/core/compiled.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/rows.hpp>
#include <mgm/cpu/simd/vec.hpp>

#define MGM_SIMD_SOURCE <mgm/cpu/group_norm.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

/// The norm as one multiply-add a channel: scale = gain/sqrt(var_g + eps), shift = bias − mean_g·scale, mean and variance over all rows and
/// the C/groups channels of group g.   x (N, Ca) and behind it `more` (N, Cb), or null; rows dense; gain, bias, scale, shift (C = Ca + Cb).
/// Sums over blocks of rows that do not depend on the threads, in float, then added in order in double.
template <Real T>
void group_affine(Executor const& ex, In<T, 2> x, In<T, 2> more, Size groups, In<T, 1> gain, In<T, 1> bias, float eps, Out<float, 1> scale,
                  Out<float, 1> shift) {
  constexpr Size kBlock = 256;
  Size const rows = x.extent(0), left = x.extent(1), channels = gain.extent(0), width = channels / groups,
             blocks = (rows + kBlock - 1) / kBlock;
  if (rows == 0 || channels == 0) return;
  std::vector<float> centre(static_cast<std::size_t>(channels));  // any number near the mean keeps Σx² small
  for (Size c = 0; c < channels; ++c) {
    Size const first = c / width * width;
    centre[static_cast<std::size_t>(c)] = static_cast<float>(first < left ? x(0, first) : more(0, first - left));
  }
  std::vector<float> sums(static_cast<std::size_t>(2 * blocks * channels));  // (blocks, 2, C): Σx and Σx²
  for_rows(ex, blocks, 2 * kBlock * channels, [&](Size b) {
    Size const first = b * kBlock, count = std::min(rows - first, kBlock);
    float* const sum = &sums[static_cast<std::size_t>(2 * b * channels)];
    MGM_SIMD_CALL(ex.isa, channel_sums(x.row(first), x.stride(0), count, left, centre.data(), sum, sum + channels));
    if (left < channels)
      MGM_SIMD_CALL(ex.isa, channel_sums(more.row(first), more.stride(0), count, channels - left, centre.data() + left, sum + left,
                                         sum + channels + left));
  });
  double const count = static_cast<double>(rows * width);
  for (Size g = 0; g < groups; ++g) {
    double sum = 0, square = 0;
    for (Size b = 0; b < blocks; ++b)
      for (Size c = g * width; c < (g + 1) * width; ++c)
        sum += static_cast<double>(sums[static_cast<std::size_t>(2 * b * channels + c)]),
            square += static_cast<double>(sums[static_cast<std::size_t>((2 * b + 1) * channels + c)]);
    double const from_centre = sum / count, variance = std::max(0.0, square / count - from_centre * from_centre);
    double const mean = from_centre + static_cast<double>(centre[static_cast<std::size_t>(g * width)]),
                 rstd = 1 / std::sqrt(variance + static_cast<double>(eps));
    for (Size c = g * width; c < (g + 1) * width; ++c) {
      double const a = rstd * static_cast<double>(static_cast<float>(gain(c)));
      scale(c) = static_cast<float>(a), shift(c) = static_cast<float>(static_cast<double>(static_cast<float>(bias(c))) - a * mean);
    }
  }
}

/// out = act((x − mean_g) / sqrt(var_g + eps) · gain + bias), act SiLU or nothing.   x, out (N, C), rows dense; `out` may be x.
template <Real T>
void group_norm(Executor const& ex, In<T, 2> x, Size groups, In<T, 1> gain, In<T, 1> bias, float eps, bool silu, Out<T, 2> out) {
  Size const channels = x.extent(1);
  std::vector<float> affine(static_cast<std::size_t>(2 * channels));  // scale, then shift
  float *const scale = affine.data(), *const shift = scale + channels;
  group_affine<T>(ex, x, {}, groups, gain, bias, eps, View<float, 1>(scale, Extents{channels}), View<float, 1>(shift, Extents{channels}));
  for_rows(ex, x.extent(0), 4 * channels,
           [&](Size n) { MGM_SIMD_CALL(ex.isa, affine_row(x.row(n), scale, shift, silu, channels, out.row(n))); });
}

#define MGM_CPU_GROUP_NORM(TEMPLATE, T, Dev) \
  TEMPLATE void group_norm<T>(Executor const&, In<T, 2, Dev>, Size, In<T, 1, Dev>, In<T, 1, Dev>, float, bool, Out<T, 2, Dev>);
#define MGM_CPU_GROUP_NORM_16(TEMPLATE, T, Dev)
MGM_DECLARE_COMPILED_CPU(MGM_CPU_GROUP_NORM)

}  // namespace mgm::inline v0::cpu
