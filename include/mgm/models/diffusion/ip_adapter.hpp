/// A picture as a prompt: IP-Adapter and IP-Adapter-plus (Ye et al. 2023, arXiv:2308.06721), from their original files.
#pragma once
#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <mgm/models/diffusion/image_encoder.hpp>
#include <mgm/models/diffusion/image_projection.hpp>
#include <mgm/models/diffusion/unet_config.hpp>
#include <mgm/models/towers.hpp>
#include <mgm/nn/spatial_transformer.hpp>

namespace mgm::inline v0::models {

/// The width of every cross-attention of a UNet in the order of adapter files: down, up, middle.
[[nodiscard]] inline std::vector<Size> cross_attention_widths(UnetConfig const& c) {
  std::vector<Size> out;
  std::size_t const levels = c.widths.size();
  auto const add = [&](std::size_t level, Size transformers) {
    out.insert(out.end(), static_cast<std::size_t>(transformers * c.transformer_layers[level]), c.widths[level]);
  };
  for (std::size_t i = 0; i < levels; ++i)
    if (c.down_attends[i]) add(i, c.layers[i]);
  for (std::size_t k = 0; k < levels; ++k)
    if (std::size_t const i = levels - 1 - k; c.up_attends[k]) add(i, c.layers[i] + 1);
  add(levels - 1, 1);
  return out;
}

/// An image encoder, a projector to tokens, and for every cross-attention the weights that make keys and values of these. Immutable.
template <Real T, Device Dev = DefaultDevice>
class IpAdapter {
 public:
  /// `file`: safetensors or PyTorch, with `image_proj.…` and `ip_adapter.…`; `encoder`: the image encoder's folder, empty: `image_encoder`
  /// beside the file. The kind is told by the tensors: `proj` is linear, `latents` is plus. Throws FileError, ConfigError for kinds that
  /// are not built and files that do not fit the UNet, Cancelled.
  [[nodiscard]] static IpAdapter open(Context<Dev>& ctx, std::string const& file, std::string encoder, UnetConfig const& unet) {
    namespace fs = std::filesystem;
    IpAdapter out;
    io::Source const source{io::Checkpoint::open(file, {}), ""}, projection{source.checkpoint, "image_proj."};
    auto const shape = [&](std::string_view tensor, std::size_t rank) { return detail::shape_of(projection, tensor, rank); };
    bool const linear = source.checkpoint.find("image_proj.proj.weight"), plus = source.checkpoint.find("image_proj.latents");
    require<ConfigError>(linear || plus, file,
                         ": expected an IP-Adapter with image_proj.proj.weight, or a plus adapter with image_proj.latents, found neither; "
                         "face and full adapters are not supported");
    require<ConfigError>(!source.checkpoint.find("ip_adapter.0.to_q_lora.down.weight"), file,
                         ": a FaceID adapter is not supported; it needs a face recognition model");
    if (linear) {
      auto const proj = shape("proj.weight", 2), norm = shape("norm.weight", 1);
      require<ConfigError>(norm[0] >= 1 && proj[0] % norm[0] == 0, file, ": image_proj.proj.weight has ", proj[0],
                           " rows, which are no tokens of width ", norm[0]);
      out.linear_.emplace(ctx, typename LinearImageProjection<T, Dev>::Config{proj[1], proj[0] / norm[0], norm[0]});
    } else {
      auto const latents = shape("latents", 3), in = shape("proj_in.weight", 2), text = shape("proj_out.weight", 2);
      auto const q = shape("layers.0.0.to_q.weight", 2), up = shape("layers.0.1.1.weight", 2);
      require<ConfigError>(latents[0] == 1 && q[0] >= Resampler<T, Dev>::kHead && q[0] % Resampler<T, Dev>::kHead == 0, file,
                           ": image_proj.layers.0.0.to_q.weight has ", q[0], " rows, which are no heads of ", Resampler<T, Dev>::kHead);
      out.resampler_.emplace(ctx, typename Resampler<T, Dev>::Config{.in = in[1],
                                                                     .width = latents[2],
                                                                     .heads = q[0] / Resampler<T, Dev>::kHead,
                                                                     .depth = detail::count_layers(projection, "layers."),
                                                                     .queries = latents[1],
                                                                     .ffn = up[0],
                                                                     .text = text[0]});
    }
    for (Size const width : cross_attention_widths(unet)) out.layers_.emplace_back(ctx, unet.text, width);
    io::LoadReport report;
    std::set<std::string> used;
    io::check_parameters(source, out, report, &used);
    for (auto const& entry : source.checkpoint.entries())
      if (!used.contains(std::string(entry.name))) report.add_unexpected(std::string(entry.name));
    report.require_ok(file);
    require<FileError>(report.unexpected().empty(), report.message(file), "; the adapter was made for another UNet");

    if (encoder.empty()) encoder = (fs::path(file).parent_path() / "image_encoder").string();
    std::error_code ignored;
    require<FileError>(fs::is_directory(encoder, ignored), encoder,
                       ": expected the adapter's image encoder, a folder with config.json; name it with --ip-encoder");
    out.encoder_.emplace(ImageEncoder<T, Dev>::open(ctx, encoder, linear ? ImageState::embedding : ImageState::penultimate));
    auto const& e = out.encoder_->config();
    Size const given = linear ? e.projection : e.tower.width, wanted = linear ? out.linear_->config.in : out.resampler_->config().in;
    require<ConfigError>(given == wanted, file, ": the adapter reads ", wanted, " channels, the image encoder in ", encoder, " gives ",
                         given);
    ctx.begin(Stage::load, io::count_parameters(out));
    io::take_parameters(ctx, source, out);
    return out;
  }

