// `mgm inspect`: what a folder or a file of weights is, by its content; and how a picture was drawn that says so.
#include <cstdio>
#include <filesystem>
#include <map>

#include <mgm/io/scan.hpp>
#include <mgm/io/sha256.hpp>
#include <mgm/mgm.hpp>
#include <mgm/models/diffusion/draw_record.hpp>

#include "json_out.hpp"
#include "options.hpp"

namespace tool {

namespace {
namespace fs = std::filesystem;
using mgm::Size, mgm::text;

struct Finding {
  std::string format = "unknown";
  std::vector<mgm::io::Checkpoint> sources;
  bool is_model = false;
  std::vector<std::string> missing, unexpected, misshaped;  ///< names
  std::vector<std::string> details;                         ///< lines for people
  std::vector<std::string> notes;
  std::vector<mgm::io::PngText> texts;  ///< of a picture
  std::string error;  ///< why it cannot be used, on one line; empty when it can
};

/// A language model's folder, with or without eyes: what it should hold against what it holds.
void check_model(Finding& f, std::string const& folder, bool vision) {
  mgm::Context<mgm::Cpu> ctx({.threads = 1});
  auto opened =
      mgm::models::detail::plan_open<mgm::models::MiniGemini<float>>(ctx, folder, {.clip = {}, .openclip = {}, .vocabulary = false});
  opened.report.suggest();
  f.notes = opened.model.notes;
  for (auto const& m : opened.report.missing()) f.missing.push_back(m.name);
  for (auto const& m : opened.report.misshaped()) {
    f.misshaped.push_back(m.name);
    f.details.push_back(
        text("misshaped ", m.name, ": expected ", mgm::io::shape_text(m.expected), ", found ", mgm::io::shape_text(m.found)));
  }
  for (auto const& m : opened.report.mistyped()) {
    f.misshaped.push_back(m.name);
    f.details.push_back(text("mistyped ", m.name, ": expected floating-point numbers, found ", name(m.found)));
  }
  f.unexpected = opened.report.unexpected();
  if (!opened.report.ok()) f.error = opened.report.message(opened.where());
  f.format = vision ? "mgm" : std::string(name(opened.model.language_model->config().family));
  if (opened.clip && opened.clip->checkpoint.path() != opened.language.checkpoint.path()) f.sources.push_back(opened.clip->checkpoint);
  if (opened.convnext && opened.convnext->checkpoint.path() != opened.language.checkpoint.path())
    f.sources.push_back(opened.convnext->checkpoint);
}

/// The texts of a PNG that tells how it was drawn; of any other file none.
std::vector<mgm::io::PngText> texts_of_drawing(std::string const& path) {
  constexpr std::string_view kSignature = "\x89PNG\r\n\x1A\n";
  auto const file = mgm::io::MappedFile::open(path);
  if (file->size() < 8 || file->view(0, 8).text() != kSignature) return {};
  auto texts = mgm::io::read_png_texts(path);
  return mgm::models::draw_record(texts, path) ? std::move(texts) : std::vector<mgm::io::PngText>();
}

/// Fills `f` as far as possible before it throws.
void look(std::string const& path, Finding& f) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    if (f.texts = texts_of_drawing(path); !f.texts.empty()) {
      f.format = "png";
      return;
    }
    f.sources.push_back(mgm::io::Checkpoint::open(path));
    f.format = f.sources[0].format();
    return;
  }
  fs::path const folder(path);
  auto const has = [&](char const* file) { return fs::exists(folder / file, ignored); };
  if (has("model_index.json")) {
    f.format = "generator";
    f.notes.push_back("an image generator's folder; its parts are not checked yet");
    return;
  }
  if (has("open_clip_config.json") || has("open_clip_pytorch_model.bin") || has("open_clip_model.safetensors")) {
    f.format = "openclip";
    f.sources.push_back(mgm::io::Checkpoint::open(path, mgm::io::open_clip_files()));
    return;
  }
  if (has("config.json")) {
    auto const json = mgm::io::read_json((folder / "config.json").string());
    std::string const where = (folder / "config.json").string();
    bool const clip =
        mgm::io::find_key(json, "vision_config", where) || mgm::io::get_or<std::string>(json, "model_type", "", where).starts_with("clip");
    bool const vision = mgm::io::find_key(json, "mm_vision_tower", where) != nullptr;
    f.format = clip ? "clip" : vision ? "mgm" : "language model";
    f.is_model = !clip;
    f.sources.push_back(mgm::io::Checkpoint::open(path));
    if (clip) return;
    check_model(f, path, vision);
    return;
  }
  for (char const* tokenizer : {"tokenizer.model", "tokenizer.json", "vocab.json"}) {
    if (!has(tokenizer)) continue;
    bool weights = false;
    for (auto const& file : mgm::io::model_files()) weights = weights || has(file.c_str());
    if (weights) break;
    f.format = "tokenizer";
    return;
  }
  f.sources.push_back(mgm::io::Checkpoint::open(path));
  f.format = f.sources[0].format();
}

