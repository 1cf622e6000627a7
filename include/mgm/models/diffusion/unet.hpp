/// The network that predicts the noise in latents, for a time and a prompt: Stable Diffusion's UNet (Rombach et al. 2022, arXiv:2112.10752;
/// Podell et al. 2023, arXiv:2307.01952).
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <mgm/models/diffusion/unet_config.hpp>
#include <mgm/nn/resnet_block.hpp>
#include <mgm/nn/spatial_transformer.hpp>

namespace mgm::inline v0::models {

template <Real T, Device Dev = DefaultDevice>
class Unet {
 public:
  using Config = UnetConfig;
  using Map = Tensor<T, 3, Dev>;

  Unet(Context<Dev>& ctx, Config c)
      : config_(std::move(c)),
        conv_in_(ctx, {config_.in, config_.widths.front()}),
        time_(ctx, config_.widths.front(), config_.time()),
        norm_out_(ctx, {config_.widths.front(), config_.groups, config_.eps}),
        conv_out_(ctx, {config_.widths.front(), config_.out}) {
    auto const& w = config_.widths;
    std::size_t const levels = w.size();
    if (config_.added > 0) added_.emplace(ctx, config_.added, config_.time());
    if (config_.guidance_width > 0) guidance_.emplace(ctx, typename nn::Linear<T, Dev>::Config{config_.guidance_width, w.front(), false});
    for (std::size_t i = 0; i < levels; ++i) {
      Block& block = down_.emplace_back();
      for (Size j = 0; j < config_.layers[i]; ++j) block.add(ctx, config_, j == 0 && i > 0 ? w[i - 1] : w[i], i, config_.down_attends[i]);
      if (i + 1 < levels) block.resample.emplace(ctx, typename nn::Conv2d<T, Dev>::Config{w[i], w[i]});
    }
    middle_.add(ctx, config_, w.back(), levels - 1, true), middle_.add(ctx, config_, w.back(), levels - 1, false);
    for (std::size_t k = 0; k < levels; ++k) {
      std::size_t const i = levels - 1 - k;
      Block& block = up_.emplace_back();
      for (Size j = 0; j <= config_.layers[i]; ++j) {
        Size const below = j > 0 ? w[i] : k > 0 ? w[i + 1] : w[i], skip = j == config_.layers[i] && i > 0 ? w[i - 1] : w[i];
        block.add(ctx, config_, below + skip, i, config_.up_attends[k]);
      }
      if (i > 0) block.resample.emplace(ctx, typename nn::Conv2d<T, Dev>::Config{w[i], w[i]});
    }
  }

  [[nodiscard]] Config const& config() const { return config_; }
  /// Steps that one call reports: a resnet, a transformer's block or a change of size each.
  [[nodiscard]] Size steps() const {
    Size sum = middle_.steps();
    for (auto const* side : {&down_, &up_})
      for (auto const& block : *side) sum += block.steps();
    return sum;
  }

  /// (S, time): for each timestep of a run silu of its embedding, with what else conditions all blocks. `added` (1, config.added) where
  /// the model takes it; `guidance` (1, guidance_width), or empty.
  [[nodiscard]] Tensor<T, 2, Dev> embed(Context<Dev>& ctx, std::span<double const> timesteps, In<T, 2, Dev> added,
                                        In<T, 2, Dev> guidance = {}) const {
    require<ShapeError>(added_.has_value() == (added.data() != nullptr), "unet: this model ", added_ ? "needs" : "takes no",
                        " pooled text and sizes");
    Size const steps = static_cast<Size>(timesteps.size()), time = config_.time();
    std::vector<float> const times(timesteps.begin(), timesteps.end());
    auto const waves = ctx.template empty<T>(Extents{steps, config_.widths.front()});  // (S, C₀)
    ops::time_embedding<T, Dev>(ctx, times, waves.view());
    if (guidance_ && guidance.data()) {
      auto const more = (*guidance_)(ctx, guidance);                                // (1, C₀)
      for (Size i = 0; i < steps; ++i) ops::add<T, Dev>(ctx, waves.slice(0, i, 1), more, waves.slice(0, i, 1));
    }
    auto const hidden = time_.first(ctx, waves, {.activation = Activation::silu});  // (S, time)
    if (!added_) return time_.second(ctx, hidden, {.activation = Activation::silu});
    auto const sizes = added_->first(ctx, added, {.activation = Activation::silu});                                  // (1, time)
    auto const shift = added_->second(ctx, sizes, {.residual = time_.second.bias.view().reshape(Extents{Size{1}, time})});  // (1, time)
    auto out = ctx.template empty<T>(Extents{steps, time});                                                          // (S, time)
    ops::linear(ctx, hidden, time_.second.weight.view(),
                Epilogue<T, Dev>{.bias = shift.reshape(Extents{time}), .activation = Activation::silu}, out.view());
    return out;
  }
  /// The same for one timestep.
  [[nodiscard]] Tensor<T, 2, Dev> embed(Context<Dev>& ctx, double timestep, In<T, 2, Dev> added, In<T, 2, Dev> guidance = {}) const {
    return embed(ctx, std::span(&timestep, 1), added, guidance);
  }
  /// Rows of float on the device, as T.
  [[nodiscard]] static Tensor<T, 2, Dev> rounded(Context<Dev>& ctx, std::vector<float> const& values, Size rows = 1) {
    Extents const shape{rows, static_cast<Size>(values.size()) / rows};
    auto out = ctx.template empty<T>(shape);
    ops::convert<T, float, Dev>(ctx, ctx.on_device(View<float const, 2, Cpu>(values.data(), shape)), out.view());
    return out;
  }

