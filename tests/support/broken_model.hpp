/// A copy of a small model's folder to be broken, and what a failure of the tool must look like.
#pragma once
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <mgm/io/json.hpp>

#include "program.hpp"

namespace support {

using mgm::io::Json;

class BrokenModel {
 public:
  explicit BrokenModel(std::string const& name = "llama_std") {
    std::filesystem::copy(std::string(MGM_TEST_SOURCE "/tests/data/mgm/") + name + "/model", path(),
                          std::filesystem::copy_options::recursive);
  }
  [[nodiscard]] std::string path() const { return scratch_.path("model"); }
  [[nodiscard]] std::string path(std::string const& file) const { return path() + "/" + file; }
  [[nodiscard]] std::string bytes(std::string const& file) const { return slurp(path(file)); }
  BrokenModel& write(std::string const& file, std::string_view bytes) {
    scratch_.write("model/" + file, bytes);
    return *this;
  }
  BrokenModel& cut(std::string const& file, std::size_t bytes) {
    std::filesystem::resize_file(path(file), bytes);
    return *this;
  }
  BrokenModel& remove(std::string const& file) {
    std::filesystem::remove_all(path(file));
    return *this;
  }
  /// Sets a key of a JSON file; null takes it out.
  BrokenModel& set(std::string const& key, Json const& value, std::string const& file = "config.json") {
    return edit(file, [&](Json& json) {
      json[key] = value;
      if (value.is_null()) json.erase(key);
    });
  }
  template <class Edit>
  BrokenModel& edit(std::string const& file, Edit&& change) {
    Json json = Json::parse(bytes(file));
    change(json);
    return write(file, json.dump());
  }
  /// Changes the header of a safetensors file; its data stay.
  template <class Edit>
  BrokenModel& edit_header(std::string const& file, Edit&& change) {
    std::string const all = bytes(file);
    std::uint64_t length = 0;
    std::memcpy(&length, all.data(), sizeof length);
    Json header = Json::parse(all.substr(8, length));
    change(header);
    std::string const text = header.dump();
    return write(file, le(std::uint64_t{text.size()}) + text + all.substr(8 + length));
  }

 private:
  TempDir scratch_;
};

/// `ran` failed with `status`: one line on standard error that holds `fragment`, soon and in little memory.
inline void expect_failure(Ran const& ran, int status, std::string const& fragment, std::string const& what) {
  EXPECT_EQ(ran.status, status) << what << ": " << ran.err;
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << what << ": " << ran.err;
  EXPECT_TRUE(ran.err.starts_with("mgm: ") && ran.err.ends_with("\n")) << what << ": " << ran.err;
  EXPECT_NE(ran.err.find(fragment), std::string::npos) << what << ": expected \"" << fragment << "\" in: " << ran.err;
  EXPECT_LT(ran.peak_kib, 1 << 20) << what;
}

/// `ran` did what it should and had nothing to complain of.
inline void expect_good(Ran const& ran, std::string const& what) {
  EXPECT_EQ(ran.status, 0) << what << ": " << ran.err;
  EXPECT_EQ(ran.err, "") << what;
}

#if defined(MGM_TOOL)
/// The tool, for a minute at most.
[[nodiscard]] inline Ran mgm_tool(std::vector<std::string> arguments, RunOptions options = {}) {
  arguments.insert(arguments.begin(), MGM_TOOL);
  options.limit_seconds = 60;
  return run(arguments, options);
}
/// A short question to a model.
[[nodiscard]] inline Ran ask(std::string const& model, std::vector<std::string> const& more = {}, std::string const& said = "hello") {
  std::vector<std::string> all{"chat", model, "--prompt", said, "--max-new-tokens", "2", "--dtype", "f32", "--progress", "never"};
  all.insert(all.end(), more.begin(), more.end());
  return mgm_tool(all);
}
#endif

}  // namespace support
