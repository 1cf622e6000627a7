/// Texts in PNG files: what a picture says about itself, such as how it was made. Belongs to mgm::images.
#pragma once
#include <zlib.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/io/file.hpp>
#include <mgm/io/png_chunks.hpp>
#include <mgm/io/vocab/utf8.hpp>

namespace mgm::inline v0::io {

/// A text of a PNG under its key, both UTF-8.
struct PngText {
  std::string key, text;
};

namespace detail {

[[nodiscard]] inline std::string big_endian(std::uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8), static_cast<char>(n)};
}
/// CRC-32 of a chunk's type and data.
[[nodiscard]] inline std::uint32_t png_crc(std::string_view type_and_data) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<Bytef const*>(type_and_data.data()), type_and_data.size()));
}
/// `text` in Latin-1 where it has nothing but that set's letters, signs and line ends; else nothing.
[[nodiscard]] inline std::optional<std::string> to_latin1(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    auto const c = vocab::char_at(text, i);
    if (!c.valid || !(c.code == '\n' || (c.code >= 0x20 && c.code < 0x7F) || (c.code >= 0xA0 && c.code <= 0xFF))) return {};
    out += static_cast<char>(static_cast<unsigned char>(c.code));
    i += c.bytes;
  }
  return out;
}
[[nodiscard]] inline std::string from_latin1(std::string_view text) {
  std::string out;
  for (char const c : text) vocab::append_char(out, static_cast<unsigned char>(c));
  return out;
}

/// A text as a chunk: tEXt where Latin-1 has its characters, else iTXt. What is no UTF-8, and NUL, which ends a text, become U+FFFD.
[[nodiscard]] inline std::string png_text_chunk(PngText const& text) {
  auto const key = to_latin1(text.key);
  require<ArgumentError>(key && key->size() >= 1 && key->size() <= 79 && key->find('\n') == key->npos && key->front() != ' ' &&
                             key->back() != ' ' && key->find("  ") == key->npos,
                         "PNG text: a key has 1 to 79 characters of Latin-1 and no spaces at its ends, found ", mgm::quoted(text.key));
  require<LimitError>(text.text.size() <= std::size_t{1} << 30, "PNG text ", mgm::quoted(text.key), ": ", text.text.size(),
                      " bytes; there may be ", std::size_t{1} << 30);
  std::string chunk;
  if (auto const latin1 = to_latin1(text.text)) {
    chunk = "tEXt" + *key + '\0' + *latin1;
  } else {
    chunk = "iTXt" + *key + std::string(5, '\0');  // the key's end, not packed, by no method, in no language, no translated key
    vocab::append_repaired(chunk, vocab::replace_all(text.text, std::string_view("\0", 1), vocab::kReplacement));
  }
  return big_endian(static_cast<std::uint32_t>(chunk.size() - 4)) + chunk + big_endian(png_crc(chunk));
}

}  // namespace detail

/// The texts of a PNG in their order: tEXt and zTXt, which are Latin-1, and iTXt. `name` is for messages. Throws FileError when the file is
/// no whole PNG or a text is damaged, LimitError when a packed one is longer than `limits.text_bytes`, as the limits of pictures say.
[[nodiscard]] inline std::vector<PngText> png_texts(std::span<std::uint8_t const> file, std::string_view name = "PNG data",
                                                    ImageLimits const& limits = {}) {
  std::string_view const bytes(reinterpret_cast<char const*>(file.data()), file.size());
  require<FileError>(bytes.starts_with(std::string_view("\x89PNG\r\n\x1A\n", 8)), name, ": not a PNG file");
  static_cast<void>(detail::read_png_header(file, name, limits));  // chunks fit from here on
  std::vector<PngText> out;
  auto const number = [&](std::size_t at) {
    return std::uint32_t{file[at]} << 24 | std::uint32_t{file[at + 1]} << 16 | std::uint32_t{file[at + 2]} << 8 | file[at + 3];
  };
  for (std::size_t at = 8; bytes.substr(at + 4, 4) != "IEND"; at += number(at) + std::size_t{12}) {
    std::string_view const type = bytes.substr(at + 4, 4), chunk = bytes.substr(at + 8, number(at));
    if (type != "tEXt" && type != "zTXt" && type != "iTXt") continue;
    require<FileError>(detail::png_crc(bytes.substr(at + 4, chunk.size() + 4)) == number(at + 8 + chunk.size()), name, ": PNG chunk ", type,
                       " at byte ", at, " is damaged: its checksum differs");
    auto const found = detail::png_text(type, chunk, limits.text_bytes);
    require<FileError>(found.has_value(), name, ": PNG chunk ", type, " at byte ", at, " cannot be read, or unpacks to more than ",
                       limits.text_bytes, " bytes");
    std::string text;
    if (type == "iTXt") vocab::append_repaired(text, found->second);
    out.push_back({detail::from_latin1(found->first), type == "iTXt" ? std::move(text) : detail::from_latin1(found->second)});
  }
  return out;
}

/// `png_texts` of a file. Throws also FileError when it cannot be read, LimitError when it is larger than allowed.
[[nodiscard]] inline std::vector<PngText> read_png_texts(std::string const& path, ImageLimits const& limits = {}) {
  auto const file = MappedFile::open(path, Access::read);
  require<LimitError>(file->size() <= limits.file_bytes, path, ": a file of ", file->size(), " bytes; the limit is ", limits.file_bytes);
  Bytes const bytes = file->view(0, file->size());
  return png_texts({reinterpret_cast<std::uint8_t const*>(bytes.data), static_cast<std::size_t>(bytes.size)}, path, limits);
}

}  // namespace mgm::inline v0::io
