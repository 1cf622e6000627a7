/// From the width of the vision tokens to the width of the language model.
#pragma once
#include <string>
#include <vector>

#include <mgm/nn/linear.hpp>
#include <mgm/ops/elementwise.hpp>

namespace mgm::inline v0::models {

/// Widths and number of layers.
struct ProjectorConfig {
  Size in, out, depth = 2;
  bool plain_name = false;  ///< the one layer's weights are called weight and bias, without an index
};

/// `depth` Linear layers with exact GELU between them (mlpNx_gelu); depth 1 with `plain_name` is kind `linear`; depth 0 is `identity`.
/// (tokens, in) -> (tokens, out).
template <Real T, Device Dev = DefaultDevice>
class Projector {
 public:
  using Config = ProjectorConfig;
  Projector(Context<Dev>& ctx, Config c) : config_(c) {
    require<ConfigError>(c.depth > 0 || c.in == c.out, "projector: identity maps width ", c.in, " to ", c.out, "; they must be equal");
    for (Size i = 0; i < c.depth; ++i) layers_.emplace_back(ctx, typename nn::Linear<T, Dev>::Config{i ? c.out : c.in, c.out});
  }

  [[nodiscard]] Tensor<T, 2, Dev> operator()(Context<Dev>& ctx, In<T, 2, Dev> tokens) const {
    Tensor<T, 2, Dev> x;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      auto const activation = i + 1 < layers_.size() ? Activation::gelu : Activation::none;
      x = layers_[i](ctx, i == 0 ? tokens : x, {.activation = activation});  // (tokens, out)
    }
    if (layers_.empty()) {
      x = ctx.template empty<T>(tokens.extents());  // (tokens, in)
      ops::copy<T, Dev>(ctx, tokens, x);
    }
    return x;
  }
  [[nodiscard]] Config const& config() const { return config_; }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (std::size_t i = 0; i < layers_.size(); ++i) visit(config_.plain_name ? std::string() : text(2 * i), layers_[i]);
  }

 private:
  Config config_;
  std::vector<nn::Linear<T, Dev>> layers_;
};

}  // namespace mgm::inline v0::models
