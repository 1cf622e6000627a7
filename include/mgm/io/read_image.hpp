/// Picture files: PNG and JPEG, told apart by their content, whatever they are called. Belongs to mgm::images.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <mgm/io/file.hpp>
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
inline Image read_image(std::string const& path, ReadOptions const& options = {}) {
  auto const file = MappedFile::open(path, Access::read);  // a copy: a file that shrinks while it is read must not end the process
  require<LimitError>(file->size() <= options.limits.file_bytes, path, ": a file of ", file->size(), " bytes; the limit is ",
                      options.limits.file_bytes, ", raise ImageLimits::file_bytes to read it");
  Bytes const bytes = file->view(0, file->size());
  return decode_image({reinterpret_cast<std::uint8_t const*>(bytes.data), static_cast<std::size_t>(bytes.size)}, options, path);
}

}  // namespace mgm::inline v0::io
