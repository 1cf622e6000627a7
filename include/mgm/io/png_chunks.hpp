/// The skeleton of a PNG file: its header, whether its chunks fit, and what they say about orientation. Pixels are png.hpp's.
/// Needs zlib (for compressed text), so it belongs to mgm::images.
#pragma once
#include <zlib.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/io/exif.hpp>

namespace mgm::inline v0::io::detail {

/// What the chunks of a PNG say before any pixel is unpacked.
struct PngHeader {
  Size width = 0, height = 0;
  int depth = 0, colour = 0;
  bool interlaced = false;
  int channels = 0;
  Size row_bytes = 0;                ///< of a row as stored, at full width
  std::optional<int> orientation{};  ///< from eXIf, a raw EXIF profile in a text, or XMP, in this order
};

/// Unpacks a zlib stream of at most `limit` bytes; nothing when it is broken or longer.
inline std::optional<std::string> inflate_text(std::string_view packed, Size limit) {
  std::string out;
  z_stream z{};
  if (inflateInit(&z) != Z_OK) return {};
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));  // zlib reads it only
  z.avail_in = static_cast<uInt>(packed.size());
  int state = Z_OK;
  char block[4096];
  while (state == Z_OK && static_cast<Size>(out.size()) <= limit) {
    z.next_out = reinterpret_cast<Bytef*>(block), z.avail_out = sizeof block;
    state = inflate(&z, Z_NO_FLUSH);
    out.append(block, sizeof block - z.avail_out);
    if (state == Z_OK && z.avail_in == 0 && z.avail_out == sizeof block) break;  // truncated
  }
  inflateEnd(&z);
  if (state != Z_STREAM_END || static_cast<Size>(out.size()) > limit) return {};
  return out;
}

/// The bytes of a "Raw profile type exif": three lines of heading, then hexadecimal digits with white space between pairs.
inline std::vector<std::uint8_t> raw_profile(std::string_view text) {
  for (int line = 0; line < 3; ++line) {
    std::size_t const end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  auto const digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; };
  std::vector<std::uint8_t> out;
  for (std::size_t i = 0; i < text.size();) {
    if (std::string_view(" \t\n\r\v\f").find(text[i]) != std::string_view::npos) {
      ++i;
      continue;
    }
    int const high = digit(text[i]), low = i + 1 < text.size() ? digit(text[i + 1]) : -1;
    if (high < 0 || low < 0) return {};
    out.push_back(static_cast<std::uint8_t>(16 * high + low));
    i += 2;
  }
  return out;
}

/// Key and text of a tEXt, zTXt or iTXt chunk; nothing when it cannot be read.
inline std::optional<std::pair<std::string_view, std::string>> png_text(std::string_view type, std::string_view chunk, Size limit) {
  std::size_t const key_end = chunk.find('\0');
  if (key_end == std::string_view::npos) return {};
  std::string_view const key = chunk.substr(0, key_end);
  std::string_view rest = chunk.substr(key_end + 1);
  if (type == "tEXt") return std::pair{key, std::string(rest)};
  bool packed = true;
  if (type == "iTXt") {
    if (rest.size() < 2) return {};
    packed = rest[0] != 0;
    if (packed && rest[1] != 0) return {};
    rest.remove_prefix(2);
    for (int skipped = 0; skipped < 2; ++skipped) {  // language, translated key
      std::size_t const end = rest.find('\0');
      if (end == std::string_view::npos) return {};
      rest.remove_prefix(end + 1);
    }
  } else {
    if (rest.empty() || rest[0] != 0) return {};
    rest.remove_prefix(1);
  }
  if (!packed) return std::pair{key, std::string(rest)};
  auto text = inflate_text(rest, limit);
  if (!text) return {};
  return std::pair{key, std::move(*text)};
}

