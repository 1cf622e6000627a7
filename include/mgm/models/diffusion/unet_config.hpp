/// The shapes of a UNet2DConditionModel, from its config.json; what is not supported is refused by name.
#pragma once
#include <string>
#include <vector>

#include <mgm/io/json.hpp>

namespace mgm::inline v0::models {

struct UnetConfig {
  Size in = 4, out = 4, sample = 64;                    ///< channels; default side of the latents
  std::vector<Size> widths;                             ///< of the levels, the finest first
  std::vector<bool> down_attends, up_attends;           ///< whether a level's blocks have transformers, in the order they run
  std::vector<Size> layers, heads, transformer_layers;  ///< of each level, the finest first
  Size text = 1280, groups = 32;
  float eps = 1e-5f;
  Size added = 0, added_time = 0;  ///< SDXL: width of [pooled, sizes], and of one size's sinusoid; 0: none
  Size guidance_width = 0;         ///< `time_cond_proj_dim`: guidance enters through an embedding
  [[nodiscard]] Size time() const { return 4 * widths.front(); }
};

namespace detail {
/// A number for all levels, or a list with one for each.
[[nodiscard]] inline std::vector<Size> per_level(io::Json const& json, std::string_view key, Size fallback, std::size_t levels,
                                                 std::string_view where) {
  auto const* value = io::find_key(json, key, where);
  if (value == nullptr || !value->is_array()) return std::vector<Size>(levels, io::get_or<Size>(json, key, fallback, where));
  auto list = io::get<std::vector<Size>>(json, key, where);
  require<ConfigError>(list.size() == levels, where, ": ", key, " has ", list.size(), " entries for ", levels, " levels");
  return list;
}
}  // namespace detail

/// Throws ConfigError for keys that are missing, contradict each other, or belong to models that are not built.
[[nodiscard]] inline UnetConfig unet_config(io::Json const& json, std::string const& where) {
  UnetConfig c;
  c.widths = io::get<std::vector<Size>>(json, "block_out_channels", where);
  std::size_t const levels = c.widths.size();
  c.in = io::get_or<Size>(json, "in_channels", 4, where), c.out = io::get_or<Size>(json, "out_channels", 4, where);
  c.sample = io::get_or<Size>(json, "sample_size", 64, where);
  c.groups = io::get_or<Size>(json, "norm_num_groups", 32, where), c.eps = io::get_or(json, "norm_eps", 1e-5f, where);
  c.text = io::get_or<Size>(json, "cross_attention_dim", 1280, where);
  c.layers = detail::per_level(json, "layers_per_block", 2, levels, where);
  auto const* counts = io::find_key(json, "num_attention_heads", where);  // the other key is misnamed: it holds counts of heads
  c.heads = detail::per_level(json, counts ? "num_attention_heads" : "attention_head_dim", 8, levels, where);
  c.transformer_layers = detail::per_level(json, "transformer_layers_per_block", 1, levels, where);
  auto const kinds = [&](std::string_view key, std::string_view plain, std::string_view attends) {
    std::vector<bool> out;
    for (auto const& kind : io::get<std::vector<std::string>>(json, key, where)) {
      require<ConfigError>(kind == plain || kind == attends, where, ": ", key, " ", mgm::quoted(kind), " is not supported; there are ",
                           plain, ", ", attends);
      out.push_back(kind == attends);
    }
    require<ConfigError>(out.size() == levels, where, ": ", key, " has ", out.size(), " entries for ", levels, " widths");
    return out;
  };
  c.down_attends = kinds("down_block_types", "DownBlock2D", "CrossAttnDownBlock2D");
  c.up_attends = kinds("up_block_types", "UpBlock2D", "CrossAttnUpBlock2D");
  auto const only = [&](std::string_view key, std::string const& value) {
    auto const found = io::get_or<std::string>(json, key, value, where);
    require<ConfigError>(found == value, where, ": ", key, " ", mgm::quoted(found), " is not supported; there is ", value);
  };
  only("mid_block_type", "UNetMidBlock2DCrossAttn"), only("act_fn", "silu"), only("resnet_time_scale_shift", "default"),
      only("time_embedding_type", "positional");
  for (std::string_view const key :
       {"center_input_sample", "only_cross_attention", "dual_cross_attention", "class_embeddings_concat", "resnet_skip_time_act"})
    require<ConfigError>(!io::get_or(json, key, false, where), where, ": ", key, " is not supported; it must be false");
  for (std::string_view const key :
       {"class_embed_type", "encoder_hid_dim", "encoder_hid_dim_type", "time_embedding_act_fn", "timestep_post_act", "cross_attention_norm",
        "num_class_embeds", "time_embedding_dim", "reverse_transformer_layers_per_block"})
    require<ConfigError>(!io::find_key(json, key, where), where, ": ", key, " is not supported; it must be null");
  for (std::string_view const key : {"conv_in_kernel", "conv_out_kernel"})
    require<ConfigError>(io::get_or(json, key, 3, where) == 3, where, ": ", key, " is not supported; it must be 3");
  require<ConfigError>(
      io::get_or(json, "flip_sin_to_cos", true, where) && io::get_or(json, "freq_shift", 0, where) == 0 &&
          io::get_or(json, "downsample_padding", 1, where) == 1 && io::get_or(json, "mid_block_scale_factor", 1.0, where) == 1 &&
          io::get_or(json, "resnet_out_scale_factor", 1.0, where) == 1,
      where, ": flip_sin_to_cos, freq_shift, downsample_padding or a scale factor is not the usual one; that is not supported");
  if (auto const* kind = io::find_key(json, "addition_embed_type", where)) {
    require<ConfigError>(kind->is_string() && *kind == "text_time", where, ": addition_embed_type ", io::detail::describe(*kind),
                         " is not supported; there is text_time");
    c.added = io::get<Size>(json, "projection_class_embeddings_input_dim", where),
    c.added_time = io::get<Size>(json, "addition_time_embed_dim", where);
  }
  c.guidance_width = io::get_or<Size>(json, "time_cond_proj_dim", 0, where);
  for (std::size_t i = 0; i < levels; ++i)
    require<ConfigError>(c.widths[i] >= 1 && c.layers[i] >= 1 && c.heads[i] >= 1 && c.widths[i] % c.heads[i] == 0 &&
                             c.widths[i] % c.groups == 0 && c.transformer_layers[i] >= 0,
                         where, ": level ", i, ": ", c.widths[i], " channels, ", c.heads[i], " heads, ", c.groups, " groups, ", c.layers[i],
                         " layers do not fit");
  require<ConfigError>(levels >= 1 && c.groups >= 1 && c.in >= 1 && c.out >= 1 && c.sample >= 1 && c.text >= 1, where,
                       ": sizes must be at least 1");
  return c;
}

}  // namespace mgm::inline v0::models
