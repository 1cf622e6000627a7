/// Opening an original diffusers folder of the Stable Diffusion family.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include <mgm/io/load_parameters.hpp>
#include <mgm/models/diffusion/stable_diffusion.hpp>

namespace mgm::inline v0::models {

namespace detail {
/// A component's weight files, in the order they are looked for: variants carry their name before the extension.
[[nodiscard]] inline std::vector<std::string> weight_files(std::string const& stem) {
  return {stem + ".safetensors.index.json",      stem + ".safetensors", stem + ".fp16.safetensors", stem + ".safetensors.index.fp16.json",
          stem + ".fp16.safetensors.index.json", stem + ".bin"};
}
}  // namespace detail

template <Real T, Device Dev>
auto StableDiffusion<T, Dev>::open(Context<Dev>& ctx, std::string const& folder, DiffusionParts parts) -> StableDiffusion {
  namespace fs = std::filesystem;
  std::error_code ignored;
  require<FileError>(fs::is_directory(folder, ignored), folder, ": expected a diffusers folder, found ",
                     fs::exists(folder, ignored) ? "a file" : "nothing");
  auto const path = [&](std::string_view part) { return (fs::path(folder) / part).string(); };
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
  StableDiffusion out;
  out.zeros_for_absent_negative = io::get_or(index, "force_zeros_for_empty_prompt", false, path("model_index.json"));
  out.scheduler = io::read_json(path("scheduler/scheduler_config.json"));
  (void)scheduler_config(out.scheduler, path("scheduler/scheduler_config.json"));

  std::vector<io::Source> sources;
  for (std::string const suffix : {"", "_2"}) {
    if (!component("text_encoder" + suffix, "")) continue;
    auto const kind = io::find_key(index, "text_encoder" + suffix, path("model_index.json"))->at(1);
    require<ConfigError>(kind == "CLIPTextModel" || kind == "CLIPTextModelWithProjection", path("model_index.json"), ": text_encoder",
                         suffix, " is ", io::detail::describe(kind), ", expected CLIPTextModel or CLIPTextModelWithProjection");
    std::string const where = path("text_encoder" + suffix + "/config.json");
    auto config = text_encoder_config(io::read_json(where), where);
    sources.push_back({io::Checkpoint::open(path("text_encoder" + suffix), detail::weight_files("model")), ""});
    config.has_prefix = sources.back().checkpoint.find("text_model.embeddings.token_embedding.weight") != nullptr;
    require<ConfigError>(component("tokenizer" + suffix, ""), path("model_index.json"), ": component tokenizer", suffix, " is missing");
    auto vocabulary = std::make_shared<io::Tokenizer const>(io::Tokenizer::open(path("tokenizer" + suffix)));
    out.prompters.push_back({std::move(vocabulary), TextEncoder<T, Dev>(ctx, config)});
  }
  require<ConfigError>(!out.prompters.empty(), path("model_index.json"), ": component text_encoder is missing; a prompt cannot be read");
  out.unet.emplace(ctx, unet_config(io::read_json(path("unet/config.json")), path("unet/config.json")));
  io::Source const unet{io::Checkpoint::open(path("unet"), detail::weight_files("diffusion_pytorch_model")), ""};
  io::Source const vae{io::Checkpoint::open(path("vae"), detail::weight_files("diffusion_pytorch_model")), ""};
  auto autoencoder = vae_config(io::read_json(path("vae/config.json")), path("vae/config.json"));
  autoencoder.old_names = vae.checkpoint.find("decoder.mid_block.attentions.0.query.weight") != nullptr;
  auto const& net = out.unet->config();
  require<ConfigError>(net.out == autoencoder.latents && (net.in == net.out || net.in == 2 * net.out + 1), path("unet/config.json"), ": ",
                       net.in, " channels in, ", net.out, " out, the autoencoder has ", autoencoder.latents, "; expected ",
                       autoencoder.latents, " in and out, or ", 2 * autoencoder.latents + 1, " in for inpainting");
  out.vae.emplace(ctx, autoencoder);
  if (parts.encoder) out.encoder.emplace(ctx, autoencoder);
  for (std::size_t i = 0; i < sources.size(); ++i) io::load_parameters(ctx, sources[i], out.prompters[i].encoder);
  io::load_parameters(ctx, unet, *out.unet);
  io::load_parameters(ctx, vae, *out.vae);
  if (out.encoder) io::load_parameters(ctx, vae, *out.encoder);
  return out;
}

}  // namespace mgm::inline v0::models
