/// Where the vision towers of a folder are, and their shapes: inside the checkpoint, in the folders that config.json names, or in those
/// the user gives. ConvNeXt's shapes come from its tensors, CLIP's from its folder's config.json or else from its tensors.
#pragma once
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>

#include <mgm/io/load_parameters.hpp>
#include <mgm/models/folder_config.hpp>

namespace mgm::inline v0::models::detail {

namespace fs = std::filesystem;

/// A tensor without which the others cannot even be expected.
class MissingTensor : public FileError {
 public:
  MissingTensor(std::string checkpoint, std::string tensor)
      : FileError(text(checkpoint, ": tensor ", mgm::quoted(tensor), " is missing, and it tells the model's shape")),
        checkpoint_(std::move(checkpoint)),
        tensor_(std::move(tensor)) {}
  [[nodiscard]] std::string const& checkpoint() const { return checkpoint_; }
  [[nodiscard]] std::string const& tensor() const { return tensor_; }

 private:
  std::string checkpoint_, tensor_;
};

/// A tower's tensors and its shapes.
template <class Config>
struct Tower {
  io::Source source;
  Config config;
  Size layers = 0;  ///< CLIP: all that exist, those that MGM never runs too
};

/// The folder the user gave, else the named one relative to the model, then to the working directory; nothing when none exists.
[[nodiscard]] inline std::optional<fs::path> tower_folder(fs::path const& model, std::string const& named, std::string const& given) {
  std::error_code ignored;
  if (!given.empty()) {
    require<FileError>(fs::exists(given, ignored), given, ": no such folder");
    return fs::path(given);
  }
  if (named.empty()) return std::nullopt;
  for (fs::path const& at : {model / named, fs::path(named)})
    if (fs::is_directory(at, ignored)) return at;
  return std::nullopt;
}

[[nodiscard]] inline bool has_prefix(io::Checkpoint const& checkpoint, std::string_view prefix) {
  auto const& all = checkpoint.entries();
  return std::any_of(all.begin(), all.end(), [&](auto const& e) { return e.name.starts_with(prefix); });
}
/// The shape of a tensor that tells the shapes of others.
[[nodiscard]] inline std::vector<Size> shape_of(io::Source const& source, std::string_view tensor, std::size_t rank) {
  std::string const full = source.prefix + std::string(tensor);
  auto const* entry = source.checkpoint.find(full);
  if (entry == nullptr)
    throw MissingTensor(std::string(source.checkpoint.path()), full);
  require<FileError>(entry->info->shape.size() == rank, source.checkpoint.path(), ": tensor ", mgm::quoted(full), ": expected ", rank,
                     " dimensions, found shape ", io::shape_text(entry->info->shape));
  return entry->info->shape;
}
/// One more than the largest index i for which a name begins with prefix + before + i + ".": a gap is then a missing tensor, not an end.
[[nodiscard]] inline Size count_layers(io::Source const& source, std::string const& before) {
  std::string const start = source.prefix + before;
  Size n = 0;
  for (auto const& entry : source.checkpoint.entries()) {
    if (!entry.name.starts_with(start)) continue;
    std::string_view const rest = entry.name.substr(start.size());
    Size i = 0;
    auto const [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), i);
    if (error == std::errc() && end != rest.data() + rest.size() && *end == '.' && i >= 0 && i < 4096) n = std::max(n, i + 1);
  }
  return n;
}

/// Inside the checkpoint when it holds the tower and the user gave no folder; else in the folder.
[[nodiscard]] inline io::Source tower_source(io::Checkpoint const& checkpoint, std::string const& inside,
                                             std::optional<fs::path> const& folder, bool given, std::vector<std::string> const& files,
                                             std::string const& outside, std::string_view tower, std::string_view option,
                                             std::string const& named) {
  if (!given && has_prefix(checkpoint, inside)) return {checkpoint, inside};
  require<FileError>(folder.has_value(), tower, ": not in ", checkpoint.path(), ", and the folder ", mgm::quoted(named),
                     " is neither in the model's folder nor in the working directory; give it with ", option);
  return {io::Checkpoint::open(folder->string(), files), outside};
}

