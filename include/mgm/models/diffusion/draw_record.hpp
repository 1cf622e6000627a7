/// How a picture was drawn, as the texts of its PNG say it, so that it can be drawn again. Belongs to mgm::images.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/core/version.hpp>
#include <mgm/io/json.hpp>
#include <mgm/io/png_text.hpp>
#include <mgm/models/diffusion/draw_options.hpp>

namespace mgm::inline v0::models {

struct DrawRecord {
  std::string prompt;
  DrawOptions options{};               ///< without latents and pictures, which are too large for a text
  std::string model{};                 ///< what the generator is called; not where it lies
  io::Json more = io::Json::object();  ///< members besides these, such as the element type
};

/// The keys of the two texts: what people and their programs read, and one line of JSON for machines.
inline constexpr char const* kDrawTextKey = "parameters";
inline constexpr char const* kDrawJsonKey = "mgm";

/// The record as JSON. An option that is absent is left out; one that was not settled (size 0) too.
[[nodiscard]] inline io::Json to_json(DrawRecord const& r) {
  io::Json out = r.more;
  out["prompt"] = r.prompt, out["seed"] = r.options.seed, out["steps"] = r.options.steps, out["version"] = kVersion;
  if (r.options.negative) out["negative_prompt"] = *r.options.negative;
  if (r.options.guidance) out["guidance"] = *r.options.guidance;
  if (r.options.width > 0 && r.options.height > 0) out["width"] = r.options.width, out["height"] = r.options.height;
  if (r.options.scheduler) out["scheduler"] = kSchedulerNames[static_cast<int>(*r.options.scheduler)];
  if (r.options.karras) out["karras"] = *r.options.karras;
  if (r.options.strength) out["strength"] = *r.options.strength;
  if (r.options.tiled) out["tiled"] = true;
  if (!r.model.empty()) out["model"] = r.model;
  return out;
}

/// The texts to write: `parameters` in the form that Stable Diffusion's web interfaces share (prompt, "Negative prompt: …", one line of
/// settings), and `mgm` in JSON, which has everything.
[[nodiscard]] inline std::vector<io::PngText> png_texts(DrawRecord const& r) {
  constexpr std::string_view kSamplers[] = {"Euler", "Euler a", "DDIM", "DPM++ 2M", "LCM", "PLMS"};
  auto const& o = r.options;
  std::string said = r.prompt + "\n";
  if (o.negative && !o.negative->empty()) said += "Negative prompt: " + *o.negative + "\n";
  said += text("Steps: ", o.steps);
  if (o.scheduler) said += text(", Sampler: ", kSamplers[static_cast<int>(*o.scheduler)]);
  if (o.karras == true) said += ", Schedule type: Karras";
  if (o.guidance) said += text(", CFG scale: ", *o.guidance);
  said += text(", Seed: ", o.seed);
  if (o.width > 0 && o.height > 0) said += text(", Size: ", o.width, "x", o.height);
  if (o.strength) said += text(", Denoising strength: ", *o.strength);
  if (!r.model.empty()) said += ", Model: " + r.model;
  said += text(", Version: mgm ", kVersion);
  return {{kDrawTextKey, std::move(said)}, {kDrawJsonKey, to_json(r).dump(-1, ' ', true, io::Json::error_handler_t::replace)}};
}

/// The record of a PNG that `png_texts` went into; nothing where there is none. `where` begins the messages. Throws FileError, ConfigError
/// when the text is there and no record.
[[nodiscard]] inline std::optional<DrawRecord> draw_record(std::vector<io::PngText> const& texts, std::string_view where) {
  for (auto const& t : texts) {
    if (t.key != kDrawJsonKey) continue;
    DrawRecord r;
    io::Json json = io::parse_json(t.text, where);
    r.prompt = io::get<std::string>(json, "prompt", where);
    auto& o = r.options;
    o.seed = io::get_or(json, "seed", o.seed, where), o.steps = io::get_or(json, "steps", o.steps, where);
    if (io::find_key(json, "negative_prompt", where)) o.negative = io::get<std::string>(json, "negative_prompt", where);
    if (io::find_key(json, "guidance", where)) o.guidance = io::get<double>(json, "guidance", where);
    o.width = io::get_or(json, "width", Size{0}, where), o.height = io::get_or(json, "height", Size{0}, where);
    if (io::find_key(json, "scheduler", where)) o.scheduler = scheduler_by_name(io::get<std::string>(json, "scheduler", where));
    if (io::find_key(json, "karras", where)) o.karras = io::get<bool>(json, "karras", where);
    if (io::find_key(json, "strength", where)) o.strength = io::get<double>(json, "strength", where);
    o.tiled = io::get_or(json, "tiled", false, where);
    r.model = io::get_or<std::string>(json, "model", "", where);
    for (char const* key : {"prompt", "seed", "steps", "version", "negative_prompt", "guidance", "width", "height", "scheduler", "karras",
                            "strength", "tiled", "model"})
      json.erase(key);
    r.more = std::move(json);
    return r;
  }
  return std::nullopt;
}
/// `draw_record` of a file. Throws also as io::read_png_texts.
[[nodiscard]] inline std::optional<DrawRecord> read_draw_record(std::string const& path) {
  return draw_record(io::read_png_texts(path), path);
}

}  // namespace mgm::inline v0::models
