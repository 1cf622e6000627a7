/// Depthwise 7×7 convolution of channels-last maps, alone and with the LayerNorm that follows it in ConvNeXt.
#pragma once
#include <algorithm>
#include <vector>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/norm.hpp>
#include <mgm/cpu/rows.hpp>

namespace mgm::inline v0::cpu {

/// out(y, x, c) = bias(c) + Σ_{i,j<7} weight(7i + j, c) · x(y + i − 3, x + j − 3, c), zero outside the map; sums in float.
/// x, out (H, W, C), channels dense; weight (49, C), tap-major; H, W >= 1. `out` must not be x.
template <Real T>
void depthwise_conv7(Executor const& ex, In<T, 3> x, In<T, 2> weight, In<T, 1> bias, Out<T, 3> out) {
  Size const height = x.extent(0), width = x.extent(1), channels = x.extent(2);
  for_row_ranges(ex, height, width * channels, [&](Size first, Size last) {
    std::vector<float> sum(static_cast<std::size_t>(channels));
    for (Size v = first; v < last; ++v)
      for (Size u = 0; u < width; ++u) {
        for (Size c = 0; c < channels; ++c) sum[std::size_t(c)] = float(bias(c));
        for (Size i = std::max<Size>(0, 3 - v); i < std::min<Size>(7, height + 3 - v); ++i)
          for (Size j = std::max<Size>(0, 3 - u); j < std::min<Size>(7, width + 3 - u); ++j) {
            T const* from = x.row(v + i - 3, u + j - 3);
            T const* tap = weight.row(7 * i + j);
            for (Size c = 0; c < channels; ++c) sum[std::size_t(c)] += float(tap[c]) * float(from[c]);
          }
        T* to = out.row(v, u);
        for (Size c = 0; c < channels; ++c) to[c] = T(sum[std::size_t(c)]);
      }
  });
}

/// LayerNorm over channels of depthwise_conv7: out = LN(conv(x); gain, norm_bias, eps), statistics of the unrounded sums.
template <Real T>
void depthwise_conv7_norm(Executor const& ex, In<T, 3> x, In<T, 2> weight, In<T, 1> bias, In<T, 1> gain, In<T, 1> norm_bias, float eps,
                          Out<T, 3> out) {
  depthwise_conv7<T>(ex, x, weight, bias, out);
  for (Size v = 0; v < x.extent(0); ++v) layer_norm<T>(ex, out[v], gain, norm_bias, eps, out[v]);
}

}  // namespace mgm::inline v0::cpu
