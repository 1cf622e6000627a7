// What the commands that draw share: one reading of the drawing options, and a generator whose element type is settled.
#pragma once
#include <charconv>
#include <filesystem>
#include <memory>

#include <mgm/models/diffusion/draw_options.hpp>

#include "context.hpp"

namespace tool {

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
/// The names of `count` pictures after `before` others: OUT.png, OUT-2.png, OUT-3.png, …
inline std::vector<std::string> picture_names(std::string const& path, int count, int before = 0) {
  std::vector<std::string> out;
  for (int i = before + 1; i <= before + count; ++i) out.push_back(i == 1 ? path : with_suffix(path, mgm::text("-", i)));
  return out;
}

/// What the command line asks of a picture, and all that can be said without the generator. Throws UsageError for options that do not go
/// together, FileError for pictures that cannot be read.
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
  if (!o.ip_image.empty()) options.picture = read_picture(o, o.ip_image);
  options.picture_scale = o.ip_scale;
  options.strength = o.strength, options.tiled = o.tile == "on", options.refiner_at = o.refiner_at.value_or(0.8);
  return options;
}

/// Pictures that were written.
struct Painted {
  std::vector<std::string> names;
  int width = 0, height = 0;
};

/// A generator that is known to be there, and is opened for its first picture: till then it takes no memory.
class Painter {
 public:
  virtual ~Painter() = default;
  /// Draws as many pictures as the options ask for, and writes them beside those painted before: none overwrites another.
  virtual Painted paint(std::string const& prompt) = 0;
};

/// The generator of the options, with its weights as T; `options` are what `draw_options` made of them. What the configs say against the
/// options is refused here, and outputs that cannot be written. The context, `o` and the terminal must outlive it.
template <class T, class Dev>
std::unique_ptr<Painter> make_painter_as(mgm::Context<Dev>& ctx, Options const& o, mgm::models::DrawOptions const& options,
                                         Terminal& terminal);

#if defined(MGM_TOOL_SMALL)
inline constexpr bool kDraws = false;
#else
inline constexpr bool kDraws = true;
#endif

/// Throws DeviceError in a build that does not draw.
template <class Dev>
std::unique_ptr<Painter> make_painter(mgm::Context<Dev>& ctx, Options const& o, mgm::models::DrawOptions const& options,
                                      Terminal& terminal) {
  mgm::require<mgm::DeviceError>(kDraws, "this build does not draw");
  if constexpr (kDraws)
    return o.draw_dtype == "bf16"  ? make_painter_as<mgm::bf16>(ctx, o, options, terminal)
           : o.draw_dtype == "f16" ? make_painter_as<mgm::half>(ctx, o, options, terminal)
                                   : make_painter_as<float>(ctx, o, options, terminal);
  else
    return (void)ctx, (void)o, (void)options, (void)terminal, nullptr;
}

}  // namespace tool
