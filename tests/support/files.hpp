/// A folder that vanishes after the test, and checks of what a refusal says.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <mgm/core/error.hpp>

namespace support {

class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "mgm-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  TempDir(TempDir const&) = delete;
  TempDir& operator=(TempDir const&) = delete;
  ~TempDir() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] std::string path(std::string const& name) const { return (path_ / name).string(); }
  std::string write(std::string const& name, std::string_view bytes) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream out(path_ / name, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path(name);
  }
  /// Names in the folder.
  [[nodiscard]] std::size_t count() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

[[nodiscard]] inline std::string slurp(std::string const& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Little-endian bytes of an integer.
template <class T>
[[nodiscard]] std::string le(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

/// `body` throws an mgm::Error of `code` whose text is one line of at most 4000 bytes and holds `fragment`.
template <class Body>
void expect_refused(Body&& body, mgm::Code code, std::string const& fragment, std::string const& what = "") {
  try {
    body();
    ADD_FAILURE() << what << ": accepted, expected a refusal with \"" << fragment << '"';
  } catch (mgm::Error const& error) {
    std::string const said = error.what();
    EXPECT_EQ(error.code(), code) << what << ": " << said;
    EXPECT_NE(said.find(fragment), said.npos) << what << ": expected \"" << fragment << "\" in: " << said;
    EXPECT_EQ(said.find('\n'), said.npos) << what << ": " << said;
    EXPECT_LE(said.size(), 4000u + 20 * fragment.size()) << what;
  }
}

}  // namespace support
