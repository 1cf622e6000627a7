/// Pictures for tests: repeatable noise, the goldens of tests/data/images, and PNG and JPEG files taken apart and put together wrongly.
#pragma once
#include <zlib.h>

#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/io/image.hpp>
#include <support/files.hpp>

namespace support {

inline std::string image_data(std::string const& name) { return std::string(MGM_TEST_SOURCE) + "/tests/data/images/" + name; }

/// Bytes as readers take them.
inline std::vector<std::uint8_t> bytes_of(std::string_view s) { return {s.begin(), s.end()}; }

/// `noise` of tests/reference/make_image_goldens.py.
inline mgm::io::Image noise(int width, int height) {
  mgm::io::Image out{width, height, {}};
  std::uint32_t state = 1;
  for (int i = 0; i < 3 * width * height; ++i) {
    state = state * 1664525u + 1013904223u;
    out.rgb.push_back(static_cast<std::uint8_t>(state >> 24));
  }
  return out;
}

/// One reading of a golden file: what Pillow made of it, or nothing where it refuses (width 0).
struct GoldenImage {
  std::string file;
  bool apply;
  int width, height;
  std::vector<std::uint8_t> rgb;
};
inline std::vector<GoldenImage> golden_images(std::string_view ending) {
  std::string const pixels = slurp(image_data("expected.rgb"));
  std::istringstream lines(slurp(image_data("expected.txt")));
  std::vector<GoldenImage> out;
  std::string file, exif;
  int width, height;
  std::size_t at;
  while (lines >> file >> exif >> width >> height >> at)
    if (file.ends_with(ending))
      out.push_back({file, exif == "apply", width, height, bytes_of(std::string_view(pixels).substr(at, std::size_t(3 * width * height)))});
  return out;
}

/// Big-endian bytes.
inline std::string be(std::uint32_t v, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(v >> (8 * i) & 0xFF);
  return out;
}

inline std::string png_chunk(std::string const& type, std::string const& data) {
  std::string const body = type + data;
  return be(static_cast<std::uint32_t>(data.size()), 4) + body +
         be(static_cast<std::uint32_t>(crc32(0, reinterpret_cast<Bytef const*>(body.data()), static_cast<uInt>(body.size()))), 4);
}
inline std::string deflated(std::string const& plain) {
  uLongf size = compressBound(static_cast<uLong>(plain.size()));
  std::string out(size, '\0');
  compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<Bytef const*>(plain.data()), static_cast<uLong>(plain.size()), 9);
  return out.substr(0, size);
}

/// The parts of a PNG of 5 × 4 pixels, each of which a test may spoil. Colour type 2, depth 8, unless said otherwise.
struct PngParts {
  std::string signature = "\x89PNG\r\n\x1A\n";
  std::uint32_t width = 5, height = 4;
  int depth = 8, colour = 2, compression = 0, filter = 0, interlace = 0;
  std::string rows = [] {
    std::string out;
    for (int y = 0; y < 4; ++y) out += std::string(1, static_cast<char>(y)) + std::string(15, static_cast<char>(20 * y + 7));
    return out;
  }();
  std::string before_header, before_data, after_data;
  bool header = true, data = true, end = true;
  std::string packed;  ///< instead of the rows deflated
  [[nodiscard]] std::string header_data() const {
    std::string out = be(width, 4) + be(height, 4);
    for (int v : {depth, colour, compression, filter, interlace}) out += static_cast<char>(v);
    return out;
  }
  [[nodiscard]] std::string file() const {
    return signature + before_header + (header ? png_chunk("IHDR", header_data()) : "") + before_data +
           (data ? png_chunk("IDAT", packed.empty() ? deflated(rows) : packed) : "") + after_data + (end ? png_chunk("IEND", "") : "");
  }
};

/// A JPEG cut at its markers. The bytes of a scan follow its SOS segment in `scan`.
struct JpegSegment {
  int marker;
  std::string data;  ///< without the length
  std::string scan;
};
inline std::vector<JpegSegment> jpeg_segments(std::string const& file) {
  std::vector<JpegSegment> out;
  auto const byte = [&](std::size_t i) { return static_cast<int>(static_cast<unsigned char>(file[i])); };
  for (std::size_t at = 2; at + 4 <= file.size() && byte(at + 1) != 0xD9;) {
    std::size_t const length = static_cast<std::size_t>(byte(at + 2) << 8 | byte(at + 3));
    JpegSegment s{byte(at + 1), file.substr(at + 4, length - 2), {}};
    at += 2 + length;
    if (s.marker == 0xDA) {
      std::size_t end = at;
      while (!(byte(end) == 0xFF && byte(end + 1) != 0 && (byte(end + 1) < 0xD0 || byte(end + 1) > 0xD7))) ++end;
      s.scan = file.substr(at, end - at);
      at = end;
    }
    out.push_back(std::move(s));
  }
  return out;
}
inline std::string jpeg_file(std::vector<JpegSegment> const& segments, bool end = true) {
  std::string out = "\xFF\xD8";
  for (auto const& s : segments)
    out += std::string("\xFF") + static_cast<char>(s.marker) + be(static_cast<std::uint32_t>(s.data.size() + 2), 2) + s.data + s.scan;
  return out + (end ? "\xFF\xD9" : "");
}

}  // namespace support
