/// From latents to pictures and back: the autoencoder of Stable Diffusion (Rombach et al. 2022, arXiv:2112.10752).
#pragma once
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include <mgm/io/json.hpp>
#include <mgm/nn/resnet_block.hpp>
#include <mgm/nn/spatial_transformer.hpp>

namespace mgm::inline v0::models {

struct VaeConfig {
  std::vector<Size> widths;  ///< of the levels, the finest first
  Size layers = 2, latents = 4, groups = 32, sample = 512;
  double scaling = 0.18215, shift = 0;
  bool post_quant = true, attends = true, force_upcast = true;
  [[nodiscard]] Size factor() const { return Size{1} << (widths.size() - 1); }  ///< pixels a latent has on a side
};

/// From an AutoencoderKL's config.json. Throws ConfigError.
[[nodiscard]] inline VaeConfig vae_config(io::Json const& json, std::string const& where) {
  VaeConfig c;
  c.widths = io::get<std::vector<Size>>(json, "block_out_channels", where);
  c.layers = io::get_or<Size>(json, "layers_per_block", 1, where), c.latents = io::get_or<Size>(json, "latent_channels", 4, where);
  c.groups = io::get_or<Size>(json, "norm_num_groups", 32, where), c.sample = io::get_or<Size>(json, "sample_size", 512, where);
  c.scaling = io::get_or(json, "scaling_factor", 0.18215, where), c.shift = io::get_or(json, "shift_factor", 0.0, where);
  c.post_quant = io::get_or(json, "use_post_quant_conv", true, where), c.attends = io::get_or(json, "mid_block_add_attention", true, where);
  c.force_upcast = io::get_or(json, "force_upcast", true, where);
  auto const act = io::get_or<std::string>(json, "act_fn", "silu", where);
  require<ConfigError>(act == "silu", where, ": act_fn ", mgm::quoted(act), " is not supported; there is silu");
  for (std::string_view const key : {"latents_mean", "latents_std"})
    require<ConfigError>(!io::find_key(json, key, where), where, ": ", key, " is not supported; it must be null");
  require<ConfigError>(!c.widths.empty() && c.widths.size() <= 8 && c.layers >= 1 && c.latents >= 1 && c.groups >= 1 && c.scaling > 0,
                       where, ": ", c.widths.size(), " levels, ", c.layers, " layers, ", c.latents, " latents, scaling_factor ", c.scaling,
                       " make no autoencoder");
  for (Size const w : c.widths)
    require<ConfigError>(w >= 1 && w % c.groups == 0, where, ": ", w, " channels do not divide into ", c.groups, " groups");
  return c;
}

/// The decoder's half. Every GroupNorm has ε 1e-6.
template <Real T, Device Dev = DefaultDevice>
class VaeDecoder {
 public:
  using Config = VaeConfig;
  static constexpr float kEps = 1e-6f;

  VaeDecoder(Context<Dev>& ctx, Config c)
      : config_(std::move(c)),
        conv_in_(ctx, {config_.latents, config_.widths.back()}),
        norm_out_(ctx, {config_.widths.front(), config_.groups, kEps}),
        conv_out_(ctx, {config_.widths.front(), 3}) {
    Size const deep = config_.widths.back();
    if (config_.post_quant) post_quant_.emplace(ctx, typename nn::Conv2d<T, Dev>::Config{config_.latents, config_.latents, 1});
    for (int i = 0; i < 2; ++i) middle_.emplace_back(ctx, resnet(deep, deep));
    if (config_.attends) {
      middle_norm_.emplace(ctx, typename nn::GroupNorm<T, Dev>::Config{deep, config_.groups, kEps});
      attention_.emplace(ctx, typename nn::CrossAttention<T, Dev>::Config{deep, deep, 1, true});
    }
    for (std::size_t k = 0; k < config_.widths.size(); ++k) {
      std::size_t const i = config_.widths.size() - 1 - k;
      Level& level = levels_.emplace_back();
      Size const below = k == 0 ? deep : config_.widths[i + 1];
      for (Size j = 0; j <= config_.layers; ++j)
        level.resnets.emplace_back(ctx, resnet(j == 0 ? below : config_.widths[i], config_.widths[i]));
      if (i > 0) level.upsample.emplace(ctx, typename nn::Conv2d<T, Dev>::Config{config_.widths[i], config_.widths[i]});
    }
  }

  [[nodiscard]] Config const& config() const { return config_; }
  [[nodiscard]] Size blocks() const { return static_cast<Size>(levels_.size()) + 1; }
  /// latents (h, w, latents), already divided by the scaling factor -> (f·h·f·w, 3) in float, about [−1, 1], not clamped; f = factor().
  /// Throws ShapeError, Cancelled.
  [[nodiscard]] Tensor<float, 2, Dev> operator()(Context<Dev>& ctx, In<T, 3, Dev> latents) const {
    check_shape("vae: latents", latents, any, any, config_.latents);
    Size rows = latents.extent(0), cols = latents.extent(1);
    Tensor<T, 3, Dev> given;
    if (post_quant_) given = (*post_quant_)(ctx, latents, Window::same(1, rows, cols));                         // (h, w, latents)
    auto h = conv_in_(ctx, post_quant_ ? View<T const, 3, Dev>(given) : latents, Window::same(3, rows, cols));  // (h, w, C)
    h = middle_[0](ctx, h);
    if (attention_) {
      auto const tokens = h.reshape(Extents{rows * cols, h.extent(2)});  // (h·w, C)
      auto const n = (*middle_norm_)(ctx, tokens);
      (*attention_)(ctx, n, n, tokens);
    }
    h = middle_[1](ctx, h);
    ctx.step();
    for (auto const& level : levels_) {
      for (auto const& block : level.resnets) h = block(ctx, h);
      if (level.upsample) rows *= 2, cols *= 2, h = (*level.upsample)(ctx, h, Window::resampled(3, rows, cols));
      ctx.step();
    }
    auto out = ctx.template empty<float>(Extents{rows * cols, Size{3}});  // (pixels, 3)
    conv_out_.into(ctx, norm_out_.then_silu(ctx, h).map, Window::same(3, rows, cols), out.view());
    return out;
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    if (post_quant_) visit("post_quant_conv", *post_quant_);
    visit("decoder.conv_in", conv_in_);
    for (std::size_t i = 0; i < middle_.size(); ++i) visit(text("decoder.mid_block.resnets.", i), middle_[i]);
    if (attention_) visit("decoder.mid_block.attentions.0.group_norm", *middle_norm_), visit("decoder.mid_block.attentions.0", *attention_);
    for (std::size_t k = 0; k < levels_.size(); ++k) {
      for (std::size_t j = 0; j < levels_[k].resnets.size(); ++j)
        visit(text("decoder.up_blocks.", k, ".resnets.", j), levels_[k].resnets[j]);
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
  typename nn::ResnetBlock<T, Dev>::Config resnet(Size in, Size out) const { return {in, out, 0, config_.groups, kEps}; }

  Config config_;
  std::optional<nn::Conv2d<T, Dev>> post_quant_;
  nn::Conv2d<T, Dev> conv_in_;
  std::vector<nn::ResnetBlock<T, Dev>> middle_;
  std::optional<nn::GroupNorm<T, Dev>> middle_norm_;
  std::optional<nn::CrossAttention<T, Dev>> attention_;
  std::vector<Level> levels_;
  nn::GroupNorm<T, Dev> norm_out_;
  nn::Conv2d<T, Dev> conv_out_;
};

}  // namespace mgm::inline v0::models
