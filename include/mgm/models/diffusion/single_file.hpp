/// Original Stable Diffusion checkpoints: all networks in one file under the names of their authors' code, without configs, scheduler and
/// vocabulary. Shapes tell most of a config; the rest is what the published models of the family have.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <mgm/models/diffusion/generator_parts.hpp>
#include <mgm/models/diffusion/original_names.hpp>
#include <mgm/models/towers.hpp>

namespace mgm::inline v0::models {

enum class OriginalFamily { sd1, sd2, sdxl, refiner };

namespace detail {

inline constexpr std::string_view kOriginalUnet = "model.diffusion_model.", kOriginalVae = "first_stage_model.";

/// The family, by the names that only it has. Throws FileError for a file that is something else.
[[nodiscard]] inline OriginalFamily original_family(io::Checkpoint const& file) {
  require<FileError>(file.find("model.diffusion_model.input_blocks.0.0.weight") != nullptr, file.path(),
                     ": expected an original Stable Diffusion checkpoint with 'model.diffusion_model.input_blocks.0.0.weight', found ",
                     has_prefix(file, "down_blocks.") ? "a UNet alone in diffusers' names; give the whole folder" : "no such tensor");
  if (has_prefix(file, "conditioner.embedders.1.model.")) return OriginalFamily::sdxl;
  if (has_prefix(file, "conditioner.embedders.0.model.")) return OriginalFamily::refiner;
  if (has_prefix(file, "cond_stage_model.model.")) return OriginalFamily::sd2;
  require<FileError>(
      has_prefix(file, "cond_stage_model.transformer."), file.path(),
      ": expected a text encoder under 'cond_stage_model.' or 'conditioner.embedders.', found none; a prompt cannot be read");
  return OriginalFamily::sd1;
}

/// A UNet's config.json as diffusers writes it, from the shapes of an original checkpoint's tensors. SD 1 has eight heads a layer, the
/// others heads of 64.
[[nodiscard]] inline io::Json original_unet_config(io::Source const& unet, OriginalFamily family) {
  auto const has = [&](std::string const& name) { return unet.checkpoint.find(unet.prefix + name) != nullptr; };
  std::vector<Size> widths, layers, transformers;
  std::vector<bool> attends;
  Size const blocks = count_layers(unet, "input_blocks.");
  for (Size k = 1; k < blocks; ++k) {
    std::string const block = text("input_blocks.", k, ".");
    if (has(block + "0.op.weight")) continue;  // what follows is the next level
    bool const begins = k == 1 || has(text("input_blocks.", k - 1, ".0.op.weight"));
    if (begins)
      widths.push_back(shape_of(unet, block + "0.out_layers.3.weight", 4)[0]), layers.push_back(0),
          transformers.push_back(count_layers(unet, block + "1.transformer_blocks.")), attends.push_back(transformers.back() > 0);
    ++layers.back();
  }
  require<FileError>(!widths.empty(), unet.checkpoint.path(), ": no tensor ",
                     mgm::quoted(unet.prefix + "input_blocks.1.0.out_layers.3.weight"), "; this is no UNet");
  std::vector<bool> up_attends;
  Size k = 0;
  for (std::size_t i = widths.size(); i-- > 0; k += layers[i] + 1) {
    Size const here = count_layers(unet, text("output_blocks.", k, ".1.transformer_blocks."));
    up_attends.push_back(here > 0);
    if (transformers[i] == 0) transformers[i] = here;
  }
  if (Size const middle = count_layers(unet, "middle_block.1.transformer_blocks."); transformers.back() == 0) transformers.back() = middle;
  std::string any_attention = "middle_block.1.transformer_blocks.0.attn2.to_k.weight";
  io::Json json{{"in_channels", shape_of(unet, "input_blocks.0.0.weight", 4)[1]},
                {"out_channels", shape_of(unet, "out.2.weight", 4)[0]},
                {"block_out_channels", widths},
                {"layers_per_block", layers},
                {"transformer_layers_per_block", transformers},
                {"cross_attention_dim", shape_of(unet, any_attention, 2)[1]}};
  std::vector<Size> heads;
  for (Size const w : widths) {
    require<ConfigError>(family == OriginalFamily::sd1 || w % 64 == 0, unet.checkpoint.path(), ": a level of ", w,
                         " channels has no heads of 64");
    heads.push_back(family == OriginalFamily::sd1 ? 8 : w / 64);
  }
  json["attention_head_dim"] = heads;  // misnamed: counts
  auto const kinds = [](std::vector<bool> const& all, std::string const& plain, std::string const& with) {
    std::vector<std::string> out;
    for (bool const a : all) out.push_back(a ? with : plain);
    return out;
  };
  json["down_block_types"] = kinds(attends, "DownBlock2D", "CrossAttnDownBlock2D");
  json["up_block_types"] = kinds(up_attends, "UpBlock2D", "CrossAttnUpBlock2D");
  json["sample_size"] = family == OriginalFamily::sd1 ? 64 : family == OriginalFamily::sd2 ? 96 : 128;
  if (has("label_emb.0.0.weight"))
    json["addition_embed_type"] = "text_time", json["addition_time_embed_dim"] = 256,
    json["projection_class_embeddings_input_dim"] = shape_of(unet, "label_emb.0.0.weight", 2)[1];
  if (has("time_embed.cond_proj.weight")) json["time_cond_proj_dim"] = shape_of(unet, "time_embed.cond_proj.weight", 2)[1];
  return json;
}

[[nodiscard]] inline io::Json original_vae_config(io::Source const& vae, OriginalFamily family) {
  std::vector<Size> widths;
  Size const levels = count_layers(vae, "decoder.up.");
  for (Size i = 0; i < levels; ++i) widths.push_back(shape_of(vae, text("decoder.up.", i, ".block.0.conv1.weight"), 4)[0]);
  bool const xl = family == OriginalFamily::sdxl || family == OriginalFamily::refiner;
  return {{"block_out_channels", widths},
          {"layers_per_block", count_layers(vae, "decoder.up.0.block.") - 1},
          {"latent_channels", shape_of(vae, "decoder.conv_in.weight", 4)[1]},
          {"use_post_quant_conv", vae.checkpoint.find(vae.prefix + "post_quant_conv.weight") != nullptr},
          {"use_quant_conv", vae.checkpoint.find(vae.prefix + "quant_conv.weight") != nullptr},
          {"mid_block_add_attention", vae.checkpoint.find(vae.prefix + "decoder.mid.attn_1.q.weight") != nullptr},
          {"sample_size", xl                              ? 1024
                          : family == OriginalFamily::sd2 ? 768
                                                          : 512},
          {"scaling_factor", xl ? 0.13025 : 0.18215}};
}

/// CLIP's text encoder under transformers' names, with or without `text_model.`.
[[nodiscard]] inline GeneratorParts::Text original_clip(io::Checkpoint const& file, std::string const& prefix) {
  GeneratorParts::Text out{.config = {}, .source = {file, prefix}, .vocabulary = {}};
  bool const body = has_prefix(file, prefix + "text_model.");
  io::Source const at{file, prefix + (body ? "text_model." : "")};
  auto const token = shape_of(at, "embeddings.token_embedding.weight", 2);
  io::Json const json{{"vocab_size", token[0]},
                      {"hidden_size", token[1]},
                      {"num_hidden_layers", count_layers(at, "encoder.layers.")},
                      {"num_attention_heads", std::max<Size>(1, token[1] / 64)},
                      {"intermediate_size", shape_of(at, "encoder.layers.0.mlp.fc1.weight", 2)[0]},
                      {"max_position_embeddings", shape_of(at, "embeddings.position_embedding.weight", 2)[0]},
                      {"hidden_act", "quick_gelu"}};
  out.config = text_encoder_config(json, file.path());
  out.config.has_prefix = body;
  return out;
}

/// OpenCLIP's text encoder under its own names. `last_dropped`: SD 2 reads the states before the last of its layers, normed.
[[nodiscard]] inline GeneratorParts::Text original_open_clip(io::Checkpoint const& file, std::string const& prefix, bool last_dropped) {
  io::Source const at{file, prefix};
  auto const token = shape_of(at, "token_embedding.weight", 2);
  Size const width = token[1], layers = count_layers(at, "transformer.resblocks.") - (last_dropped ? 1 : 0);
  io::Json json{{"vocab_size", token[0]},
                {"hidden_size", width},
                {"num_hidden_layers", layers},
                {"num_attention_heads", std::max<Size>(1, width / 64)},
                {"intermediate_size", shape_of(at, "transformer.resblocks.0.mlp.c_fc.weight", 2)[0]},
                {"max_position_embeddings", shape_of(at, "positional_embedding", 2)[0]},
                {"hidden_act", "gelu"}};
  std::vector<io::Checkpoint::Part> parts;
  std::string const pooled = "text_projection", turned = pooled + "[out, in]";
  if (!last_dropped) {
    auto const& entry = file.at(prefix + pooled);
    json["architectures"] = std::vector<std::string>{"CLIPTextModelWithProjection"}, json["projection_dim"] = shape_of(at, pooled, 2)[1];
    auto info = *entry.info;  // stored (in, out): the other way round
    if (info.strides.empty()) info.strides = {info.shape[1], 1};
    std::swap(info.shape[0], info.shape[1]), std::swap(info.strides[0], info.strides[1]);
    parts.push_back({prefix + turned, entry.file, std::move(info)});
  }
  for (Size i = 0; i < layers; ++i)
    for (std::string_view const kind : {"weight", "bias"}) {
      std::string const whole = text(prefix, "transformer.resblocks.", i, ".attn.in_proj_", kind);
      auto const* entry = file.find(whole);
      if (entry == nullptr || entry->info->shape.empty() || entry->info->shape[0] != 3 * width) continue;  // the report names it
      Size const step = entry->info->strides.empty() ? entry->info->count() / entry->info->shape[0] : entry->info->strides[0];
      for (Size n = 0; n < 3; ++n) {
        auto info = *entry->info;
        info.shape[0] = width, info.bytes /= 3, info.offset += n * width * step * size_of(info.dtype);
        parts.push_back({text(whole, "[", "qkv"[n], "]"), entry->file, std::move(info)});
      }
    }
  GeneratorParts::Text out{
      .config = text_encoder_config(json, file.path()), .source = {file.with(std::move(parts)), prefix}, .vocabulary = {}};
  out.config.has_prefix = false;
  out.source.rename = [pooled, turned](std::string const& ours) {
    auto name = original_open_clip_name(ours);
    return name == pooled ? turned : name;
  };
  return out;
}

/// The scheduler_config.json of the family's published folders.
[[nodiscard]] inline io::Json original_scheduler(OriginalFamily family) {
  io::Json json{
      {"beta_start", 0.00085}, {"beta_end", 0.012}, {"beta_schedule", "scaled_linear"}, {"num_train_timesteps", 1000}, {"steps_offset", 1}};
  bool const xl = family == OriginalFamily::sdxl || family == OriginalFamily::refiner;
  json["_class_name"] = xl ? "EulerDiscreteScheduler" : family == OriginalFamily::sd2 ? "DDIMScheduler" : "PNDMScheduler";
  json["prediction_type"] = family == OriginalFamily::sd2 ? "v_prediction" : "epsilon";
  if (xl) json["timestep_spacing"] = "leading", json["interpolation_type"] = "linear", json["use_karras_sigmas"] = false;
  if (!xl) json["clip_sample"] = false, json["set_alpha_to_one"] = false, json["skip_prk_steps"] = true;
  return json;
}

/// The vocabulary of a text encoder, from a folder with vocab.json and merges.txt, or with such folders `tokenizer` and `tokenizer_2` in
/// it. `open_clip`: prompts are filled up with "!", and each "!" of a prompt is that token, as in the published folders.
inline void read_original_vocabulary(std::string const& path, std::string const& given, bool open_clip, GeneratorParts::Text& to) {
  require<ConfigError>(!given.empty(), path,
                       ": an original checkpoint carries no vocabulary; name a folder with vocab.json and merges.txt (--tokenizer DIR)");
  fs::path const inner = fs::path(given) / (to.is_second ? "tokenizer_2" : "tokenizer");
  std::error_code ignored;
  auto vocabulary = io::Tokenizer::open(fs::is_directory(inner, ignored) ? inner.string() : given);
  if (open_clip)
    if ((to.pad = vocabulary.id_of("!"))) (void)vocabulary.add_token("!", true);
  to.vocabulary = std::make_shared<io::Tokenizer const>(std::move(vocabulary));
}

}  // namespace detail

/// One .safetensors or .ckpt file with the vocabulary of `tokenizer`, a folder. Throws FileError naming the tensor without which the shapes
/// cannot be told, ConfigError for models that are not built and where no vocabulary is given.
[[nodiscard]] inline GeneratorParts read_single_file(std::string const& path, std::string const& tokenizer) {
  using namespace detail;
  auto const file = io::Checkpoint::open(path, {});
  GeneratorParts out;
  out.where = path;
  auto const family = original_family(file);
  require<FileError>(has_prefix(file, kOriginalVae), path, ": no autoencoder: expected tensors under 'first_stage_model.', found none");
  out.unet_source = {file, std::string(kOriginalUnet)}, out.vae_source = {file, std::string(kOriginalVae)};
  out.unet = unet_config(original_unet_config(out.unet_source, family), path);
  out.vae = vae_config(original_vae_config(out.vae_source, family), path);
  out.unet_source.rename = [config = out.unet](std::string const& ours) { return original_unet_name(ours, config); };
  out.vae_source.rename = [levels = out.vae.widths.size()](std::string const& ours) { return original_vae_name(ours, levels); };
  out.scheduler = original_scheduler(family);
  out.zeros_for_absent_negative = family == OriginalFamily::sdxl;
  if (family == OriginalFamily::sd1) out.text.push_back(original_clip(file, "cond_stage_model.transformer."));
  if (family == OriginalFamily::sd2) out.text.push_back(original_open_clip(file, "cond_stage_model.model.", true));
  if (family == OriginalFamily::sdxl)
    out.text.push_back(original_clip(file, "conditioner.embedders.0.transformer.")),
        out.text.push_back(original_open_clip(file, "conditioner.embedders.1.model.", false));
  if (family == OriginalFamily::refiner) out.text.push_back(original_open_clip(file, "conditioner.embedders.0.model.", false));
  for (std::size_t i = 0; i < out.text.size(); ++i) {
    bool const second = i == 1 || family == OriginalFamily::refiner;
    out.text[i].is_second = second;
    read_original_vocabulary(path, tokenizer, second || family == OriginalFamily::sd2, out.text[i]);
  }
  constexpr std::string_view kFamilies[] = {
      "SD 1 has: eight heads in every layer, epsilon prediction, PNDM, 512 pixels",
      "SD 2.1 has: heads of 64, v prediction, DDIM, 768 pixels (2-base has the same tensors, and predicts epsilon)",
      "SDXL has: heads of 64, epsilon prediction, Euler, 1024 pixels",
      "the SDXL refiner has: heads of 64, epsilon prediction, Euler, 1024 pixels"};
  out.notes.push_back(text(path, ": an original checkpoint; what its tensors do not tell is what ", kFamilies[static_cast<int>(family)]));
  if (has_prefix(file, "model_ema.")) out.notes.push_back(text(path, ": the averaged copy under 'model_ema.' is left out"));
  return out;
}

}  // namespace mgm::inline v0::models
