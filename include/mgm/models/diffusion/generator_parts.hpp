/// What an image generator's files hold, read so far that no memory for weights is needed: configs, vocabularies, and where the tensors
/// are.
#pragma once
#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/io/load_parameters.hpp>
#include <mgm/io/tokenizer.hpp>
#include <mgm/models/diffusion/scheduler_config.hpp>
#include <mgm/models/diffusion/text_encoder.hpp>
#include <mgm/models/diffusion/unet_config.hpp>
#include <mgm/models/diffusion/vae_config.hpp>

namespace mgm::inline v0::models {

/// The parts of a generator, from a folder (`read_generator_folder`) or from one file (`read_single_file`).
struct GeneratorParts {
  struct Text {
    TextEncoderConfig config;
    io::Source source;
    std::shared_ptr<io::Tokenizer const> vocabulary;
    std::optional<int> pad{};  ///< what fills a prompt up, where the vocabulary does not say it
    bool is_second = false;    ///< text_encoder_2
  };
  UnetConfig unet{};
  VaeConfig vae{};
  std::vector<Text> text{};
  io::Source unet_source{}, vae_source{};
  io::Json scheduler = io::Json::object();  ///< scheduler_config.json
  std::string where{};                      ///< for messages
  bool zeros_for_absent_negative = false;
  std::vector<std::string> notes{};
};

namespace detail {
/// A component's weight files, in the order they are looked for: variants carry their name before the extension. `half_first`: the fp16
/// variant before the others, for who computes in it.
[[nodiscard]] inline std::vector<std::string> weight_files(std::string const& stem, std::string const& torch_stem, bool half_first) {
  std::vector<std::string> plain{stem + ".safetensors.index.json", stem + ".safetensors"}, variants;
  for (std::string const v : {"fp16", "bf16"})
    for (auto const& name :
         {stem + "." + v + ".safetensors", stem + ".safetensors.index." + v + ".json", stem + "." + v + ".safetensors.index.json"})
      variants.push_back(name);
  plain.insert(half_first ? plain.begin() : plain.end(), variants.begin(), variants.end());
  for (std::string const end : {".bin.index.json", ".bin", ".fp16.bin"}) plain.push_back(torch_stem + end);
  return plain;
}
}  // namespace detail

/// An original diffusers folder. Throws FileError, ConfigError naming the component that is missing or not supported.
[[nodiscard]] inline GeneratorParts read_generator_folder(std::string const& folder, bool half_first = false) {
  namespace fs = std::filesystem;
  auto const path = [&](std::string_view part) { return (fs::path(folder) / part).string(); };
  GeneratorParts out;
  out.where = folder;
  auto const index = io::read_json(path("model_index.json"));
  auto const component = [&](std::string const& name, std::string_view wanted) {
    auto const* entry = io::find_key(index, name, path("model_index.json"));
    if (entry == nullptr || !entry->is_array() || entry->size() != 2 || (*entry)[1].is_null()) return false;
    require<ConfigError>(wanted.empty() || (*entry)[1] == wanted, path("model_index.json"), ": ", name, " is ",
                         io::detail::describe((*entry)[1]), ", expected ", wanted);
    return true;
  };
  for (std::string const name : {"unet", "vae", "scheduler"})
    require<ConfigError>(component(name, name == "unet"  ? "UNet2DConditionModel"
                                         : name == "vae" ? "AutoencoderKL"
                                                         : ""),
                         path("model_index.json"), ": component ", name, " is missing; without it nothing can be drawn");
  out.zeros_for_absent_negative = io::get_or(index, "force_zeros_for_empty_prompt", false, path("model_index.json"));
  out.scheduler = io::read_json(path("scheduler/scheduler_config.json"));
  (void)scheduler_config(out.scheduler, path("scheduler/scheduler_config.json"));
  for (std::string const suffix : {"", "_2"}) {
    if (!component("text_encoder" + suffix, "")) continue;
    auto const kind = io::find_key(index, "text_encoder" + suffix, path("model_index.json"))->at(1);
    require<ConfigError>(kind == "CLIPTextModel" || kind == "CLIPTextModelWithProjection", path("model_index.json"), ": text_encoder", suffix,
                         " is ", io::detail::describe(kind), ", expected CLIPTextModel or CLIPTextModelWithProjection");
    std::string const where = path("text_encoder" + suffix + "/config.json");
    auto& text = out.text.emplace_back();
    text.config = text_encoder_config(io::read_json(where), where);
    text.source = {io::Checkpoint::open(path("text_encoder" + suffix), detail::weight_files("model", "pytorch_model", half_first)), ""};
    text.config.has_prefix = text.source.checkpoint.find("text_model.embeddings.token_embedding.weight") != nullptr;
    text.is_second = !suffix.empty();
    require<ConfigError>(component("tokenizer" + suffix, ""), path("model_index.json"), ": component tokenizer", suffix, " is missing");
    text.vocabulary = std::make_shared<io::Tokenizer const>(io::Tokenizer::open(path("tokenizer" + suffix)));
  }
  require<ConfigError>(!out.text.empty(), path("model_index.json"), ": component text_encoder is missing; a prompt cannot be read");
  out.unet = unet_config(io::read_json(path("unet/config.json")), path("unet/config.json"));
  out.vae = vae_config(io::read_json(path("vae/config.json")), path("vae/config.json"));
  std::string const stem = "diffusion_pytorch_model";
  out.unet_source = {io::Checkpoint::open(path("unet"), detail::weight_files(stem, stem, half_first)), ""};
  out.vae_source = {io::Checkpoint::open(path("vae"), detail::weight_files(stem, stem, half_first)), ""};
  out.vae.old_names = out.vae_source.checkpoint.find("decoder.mid_block.attentions.0.query.weight") != nullptr;
  return out;
}

}  // namespace mgm::inline v0::models
