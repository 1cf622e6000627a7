/// Depthwise 7×7 convolution of channels-last maps, alone and with the LayerNorm that follows it in ConvNeXt.
/// Cost: 49 multiplications an element, bound by arithmetic; a map is read about once from memory, 7 rows of it staying in L2.
#pragma once
#include <algorithm>
#include <vector>

#include <mgm/core/compiled.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/elementwise.hpp>
#include <mgm/cpu/norm.hpp>
#include <mgm/cpu/rows.hpp>

namespace mgm::inline v0::cpu::detail {
/// Where a tile of outputs reads: `row` is the input row of tap row 0 (first_tap … last_tap exist), `left` the first output column.
template <Real T>
struct ConvTile {
  T const* row;
  Size row_stride, pixel_stride, width, first_tap, last_tap, left;
};
}  // namespace mgm::inline v0::cpu::detail

#define MGM_SIMD_SOURCE <mgm/cpu/depthwise.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

namespace detail {
template <Real T>
void conv7(Executor const& ex, In<T, 3> x, In<T, 2> weight, T const* bias, T const* gain, T const* norm_bias, float eps, Out<T, 3> out) {
  Size const height = x.extent(0), width = x.extent(1), channels = x.extent(2), padded = (channels + 15) / 16 * 16;  // 16: the most lanes
  std::vector<float> packed(static_cast<std::size_t>(49 * padded));
  MGM_SIMD_CALL(ex.isa, pack_conv7(weight.data(), weight.stride(0), channels, packed.data()));
  for_row_ranges(ex, height, 16 * width * channels, [&](Size first, Size last) {
    std::vector<float> sums(static_cast<std::size_t>(12 * padded));  // 12: the largest tile
    for (Size y = first; y < last; ++y) {
      ConvTile<T> const tile{x.data() + (y - 3) * x.stride(0), x.stride(0), x.stride(1), width, std::max<Size>(0, 3 - y),
                             std::min<Size>(7, height + 3 - y), 0};
      MGM_SIMD_CALL(ex.isa, conv7_row<T>(tile, channels, packed.data(), bias, gain, norm_bias, eps, sums.data(), padded, out.row(y, 0),
                                         out.stride(1)));
    }
  });
}
}  // namespace detail

/// out(y, x, c) = bias(c) + Σ_{i,j<7} weight(7i + j, c) · x(y + i − 3, x + j − 3, c), zero outside the map; sums in float.
/// x, out (H, W, C), channels dense; weight (49, C), tap-major; H, W >= 1. `out` must not be x.
template <Real T>
void depthwise_conv7(Executor const& ex, In<T, 3> x, In<T, 2> weight, In<T, 1> bias, Out<T, 3> out) {
  detail::conv7<T>(ex, x, weight, bias.data(), nullptr, nullptr, 0, out);
}

/// LayerNorm over channels of depthwise_conv7: out = LN(conv(x); gain, norm_bias, eps). The sums are normalised before they are rounded.
template <Real T>
void depthwise_conv7_norm(Executor const& ex, In<T, 3> x, In<T, 2> weight, In<T, 1> bias, In<T, 1> gain, In<T, 1> norm_bias, float eps,
                          Out<T, 3> out) {
  detail::conv7<T>(ex, x, weight, bias.data(), gain.data(), norm_bias.data(), eps, out);
}

#define MGM_CPU_DEPTHWISE(TEMPLATE, T, Dev)                                                                                    \
  TEMPLATE void depthwise_conv7_norm<T>(Executor const&, In<T, 3, Dev>, In<T, 2, Dev>, In<T, 1, Dev>, In<T, 1, Dev>, In<T, 1, Dev>, \
                                        float, Out<T, 3, Dev>);
#define MGM_CPU_DEPTHWISE_16(TEMPLATE, T, Dev)
MGM_DECLARE_COMPILED_CPU(MGM_CPU_DEPTHWISE)

}  // namespace mgm::inline v0::cpu
