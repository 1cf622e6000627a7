/// What a convolution reads, so that nothing need be copied for it: data for every backend.
#pragma once
#include <mgm/core/view.hpp>

namespace mgm::inline v0 {

/// A map (H, W, C), or two of one size whose channels follow each other (a skip connection), each channel through v ↦ act(v·scale + shift)
/// on the way where these are given (a GroupNorm is that, and SiLU behind it). Zeros beyond the edges are put in after that.
template <Real T, Device Dev = DefaultDevice>
struct MapSource {
  View<T const, 3, Dev> first{}, second{};     ///< (H, W, Ca), (H, W, Cb); no second: null. Channels dense
  View<float const, 1, Dev> scale{}, shift{};  ///< (Ca + Cb), both or neither
  bool silu = false;                           ///< act is SiLU; needs scale and shift

  /// Whether it is one map as it lies.
  [[nodiscard]] MGM_HD constexpr bool plain() const { return second.data() == nullptr && scale.data() == nullptr; }
  [[nodiscard]] MGM_HD constexpr Size rows() const { return first.extent(0); }
  [[nodiscard]] MGM_HD constexpr Size cols() const { return first.extent(1); }
  [[nodiscard]] MGM_HD constexpr Size channels() const { return first.extent(2) + (second.data() != nullptr ? second.extent(2) : 0); }
};

}  // namespace mgm::inline v0
