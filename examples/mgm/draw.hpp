// Drawing with one element type: `mgm draw`, a picture for a prompt, by an image generator alone.
#pragma once
#include <filesystem>

#include <mgm/io/png.hpp>
#include <mgm/io/safetensors_writer.hpp>
#include <mgm/io/tensor_file.hpp>
#include <mgm/models/diffusion/draw_record.hpp>
#include <mgm/models/diffusion/open_diffusion.hpp>

#include "generator_options.hpp"
#include "json_out.hpp"
#include "painter.hpp"

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

/// Collects what a run shows, to be written as safetensors.
class DrawDump {
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
class FolderPainter final : public Painter {
  using Model = mgm::models::StableDiffusion<T, Dev>;

 public:
  FolderPainter(mgm::Context<Dev>& ctx, Options const& o, mgm::models::DrawOptions options, Terminal& terminal)
      : ctx_(&ctx), o_(&o), options_(std::move(options)), terminal_(&terminal) {
    for (auto const& name : picture_names(o.output, o.pictures)) check_writable(name);
    if (!o.dump.empty()) check_writable(o.dump);
    check_folder();
  }
  Painted paint(std::string const& prompt) override {
    open();
    DrawDump dump;
    mgm::models::DrawTrace trace;
    std::string name;
    if (!o_->dump.empty())
      trace.tensor = [&](std::string const& tensor, std::vector<float> const& values, std::vector<mgm::Size> const& shape) {
        dump.add(tensor, values, shape);
      };
    trace.step = [&](int step, int steps) { terminal_->step(step, steps); };
    if (o_->preview > 0) {
      trace.preview_every = o_->preview;
      trace.preview = [&](int step, mgm::io::Image const& picture) {
        mgm::io::write_png(with_suffix(name, mgm::text(".step-", step)), picture);
      };
    }
    auto const told = generator_->tell(*ctx_, prompt, options_);
    terminal_->clear();
    if (auto const cut = generator_->prompters.front().cut(prompt); cut > 0)
      std::fprintf(stderr, "note: the prompt is %zu tokens longer than the text encoder reads; the rest is left out\n", cut);
    Painted out{.names = picture_names(o_->output, o_->pictures, painted_)};
    auto options = options_;
    for (auto const& each : out.names) {
      name = each;
      auto const picture = generator_->draw(*ctx_, told, options, trace);
      terminal_->clear();
      mgm::io::write_png(name, picture, png_texts(record(prompt, options)));
      out.width = picture.width, out.height = picture.height;
      ++options.seed, ++painted_;
    }
    if (!o_->dump.empty()) dump.write(o_->dump);
    return out;
  }

 private:
  [[nodiscard]] mgm::models::GeneratorOptions parts() const { return generator_options(*o_, options_.init.has_value()); }
  /// Whatever the configs say about the options, before memory is taken.
  void check_folder() {
    auto const found = mgm::models::read_generator(o_->generator, parts(), std::same_as<T, mgm::half>);
    mgm::models::Scheduler(mgm::models::scheduler_config(found.scheduler, found.where, options_.scheduler), options_.steps);
    mgm::Size const factor = found.vae.factor();
    if (!o_->latents.empty()) read_latents(o_->latents, options_, factor);
    mgm::require<mgm::ArgumentError>(options_.width % factor == 0 && options_.height % factor == 0, "--size ", mgm::quoted(o_->size),
                                     ": this generator's pictures have sides that are multiples of ", factor);
  }
  void open() {
    if (generator_) return;
    generator_ = Model::open(*ctx_, o_->generator, parts());
    if (!o_->refiner.empty())
      generator_->refiner = std::make_shared<Model const>(Model::open(*ctx_, o_->refiner, {.encoder = false, .tokenizer = o_->tokenizer}));
    terminal_->clear();
    for (auto const& note : generator_->notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  }
  /// What the picture says of itself. Files are named, not where they lie.
  mgm::models::DrawRecord record(std::string const& prompt, mgm::models::DrawOptions const& options) const {
    auto const named = [](std::string const& path) {
      auto whole = std::filesystem::path(path).lexically_normal();
      return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
    };
    mgm::models::DrawRecord out{.prompt = prompt, .options = generator_->settled(options), .model = named(o_->generator)};
    out.more["dtype"] = o_->draw_dtype, out.more["device"] = Dev::kName;
    if (!o_->latents.empty()) out.more["latents"] = named(o_->latents);
    if (!o_->init.empty()) out.more["init"] = named(o_->init);
    if (!o_->mask.empty()) out.more["mask"] = named(o_->mask);
    for (auto const& lora : parts().loras) out.more["loras"].push_back({{"file", named(lora.path)}, {"scale", lora.scale}});
    if (!o_->ip_adapter.empty()) out.more["ip_adapter"] = named(o_->ip_adapter), out.more["ip_scale"] = options.picture_scale;
    if (!o_->ip_image.empty()) out.more["ip_image"] = named(o_->ip_image);
    if (!o_->refiner.empty()) out.more["refiner"] = named(o_->refiner), out.more["refiner_at"] = options.refiner_at;
    return out;
  }

  mgm::Context<Dev>* ctx_;
  Options const* o_;
  mgm::models::DrawOptions options_;
  Terminal* terminal_;
  std::optional<Model> generator_;
  int painted_ = 0;
};

template <class T, class Dev>
std::unique_ptr<Painter> make_painter_as(mgm::Context<Dev>& ctx, Options const& o, mgm::models::DrawOptions const& options,
                                         Terminal& terminal) {
  return std::make_unique<FolderPainter<T, Dev>>(ctx, o, options, terminal);
}

template <class T, class Dev>
int draw(Options const& o, Terminal& terminal) {
  mgm::Context<Dev> ctx(context_config<Dev>(o, terminal));
  auto const painted = make_painter_as<T, Dev>(ctx, o, draw_options(o), terminal)->paint(*o.prompt);
  terminal.clear();
  if (o.json) {
    std::string list;
    for (auto const& each : painted.names) list += (list.empty() ? "" : ", ") + quote(each);
    std::printf("{\"image\": %s, \"images\": [%s], \"width\": %d, \"height\": %d, \"seed\": %llu, \"path\": \"%s\", \"threads\": %d}\n",
                quote(o.output).c_str(), list.c_str(), painted.width, painted.height, static_cast<unsigned long long>(o.seed),
                ctx.path().c_str(), ctx.threads());
  }
  return 0;
}

}  // namespace tool
