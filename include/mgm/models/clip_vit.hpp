/// The low-resolution tower: CLIP's vision transformer up to a chosen layer (Radford et al. 2021, arXiv:2103.00020).
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include <mgm/nn/clip_block.hpp>
#include <mgm/nn/patch_conv.hpp>
#include <mgm/ops/elementwise.hpp>

namespace mgm::inline v0::models {

/// Shapes of the tower. `depth` counts the blocks that run.
struct ClipVitConfig {
  Size image, patch, width, depth, heads, ffn = 0;  ///< ffn 0: four times the width
  float eps = 1e-5f;
  Activation activation = Activation::quick_gelu;
  [[nodiscard]] Size side() const { return image / patch; }  ///< tokens per side of a view
};

/// h = LN(concat(class, patches) + positions), then `depth` blocks; the class token is dropped at the end (`states` keeps it), nothing is normalised
/// after.
/// MGM takes the input of the last layer of 24: depth 23. Views are independent of each other.
template <Real T, Device Dev = DefaultDevice>
class ClipVit {
 public:
  using Config = ClipVitConfig;
  ClipVit(Context<Dev>& ctx, Config c)
      : config_(c),
        patch_(ctx, {3, c.width, c.patch, false}),
        class_(Extents{c.width}),
        position_(Extents{c.side() * c.side() + 1, c.width}),
        pre_norm_(ctx, {c.width, c.eps}) {
    require<ConfigError>(c.heads >= 1 && c.width % c.heads == 0, "clip: width ", c.width, " is not divisible by ", c.heads, " heads");
    for (Size i = 0; i < c.depth; ++i)
      blocks_.emplace_back(ctx, typename nn::ClipBlock<T, Dev>::Config{c.width, c.heads, c.ffn ? c.ffn : 4 * c.width, c.eps, c.activation});
  }

  /// views (V, s, s, 3), normalised -> (V·T, C), T = (s / patch)². Throws ShapeError, Cancelled.
  [[nodiscard]] Tensor<T, 2, Dev> operator()(Context<Dev>& ctx, In<T, 4, Dev> views) const {
    auto const h = states(ctx, views);                                                                    // (V·(1 + T), C)
    Size const count = views.extent(0), tokens = config_.side() * config_.side(), width = config_.width;
    auto out = ctx.template empty<T>(Extents{count * tokens, width});                                     // (V·T, C)
    for (Size v = 0; v < count; ++v)
      ops::copy<T, Dev>(ctx, h.slice(0, v * (tokens + 1) + 1, tokens), out.slice(0, v * tokens, tokens));
    return out;
  }
  /// The same with each view's class token before its patches: (V·(1 + T), C).
  [[nodiscard]] Tensor<T, 2, Dev> states(Context<Dev>& ctx, In<T, 4, Dev> views) const {
    check_shape("clip: views", views, any, config_.image, config_.image, 3);
    Size const count = views.extent(0), tokens = config_.side() * config_.side(), width = config_.width;
    auto h = ctx.template empty<T>(Extents{count * (tokens + 1), width});                                 // (V·(1 + T), C)
    for (Size v = 0; v < count; ++v) {
      Size const start = v * (tokens + 1);
      ops::copy<T, Dev>(ctx, class_.view().reshape(Extents{Size{1}, width}), h.slice(0, start, 1));
      patch_.into(ctx, views[v], h.slice(0, start + 1, tokens));
      auto const view = h.slice(0, start, tokens + 1);                                                    // (1 + T, C)
      ops::add<T, Dev>(ctx, view, position_.view(), view);
    }
    ops::layer_norm<T, Dev>(ctx, h, pre_norm_.weight.view(), pre_norm_.bias.view(), pre_norm_.eps, h);
    for (auto const& block : blocks_) {
      block(ctx, count, h);
      ctx.step();
    }
    return h;
  }

  [[nodiscard]] Config const& config() const { return config_; }
  /// Names below `vision_model.`; pre_layrnorm is spelled so in every checkpoint.
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("embeddings.class_embedding", class_);
    visit("embeddings.patch_embedding", patch_);
    visit("embeddings.position_embedding.weight", position_);
    visit("pre_layrnorm", pre_norm_);
    visit("encoder.layers", blocks_);
  }

 private:
  Config config_;
  nn::PatchConv<T, Dev> patch_;
  Parameter<T, 1, Dev> class_;     // (C)
  Parameter<T, 2, Dev> position_;  // (1 + T, C)
  nn::LayerNorm<T, Dev> pre_norm_;
  std::vector<nn::ClipBlock<T, Dev>> blocks_;
};

}  // namespace mgm::inline v0::models