  /// What the cross-attentions read, in the order in which they run: made once for a prompt, good for every step.
  using Prompt = std::vector<nn::Sources<T, Dev>>;
  /// The keys and values of text (M, text) in every cross-attention, and of pictures: each entry of `pictures` has one for every
  /// cross-attention, in the order down, up, middle that adapters are stored in (spec of their files: `ip_adapter.{1, 3, …}`). A layer of
  /// width C takes 2·M·C·sizeof(T) bytes. Throws ShapeError.
  [[nodiscard]] Prompt prompt(Context<Dev>& ctx, In<T, 2, Dev> text, std::span<nn::Sources<T, Dev> const> pictures = {}) const {
    check_shape("unet: text", text, any, config_.text);
    Prompt out;
    auto const project = [&](Block const& block) {
      for (auto const& transformer : block.transformers)
        for (auto const& layer : transformer.blocks) out.emplace_back().push_back(layer.cross.project(ctx, text));
      return out.size();
    };
    std::size_t down = 0, up = 0;
    for (auto const& block : down_) down = project(block);
    std::size_t const middle = project(middle_);
    for (auto const& block : up_) project(block);
    up = out.size() - middle;
    for (auto const& picture : pictures) {
      require<ShapeError>(picture.size() == out.size(), "unet: a picture's keys for ", picture.size(), " cross-attentions, there are ",
                          out.size());
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i].push_back(picture[i < down ? i : i < middle ? i + up : i - (middle - down)]);
    }
    return out;
  }

  /// x (h, w, in), silu_emb (1, time) a row of what `embed` makes, text (M, text) -> (h·w, out) in float. Throws ShapeError, Cancelled.
  [[nodiscard]] Tensor<float, 2, Dev> operator()(Context<Dev>& ctx, In<T, 3, Dev> x, In<T, 2, Dev> silu_emb, In<T, 2, Dev> text) const {
    return (*this)(ctx, x, silu_emb, prompt(ctx, text));
  }
  [[nodiscard]] Tensor<float, 2, Dev> operator()(Context<Dev>& ctx, In<T, 3, Dev> x, In<T, 2, Dev> silu_emb, Prompt const& read) const {
    check_shape("unet: x", x, any, any, config_.in), check_shape("unet: silu_emb", silu_emb, 1, config_.time());
    std::span<nn::Sources<T, Dev> const> text(read);  // what is not yet read
    Size const rows = x.extent(0), cols = x.extent(1);
    std::vector<Map> skips;
    skips.push_back(conv_in_(ctx, x, Window::same(3, rows, cols)));  // (h, w, C₀)
    for (auto const& block : down_) {
      for (std::size_t j = 0; j < block.resnets.size(); ++j) skips.push_back(block.run(ctx, j, skips.back(), silu_emb, text));
      if (!block.resample) continue;
      skips.push_back((*block.resample)(ctx, skips.back(), Window::halved(skips.back().extent(0), skips.back().extent(1))));
      ctx.step();
    }
    Map h = middle_.run(ctx, 1, middle_.run(ctx, 0, skips.back(), silu_emb, text), silu_emb, text);
    for (auto const& block : up_) {
      for (std::size_t j = 0; j < block.resnets.size(); ++j) {
        h = block.run(ctx, j, h, silu_emb, text, skips.back());
        skips.pop_back();
      }
      if (!block.resample) continue;
      h = (*block.resample)(ctx, h, Window::resampled(3, skips.back().extent(0), skips.back().extent(1)));
      ctx.step();
    }
    auto out = ctx.template empty<float>(Extents{rows * cols, config_.out});  // (h·w, out)
    conv_out_.into(ctx, norm_out_.then_silu(ctx, h).map, Window::same(3, rows, cols), out.view());
    return out;
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("conv_in", conv_in_);
    visit("time_embedding", time_);
    if (guidance_) visit("time_embedding.cond_proj", *guidance_);
    if (added_) visit("add_embedding", *added_);
    for (std::size_t i = 0; i < down_.size(); ++i) down_[i].parameters(visit, text("down_blocks.", i), "downsamplers.0.conv");
    middle_.parameters(visit, "mid_block", "");
    for (std::size_t i = 0; i < up_.size(); ++i) up_[i].parameters(visit, text("up_blocks.", i), "upsamplers.0.conv");
    visit("conv_norm_out", norm_out_);
    visit("conv_out", conv_out_);
  }

