/// From pictures to latents: the encoder of Stable Diffusion's autoencoder (Rombach et al. 2022, arXiv:2112.10752).
#pragma once
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include <mgm/models/diffusion/vae_middle.hpp>

namespace mgm::inline v0::models {

template <Real T, Device Dev = DefaultDevice>
class VaeEncoder {
 public:
  using Config = VaeConfig;

  VaeEncoder(Context<Dev>& ctx, Config c)
      : config_(std::move(c)),
        conv_in_(ctx, {3, config_.widths.front()}),
        middle_(ctx, config_),
        norm_out_(ctx, {config_.widths.back(), config_.groups, kVaeEps}),
        conv_out_(ctx, {config_.widths.back(), 2 * config_.latents}) {
    if (config_.quant) quant_.emplace(ctx, typename nn::Conv2d<T, Dev>::Config{2 * config_.latents, 2 * config_.latents, 1});
    auto const& w = config_.widths;
    for (std::size_t i = 0; i < w.size(); ++i) {
      Level& level = levels_.emplace_back();
      for (Size j = 0; j < config_.layers; ++j)
        level.resnets.emplace_back(
            ctx, typename nn::ResnetBlock<T, Dev>::Config{j == 0 && i > 0 ? w[i - 1] : w[i], w[i], 0, config_.groups, kVaeEps});
      if (i + 1 < w.size()) level.downsample.emplace(ctx, typename nn::Conv2d<T, Dev>::Config{w[i], w[i]});
    }
  }

  [[nodiscard]] Config const& config() const { return config_; }
  /// Steps that one call reports.
  [[nodiscard]] Size steps() const { return middle_.steps() + static_cast<Size>(levels_.size()) * (config_.layers + 1); }
  /// picture (H, W, 3) in [−1, 1], both sides multiples of f = factor() -> (H/f · W/f, 2·latents) in float: a mean and the logarithm of a
  /// variance for each latent. Throws ShapeError, Cancelled.
  [[nodiscard]] Tensor<float, 2, Dev> operator()(Context<Dev>& ctx, In<T, 3, Dev> picture) const {
    check_shape("vae: picture", picture, any, any, 3);
    require<ShapeError>(picture.extent(0) % config_.factor() == 0 && picture.extent(1) % config_.factor() == 0, "vae: a picture of ",
                        picture.extent(1), "x", picture.extent(0), "; both must be multiples of ", config_.factor());
    auto h = conv_in_(ctx, picture, Window::same(3, picture.extent(0), picture.extent(1)));  // (H, W, C₀)
    for (auto const& level : levels_) {
      for (auto const& block : level.resnets) h = block(ctx, h), ctx.step();
      if (!level.downsample) continue;
      h = (*level.downsample)(ctx, h, Window::halved_below(h.extent(0), h.extent(1)));  // zeros below and to the right only
      ctx.step();
    }
    h = middle_(ctx, h);
    Size const rows = h.extent(0), cols = h.extent(1), pixels = rows * cols;
    auto out = ctx.template empty<float>(Extents{pixels, 2 * config_.latents});  // (h·w, 2·latents)
    auto const n = norm_out_.then_silu(ctx, h);                                  // read as (h, w, C)
    auto const window = Window::same(3, rows, cols);
    if (quant_)
      quant_->into(ctx, conv_out_(ctx, n.map, window), Window::same(1, rows, cols), out.view());
    else
      conv_out_.into(ctx, n.map, window, out.view());
    ctx.step();
    return out;
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("encoder.conv_in", conv_in_);
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      visit(text("encoder.down_blocks.", i, ".resnets"), levels_[i].resnets);
      if (levels_[i].downsample) visit(text("encoder.down_blocks.", i, ".downsamplers.0.conv"), *levels_[i].downsample);
    }
    visit("encoder.mid_block", middle_);
    visit("encoder.conv_norm_out", norm_out_);
    visit("encoder.conv_out", conv_out_);
    if (quant_) visit("quant_conv", *quant_);
  }

 private:
  struct Level {
    std::vector<nn::ResnetBlock<T, Dev>> resnets;
    std::optional<nn::Conv2d<T, Dev>> downsample;
  };

  Config config_;
  nn::Conv2d<T, Dev> conv_in_;
  std::vector<Level> levels_;
  VaeMiddle<T, Dev> middle_;
  nn::GroupNorm<T, Dev> norm_out_;
  nn::Conv2d<T, Dev> conv_out_;
  std::optional<nn::Conv2d<T, Dev>> quant_;
};

/// One draw of what an encoder says: scaling·(mean + exp(½·logvar)·noise − shift), logvar within [−30, 20].   moments (2·latents, h·w),
/// noise N(0, 1) (latents, h·w) -> (latents, h·w). Throws NumericalError where the encoder overflowed.
[[nodiscard]] inline std::vector<float> sample_latents(VaeConfig const& c, std::vector<float> const& moments,
                                                       std::vector<float> const& noise) {
  std::vector<float> out(noise.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    double const mean = static_cast<double>(moments[i]), logvar = static_cast<double>(moments[out.size() + i]);
    require<NumericalError>(std::isfinite(mean) && std::isfinite(logvar), "vae: the encoded picture is not a number at latent ", i,
                            "; use f32 or bf16");
    double const deviation = std::exp(0.5 * std::clamp(logvar, -30.0, 20.0));
    out[i] = static_cast<float>(c.scaling * (mean + deviation * static_cast<double>(noise[i]) - c.shift));
  }
  return out;
}

}  // namespace mgm::inline v0::models
