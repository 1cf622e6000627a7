// What the command line says an image generator is opened with, and what picture it is shown.
#pragma once
#include <charconv>
#include <filesystem>

#include <mgm/models/diffusion/draw_options.hpp>

#include "options.hpp"

namespace tool {

/// "FILE" or "FILE:SCALE"; a file of that whole name wins.
inline mgm::models::LoraFile lora_file(std::string const& said) {
  std::error_code ignored;
  auto const colon = said.rfind(':');
  double scale = 1;
  if (colon == said.npos || std::filesystem::exists(said, ignored)) return {said};
  char const* const end = said.data() + said.size();
  auto const [stop, error] = std::from_chars(said.data() + colon + 1, end, scale);
  return error == std::errc() && stop == end ? mgm::models::LoraFile{said.substr(0, colon), scale} : mgm::models::LoraFile{said};
}

inline mgm::models::GeneratorOptions generator_options(Options const& o, bool encoder) {
  mgm::models::GeneratorOptions out{.encoder = encoder, .tokenizer = o.tokenizer, .adapter = o.ip_adapter, .adapter_encoder = o.ip_encoder};
  for (auto const& said : o.loras) out.loras.push_back(lora_file(said));
  return out;
}

}  // namespace tool
