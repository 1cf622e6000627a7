/// Weights of 8 or 4 bits: each run of 128 along K, or what is left of K, has a scale, and w ≈ scale·q with q of the format's bits.
/// Rows are made of vectors of 16 bytes, 16 or 32 weights, from the low end; q lies there as q + 128, or q + 8; behind K there are zeros.
#pragma once
#include <algorithm>
#include <cmath>

#include <mgm/kernels/arguments.hpp>

namespace mgm::inline v0::kernels {

/// Formats of `Bits` 8 and 4.
template <int Bits>
struct Quantised {
  static_assert(Bits == 8 || Bits == 4, "weights have 8 or 4 bits");
  static constexpr int kGroup = 128, kInVector = 128 / Bits, kMost = (1 << (Bits - 1)) - 1, kZero = 1 << (Bits - 1), kInWord = 32 / Bits;
  /// Bytes of a row of k weights, and its scales.
  [[nodiscard]] static constexpr Size row_bytes(Size k) { return (k + kInVector - 1) / kInVector * 16; }
  [[nodiscard]] static constexpr Size row_scales(Size k) { return (k + kGroup - 1) / kGroup; }
};

/// Borrowed weights (N, K) as kernels read them: values (N, row_bytes(K)), scales (N, row_scales(K)).
template <int Bits, Device Dev>
struct QuantisedWeight {
  View<std::uint8_t const, 2, Dev> values;
  View<bf16 const, 2, Dev> scales;
  Size k = 0;
};

/// Rounds w (N, K) to the format, on the host: scale = max|w|/q_max of its run, rounded to bf16, and q = round(w/scale), to even, at most
/// q_max. So |w − scale·q| <= scale·(1/2 + q_max·2⁻⁸), the second part from the scale's rounding. Throws ShapeError, and NumericalError
/// where a weight is not finite.
template <int Bits, Real T>
void quantise(In<T, 2, Cpu> w, Out<std::uint8_t, 2, Cpu> values, Out<bf16, 2, Cpu> scales) {
  using Q = Quantised<Bits>;
  Size const rows = w.extent(0), k = w.extent(1);
  check_input("quantise: w", w), check_output("quantise: values", values), check_output("quantise: scales", scales);
  check_shape("quantise: values", values, rows, Q::row_bytes(k)), check_shape("quantise: scales", scales, rows, Q::row_scales(k));
  for (Size n = 0; n < rows; ++n) {
    for (Size b = 0; b < values.extent(1); ++b) values(n, b) = static_cast<std::uint8_t>(Bits == 8 ? Q::kZero : Q::kZero * 17);
    for (Size first = 0; first < k; first += Q::kGroup) {
      Size const end = std::min<Size>(first + Q::kGroup, k);
      float most = 0;
      for (Size i = first; i < end; ++i) {
        float const value = w(n, i);
        require<NumericalError>(std::isfinite(value), "quantise: w(", n, ", ", i, ") is not finite; such weights have no scale");
        most = std::max(most, std::abs(value));
      }
      bf16 const scale(most / float(Q::kMost));
      scales(n, first / Q::kGroup) = scale;
      for (Size i = first; i < end; ++i) {
        float const wanted = float(scale) > 0 ? std::nearbyint(float(w(n, i)) / float(scale)) : 0;
        int const q = static_cast<int>(std::clamp(wanted, -float(Q::kMost), float(Q::kMost))) + Q::kZero;
        std::uint8_t& byte = values(n, i * Bits / 8);
        if constexpr (Bits == 8) byte = static_cast<std::uint8_t>(q);
        else byte = static_cast<std::uint8_t>(i % 2 == 0 ? (byte & 0xF0) | q : (byte & 0x0F) | q << 4);
      }
    }
  }
}
/// scale·q at (n, i).
template <int Bits>
[[nodiscard]] float dequantised(QuantisedWeight<Bits, Cpu> const& w, Size n, Size i) {
  using Q = Quantised<Bits>;
  int const byte = w.values(n, i * Bits / 8), q = Bits == 8 ? byte : i % 2 == 0 ? byte & 15 : byte >> 4;
  return float(w.scales(n, i / Q::kGroup)) * float(q - Q::kZero);
}

}  // namespace mgm::inline v0::kernels
