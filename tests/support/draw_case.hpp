/// A case of `mgm draw`: a generator's folder, arguments, and the dump and the picture of a reference. It may be copied and spoilt.
#pragma once
#include <mgm/io/png.hpp>

#include "parity.hpp"

namespace support {

struct DrawCase : ParityCase {
  std::string root;  ///< what paths are relative to

  explicit DrawCase(std::string const& path)
      : ParityCase(path), root(path.ends_with(".case") ? std::filesystem::path(path).parent_path().string() : path) {}

  [[nodiscard]] std::string generator() const { return root + "/" + description.at("generator").get<std::string>(); }
  /// The command that draws this case into `picture` and `dump`.
  [[nodiscard]] std::vector<std::string> command(std::string const& tool, std::string const& picture, std::string const& dump,
                                                 std::vector<std::string> const& more = {}) const {
    std::vector<std::string> c{tool, "draw", generator(), "-o", picture, "--dump", dump, "--progress", "never"};
    for (auto const& word : description.at("arguments")) c.push_back(word.get<std::string>());
    if (has("paths"))
      for (auto const& [option, file] : description.at("paths").items()) c.insert(c.end(), {option, root + "/" + file.get<std::string>()});
    c.insert(c.end(), more.begin(), more.end());
    return c;
  }
};

[[nodiscard]] inline mgm::io::Image read_png(std::string const& path) {
  auto const bytes = slurp(path);
  return mgm::io::decode_png({reinterpret_cast<std::uint8_t const*>(bytes.data()), bytes.size()}, {}, path);
}

/// The share of values that differ by more than one level; 1 where the sizes differ.
[[nodiscard]] inline double differing_share(mgm::io::Image const& a, mgm::io::Image const& b) {
  if (a.width != b.width || a.height != b.height || a.rgb.empty()) return 1;
  std::size_t off = 0;
  for (std::size_t i = 0; i < a.rgb.size(); ++i) off += std::abs(int{a.rgb[i]} - int{b.rgb[i]}) > 1;
  return static_cast<double>(off) / static_cast<double>(a.rgb.size());
}

/// A copy of one of our cases, with its generator, that may be spoilt.
class SpoiltDraw {
 public:
  explicit SpoiltDraw(std::string const& name) {
    namespace fs = std::filesystem;
    fs::path const from = MGM_TEST_SOURCE "/tests/data/sd";
    folder_ = scratch_.path(name + ".case");
    fs::copy(from / (name + ".case"), folder_, fs::copy_options::recursive);
    auto const kind = mgm::io::read_json(folder_ + "/case.json").at("generator").get<std::string>();
    fs::copy(from / kind, scratch_.path(kind), fs::copy_options::recursive);
    for (std::string const file : {"init.png", "mask.png"}) fs::copy(from / file, scratch_.path(file));
    generator_ = scratch_.path(kind);
  }
  /// Sets a key of a JSON file of the generator; null takes it out.
  SpoiltDraw& set(std::string const& file, std::string const& key, mgm::io::Json const& value) {
    auto json = mgm::io::read_json(generator_ + "/" + file);
    if (value.is_null())
      json.erase(key);
    else
      json[key] = value;
    std::ofstream(generator_ + "/" + file) << json.dump();
    return *this;
  }
  /// Hands the bytes of a tensor to `change`, and puts back what it leaves there.
  template <class Change>
  SpoiltDraw& bytes(std::string const& part, std::string const& tensor, Change&& change) {
    for (auto const& entry : std::filesystem::directory_iterator(generator_ + "/" + part)) {
      if (entry.path().extension() != ".safetensors") continue;
      auto const file = mgm::io::TensorFile::open(entry.path().string());
      auto const* found = file->find(tensor);
      if (found == nullptr) continue;
      auto all = slurp(entry.path().string());
      std::string changed = all.substr(static_cast<std::size_t>(found->offset), static_cast<std::size_t>(found->bytes));
      change(changed);
      all.replace(static_cast<std::size_t>(found->offset), changed.size(), changed);
      std::ofstream(entry.path(), std::ios::binary) << all;
      return *this;
    }
    ADD_FAILURE() << "no tensor " << tensor << " in " << part;
    return *this;
  }
  /// Taken out of the generator's folder.
  SpoiltDraw& remove(std::string const& file) {
    std::filesystem::remove_all(generator_ + "/" + file);
    return *this;
  }
  [[nodiscard]] std::string dump() const { return scratch_.path("dump"); }
  [[nodiscard]] std::string picture() const { return scratch_.path("out.png"); }
  [[nodiscard]] std::string generator() const { return generator_; }
  [[nodiscard]] Ran run(std::string const& tool, std::vector<std::string> const& more = {}) const {
    return support::run(DrawCase(folder_).command(tool, picture(), dump(), more));
  }
  /// The tensors that are not as the case demands.
  [[nodiscard]] std::vector<std::string> off(std::string const& tool, std::vector<std::string> const& more = {}) const {
    auto const ran = run(tool, more);
    EXPECT_EQ(ran.status, 0) << ran.err;
    std::vector<std::string> out;
    if (ran.status == 0)
      for (auto const& line : differences(DrawCase(folder_), dump(), true)) out.push_back(line.substr(0, line.find(':')));
    return out;
  }
  [[nodiscard]] bool is_off(std::string const& tool, std::string const& tensor, std::vector<std::string> const& more = {}) const {
    auto const all = off(tool, more);
    return std::find(all.begin(), all.end(), tensor) != all.end();
  }

 private:
  TempDir scratch_;
  std::string folder_, generator_;
};

}  // namespace support
