// `mgm draw`: a picture for a prompt, by an image generator alone.
#pragma once
#include <mgm/io/png.hpp>
#include <mgm/io/safetensors_writer.hpp>
#include <mgm/io/tensor_file.hpp>
#include <mgm/models/diffusion/open_diffusion.hpp>

#include "context.hpp"
#include "json_out.hpp"

namespace tool {

/// The latents to start from: key `latents`, (1, 4, h, w), f32. Their size is the picture's unless --size says the same.
inline void read_latents(std::string const& path, mgm::models::DrawOptions& options, mgm::Size factor) {
  auto const file = mgm::io::TensorFile::open(path);
  auto const* info = file->find("latents");
  mgm::require<mgm::FileError>(info != nullptr, path, ": tensor 'latents' is missing");
  mgm::require<mgm::FileError>(info->dtype == mgm::Dtype::f32 && info->shape.size() == 4 && info->shape[0] == 1 && info->shape[1] == 4,
                               path, ": tensor 'latents': expected F32 of shape (1, 4, h, w), found ", mgm::io::shape_text(info->shape));
  mgm::Size const height = info->shape[2] * factor, width = info->shape[3] * factor;
  if ((options.width && options.width != width) || (options.height && options.height != height))
    throw UsageError{mgm::text("--size ", options.width, "x", options.height, ": the latents make a picture of ", width, "x", height)};
  options.width = width, options.height = height;
  options.latents.resize(static_cast<std::size_t>(info->count()));
  auto const bytes = file->bytes(*info);
  std::memcpy(options.latents.data(), bytes.data, options.latents.size() * sizeof(float));
}

template <class T, class Dev>
int draw(Options const& o, Terminal& terminal) {
  using namespace mgm::models;
  mgm::Context<Dev> ctx(context_config<Dev>(o, terminal));
  DrawOptions options{.negative = o.negative, .steps = o.steps, .guidance = o.guidance, .seed = o.seed};
  if (!o.scheduler.empty()) options.scheduler = scheduler_by_name(o.scheduler);
  if (o.karras != "auto") options.karras = o.karras == "on";
  if (!o.size.empty()) {
    auto const cross = o.size.find('x');
    auto const side = [&](std::string_view said, mgm::Size& to) {
      auto const [end, error] = std::from_chars(said.data(), said.data() + said.size(), to);
      return error == std::errc() && end == said.data() + said.size() && to > 0;
    };
    std::string_view const said = o.size;
    if (cross == std::string::npos || !side(said.substr(0, cross), options.width) || !side(said.substr(cross + 1), options.height))
      throw UsageError{mgm::text("--size: expected WIDTHxHEIGHT, found ", mgm::quoted(o.size))};
  }
  check_writable(o.output);
  if (!o.dump.empty()) check_writable(o.dump);
  auto const generator = StableDiffusion<T, Dev>::open(ctx, o.model);
  if (!o.latents.empty()) read_latents(o.latents, options, generator.vae->config().factor());

  struct Kept {
    std::string name;
    std::vector<float> values;
    std::vector<mgm::Size> shape;
  };
  std::vector<Kept> kept;
  DrawTrace trace;
  if (!o.dump.empty())
    trace.tensor = [&](std::string const& name, std::vector<float> const& values, std::vector<mgm::Size> const& shape) {
      kept.push_back({name, values, shape});
    };
  auto const picture = generator.draw(ctx, *o.prompt, options, trace);
  terminal.clear();
  mgm::io::write_png(o.output, picture);
  if (!o.dump.empty()) {
    std::vector<mgm::io::TensorToWrite> tensors;
    for (auto const& k : kept) tensors.emplace_back(k.name, mgm::Dtype::f32, k.shape, k.values.data());
    mgm::io::write_safetensors(o.dump, tensors);
  }
  if (o.json)
    std::printf("{\"image\": %s, \"width\": %d, \"height\": %d, \"seed\": %llu, \"path\": \"%s\", \"threads\": %d}\n",
                quote(o.output).c_str(), picture.width, picture.height, static_cast<unsigned long long>(o.seed), ctx.path().c_str(),
                ctx.threads());
  return 0;
}

}  // namespace tool