/// Which stage of the pipeline a tensor belongs to.
std::string_view stage_of(std::string_view tensor) {
  auto const in = [&](std::string_view part) { return tensor.find(part) != tensor.npos; };
  if (in("vision_tower_aux") || in("visual.trunk")) return "vision_tower_aux";
  if (in("vision_tower") || in("vision_model")) return "vision_tower";
  if (in("vlm_uni")) return "mining";
  if (in("mm_projector")) return "projector";
  if (in("embed_tokens") || in("lm_head")) return "embedding and head";
  return "layers";
}

std::string hash_of(mgm::io::TensorFile const& file, mgm::io::TensorInfo const& info) {
  mgm::io::Sha256 sha;
  file.visit_bytes(info, [&](std::byte const* data, Size bytes) { sha.update(data, bytes); });
  return sha.hex();
}

/// `--scan`: every element of every tensor.
void scan(Finding& f) {
  Size bad = 0;
  for (auto const& source : f.sources)
    for (auto const& e : source.entries())
      if (auto const at = mgm::io::first_not_finite(*e.file, *e.info)) {
        f.details.push_back(text("not finite  ", e.name, ": element ", *at, " is NaN or infinite"));
        if (bad++ == 0) f.error = text(e.file->path(), ": tensor ", mgm::quoted(e.name), ": element ", *at, " is NaN or infinite");
      }
  if (bad > 1) f.error += text(", and ", bad - 1, " more tensors have such elements");
}

void print_json(Finding const& f, Options const& o) {
  std::string out = text("{\"format\": ", quote(f.format), ", \"tensors\": [");
  bool first = true;
  for (auto const& source : f.sources) {
    for (auto const& e : source.entries()) {
      out += text(first ? "" : ", ", "{\"name\": ", quote(e.name), ", \"dtype\": \"", name(e.info->dtype),
                  "\", \"shape\": ", array(e.info->shape), ", \"bytes\": ", e.info->bytes);
      if (o.hash) out += text(", \"sha256\": \"", hash_of(*e.file, *e.info), "\"");
      out += "}", first = false;
    }
  }
  out += "]";
  auto const list = [&](char const* key, std::vector<std::string> const& names) {
    out += text(", \"", key, "\": [");
    for (std::size_t i = 0; i < names.size(); ++i) out += text(i ? ", " : "", quote(names[i]));
    out += "]";
  };
  if (f.is_model) list("missing", f.missing), list("unexpected", f.unexpected), list("misshaped", f.misshaped);
  list("notes", f.notes);
  if (!f.texts.empty()) {
    out += ", \"texts\": {";
    for (auto const& t : f.texts) out += text(&t == f.texts.data() ? "" : ", ", quote(t.key), ": ", quote(t.text));
    out += "}";
  }
  if (!f.error.empty()) out += text(", \"error\": ", quote(f.error));
  std::printf("%s}\n", out.c_str());
}

void print_text(Finding const& f, Options const& o) {
  std::printf("format      %s\n", f.format.c_str());
  std::map<std::string_view, std::pair<Size, Size>> stages;
  for (auto const& source : f.sources) {
    std::printf("weights     %s, %s, %zu tensors, %lld bytes\n", source.path().c_str(), std::string(source.format()).c_str(),
                source.entries().size(), static_cast<long long>(source.bytes()));
    for (auto const& e : source.entries()) {
      auto& [count, bytes] = stages[stage_of(e.name)];
      ++count, bytes += e.info->bytes;
      if (!f.is_model || o.hash)
        std::printf("  %-4s %-24s %s%s%s\n", std::string(name(e.info->dtype)).c_str(), mgm::io::shape_text(e.info->shape).c_str(),
                    std::string(e.name).c_str(), o.hash ? "  " : "", o.hash ? hash_of(*e.file, *e.info).c_str() : "");
    }
  }
  if (f.is_model) {
    for (auto const& [stage, sum] : stages)
      std::printf("  %-20s %6lld tensors %14lld bytes\n", std::string(stage).c_str(), static_cast<long long>(sum.first),
                  static_cast<long long>(sum.second));
    for (auto const& n : f.missing) std::printf("missing     %s\n", n.c_str());
    for (auto const& d : f.details) std::printf("%s\n", d.c_str());
    for (auto const& n : f.unexpected) std::printf("unexpected  %s\n", n.c_str());
    if (f.error.empty()) std::printf("complete    every tensor that the model needs is there, in its shape\n");
  }
  for (auto const& t : f.texts) std::printf("%-11s %s\n", t.key.c_str(), t.text.c_str());
  for (auto const& n : f.notes) std::printf("note        %s\n", n.c_str());
}
}  // namespace

int inspect(Options const& o) {
  Finding f;
  try {
    look(o.model, f);
    if (o.scan && f.error.empty()) scan(f);
  } catch (mgm::models::detail::MissingTensor const& error) {
    f.missing.push_back(error.tensor());
    f.error = error.what();
  } catch (mgm::Error const& error) {
    f.error = error.what();
  }
  if (o.json) print_json(f, o);
  if (!o.json && !(f.sources.empty() && !f.error.empty())) print_text(f, o);
  if (f.error.empty()) return 0;
  std::fflush(stdout);
  complain(f.error);
  return 1;
}

}  // namespace tool
