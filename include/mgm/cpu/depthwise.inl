// Read by depthwise.hpp once per instruction set.
namespace mgm::inline v0::cpu::MGM_ISA {

/// Output pixels of one row that are summed side by side in registers, beside 7 weights and one input vector. Each input is widened
/// once for up to 7 products: 12 pixels take 18 inputs for 84 products, and 12 divides the usual widths 24, 48, 96 and 192.
inline constexpr int kConvTile = MGM_ISA_LEVEL >= 2 ? 12 : 6;

/// Weights (49, C) as floats in the order in which they are read: kLanes channels at a time, all 49 taps of them, zeros at the end.
template <Real T>
void pack_conv7(T const* weight, Size stride, Size channels, float* packed) {
  for (Size c = 0; c < channels; c += kLanes)
    for (Size tap = 0; tap < 49; ++tap, packed += kLanes)
      store(packed, load(weight + tap * stride + c, static_cast<int>(channels - c < kLanes ? channels - c : kLanes)));
}

/// The sums of one vector of channels for a tile; kWhole: all lanes are channels.
template <Real T, bool kWhole>
MGM_INLINE void conv7_lanes(detail::ConvTile<T> const& t, Size channel, int lanes, float const* weight, F bias, float* sums, Size stride) {
  F acc[kConvTile];
  MGM_SIMD_UNROLL for (int p = 0; p < kConvTile; ++p) acc[p] = bias;
  for (Size i = t.first_tap; i < t.last_tap; ++i) {
    T const* const row = t.row + i * t.row_stride + channel;
    F w[7];
    MGM_SIMD_UNROLL for (int j = 0; j < 7; ++j) w[j] = load(weight + (7 * i + j) * kLanes);
    MGM_SIMD_UNROLL for (int q = 0; q < kConvTile + 6; ++q) {
      Size const at = t.left + q - 3;
      if (static_cast<std::uint64_t>(at) >= static_cast<std::uint64_t>(t.width)) continue;  // beyond either border: zero
      F const x = kWhole ? load(row + at * t.pixel_stride) : load(row + at * t.pixel_stride, lanes);
      MGM_SIMD_UNROLL for (int j = 0; j < 7; ++j)
        if (q - j >= 0 && q - j < kConvTile) acc[q - j] = fma(x, w[j], acc[q - j]);
    }
  }
  MGM_SIMD_UNROLL for (int p = 0; p < kConvTile; ++p) store(sums + p * stride, acc[p]);  // rows of sums are padded to whole vectors
}

/// All channels of a tile of kConvTile output pixels; sums (kConvTile, stride), stride at least the channels rounded up to kLanes.
template <Real T>
void conv7_tile(detail::ConvTile<T> const& t, Size channels, float const* packed, T const* bias, float* sums, Size stride) {
  Size c = 0;
  for (; c + kLanes <= channels; c += kLanes, packed += 49 * kLanes)
    conv7_lanes<T, true>(t, c, kLanes, packed, load(bias + c), sums + c, stride);
  if (int const rest = static_cast<int>(channels - c); rest > 0)
    conv7_lanes<T, false>(t, c, rest, packed, load(bias + c, rest), sums + c, stride);
}

/// One row of outputs, plain, or with a LayerNorm when `gain` is given.
template <Real T>
void conv7_row(detail::ConvTile<T> t, Size channels, float const* packed, T const* bias, T const* gain, T const* norm_bias, float eps,
               float* sums, Size stride, T* out, Size out_stride) {
  for (t.left = 0; t.left < t.width; t.left += kConvTile) {
    conv7_tile(t, channels, packed, bias, sums, stride);
    for (Size p = 0; p < kConvTile && t.left + p < t.width; ++p) {
      float const* const from = sums + p * stride;
      T* const to = out + (t.left + p) * out_stride;
      if (gain)
        layer_norm_row(from, gain, norm_bias, eps, channels, to);
      else
        convert_row(from, to, channels);
    }
  }
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
