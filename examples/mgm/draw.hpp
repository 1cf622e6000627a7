// `mgm draw`: a picture for a prompt, by an image generator alone.
#pragma once
#include <filesystem>

#include <mgm/io/png.hpp>
#include <mgm/io/safetensors_writer.hpp>
#include <mgm/io/tensor_file.hpp>
#include <mgm/models/diffusion/open_diffusion.hpp>

#include "context.hpp"
#include "generator_options.hpp"
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

/// WIDTHxHEIGHT in pixels.
inline void read_size(std::string_view said, mgm::models::DrawOptions& options) {
  auto const side = [](std::string_view digits, mgm::Size& to) {
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), to);
    return error == std::errc() && end == digits.data() + digits.size() && to > 0;
  };
  auto const cross = said.find('x');
  if (cross == said.npos || !side(said.substr(0, cross), options.width) || !side(said.substr(cross + 1), options.height))
    throw UsageError{mgm::text("--size: expected WIDTHxHEIGHT, found ", mgm::quoted(said))};
}

/// OUT.png with `more` before the ending: OUT-2.png.
inline std::string with_suffix(std::string const& path, std::string const& more) {
  std::filesystem::path const whole(path);
  return (whole.parent_path() / (whole.stem().string() + more + whole.extension().string())).string();
}
/// The names of `count` pictures: OUT.png, OUT-2.png, OUT-3.png, …
inline std::vector<std::string> picture_names(std::string const& path, int count) {
  std::vector<std::string> out{path};
  for (int i = 2; i <= count; ++i) out.push_back(with_suffix(path, mgm::text("-", i)));
  return out;
}

/// What the command line asks of a picture. Throws UsageError for options that do not go together.
inline mgm::models::DrawOptions draw_options(Options const& o) {
  mgm::models::DrawOptions options{.negative = o.negative, .steps = o.steps, .guidance = o.guidance, .seed = o.seed};
  if (!o.scheduler.empty()) options.scheduler = mgm::models::scheduler_by_name(o.scheduler);
  if (o.karras != "auto") options.karras = o.karras == "on";
  if (!o.size.empty()) read_size(o.size, options);
  if (o.init.empty() && (!o.mask.empty() || o.strength)) throw UsageError{"--mask and --strength need --init, the picture to begin with"};
  if (!o.init.empty() && !o.latents.empty()) throw UsageError{"--init and --latents exclude each other: both say what to begin with"};
  if (!o.refiner.empty() && !o.mask.empty()) throw UsageError{"--refiner does not go with --mask"};
  if (o.refiner.empty() && o.refiner_at) throw UsageError{"--refiner-at needs --refiner"};
  if (o.pictures > 1 && (!o.dump.empty() || !o.latents.empty())) throw UsageError{"--images: --dump and --latents are for one picture"};
  if (!o.init.empty()) options.init = read_picture(o, o.init);
  if (!o.mask.empty()) options.mask = read_picture(o, o.mask);
  if (!o.ip_image.empty()) options.picture = read_picture(o, o.ip_image), options.picture_scale = o.ip_scale;
  options.strength = o.strength, options.tiled = o.tile == "on", options.refiner_at = o.refiner_at.value_or(0.8);
  return options;
}

/// Collects what a run shows, to be written as safetensors.
class DrawRecord {
 public:
  void add(std::string const& name, std::vector<float> const& values, std::vector<mgm::Size> const& shape) {
    kept_.push_back({name, values, shape});
  }
  void write(std::string const& path) const {
    std::vector<mgm::io::TensorToWrite> tensors;
    for (auto const& k : kept_) tensors.emplace_back(k.name, mgm::Dtype::f32, k.shape, k.values.data());
    mgm::io::write_safetensors(path, tensors);
  }

 private:
  struct Kept {
    std::string name;
    std::vector<float> values;
    std::vector<mgm::Size> shape;
  };
  std::vector<Kept> kept_;
};

template <class T, class Dev>
int draw(Options const& o, Terminal& terminal) {
  using namespace mgm::models;
  mgm::Context<Dev> ctx(context_config<Dev>(o, terminal));
  auto options = draw_options(o);
  auto const names = picture_names(o.output, o.pictures);
  for (auto const& name : names) check_writable(name);
  if (!o.dump.empty()) check_writable(o.dump);
  auto generator = StableDiffusion<T, Dev>::open(ctx, o.model, generator_options(o, options.init.has_value()));
  if (!o.refiner.empty())
    generator.refiner = std::make_shared<StableDiffusion<T, Dev> const>(StableDiffusion<T, Dev>::open(ctx, o.refiner, {.encoder = false, .tokenizer = o.tokenizer}));
  if (!o.latents.empty()) read_latents(o.latents, options, generator.vae->config().factor());

  DrawRecord record;
  DrawTrace trace;
  std::string name;
  if (!o.dump.empty())
    trace.tensor = [&](std::string const& tensor, std::vector<float> const& values, std::vector<mgm::Size> const& shape) {
      record.add(tensor, values, shape);
    };
  trace.step = [&](int step, int steps) { terminal.step(step, steps); };
  if (o.preview > 0) {
    trace.preview_every = o.preview;
    trace.preview = [&](int step, mgm::io::Image const& picture) {
      mgm::io::write_png(with_suffix(name, mgm::text(".step-", step)), picture);
    };
  }
  auto const told = generator.tell(ctx, *o.prompt, options);
  terminal.clear();
  for (auto const& note : generator.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  if (auto const cut = generator.prompters.front().cut(*o.prompt); cut > 0)
    std::fprintf(stderr, "note: the prompt is %zu tokens longer than the text encoder reads; the rest is left out\n", cut);
  mgm::io::Image picture;
  for (auto const& each : names) {
    name = each;
    picture = generator.draw(ctx, told, options, trace);
    terminal.clear();
    mgm::io::write_png(name, picture);
    ++options.seed;
  }
  if (!o.dump.empty()) record.write(o.dump);
  if (o.json) {
    std::string list;
    for (auto const& each : names) list += (list.empty() ? "" : ", ") + quote(each);
    std::printf("{\"image\": %s, \"images\": [%s], \"width\": %d, \"height\": %d, \"seed\": %llu, \"path\": \"%s\", \"threads\": %d}\n",
                quote(o.output).c_str(), list.c_str(), picture.width, picture.height, static_cast<unsigned long long>(o.seed),
                ctx.path().c_str(), ctx.threads());
  }
  return 0;
}

}  // namespace tool
