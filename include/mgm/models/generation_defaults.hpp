/// What a folder says of drawing tokens, in generation_config.json.
#pragma once
#include <filesystem>
#include <string>

#include <mgm/io/json.hpp>

namespace mgm::inline v0::models {

/// How tokens are drawn where nobody says it: the framework's defaults, or what the model's generation_config.json says of these two.
struct GenerationDefaults {
  int top_k = 50;
  float top_p = 1;
};

/// What folder/generation_config.json says, if it is there. Throws FileError, ConfigError (naming file and key).
[[nodiscard]] inline GenerationDefaults read_generation_defaults(std::filesystem::path const& folder) {
  GenerationDefaults out;
  std::string const where = (folder / "generation_config.json").string();
  if (std::error_code ignored; !std::filesystem::exists(where, ignored)) return out;
  io::Json const json = io::read_json(where);
  out.top_k = io::get_or<int>(json, "top_k", out.top_k, where), out.top_p = io::get_or<float>(json, "top_p", out.top_p, where);
  require<ConfigError>(out.top_k >= 0, where, ": key 'top_k': expected 0 or more, found ", out.top_k);
  require<ConfigError>(out.top_p > 0 && out.top_p <= 1, where, ": key 'top_p': expected above 0 and at most 1, found ", out.top_p);
  return out;
}

}  // namespace mgm::inline v0::models
