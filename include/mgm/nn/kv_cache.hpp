/// The keys and values of all layers of one conversation.
#pragma once
#include <vector>

#include <mgm/mem/context.hpp>

namespace mgm::inline v0::nn {

/// Room for `positions` positions of `layers` layers, allocated once: 2·layers·positions·kv_heads·head_width elements of T.
/// Keys lie rotated. Nothing is ever evicted: a full cache is an error of the caller, who asks `room` first.
template <Real T, Device Dev = DefaultDevice>
class KvCache {
 public:
  struct Config {
    Size layers, kv_heads, head_width, positions;
  };
  /// Throws MemoryError, and LimitError when the product does not fit.
  KvCache(Context<Dev>& ctx, Config c)
      : config_(c), memory_(ctx.template lasting<T>(Extents{2 * c.layers, c.positions, c.kv_heads, c.head_width})) {}

  [[nodiscard]] Size size() const { return size_; }
  [[nodiscard]] Size room() const { return config_.positions - size_; }
  [[nodiscard]] Config const& config() const { return config_; }
  /// Forgets all but the first `positions` positions.
  void truncate(Size positions) { size_ = positions < size_ ? positions : size_; }
  /// Takes the `count` rows after size() as written by all layers. Throws LimitError when they do not fit.
  void advance(Size count) {
    require<LimitError>(count <= room(), "kv cache: ", count, " more positions do not fit; ", size_, " of ", config_.positions,
                        " are taken");
    size_ += count;
  }
  /// Rows [first, first + count) of a layer: (count, kv_heads, d).
  [[nodiscard]] View<T, 3, Dev> keys(Size layer, Size first, Size count) const { return memory_[2 * layer].slice(0, first, count); }
  [[nodiscard]] View<T, 3, Dev> values(Size layer, Size first, Size count) const { return memory_[2 * layer + 1].slice(0, first, count); }

 private:
  Config config_;
  Tensor<T, 4, Dev> memory_;  // (2·layers, positions, kv_heads, d)
  Size size_ = 0;
};

}  // namespace mgm::inline v0::nn
