/// What the tensors of diffusers' modules are called in original Stable Diffusion checkpoints (Rombach et al. 2022; Podell et al. 2023),
/// which number the UNet's blocks in the order in which they run.
#pragma once
#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include <mgm/core/error.hpp>
#include <mgm/models/diffusion/unet_config.hpp>

namespace mgm::inline v0::models {

namespace detail {
/// `name` with its first part, one of `parts`, called something else; as it is where none fits. Parts end at a dot.
[[nodiscard]] inline std::string renamed_head(std::string_view name,
                                              std::initializer_list<std::pair<std::string_view, std::string_view>> parts) {
  for (auto const& [ours, theirs] : parts)
    if (name.starts_with(ours) && (name.size() == ours.size() || name[ours.size()] == '.')) return text(theirs, name.substr(ours.size()));
  return std::string(name);
}
/// Takes "word." off the front.
inline bool take_word(std::string_view& name, std::string_view word) {
  if (!name.starts_with(word) || name.size() <= word.size() || name[word.size()] != '.') return false;
  name.remove_prefix(word.size() + 1);
  return true;
}
/// Takes "12." off the front.
[[nodiscard]] inline std::size_t take_number(std::string_view& name) {
  std::size_t n = 0;
  auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), n);
  require<ArgumentError>(error == std::errc() && end != name.data() + name.size() && *end == '.',
                         "original name: expected a number and a dot at ", mgm::quoted(name));
  name.remove_prefix(static_cast<std::size_t>(end - name.data()) + 1);
  return n;
}
[[nodiscard]] inline std::string original_resnet(std::string_view rest) {
  return renamed_head(rest, {{"norm1", "in_layers.0"},
                             {"conv1", "in_layers.2"},
                             {"time_emb_proj", "emb_layers.1"},
                             {"norm2", "out_layers.0"},
                             {"conv2", "out_layers.3"},
                             {"conv_shortcut", "skip_connection"}});
}
}  // namespace detail

/// "down_blocks.1.resnets.0.conv1.weight" -> "input_blocks.4.0.in_layers.2.weight". Throws ArgumentError for a name of no UNet.
[[nodiscard]] inline std::string original_unet_name(std::string_view ours, UnetConfig const& c) {
  using namespace detail;
  std::size_t const levels = c.widths.size();
  if (take_word(ours, "mid_block")) {
    bool const attends = take_word(ours, "attentions");
    if (!attends) (void)take_word(ours, "resnets");
    std::size_t const i = take_number(ours);
    return attends ? text("middle_block.1.", ours) : text("middle_block.", 2 * i, ".", original_resnet(ours));
  }
  bool const down = take_word(ours, "down_blocks");
  if (!down && !take_word(ours, "up_blocks"))
    return renamed_head(ours, {{"conv_in", "input_blocks.0.0"},
                               {"time_embedding.linear_1", "time_embed.0"},
                               {"time_embedding.linear_2", "time_embed.2"},
                               {"time_embedding.cond_proj", "time_embed.cond_proj"},
                               {"add_embedding.linear_1", "label_emb.0.0"},
                               {"add_embedding.linear_2", "label_emb.0.2"},
                               {"conv_norm_out", "out.0"},
                               {"conv_out", "out.2"}});
  std::size_t const block = take_number(ours);
  require<ArgumentError>(block < levels, "original name: block ", block, " of ", levels);
  auto const layers = [&](std::size_t b) { return static_cast<std::size_t>(c.layers[down ? b : levels - 1 - b]); };
  std::size_t k = down ? 1 : 0;
  for (std::size_t b = 0; b < block; ++b) k += layers(b) + 1;
  std::string_view const blocks = down ? "input_blocks." : "output_blocks.";
  if (take_word(ours, "downsamplers.0.conv")) return text(blocks, k + layers(block), ".0.op.", ours);
  if (take_word(ours, "upsamplers.0.conv")) return text(blocks, k + layers(block), c.up_attends[block] ? ".2" : ".1", ".conv.", ours);
  bool const attends = take_word(ours, "attentions");
  if (!attends) (void)take_word(ours, "resnets");
  std::size_t const i = take_number(ours);
  return attends ? text(blocks, k + i, ".1.", ours) : text(blocks, k + i, ".0.", original_resnet(ours));
}

/// "decoder.up_blocks.0.resnets.1.conv1.weight" -> "decoder.up.3.block.1.conv1.weight", for an autoencoder of that many levels.
[[nodiscard]] inline std::string original_vae_name(std::string_view ours, std::size_t levels) {
  using namespace detail;
  std::string const half = ours.starts_with("encoder.") ? "encoder." : "decoder.";
  if (!take_word(ours, "encoder") && !take_word(ours, "decoder")) return std::string(ours);
  auto const resnet = [](std::string_view rest) { return renamed_head(rest, {{"conv_shortcut", "nin_shortcut"}}); };
  if (take_word(ours, "mid_block.attentions.0"))
    return text(half, "mid.attn_1.",
                renamed_head(ours, {{"group_norm", "norm"}, {"to_q", "q"}, {"to_k", "k"}, {"to_v", "v"}, {"to_out.0", "proj_out"}}));
  if (take_word(ours, "mid_block.resnets")) {
    std::size_t const i = take_number(ours);
    return text(half, "mid.block_", i + 1, ".", resnet(ours));
  }
  bool const down = take_word(ours, "down_blocks");
  if (!down && !take_word(ours, "up_blocks")) return half + renamed_head(ours, {{"conv_norm_out", "norm_out"}});
  std::size_t const block = take_number(ours);
  require<ArgumentError>(block < levels, "original name: block ", block, " of ", levels);
  std::string const level = text(half, down ? "down." : "up.", down ? block : levels - 1 - block, ".");
  if (take_word(ours, "downsamplers.0.conv")) return text(level, "downsample.conv.", ours);
  if (take_word(ours, "upsamplers.0.conv")) return text(level, "upsample.conv.", ours);
  (void)take_word(ours, "resnets");
  std::size_t const i = take_number(ours);
  return text(level, "block.", i, ".", resnet(ours));
}

/// "encoder.layers.3.mlp.fc1.weight" -> "transformer.resblocks.3.mlp.c_fc.weight": OpenCLIP's text encoder, without `text_model.`. Queries,
/// keys and values are parts of one tensor there: "….attn.in_proj_weight[q]".
[[nodiscard]] inline std::string original_open_clip_name(std::string_view ours) {
  using namespace detail;
  if (!take_word(ours, "encoder.layers"))
    return renamed_head(ours, {{"embeddings.token_embedding.weight", "token_embedding.weight"},
                               {"embeddings.position_embedding.weight", "positional_embedding"},
                               {"final_layer_norm", "ln_final"},
                               {"text_projection.weight", "text_projection"}});
  std::size_t const i = take_number(ours);
  std::string const block = text("transformer.resblocks.", i, ".");
  for (char const which : {'q', 'k', 'v'})
    if (take_word(ours, text("self_attn.", which, "_proj"))) return text(block, "attn.in_proj_", ours, "[", which, "]");
  return block + renamed_head(ours, {{"layer_norm1", "ln_1"},
                                     {"layer_norm2", "ln_2"},
                                     {"self_attn.out_proj", "attn.out_proj"},
                                     {"mlp.fc1", "mlp.c_fc"},
                                     {"mlp.fc2", "mlp.c_proj"}});
}

}  // namespace mgm::inline v0::models
