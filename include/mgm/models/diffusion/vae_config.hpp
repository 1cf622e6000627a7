/// The shapes of an AutoencoderKL, from its config.json; what is not supported is refused by name.
#pragma once
#include <string>
#include <vector>

#include <mgm/io/json.hpp>

namespace mgm::inline v0::models {

struct VaeConfig {
  std::vector<Size> widths;  ///< of the levels, the finest first
  Size layers = 2, latents = 4, groups = 32, sample = 512;
  double scaling = 0.18215, shift = 0;
  bool quant = true, post_quant = true;  ///< 1×1 convolutions behind the encoder and before the decoder
  bool attends = true, force_upcast = true;
  bool old_names = false;  ///< the attention's tensors are named as in 2022: query, key, value, proj_attn
  [[nodiscard]] Size factor() const { return Size{1} << (widths.size() - 1); }  ///< pixels a latent has on a side
};

/// From an AutoencoderKL's config.json. Throws ConfigError.
[[nodiscard]] inline VaeConfig vae_config(io::Json const& json, std::string const& where) {
  VaeConfig c;
  c.widths = io::get<std::vector<Size>>(json, "block_out_channels", where);
  c.layers = io::get_or<Size>(json, "layers_per_block", 1, where), c.latents = io::get_or<Size>(json, "latent_channels", 4, where);
  c.groups = io::get_or<Size>(json, "norm_num_groups", 32, where), c.sample = io::get_or<Size>(json, "sample_size", 512, where);
  c.scaling = io::get_or(json, "scaling_factor", 0.18215, where), c.shift = io::get_or(json, "shift_factor", 0.0, where);
  c.quant = io::get_or(json, "use_quant_conv", true, where), c.post_quant = io::get_or(json, "use_post_quant_conv", true, where);
  c.attends = io::get_or(json, "mid_block_add_attention", true, where);
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

}  // namespace mgm::inline v0::models
