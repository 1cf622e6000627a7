/// CLIP's text encoder as Stable Diffusion uses it: the states of a chosen layer, and a pooled vector (Radford et al. 2021,
/// arXiv:2103.00020).
#pragma once
#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <mgm/io/json.hpp>
#include <mgm/models/folder_config.hpp>
#include <mgm/nn/clip_block.hpp>
#include <mgm/ops/elementwise.hpp>

namespace mgm::inline v0::models {

struct TextEncoderConfig {
  Size vocab, width, depth, heads, ffn, positions = 77, projection = 0;  ///< projection 0: no pooled vector
  float eps = 1e-5f;
  Activation activation = Activation::quick_gelu;
  int end_id = 2;          ///< where the pooled vector is taken: at the first such id; 2 stands for the largest id, as in old files
  bool has_prefix = true;  ///< tensors are named text_model.…
};

/// From a transformers config.json; the class CLIPTextModelWithProjection has a pooled vector. Throws ConfigError.
[[nodiscard]] inline TextEncoderConfig text_encoder_config(io::Json const& json, std::string const& where) {
  TextEncoderConfig c{.vocab = io::get<Size>(json, "vocab_size", where),
                      .width = io::get<Size>(json, "hidden_size", where),
                      .depth = io::get<Size>(json, "num_hidden_layers", where),
                      .heads = io::get<Size>(json, "num_attention_heads", where),
                      .ffn = io::get<Size>(json, "intermediate_size", where)};
  c.positions = io::get_or<Size>(json, "max_position_embeddings", 77, where);
  c.eps = io::get_or(json, "layer_norm_eps", 1e-5f, where);
  c.activation = detail::activation_by_name(io::get_or<std::string>(json, "hidden_act", "quick_gelu", where), where);
  c.end_id = io::get_or(json, "eos_token_id", 2, where);
  auto const classes = io::get_or<std::vector<std::string>>(json, "architectures", {}, where);
  if (std::find(classes.begin(), classes.end(), "CLIPTextModelWithProjection") != classes.end())
    c.projection = io::get_or<Size>(json, "projection_dim", c.width, where);
  require<ConfigError>(c.vocab >= 1 && c.width >= 1 && c.depth >= 1 && c.depth <= 4096 && c.heads >= 1 && c.width % c.heads == 0 &&
                           c.ffn >= 1 && c.positions >= 1 && c.eps >= 0,
                       where, ": vocab_size ", c.vocab, ", hidden_size ", c.width, ", heads ", c.heads, ", layers ", c.depth,
                       ", positions ", c.positions, " make no text encoder");
  return c;
}

template <Real T, Device Dev = DefaultDevice>
class TextEncoder {
 public:
  using Config = TextEncoderConfig;
  struct States {
    Tensor<T, 2, Dev> sequence;  ///< (positions, C)
    Tensor<T, 2, Dev> pooled;    ///< (1, projection), or empty
  };

  TextEncoder(Context<Dev>& ctx, Config c)
      : config_(c), token_(Extents{c.vocab, c.width}), position_(Extents{c.positions, c.width}), last_norm_(ctx, {c.width, c.eps}) {
    if (c.projection > 0) projection_ = Parameter<T, 2, Dev>(Extents{c.projection, c.width});
    for (Size i = 0; i < c.depth; ++i)
      blocks_.emplace_back(ctx, typename nn::ClipBlock<T, Dev>::Config{c.width, c.heads, c.ffn, c.eps, c.activation, true});
  }

  /// Ids, padded to at most `positions` -> states. `last`: of the last layer, normed (SD); else those before the last layer, as they are
  /// (SDXL). Throws ArgumentError for ids beyond the vocabulary, or too many; Cancelled.
  [[nodiscard]] States operator()(Context<Dev>& ctx, std::span<int const> ids, bool last) const {
    Size const count = static_cast<Size>(ids.size());
    require<ArgumentError>(count >= 1 && count <= config_.positions, "text encoder: ", count, " ids, at most ", config_.positions, " fit");
    auto h = ctx.template empty<T>(Extents{count, config_.width});  // (P, C)
    ops::gather<T, Dev>(ctx, token_.view(), ids, h);
    ops::add<T, Dev>(ctx, h, position_.view().slice(0, 0, count), h);
    States out;
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      if (!last && i + 1 == blocks_.size()) {
        out.sequence = ctx.template empty<T>(h.extents());  // (P, C)
        ops::copy<T, Dev>(ctx, h, out.sequence);
        if (config_.projection == 0) return out;  // nobody reads the last layer
      }
      blocks_[i](ctx, 1, h);
    }
    auto normed = last_norm_(ctx, h);  // (P, C)
    if (config_.projection > 0) {
      auto const end = config_.end_id == 2 ? std::max_element(ids.begin(), ids.end()) : std::find(ids.begin(), ids.end(), config_.end_id);
      require<ArgumentError>(end != ids.end(), "text encoder: no end id ", config_.end_id, " among the ids");
      out.pooled = ctx.template empty<T>(Extents{Size{1}, config_.projection});  // (1, projection)
      ops::linear(ctx, normed.slice(0, end - ids.begin(), 1), projection_.view(), Epilogue<T, Dev>{}, out.pooled.view());
    }
    if (last) out.sequence = std::move(normed);
    return out;
  }

  [[nodiscard]] Config const& config() const { return config_; }
  template <class Visit>
  void parameters(Visit&& visit) {
    auto const body = [&](std::string_view name, auto& part) { visit(text(config_.has_prefix ? "text_model." : "", name), part); };
    body("embeddings.token_embedding.weight", token_);
    body("embeddings.position_embedding.weight", position_);
    body("encoder.layers", blocks_);
    body("final_layer_norm", last_norm_);
    if (config_.projection > 0) visit("text_projection.weight", projection_);
  }

 private:
  Config config_;
  Parameter<T, 2, Dev> token_, position_;  // (V, C), (P, C)
  std::vector<nn::ClipBlock<T, Dev>> blocks_;
  nn::LayerNorm<T, Dev> last_norm_;
  Parameter<T, 2, Dev> projection_{};  // (projection, C)
};

}  // namespace mgm::inline v0::models
