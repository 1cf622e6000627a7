/// Opens an original folder as a MiniGemini: configs, weights, vocabulary. No conversion step, no other program.
#pragma once
#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <utility>

#include <mgm/io/scan.hpp>
#include <mgm/models/preprocessing.hpp>
#include <mgm/models/towers.hpp>

namespace mgm::inline v0::models {

struct OpenOptions {
  std::string clip{}, openclip{};  ///< towers from folders of their own, instead of the MGM folder or those its config names
  bool vocabulary = true;          ///< read the tokenizer's files too
  bool scan = false;               ///< read all weights first: one that is NaN or infinite is a NumericalError naming tensor and index
};

namespace detail {

/// Tensors of a checkpoint that no model reads, by design: tables that are computed, layers that MGM never runs, heads of the towers.
[[nodiscard]] inline bool ignorable(std::string_view tensor) {
  for (std::string_view const part :
       {"lm_head.weight", "rotary_emb.inv_freq", "position_ids", "post_layernorm", "vision_tower.vision_tower.vision_model.encoder.layers.",
        "text_model.", "visual_projection", "text_projection", "logit_scale", "visual.trunk.head", "visual.trunk.norm_pre", "visual.head",
        "positional_embedding", "token_embedding", "transformer.", "ln_final", "attn_mask"})
    if (tensor.find(part) != tensor.npos) return true;
  return false;
}

/// A folder read as far as possible without memory for weights: all parts made, all sources known, the report filled.
template <class Model>
struct Opened {
  Model model;
  io::Source language;
  std::optional<io::Source> clip{}, convnext{}, vision{};
  io::LoadReport report{};