 private:
  /// linear_2(silu(linear_1(·))).
  struct Embedding {
    Embedding(Context<Dev>& ctx, Size in, Size out) : first(ctx, {in, out}), second(ctx, {out, out}) {}
    template <class Visit>
    void parameters(Visit&& visit) {
      visit("linear_1", first);
      visit("linear_2", second);
    }
    nn::Linear<T, Dev> first, second;
  };
  /// Resnets, each followed by a transformer where the level has them, and a change of size behind.
  struct Block {
    void add(Context<Dev>& ctx, Config const& c, Size in, std::size_t level, bool attends) {
      resnets.emplace_back(ctx, typename nn::ResnetBlock<T, Dev>::Config{in, c.widths[level], c.time(), c.groups, c.eps});
      if (attends)
        transformers.emplace_back(ctx, typename nn::SpatialTransformer<T, Dev>::Config{c.widths[level], c.text, c.heads[level],
                                                                                       c.transformer_layers[level], c.groups});
    }
    /// x, with the channels of `skip` behind its own if there is one, is read where it lies.
    Map run(Context<Dev>& ctx, std::size_t j, In<T, 3, Dev> x, In<T, 2, Dev> silu_emb, std::span<nn::Sources<T, Dev> const>& text,
            In<T, 3, Dev> skip = {}) const {
      auto y = resnets[j](ctx, x, skip, silu_emb);  // (h, w, C)
      ctx.step();
      if (j >= transformers.size()) return y;
      std::size_t const depth = transformers[j].blocks.size();
      require<ShapeError>(text.size() >= depth, "unet: the prompt was made for another network");
      transformers[j](ctx, text.first(depth), y);
      text = text.subspan(depth);
      return y;
    }
    [[nodiscard]] Size steps() const {
      Size sum = static_cast<Size>(resnets.size()) + (resample ? 1 : 0);
      for (auto const& t : transformers) sum += static_cast<Size>(t.blocks.size());
      return sum;
    }
    template <class Visit>
    void parameters(Visit&& visit, std::string const& name, std::string_view resample_name) {
      for (std::size_t j = 0; j < transformers.size(); ++j) visit(text(name, ".attentions.", j), transformers[j]);
      for (std::size_t j = 0; j < resnets.size(); ++j) visit(text(name, ".resnets.", j), resnets[j]);
      if (resample) visit(text(name, ".", resample_name), *resample);
    }
    std::vector<nn::ResnetBlock<T, Dev>> resnets;
    std::vector<nn::SpatialTransformer<T, Dev>> transformers;
    std::optional<nn::Conv2d<T, Dev>> resample;
  };

  Config config_;
  nn::Conv2d<T, Dev> conv_in_;
  Embedding time_;
  std::optional<Embedding> added_;
  std::optional<nn::Linear<T, Dev>> guidance_;
  std::vector<Block> down_, up_;
  Block middle_;
  nn::GroupNorm<T, Dev> norm_out_;
  nn::Conv2d<T, Dev> conv_out_;
};

}  // namespace mgm::inline v0::models
