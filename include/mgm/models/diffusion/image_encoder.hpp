/// CLIP's vision transformer as image adapters use it: a vector for the whole picture, or the states before the last layer (Radford et al.
/// 2021, arXiv:2103.00020).
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include <mgm/io/load_parameters.hpp>
#include <mgm/io/pixels.hpp>
#include <mgm/models/clip_vit.hpp>
#include <mgm/models/folder_config.hpp>

namespace mgm::inline v0::models {

/// What is taken from the encoder.
enum class ImageState {
  embedding,    ///< (1, projection): LN(class token of the last layer)·Wᵀ
  penultimate,  ///< (1 + T, C): all tokens before the last layer, as they are
};

struct ImageEncoderConfig {
  ClipVitConfig tower;  ///< `depth`: the layers that run
  Size projection = 0;
  ImageState state = ImageState::embedding;
};

/// From the config.json of a CLIPVisionModelWithProjection, with the defaults of its class. Throws ConfigError.
[[nodiscard]] inline ImageEncoderConfig image_encoder_config(io::Json const& json, std::string const& where, ImageState state) {
  ImageEncoderConfig c{.tower = {.image = io::get_or<Size>(json, "image_size", 224, where),
                                 .patch = io::get_or<Size>(json, "patch_size", 32, where),
                                 .width = io::get_or<Size>(json, "hidden_size", 768, where),
                                 .depth = io::get_or<Size>(json, "num_hidden_layers", 12, where),
                                 .heads = io::get_or<Size>(json, "num_attention_heads", 12, where)},
                       .projection = io::get_or<Size>(json, "projection_dim", 512, where),
                       .state = state};
  ClipVitConfig& t = c.tower;
  t.ffn = io::get_or<Size>(json, "intermediate_size", 3072, where);
  t.eps = io::get_or(json, "layer_norm_eps", 1e-5f, where);
  t.activation = detail::activation_by_name(io::get_or<std::string>(json, "hidden_act", "quick_gelu", where), where);
  require<ConfigError>(t.patch >= 1 && t.image >= t.patch && t.image <= 16384 && t.width >= 1 && t.depth >= 1 && t.depth <= 4096 &&
                           t.heads >= 1 && t.width % t.heads == 0 && t.ffn >= 1 && c.projection >= 1 && t.eps >= 0,
                       where, ": image_size ", t.image, ", patch_size ", t.patch, ", hidden_size ", t.width, ", heads ", t.heads,
                       ", layers ", t.depth, " make no image encoder");
  if (state == ImageState::penultimate) --t.depth;  // nobody reads the last layer
  return c;
}

template <Real T, Device Dev = DefaultDevice>
class ImageEncoder {
 public:
  using Config = ImageEncoderConfig;

  ImageEncoder(Context<Dev>& ctx, Config c) : config_(c), tower_(ctx, c.tower) {
    if (c.state == ImageState::penultimate) return;
    last_norm_.emplace(ctx, typename nn::LayerNorm<T, Dev>::Config{c.tower.width, c.tower.eps});
    projection_.emplace(ctx, typename nn::Linear<T, Dev>::Config{c.tower.width, c.projection, false});
  }

  /// From a folder with config.json and weights. Throws FileError, ConfigError, Cancelled.
  [[nodiscard]] static ImageEncoder open(Context<Dev>& ctx, std::string const& folder, ImageState state) {
    std::string const where = (std::filesystem::path(folder) / "config.json").string();
    io::Source source{io::Checkpoint::open(folder, {"model.safetensors.index.json", "model.safetensors", "model.fp16.safetensors",
                                                    "pytorch_model.bin.index.json", "pytorch_model.bin"}),
                      ""};
    ImageEncoder out(ctx, image_encoder_config(io::read_json(where), where, state));
    out.has_prefix_ = source.checkpoint.find("embeddings.class_embedding") == nullptr;
    io::load_parameters(ctx, source, out);
    return out;
  }

  /// A picture, its short side resized to the encoder's, the middle of it; null: zeros, the middle of what it was trained on.
  /// -> what `config().state` says. Throws ArgumentError, LimitError, Cancelled.
  [[nodiscard]] Tensor<T, 2, Dev> operator()(Context<Dev>& ctx, io::PixelView const* picture) const {
    Size const side = config_.tower.image;
    std::vector<float> pixels(static_cast<std::size_t>(3 * side * side));
    if (picture) pixels = io::normalise(io::fit_square(*picture, static_cast<int>(side), io::Aspect::square, ctx.host_executor()));
    auto rounded = ctx.template empty<T>(Extents{side * side, Size{3}});  // (s·s, 3)
    ops::convert<T, float, Dev>(ctx, ctx.on_device(View<float const, 2, Cpu>(pixels.data(), rounded.extents())), rounded.view());
    auto h = tower_.states(ctx, rounded.reshape(Extents<4>{1, side, side, 3}));  // (1 + T, C)
    if (!projection_) return h;
    return (*projection_)(ctx, (*last_norm_)(ctx, h.slice(0, 0, 1)));  // (1, P)
  }

  [[nodiscard]] Config const& config() const { return config_; }
  template <class Visit>
  void parameters(Visit&& visit) {
    visit(has_prefix_ ? "vision_model" : "", tower_);
    if (last_norm_) visit(has_prefix_ ? "vision_model.post_layernorm" : "post_layernorm", *last_norm_);
    if (projection_) visit("visual_projection", *projection_);
  }

 private:
  Config config_;
  ClipVit<T, Dev> tower_;
  std::optional<nn::LayerNorm<T, Dev>> last_norm_;
  std::optional<nn::Linear<T, Dev>> projection_;
  bool has_prefix_ = true;  // tensors are named vision_model.…
};

}  // namespace mgm::inline v0::models
