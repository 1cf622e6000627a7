/// From latents to pictures: the decoder of Stable Diffusion's autoencoder (Rombach et al. 2022, arXiv:2112.10752).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include <mgm/models/diffusion/vae_middle.hpp>

namespace mgm::inline v0::models {

template <Real T, Device Dev = DefaultDevice>
class VaeDecoder {
 public:
  using Config = VaeConfig;

  VaeDecoder(Context<Dev>& ctx, Config c)
      : config_(std::move(c)),
        conv_in_(ctx, {config_.latents, config_.widths.back()}),
        middle_(ctx, config_),
        norm_out_(ctx, {config_.widths.front(), config_.groups, kVaeEps}),
        conv_out_(ctx, {config_.widths.front(), 3}) {
    if (config_.post_quant) post_quant_.emplace(ctx, typename nn::Conv2d<T, Dev>::Config{config_.latents, config_.latents, 1});
    for (std::size_t k = 0; k < config_.widths.size(); ++k) {
      std::size_t const i = config_.widths.size() - 1 - k;
      Level& level = levels_.emplace_back();
      Size const below = config_.widths[k == 0 ? i : i + 1];
      for (Size j = 0; j <= config_.layers; ++j)
        level.resnets.emplace_back(ctx, typename nn::ResnetBlock<T, Dev>::Config{j == 0 ? below : config_.widths[i], config_.widths[i], 0,
                                                                                 config_.groups, kVaeEps});
      if (i > 0) level.upsample.emplace(ctx, typename nn::Conv2d<T, Dev>::Config{config_.widths[i], config_.widths[i]});
    }
  }

  [[nodiscard]] Config const& config() const { return config_; }
  /// Steps that one call reports.
  [[nodiscard]] Size steps() const {
    Size const levels = static_cast<Size>(levels_.size());
    return middle_.steps() + levels * (config_.layers + 2);  // each level's resnets, then a change of size or the last convolution
  }
  /// latents (h, w, latents), already divided by the scaling factor -> (f·h·f·w, 3) in float, about [−1, 1], not clamped; f = factor().
  /// Throws ShapeError, Cancelled.
  [[nodiscard]] Tensor<float, 2, Dev> operator()(Context<Dev>& ctx, In<T, 3, Dev> latents) const {
    check_shape("vae: latents", latents, any, any, config_.latents);
    Size rows = latents.extent(0), cols = latents.extent(1);
    Tensor<T, 3, Dev> given;
    if (post_quant_) given = (*post_quant_)(ctx, latents, Window::same(1, rows, cols));                         // (h, w, latents)
    auto h = conv_in_(ctx, post_quant_ ? View<T const, 3, Dev>(given) : latents, Window::same(3, rows, cols));  // (h, w, C)
    h = middle_(ctx, h);
    for (auto const& level : levels_) {
      for (auto const& block : level.resnets) h = block(ctx, h), ctx.step();
      if (!level.upsample) continue;
      rows *= 2, cols *= 2, h = (*level.upsample)(ctx, h, Window::resampled(3, rows, cols));
      ctx.step();
    }
    auto out = ctx.template empty<float>(Extents{rows * cols, Size{3}});  // (pixels, 3)
    conv_out_.into(ctx, norm_out_.then_silu(ctx, h).map, Window::same(3, rows, cols), out.view());
    ctx.step();
    return out;
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    if (post_quant_) visit("post_quant_conv", *post_quant_);
    visit("decoder.conv_in", conv_in_);
    visit("decoder.mid_block", middle_);
    for (std::size_t k = 0; k < levels_.size(); ++k) {
      visit(text("decoder.up_blocks.", k, ".resnets"), levels_[k].resnets);
      if (levels_[k].upsample) visit(text("decoder.up_blocks.", k, ".upsamplers.0.conv"), *levels_[k].upsample);
    }
    visit("decoder.conv_norm_out", norm_out_);
    visit("decoder.conv_out", conv_out_);
  }

 private:
  struct Level {
    std::vector<nn::ResnetBlock<T, Dev>> resnets;
    std::optional<nn::Conv2d<T, Dev>> upsample;
  };

  Config config_;
  std::optional<nn::Conv2d<T, Dev>> post_quant_;
  nn::Conv2d<T, Dev> conv_in_;
  VaeMiddle<T, Dev> middle_;
  std::vector<Level> levels_;
  nn::GroupNorm<T, Dev> norm_out_;
  nn::Conv2d<T, Dev> conv_out_;
};

}  // namespace mgm::inline v0::models
