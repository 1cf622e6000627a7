/// Picture files: PNG and JPEG, told apart by their content, whatever they are called. Belongs to mgm::images.
#pragma once
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <mgm/io/image.hpp>
#include <mgm/io/jpeg.hpp>
#include <mgm/io/png.hpp>

namespace mgm::inline v0::io {

/// A picture from the bytes of a PNG or JPEG file, equal to Pillow's convert("RGB"). `name` is for messages.
/// Throws FileError for anything else or damaged, LimitError beyond `options.limits`. Memory: the picture, and a copy while it is turned.
inline Image decode_image(std::span<std::uint8_t const> file, ReadOptions const& options = {}, std::string_view name = "picture") {
  if (is_png(file)) return decode_png(file, options, name);
  if (is_jpeg(file)) return decode_jpeg(file, options, name);
  if (file.empty()) throw FileError(text(name, ": not an image we read: the file is empty; expected PNG or JPEG"));
  std::string first;
  for (std::size_t i = 0; i < std::min<std::size_t>(file.size(), 8); ++i)
    first += text(i > 0 ? " " : "", "0123456789abcdef"[file[i] >> 4], "0123456789abcdef"[file[i] & 15]);
  throw FileError(text(name, ": not an image we read: first bytes ", first, "; expected PNG (89 50 4e 47) or JPEG (ff d8 ff)"));
}

/// `decode_image` of a file. Throws also FileError when it cannot be opened or read, LimitError when it is larger than allowed.
inline Image read_image(std::filesystem::path const& path, ReadOptions const& options = {}) {
  std::string const name = mgm::quoted(path.string());
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(std::fopen(path.c_str(), "rb"), &std::fclose);
  require<FileError>(file != nullptr, name, ": cannot open the picture: ", std::generic_category().message(errno));
  std::vector<std::uint8_t> bytes;
  for (std::size_t got = 1; got > 0;) {  // by pieces: a pipe has no size
    std::size_t const at = bytes.size();
    bytes.resize(at + (at < 65536 ? 65536 : at));
    got = std::fread(bytes.data() + at, 1, bytes.size() - at, file.get());
    bytes.resize(at + got);
    require<LimitError>(static_cast<Size>(bytes.size()) <= options.limits.file_bytes, name, ": more than ", options.limits.file_bytes,
                        " bytes; raise ImageLimits::file_bytes to read it");
  }
  require<FileError>(std::ferror(file.get()) == 0, name, ": cannot read the picture: ", std::generic_category().message(errno));
  return decode_image(bytes, options, name);
}

}  // namespace mgm::inline v0::io
