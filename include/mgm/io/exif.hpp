/// Which way up a photograph is: the orientation tag of EXIF, or of XMP where EXIF has none, and the turn that it asks for.
/// What is read and what is passed over follows Pillow's ImageOps.exif_transpose (13). Bytes that cannot be read count as no orientation;
/// only the first directory is looked at, so links between directories cannot lead in circles.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include <mgm/io/image.hpp>

namespace mgm::inline v0::io {

namespace detail {

/// A TIFF directory in the byte order of its header.
struct TiffReader {
  std::span<std::uint8_t const> data;
  bool big_endian;
  [[nodiscard]] bool has(std::uint64_t at, std::uint64_t bytes) const { return at <= data.size() && bytes <= data.size() - at; }
  [[nodiscard]] std::uint64_t number(std::uint64_t at, int bytes) const {
    std::uint64_t v = 0;
    for (int i = 0; i < bytes; ++i) v |= std::uint64_t{data[at + static_cast<std::uint64_t>(i)]} << 8 * (big_endian ? bytes - 1 - i : i);
    return v;
  }
  /// The first number of a value. BYTE, ASCII and UNDEFINED are bytes, not numbers.
  [[nodiscard]] double value(int type, std::uint64_t at) const {
    switch (type) {
      case 3:
        return static_cast<double>(number(at, 2));
      case 4:
      case 13:
        return static_cast<double>(number(at, 4));
      case 6:
        return static_cast<std::int8_t>(number(at, 1));
      case 8:
        return static_cast<std::int16_t>(number(at, 2));
      case 9:
        return static_cast<std::int32_t>(number(at, 4));
      case 16:
        return static_cast<double>(number(at, 8));
      case 11:
        return std::bit_cast<float>(static_cast<std::uint32_t>(number(at, 4)));
      case 12:
        return std::bit_cast<double>(number(at, 8));
      case 5:
        return static_cast<double>(number(at, 4)) / static_cast<double>(number(at + 4, 4));
      case 10:
        return static_cast<double>(static_cast<std::int32_t>(number(at, 4))) / static_cast<std::int32_t>(number(at + 4, 4));
      default:
        return 0;
    }
  }
};

}  // namespace detail

/// The orientation in an EXIF block, with or without "Exif\0\0" in front: 1 to 8, or another number that a file may claim; nothing when
/// there is none or the block cannot be read. 1 to 8 are the only ones that mean something.
[[nodiscard]] inline std::optional<int> exif_orientation(std::span<std::uint8_t const> block) {
  constexpr std::string_view kMark("Exif\0\0", 6);
  for (int i = 0; i < 2 && block.size() >= 6 && std::memcmp(block.data(), kMark.data(), 6) == 0; ++i) block = block.subspan(6);
  if (block.size() < 8) return {};
  std::string_view const head(reinterpret_cast<char const*>(block.data()), 4);
  using namespace std::string_view_literals;
  bool const big = head == "MM\0*"sv || head == "MM*\0"sv;  // either order of the 42: both are found in the wild
  if (!big && head != "II*\0"sv && head != "II\0*"sv) return {};
  detail::TiffReader const tiff{block, big};
  std::uint64_t at = tiff.number(4, 4);
  if (!tiff.has(at, 2)) return {};
  std::uint64_t const entries = tiff.number(at, 2);
  at += 2;
  std::uint64_t elsewhere = 0;  // bytes of values outside of the directory: more than the block has is a lie
  for (std::uint64_t i = 0; i < entries; ++i, at += 12) {
    if (!tiff.has(at, 12)) return {};
    constexpr int kBytes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8};
    std::uint64_t const tag = tiff.number(at, 2), type = tiff.number(at + 2, 2), count = tiff.number(at + 4, 4);
    if (type >= std::size(kBytes) || kBytes[type] == 0) continue;
    std::uint64_t const bytes = count * static_cast<std::uint64_t>(kBytes[type]);
    std::uint64_t where = at + 8;
    if (bytes > 4) {
      elsewhere += bytes;
      if (elsewhere > block.size()) continue;
      where = tiff.number(where, 4);
      if (!tiff.has(where, bytes)) return {};  // where the original stops reading
    }
    if (tag != 0x0112 || bytes == 0) continue;
    double const v = tiff.value(static_cast<int>(type), where);
    return v >= 1 && v <= 8 && v == static_cast<int>(v) ? static_cast<int>(v) : 0;
  }
  return {};
}

/// The orientation in an XMP packet, by its first `tiff:Orientation`, as attribute or element.
[[nodiscard]] inline std::optional<int> xmp_orientation(std::string_view packet) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (std::size_t at = packet.find(kName); at != std::string_view::npos; at = packet.find(kName, at + 1)) {
    std::string_view rest = packet.substr(at + kName.size());
    if (rest.starts_with("=\""))
      rest.remove_prefix(2);
    else if (rest.starts_with(">"))
      rest.remove_prefix(1);
    else
      continue;
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return rest[0] - '0';
  }
  return {};
}

/// Turns a picture as orientation 2 to 8 asks: 2 mirrored, 3 upside down, 4 flipped, 5 transposed, 6 a quarter to the right,
/// 7 transposed along the other diagonal, 8 a quarter to the left. Any other number leaves it as it is.
[[nodiscard]] inline Image upright(Image picture, int orientation) {
  if (orientation < 2 || orientation > 8) return picture;
  Size const w = picture.width, h = picture.height;
  bool const swapped = orientation >= 5;
  Image out{swapped ? picture.height : picture.width, swapped ? picture.width : picture.height, detail::pixel_memory(3 * w * h, "upright")};
  // The source of output (0, 0), and the steps in the source as output x and y grow, in pixels.
  bool const from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  bool const from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Size const start = (from_below ? (h - 1) * w : 0) + (from_right ? w - 1 : 0), dx = from_right ? -1 : 1, dy = from_below ? -w : w;
  Size const along = swapped ? dy : dx, across = swapped ? dx : dy;
  constexpr Size kBlock = 64;  // so that both sides stay in the cache
  for (Size y0 = 0; y0 < out.height; y0 += kBlock)
    for (Size x0 = 0; x0 < out.width; x0 += kBlock)
      for (Size y = y0; y < std::min<Size>(y0 + kBlock, out.height); ++y)
        for (Size x = x0; x < std::min<Size>(x0 + kBlock, out.width); ++x)
          std::memcpy(out.rgb.data() + 3 * (y * out.width + x), picture.rgb.data() + 3 * (start + x * along + y * across), 3);
  return out;
}

}  // namespace mgm::inline v0::io
