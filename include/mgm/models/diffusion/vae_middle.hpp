/// What the autoencoder's halves have in common: the blocks at the coarsest level.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include <mgm/models/diffusion/vae_config.hpp>
#include <mgm/nn/resnet_block.hpp>
#include <mgm/nn/spatial_transformer.hpp>

namespace mgm::inline v0::models {

inline constexpr float kVaeEps = 1e-6f;  ///< of every GroupNorm

/// A resnet, attention of all pixels to each other with one head, a resnet: (h, w, C) -> (h, w, C).
template <Real T, Device Dev>
class VaeMiddle {
 public:
  VaeMiddle(Context<Dev>& ctx, VaeConfig const& c) : old_names_(c.old_names) {
    Size const deep = c.widths.back();
    for (int i = 0; i < 2; ++i) resnets_.emplace_back(ctx, typename nn::ResnetBlock<T, Dev>::Config{deep, deep, 0, c.groups, kVaeEps});
    if (!c.attends) return;
    norm_.emplace(ctx, typename nn::GroupNorm<T, Dev>::Config{deep, c.groups, kVaeEps});
    attention_.emplace(ctx, typename nn::CrossAttention<T, Dev>::Config{deep, deep, 1, true});
  }
  [[nodiscard]] Size steps() const { return attention_ ? 3 : 2; }
  [[nodiscard]] Tensor<T, 3, Dev> operator()(Context<Dev>& ctx, In<T, 3, Dev> x) const {
    auto h = resnets_[0](ctx, x);  // (h, w, C)
    ctx.step();
    if (attention_) {
      auto const tokens = h.reshape(Extents{h.extent(0) * h.extent(1), h.extent(2)});  // (h·w, C)
      auto const n = (*norm_)(ctx, tokens);
      (*attention_)(ctx, n, n, tokens);
      ctx.step();
    }
    h = resnets_[1](ctx, h);
    ctx.step();
    return h;
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("resnets", resnets_);
    if (!attention_) return;
    auto const name = [&](std::string_view now, std::string_view then) { return text("attentions.0.", old_names_ ? then : now); };
    visit("attentions.0.group_norm", *norm_);
    visit(name("to_q", "query"), attention_->q);
    visit(name("to_k", "key"), attention_->k);
    visit(name("to_v", "value"), attention_->v);
    visit(name("to_out.0", "proj_attn"), attention_->out);
  }

 private:
  std::vector<nn::ResnetBlock<T, Dev>> resnets_;
  std::optional<nn::GroupNorm<T, Dev>> norm_;
  std::optional<nn::CrossAttention<T, Dev>> attention_;
  bool old_names_;
};

}  // namespace mgm::inline v0::models