  /// The files that the report is about.
  [[nodiscard]] std::string where() const {
    std::string out(language.checkpoint.path());
    for (auto const* tower : {&clip, &convnext})
      if (*tower && (*tower)->checkpoint.path() != language.checkpoint.path()) out += text(" with ", (*tower)->checkpoint.path());
    return out;
  }
};

/// Makes the towers, the mining and the projector. Throws MissingTensor where a tensor is missing that tells the shapes of others.
template <class Model, class Dev>
void plan_vision(Context<Dev>& ctx, fs::path const& folder, OpenOptions const& options, FolderConfig& config, Opened<Model>& out) {
  io::Checkpoint const& checkpoint = out.language.checkpoint;
  Model& model = out.model;
  auto const clip = find_clip(checkpoint, folder, config, options.clip);
  auto const convnext = find_convnext(checkpoint, folder, config, options.openclip);
  check_preprocessing(tower_folder(folder, config.clip_folder, options.clip),
                      tower_folder(folder, config.convnext_folder, options.openclip), model.notes);
  Size const width = clip.config.width, detail = convnext.config.channels();
  std::string const where = (folder / "config.json").string();
  if (config.projector.in == 0) config.projector.in = width;
  require<ConfigError>(config.projector.in == width, where, ": mm_hidden_size ", config.projector.in, ", but the CLIP tower has width ",
                       width);
  require<ConfigError>(config.detail == 0 || config.detail == detail, where, ": mm_hidden_size_aux ", config.detail,
                       ", but the ConvNeXt stages have ", detail, " channels together");
  (void)nn::MiningGeometry{.side = clip.config.side(), .grid = config.vision.grid}.candidates(config.vision.image_size_aux / 4);
  model.vision = config.vision;
  model.vision_tower = {ctx, clip.config};
  model.vision_tower_aux = {ctx, convnext.config};
  model.mining = {ctx, {.query = width, .detail = detail}};
  model.projector = {ctx, config.projector};
  out.clip = clip.source, out.convnext = convnext.source, out.vision = io::Source{checkpoint, "model."};
  io::check_parameters(clip.source, *model.vision_tower, out.report);
  io::check_parameters(convnext.source, *model.vision_tower_aux, out.report);
  io::check_parameters(*out.vision, *model.mining, out.report);
  io::check_parameters({checkpoint, "model.mm_projector."}, *model.projector, out.report);
}

template <class Model, class Dev>
[[nodiscard]] Opened<Model> plan_open(Context<Dev>& ctx, fs::path const& folder, OpenOptions const& options) {
  std::error_code ignored;
  require<FileError>(fs::is_directory(folder, ignored), folder.string(), ": expected a model's folder, found ",
                     fs::exists(folder, ignored) ? "a file" : "nothing");
  FolderConfig config = read_folder_config(folder);
  Opened<Model> out{.model = {}, .language = {io::Checkpoint::open(folder.string()), ""}};
  io::Checkpoint const& checkpoint = out.language.checkpoint;
  Model& model = out.model;
  model.notes = config.notes;
  model.notes.insert(model.notes.end(), checkpoint.notes().begin(), checkpoint.notes().end());

  if (!config.has_family) {
    auto const* gate = checkpoint.find("model.layers.0.block_sparse_moe.gate.weight");
    if (gate && !gate->info->shape.empty()) {
      config = read_folder_config(folder, Family::mixtral);
      config.decoder.experts = gate->info->shape[0];
    }
    model.notes.push_back(text(folder.string(), "/config.json names no model_type; taken for ", name(config.decoder.family), " by its ",
                               gate ? "tensors" : "keys"));
  }
  DecoderConfig& d = config.decoder;
  if (auto const* table = checkpoint.find("model.embed_tokens.weight"); table && table->info->shape.size() == 2) {
    Size const rows = table->info->shape[0];
    if (rows != d.vocab) model.notes.push_back(text("embedding table: ", rows, " rows, vocab_size says ", d.vocab));
    d.vocab = rows;
  }
  if (!config.untied && !checkpoint.find("lm_head.weight")) d.tied = true;
  model.language_model = {ctx, d};
  model.language = config.text;
  model.language.generation = read_generation_defaults(folder);
  io::check_parameters(out.language, *model.language_model, out.report);

  require<ArgumentError>(config.has_vision || (options.clip.empty() && options.openclip.empty()), folder.string(),
                         "/config.json: names no towers, but folders were given for them; this is a model of text alone");
  bool shapes_known = true;
  if (config.has_vision) {
    try {
      plan_vision(ctx, folder, options, config, out);
    } catch (MissingTensor const& error) {
      if (error.checkpoint() != checkpoint.path()) throw;
      out.report.add_missing(error.tensor(), {});
      shapes_known = false;  // then nobody knows which other tensors of the towers belong there
    }
  }
  std::set<std::string> expected;
  visit_parameters(model, "", [&](std::string const& path, auto&) { expected.insert(path); });
  for (auto const& entry : checkpoint.entries())
    if (shapes_known && !expected.contains(std::string(entry.name)) && !ignorable(entry.name))
      out.report.add_unexpected(std::string(entry.name));

  if (options.vocabulary) {
    bool const fast = d.family != Family::llama;  // the choice of the original, which is part of what it computes
    auto vocabulary = io::Tokenizer::open(folder.string(), {.prefer = fast ? io::Prefer::fast : io::Prefer::automatic});
    if (config.im_patch_token) vocabulary.add_token("<im_patch>", true);
    if (config.im_start_end) vocabulary.add_token("<im_start>", true), vocabulary.add_token("<im_end>", true);
    model.language.vocab = std::min<Size>(d.vocab, vocabulary.size());
    if (vocabulary.size() > d.vocab)
      model.notes.push_back(text("vocabulary: ", vocabulary.size(), " tokens, the embedding table has ", d.vocab, " rows"));
    model.vocabulary = std::make_shared<io::Tokenizer const>(std::move(vocabulary));
  }
  return out;
}

}  // namespace detail

template <Real T, Device Dev, class Vit, class ConvNet, class Mining, class Language>
auto MiniGemini<T, Dev, Vit, ConvNet, Mining, Language>::open(Context<Dev>& ctx, std::filesystem::path const& folder,
                                                              OpenOptions const& options) -> MiniGemini {
  auto opened = detail::plan_open<MiniGemini>(ctx, folder, options);
  opened.report.require_ok(opened.where());
  MiniGemini& model = opened.model;
  for (auto const& extra : opened.report.unexpected()) model.notes.push_back(text("unexpected tensor ", mgm::quoted(extra)));
  if (auto conversions = opened.report.conversions(); !conversions.empty()) model.notes.push_back(std::move(conversions));

  Size total = io::count_parameters(*model.language_model);
  if (opened.clip)
    total += io::count_parameters(*model.vision_tower) + io::count_parameters(*model.vision_tower_aux) +
             io::count_parameters(*model.mining) + io::count_parameters(*model.projector);
  io::Source const projector{opened.language.checkpoint, "model.mm_projector."};
  if (options.scan) {
    io::require_finite(opened.language, *model.language_model);
    if (opened.clip) {
      io::require_finite(*opened.clip, *model.vision_tower), io::require_finite(*opened.convnext, *model.vision_tower_aux);
      io::require_finite(*opened.vision, *model.mining), io::require_finite(projector, *model.projector);
    }
  }
  ctx.begin(Stage::load, total);
  io::take_parameters(ctx, opened.language, *model.language_model);
  if (opened.clip) {
    io::take_parameters(ctx, *opened.clip, *model.vision_tower);
    io::take_parameters(ctx, *opened.convnext, *model.vision_tower_aux);
    io::take_parameters(ctx, *opened.vision, *model.mining);
    io::take_parameters(ctx, projector, *model.projector);
  }
  return std::move(model);
}
template <Real T, Device Dev, class Vit, class ConvNet, class Mining, class Language>
auto MiniGemini<T, Dev, Vit, ConvNet, Mining, Language>::open(Context<Dev>& ctx, std::filesystem::path const& folder) -> MiniGemini {
  return open(ctx, folder, {});
}

}  // namespace mgm::inline v0::models