[[nodiscard]] inline Tower<ClipVitConfig> find_clip(io::Checkpoint const& checkpoint, fs::path const& model, FolderConfig const& config,
                                                    std::string const& given) {
  auto const folder = tower_folder(model, config.clip_folder, given);
  Tower<ClipVitConfig> t{.source = tower_source(checkpoint, "model.vision_tower.vision_tower.vision_model.", folder, !given.empty(),
                                                io::model_files(), "vision_model.", "CLIP tower", "--clip", config.clip_folder),
                         .config = {}};
  auto const patch = shape_of(t.source, "embeddings.patch_embedding.weight", 4);
  auto const positions = shape_of(t.source, "embeddings.position_embedding.weight", 2);
  auto const fc1 = shape_of(t.source, "encoder.layers.0.mlp.fc1.weight", 2);
  Size const side = static_cast<Size>(std::sqrt(static_cast<double>(std::max<Size>(positions[0] - 1, 0))) + 0.5);
  t.layers = count_layers(t.source, "encoder.layers.");
  ClipVitConfig& c = t.config;
  c = {
      .image = side * patch[2], .patch = patch[2], .width = patch[0], .depth = 0, .heads = std::max<Size>(1, patch[0] / 64), .ffn = fc1[0]};
  if (std::error_code ignored; folder && fs::exists(*folder / "config.json", ignored)) {
    std::string const where = (*folder / "config.json").string();
    io::Json const whole = io::read_json(where);
    auto const* nested = io::find_key(whole, "vision_config", where);
    io::Json const& json = nested ? *nested : whole;
    c.heads = io::get_or<Size>(json, "num_attention_heads", c.heads, where);
    c.image = io::get_or<Size>(json, "image_size", c.image, where);
    c.patch = io::get_or<Size>(json, "patch_size", c.patch, where);
    c.eps = io::get_or<float>(json, "layer_norm_eps", c.eps, where);
    c.activation = activation_by_name(io::get_or<std::string>(json, "hidden_act", "quick_gelu", where), where);
    t.layers = io::get_or<Size>(json, "num_hidden_layers", t.layers, where);
    for (auto const& [key, found] : {std::pair{"hidden_size", c.width}, std::pair{"intermediate_size", c.ffn}}) {
      Size const said = io::get_or<Size>(json, key, found, where);
      require<ConfigError>(said == found, where, ": key '", key, "': ", said, ", but the tower's tensors have ", found);
    }
    require<ConfigError>(
        c.patch >= 1 && c.image >= c.patch && c.image <= 16384 && c.heads >= 1 && t.layers >= 0 && t.layers <= 4096 && c.eps >= 0, where,
        ": image_size ", c.image, ", patch_size ", c.patch, ", heads ", c.heads, ", layers ", t.layers, " make no tower");
  }
  Size const states = t.layers + 1;  // after the pre-norm, after layer 0, …
  c.depth = config.select_layer >= 0 ? config.select_layer : states + config.select_layer;
  require<ConfigError>(c.depth >= 0 && c.depth < states, "config.json: mm_vision_select_layer ", config.select_layer, " is none of the ",
                       states, " states of a CLIP tower with ", t.layers, " layers");
  return t;
}

[[nodiscard]] inline Tower<ConvNeXtConfig> find_convnext(io::Checkpoint const& checkpoint, fs::path const& model,
                                                         FolderConfig const& config, std::string const& given) {
  auto const folder = tower_folder(model, config.convnext_folder, given);
  Tower<ConvNeXtConfig> t{
      .source = tower_source(checkpoint, "model.vision_tower_aux.vision_", folder, !given.empty(), io::open_clip_files(), "visual.trunk.",
                             "ConvNeXt tower", "--openclip", config.convnext_folder),
      .config = {}};
  Size const stages = count_layers(t.source, "stages.");
  for (Size i = 0; i < stages; ++i) {
    t.config.depths.push_back(count_layers(t.source, text("stages.", i, ".blocks.")));
    t.config.widths.push_back(shape_of(t.source, text("stages.", i, ".blocks.0.gamma"), 1)[0]);
  }
  require<FileError>(!t.config.depths.empty(), t.source.checkpoint.path(), ": no tensor ",
                     mgm::quoted(t.source.prefix + "stages.0.blocks.0.gamma"), "; this is no ConvNeXt tower");
  bool const xxlarge = t.config.widths[0] == 384 && t.config.depths.size() > 2 && t.config.depths[2] == 30;
  t.config.eps = xxlarge ? 1e-5f : 1e-6f;
  return t;
}

}  // namespace mgm::inline v0::models::detail
