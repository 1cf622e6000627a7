/// A case folder: a model, pictures, a prompt and the float64 activations of a reference; and how a dump is compared with them.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <mgm/io/json.hpp>
#include <mgm/io/tensor_file.hpp>

#include "program.hpp"

namespace support {

/// All numbers of a tensor of a file. T is the type that the file must have: float or std::int64_t.
template <class T>
[[nodiscard]] std::vector<T> numbers(mgm::io::TensorFile const& file, mgm::io::TensorInfo const& tensor) {
  if (tensor.dtype != (sizeof(T) == 4 ? mgm::Dtype::f32 : mgm::Dtype::i64)) throw std::runtime_error(tensor.name + ": another type");
  auto const bytes = file.bytes(tensor);
  std::vector<T> out(static_cast<std::size_t>(tensor.count()));
  if (!out.empty()) std::memcpy(out.data(), bytes.data, out.size() * sizeof(T));
  return out;
}

struct ParityCase {
  std::string folder;
  mgm::io::Json description;

  explicit ParityCase(std::string path) : folder(std::move(path)), description(mgm::io::read_json(folder + "/case.json")) {}
  [[nodiscard]] std::string at(std::string const& key) const { return folder + "/" + description.at(key).get<std::string>(); }
  [[nodiscard]] bool has(std::string const& key) const { return description.contains(key) && !description.at(key).is_null(); }

  /// The command that dumps this case to `output`.
  [[nodiscard]] std::vector<std::string> command(std::string const& tool, std::string const& dtype, std::string const& output,
                                                 std::vector<std::string> const& more = {}) const {
    std::vector<std::string> c{tool, "dump", at("model"), "--prompt", description.at("prompt").get<std::string>(), "-o", output,
                               "--dtype", dtype, "--max-new-tokens", std::to_string(description.at("max_new_tokens").get<int>()),
                               "--progress", "never"};
    for (auto const& image : description.at("images")) c.insert(c.end(), {"--image", folder + "/" + image.get<std::string>()});
    for (std::string const key : {"template", "exif"})
      if (has(key)) c.insert(c.end(), {"--" + key, description.at(key).get<std::string>()});
    for (std::string const key : {"clip", "openclip"})
      if (has(key)) c.insert(c.end(), {"--" + key, at(key)});
    c.insert(c.end(), more.begin(), more.end());
    return c;
  }
};

/// Every folder under `root` that holds a case.json, in order of their names; none where there is no such root.
[[nodiscard]] inline std::vector<std::string> case_folders(std::string const& root) {
  std::vector<std::string> out;
  std::error_code absent;
  for (auto const& entry : std::filesystem::directory_iterator(root, absent))
    if (std::filesystem::exists(entry.path() / "case.json")) out.push_back(entry.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

/// What of the dump at `path` is not as the case demands, one line each; empty when all is well.
/// f32: within max(8 · tolerance, 1e-6 · scale), ids and greedy tokens equal. Else within max(4 · tolerance of bf16, 2⁻⁷ · scale), ids
/// equal; where the router's choices are close, an expert may change and move one row of the last states in thirty.
/// `bits`, where there is no tolerance of bf16: those of a 16-bit significand. To first order an error grows with the unit of rounding, so
/// where float32 with its 24 bits lost `tolerance`, 2^(24 − bits) of that is allowed: no more, since our sums are in float all the same.
[[nodiscard]] inline std::vector<std::string> differences(ParityCase const& wanted, std::string const& path, bool f32, int bits = 0) {
  std::vector<std::string> out;
  auto const golden = mgm::io::TensorFile::open(wanted.folder + "/golden.safetensors"), found = mgm::io::TensorFile::open(path);
  auto const& tensors = wanted.description.at("tensors");
  for (auto const& tensor : found->tensors())
    if (!tensors.contains(tensor.name)) out.push_back(tensor.name + ": not expected");
  for (auto const& [name, entry] : tensors.items()) {
    auto const* tensor = found->find(name);
    if (tensor == nullptr || tensor->shape != entry.at("shape").get<std::vector<mgm::Size>>()) {
      out.push_back(name + (tensor == nullptr ? ": missing" : ": another shape"));
      continue;
    }
    if (entry.value("dtype", "F32") == "I64") {
      if ((f32 || name != "new_tokens") && numbers<std::int64_t>(*found, *tensor) != numbers<std::int64_t>(*golden, *golden->find(name)))
        out.push_back(name + ": other ids");
      continue;
    }
    auto const all = numbers<float>(*found, *tensor), right = numbers<float>(*golden, *golden->find(name));
    auto const step = entry.value("step", std::size_t{1});
    auto const& tolerance = entry.at("tolerance");
    double const scale = entry.at("scale").get<double>(),
                 lost = (tolerance.is_object() ? tolerance.at(f32 || bits > 0 ? "f32" : "bf16") : tolerance).get<double>();
    double const allowed = bits > 0 ? std::max(std::ldexp(lost, 24 - bits), 1e-6 * scale)
                           : f32    ? std::max(8 * lost, 1e-6 * scale)
                                    : std::max(4 * lost, scale / 128);
    std::size_t const spared = !f32 && name == "hidden_states.last" && wanted.has("router_margin") ? right.size() / 30 : 0;
    double worst = 0;
    std::size_t outside = right.size() == (all.size() + step - 1) / step ? 0 : right.size();
    for (std::size_t i = 0; i < right.size() && i * step < all.size(); ++i) {
      double const off = std::abs(double{all[i * step]} - double{right[i]});
      if (!(off <= allowed)) ++outside;
      worst = std::isnan(off) ? off : std::max(worst, off);
    }
    if (outside > spared)
      out.push_back(mgm::text(name, ": ", outside, " of ", right.size(), " numbers are off, by up to ", worst, " of scale ", scale,
                              ", allowed ", allowed));
  }
  return out;
}

}  // namespace support