  /// Steps that `tokens` reports at most.
  [[nodiscard]] Size blocks() const { return encoder_->config().tower.depth + (resampler_ ? resampler_->config().depth : 0); }
  /// A picture's tokens (M, text); null: those that stand for no picture where guidance asks for them: of a vector of zeros (linear), or
  /// of a picture of zeros (plus). Throws as ImageEncoder does.
  [[nodiscard]] Tensor<T, 2, Dev> tokens(Context<Dev>& ctx, io::PixelView const* picture) const {
    if (resampler_) return (*resampler_)(ctx, (*encoder_)(ctx, picture));
    if (picture) return (*linear_)(ctx, (*encoder_)(ctx, picture));
    auto const none = ctx.template empty<T>(Extents{Size{1}, linear_->config.in});  // (1, P)
    ops::fill<T, Dev>(ctx, 0, none.view());
    return (*linear_)(ctx, none);
  }
  /// Keys and values of tokens (M, text) for every cross-attention, in the order of the file, the values times `scale`: what a picture
  /// adds is linear in them. For Unet::prompt.
  [[nodiscard]] nn::Sources<T, Dev> project(Context<Dev>& ctx, In<T, 2, Dev> tokens, float scale) const {
    nn::Sources<T, Dev> out;
    for (auto const& layer : layers_) {
      auto values = layer.v(ctx, tokens);  // (M, C)
      ops::scale<T, Dev>(ctx, values, scale, values.view());
      out.push_back({layer.k(ctx, tokens), std::move(values)});
    }
    return out;
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    if (linear_) visit("image_proj", *linear_);
    if (resampler_) visit("image_proj", *resampler_);
    for (std::size_t i = 0; i < layers_.size(); ++i) visit(text("ip_adapter.", 2 * i + 1), layers_[i]);
  }

 private:
  struct Layer {
    Layer(Context<Dev>& ctx, Size text, Size width) : k(ctx, {text, width, false}), v(ctx, {text, width, false}) {}
    template <class Visit>
    void parameters(Visit&& visit) {
      visit("to_k_ip", k);
      visit("to_v_ip", v);
    }
    nn::Linear<T, Dev> k, v;
  };
  IpAdapter() = default;

  std::optional<ImageEncoder<T, Dev>> encoder_;
  std::optional<LinearImageProjection<T, Dev>> linear_;
  std::optional<Resampler<T, Dev>> resampler_;
  std::vector<Layer> layers_;
};

}  // namespace mgm::inline v0::models
