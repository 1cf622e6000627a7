/// What a file is by its first bytes: people save all kinds of things under the names of weights.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <mgm/core/error.hpp>

namespace mgm::inline v0::io {

enum class FileKind { safetensors, zip, torch_legacy, foreign, unknown };

/// `what` describes a foreign file: "a git-LFS pointer (…)".
struct Sniffed {
  FileKind kind = FileKind::unknown;
  std::string_view what{};
};

/// The kind of a file whose first bytes (512 are enough) are `head`.
[[nodiscard]] inline Sniffed sniff(std::string_view head) {
  using namespace std::string_view_literals;
  if (head.size() >= 9 && head[8] == '{') {  // a header length that can be true, then JSON
    std::uint64_t length;
    std::memcpy(&length, head.data(), 8);
    if (length < (std::uint64_t{1} << 40)) return {FileKind::safetensors};
  }
  if (head.starts_with("PK\3\4"sv) || head.starts_with("PK\5\6"sv)) return {FileKind::zip};
  if (head.size() >= 14 && head[0] == '\x80' && head.substr(2, 12) == "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv)
    return {FileKind::torch_legacy};
  struct Magic {
    std::string_view bytes, what;
  };
  constexpr Magic kForeign[] = {
      {"version https://git-lfs"sv, "a git-LFS pointer, not the file itself: fetch it with 'git lfs pull'"sv},
      {"7z\xBC\xAF\x27\x1C"sv, "a 7z archive: unpack it first"sv},
      {"Rar!\x1A\x07"sv, "a RAR archive: unpack it first"sv},
      {"\x1F\x8B"sv, "a gzip file: unpack it first"sv},
      {"BZh"sv, "a bzip2 file: unpack it first"sv},
      {"\xFD"
       "7zXZ"sv,
       "an xz file: unpack it first"sv},
      {"\x28\xB5\x2F\xFD"sv, "a zstd file: unpack it first"sv},
      {"GGUF"sv, "a GGUF file: expected the original checkpoint"sv},
      {"\x89HDF\r\n"sv, "an HDF5 file"sv},
      {"\x93NUMPY"sv, "a NumPy file"sv},
      {"\x89PNG\r\n"sv, "a PNG picture"sv},
      {"\xFF\xD8\xFF"sv, "a JPEG picture"sv},
      {"%PDF"sv, "a PDF document"sv},
      {"\x7F"
       "ELF"sv,
       "a program"sv},
      {"#!"sv, "a script"sv},
  };
  for (auto const& magic : kForeign)
    if (head.starts_with(magic.bytes)) return {FileKind::foreign, magic.what};
  if (head.size() >= 262 && head.substr(257, 5) == "ustar") return {FileKind::foreign, "a tar archive: unpack it first"};
  auto const first = head.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (first != head.npos && head[first] == '<') {
    std::string start(head.substr(first, 9));
    for (char& c : start)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (start.starts_with("<!doctype") || start.starts_with("<html") || start.starts_with("<head") || start.starts_with("<?xml"))
      return {FileKind::foreign, "an HTML or XML page, perhaps a download that failed"};
  }
  if (head.size() >= 2 && head[0] == '\x80' && head[1] >= 1 && head[1] <= 5)
    return {FileKind::foreign, "a Python pickle, but not one that torch.save wrote"};
  return {};
}

/// "61 62 63", the first eight bytes for messages.
[[nodiscard]] inline std::string hex_head(std::string_view head) {
  std::string out;
  for (std::size_t i = 0; i < head.size() && i < 8; ++i) {
    auto const byte = static_cast<unsigned char>(head[i]);
    out += text(i ? " " : "", "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]);
  }
  return out;
}

}  // namespace mgm::inline v0::io
