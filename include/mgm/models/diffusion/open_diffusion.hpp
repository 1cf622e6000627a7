/// Opening a generator of the Stable Diffusion family: an original diffusers folder, or one original checkpoint.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include <mgm/models/diffusion/lora.hpp>
#include <mgm/models/diffusion/single_file.hpp>
#include <mgm/models/diffusion/stable_diffusion.hpp>

namespace mgm::inline v0::models {

/// What `path`, a folder or a file, holds; no weights are taken yet. Throws FileError, ConfigError.
[[nodiscard]] inline GeneratorParts read_generator(std::string const& path, GeneratorOptions const& options = {}, bool half_first = false) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return read_generator_folder(path, half_first);
  require<FileError>(std::filesystem::exists(path, ignored), path, ": expected a diffusers folder or an original checkpoint, found nothing");
  return read_single_file(path, options.tokenizer);
}

template <Real T, Device Dev>
auto StableDiffusion<T, Dev>::open(Context<Dev>& ctx, std::string const& path, GeneratorOptions const& options) -> StableDiffusion {
  GeneratorParts const parts = read_generator(path, options, std::same_as<T, half>);
  StableDiffusion out;
  out.scheduler = parts.scheduler, out.zeros_for_absent_negative = parts.zeros_for_absent_negative, out.notes = parts.notes;
  for (auto const& t : parts.text) out.prompters.push_back({t.vocabulary, TextEncoder<T, Dev>(ctx, t.config), t.pad});
  out.unet.emplace(ctx, parts.unet);
  out.vae.emplace(ctx, parts.vae);
  if (options.encoder) out.encoder.emplace(ctx, parts.vae);
  auto const& net = parts.unet;
  require<ConfigError>(net.out == parts.vae.latents && (net.in == net.out || net.in == 2 * net.out + 1), parts.where, ": unet: ", net.in,
                       " channels in, ", net.out, " out, the autoencoder has ", parts.vae.latents, "; expected ", parts.vae.latents,
                       " in and out, or ", 2 * parts.vae.latents + 1, " in for inpainting");
  Loras loras(options.loras);
  for (std::size_t i = 0; i < parts.text.size(); ++i)
    io::load_parameters(ctx, parts.text[i].source, out.prompters[i].encoder,
                        loras.take(parts.text[i].is_second ? LoraNetwork::text_encoder_2 : LoraNetwork::text_encoder));
  io::load_parameters(ctx, parts.unet_source, *out.unet,
                      loras.take(LoraNetwork::unet, [&](std::string const& name) { return original_unet_name(name, parts.unet); }));
  io::load_parameters(ctx, parts.vae_source, *out.vae);
  if (out.encoder) io::load_parameters(ctx, parts.vae_source, *out.encoder);
  for (auto& note : loras.notes()) out.notes.push_back(std::move(note));
  if (!options.adapter.empty()) out.adapter.emplace(IpAdapter<T, Dev>::open(ctx, options.adapter, options.adapter_encoder, parts.unet));
  return out;
}

}  // namespace mgm::inline v0::models