/// Walks the chunks from IHDR to IEND. Throws FileError naming the chunk and its position, LimitError for too many pixels.
/// Deflate makes at most 1032 bytes of one, so data that are too short for the picture are refused before memory is taken.
inline PngHeader read_png_header(std::span<std::uint8_t const> file, std::string_view name, ImageLimits const& limits) {
  auto const number = [&](std::size_t at) {
    return std::uint32_t{file[at]} << 24 | std::uint32_t{file[at + 1]} << 16 | std::uint32_t{file[at + 2]} << 8 | file[at + 3];
  };
  std::string_view const bytes(reinterpret_cast<char const*>(file.data()), file.size());
  PngHeader h;
  Size data = 0, palette = -1;
  std::vector<std::uint8_t> exif, profile;
  std::string xmp;
  bool ended = false;
  for (std::size_t at = 8; !ended;) {
    require<FileError>(file.size() - at >= 8, name, ": PNG ends at byte ", file.size(), " before its IEND chunk; the file is truncated");
    std::size_t const length = number(at);
    std::string_view const type = bytes.substr(at + 4, 4);
    for (char const c : type)
      require<FileError>((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'), name, ": PNG chunk ", quoted(type), " at byte ", at,
                         " is not a chunk");
    require<FileError>(file.size() - at - 8 >= length + 4, name, ": PNG chunk ", type, " at byte ", at, " says ", length,
                       " bytes, the file ends at ", file.size(), "; the file is truncated");
    require<FileError>((at == 8) == (type == "IHDR"), name, ": PNG chunk ", type, " at byte ", at, "; expected exactly one IHDR, first");
    std::string_view const chunk = bytes.substr(at + 8, length);
    if (type == "IHDR") {
      require<FileError>(length == 13, name, ": PNG header of ", length, " bytes, expected 13");
      h.width = number(16), h.height = number(20), h.depth = file[24], h.colour = file[25], h.interlaced = file[28] != 0;
      h.channels = h.colour == 2 ? 3 : h.colour == 4 ? 2 : h.colour == 6 ? 4 : 1;
      bool const grey = h.colour == 0, indexed = h.colour == 3, deep = h.depth == 8 || h.depth == 16,
                 shallow = h.depth == 1 || h.depth == 2 || h.depth == 4;
      bool const known = (grey && (shallow || deep)) || (indexed && (shallow || h.depth == 8)) ||
                         ((h.colour == 2 || h.colour == 4 || h.colour == 6) && deep);
      require<FileError>(known, name, ": PNG of colour type ", h.colour, " with ", h.depth, " bits a sample does not exist");
      require<FileError>(file[26] == 0 && file[27] == 0 && file[28] <= 1, name,
                         ": PNG with an unknown compression, filter or interlace method");
      check_extents(text(name, ": PNG"), h.width, h.height, limits);
      h.row_bytes = (h.width * h.channels * h.depth + 7) / 8;
    } else if (type == "IDAT") {
      data += static_cast<Size>(length);
    } else if (type == "PLTE") {
      palette = static_cast<Size>(length);
    } else if (type == "eXIf") {
      exif.assign(chunk.begin(), chunk.end());
    } else if (type == "tEXt" || type == "zTXt" || type == "iTXt") {
      // Only these keys concern us: other texts, however long, are not unpacked.
      std::string_view const key = chunk.substr(0, chunk.find('\0'));
      if (key == "exif" || key == "Raw profile type exif" || key == "XML:com.adobe.xmp") {
        if (auto const found = png_text(type, chunk, limits.text_bytes)) {
          if (key == "exif" && type == "tEXt") exif.assign(found->second.begin(), found->second.end());
          if (key == "Raw profile type exif") profile = raw_profile(found->second);
          if (key == "XML:com.adobe.xmp") xmp = found->second;
        }
      }
    } else if (type == "IEND") {
      ended = true;
    }
    at += length + 12;
  }
  require<FileError>(data > 0, name, ": PNG without image data (IDAT)");
  require<FileError>(h.colour != 3 || (palette > 0 && palette % 3 == 0 && palette <= 768), name, ": PNG with a palette of ",
                     std::max<Size>(palette, 0), " bytes; expected 3 to 768, three a colour");
  require<FileError>((h.row_bytes * h.height) / 1032 <= data, name, ": PNG of ", h.width, " x ", h.height, " pixels has ", data,
                     " bytes of image data, too few for any picture of this size");
  if (!exif.empty())
    h.orientation = exif_orientation(exif);
  else if (!profile.empty())
    h.orientation = exif_orientation(profile);
  if (!h.orientation) h.orientation = xmp_orientation(xmp);
  return h;
}

}  // namespace mgm::inline v0::io::detail
