/// JPEG files as Pillow's convert("RGB") gives them, through libjpeg-turbo with its default arithmetic (accurate integer DCT, smooth
/// upsampling): grey, YCbCr of any subsampling, RGB, CMYK, YCCK; baseline, progressive, arithmetic; 8 bit. Belongs to mgm::images.
#pragma once
#include <cstddef>
#include <cstdio>
// jpeglib.h needs the two above, jerror.h needs jpeglib.h
#include <jpeglib.h>
// clang-format off
#include <jerror.h>
// clang-format on

#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/io/exif.hpp>

namespace mgm::inline v0::io {

namespace detail {

/// What the markers of a JPEG say before any pixel is unpacked.
struct JpegHeader {
  Size width = 0, height = 0;
  int components = 0;
  std::optional<int> orientation{};  ///< from EXIF (several blocks are one), else XMP
};

/// Walks the markers up to the first scan. Throws FileError naming the marker and its position, LimitError for too many pixels.
inline JpegHeader read_jpeg_header(std::span<std::uint8_t const> file, std::string_view name, ImageLimits const& limits) {
  JpegHeader h;
  std::vector<std::uint8_t> exif;
  std::string_view xmp;
  std::string_view const bytes(reinterpret_cast<char const*>(file.data()), file.size());
  for (std::size_t at = 2;;) {
    while (at < file.size() && file[at] != 0xFF) ++at;  // rubbish between markers, which libjpeg passes over too
    while (at < file.size() && file[at] == 0xFF) ++at;
    require<FileError>(at < file.size(), name, ": JPEG ends at byte ", file.size(), " before any picture; the file is truncated");
    int const marker = file[at++];
    if (marker == 0 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) continue;  // stand alone
    require<FileError>(marker != 0xD9, name, ": JPEG without a picture: end marker at byte ", at - 2);
    std::size_t const length = file.size() - at >= 2 ? std::size_t{file[at]} << 8 | file[at + 1] : 0;
    require<FileError>(length >= 2 && length <= file.size() - at, name, ": JPEG marker ", marker, " at byte ", at - 2, " says ", length,
                       " bytes, ", file.size() - at, " are left; the file is truncated or damaged");
    std::string_view const segment = bytes.substr(at + 2, length - 2);
    auto const byte = [&](std::size_t i) { return static_cast<std::uint8_t>(segment[i]); };
    bool const frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame) {
      require<FileError>(h.components == 0, name, ": JPEG with two frames, the second at byte ", at - 2);
      require<FileError>(segment.size() >= 6, name, ": JPEG frame header at byte ", at - 2, " of ", segment.size(), " bytes");
      require<FileError>(byte(0) == 8, name, ": JPEG of ", byte(0), " bits a sample is not supported; save it with 8");
      bool const known = marker == 0xC0 || marker == 0xC1 || marker == 0xC2 || marker == 0xC9 || marker == 0xCA;
      require<FileError>(known, name, ": ", marker == 0xC3 || marker == 0xCB ? "lossless" : "hierarchical",
                         " JPEG is not supported; save it as baseline or progressive");
      h.height = byte(1) << 8 | byte(2), h.width = byte(3) << 8 | byte(4), h.components = byte(5);
      require<FileError>(h.components == 1 || h.components == 3 || h.components == 4, name, ": JPEG of ", h.components,
                         " components; expected 1, 3 or 4");
      check_extents(text(name, ": JPEG"), h.width, h.height, limits);
      // A Huffman code has at least one bit, and the largest group of samples is 32 x 32 pixels.
      require<FileError>(marker >= 0xC9 || h.width * h.height / (8 * 1024) <= static_cast<Size>(file.size()), name, ": JPEG of ", h.width,
                         " x ", h.height, " pixels in ", file.size(), " bytes, too few for any picture of this size");
    } else if (marker == 0xE1 && segment.starts_with(std::string_view("Exif\0\0", 6))) {
      exif.insert(exif.end(), segment.begin() + (exif.empty() ? 0 : 6), segment.end());
    } else if (marker == 0xE1 && segment.starts_with(std::string_view("http://ns.adobe.com/xap/1.0/\0", 29))) {
      xmp = segment.substr(29);
    } else if (marker == 0xDA) {
      require<FileError>(h.components != 0, name, ": JPEG scan at byte ", at - 2, " before the frame header");
      break;
    }
    at += length;
  }
  h.orientation = exif_orientation(exif);
  if (!h.orientation) h.orientation = xmp_orientation(xmp);
  return h;
}

/// One libjpeg run. libjpeg reports errors by jumping out, so this holds plain data only, and the memory it points to belongs to the
/// caller.
struct JpegJob {
  jpeg_decompress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg_source_mgr source;
  jpeg_progress_mgr progress;
  std::jmp_buf escape;
  int max_scans;
  Size width, height;
  std::uint8_t* rgb;
  std::uint8_t* row;  ///< scratch for one row of CMYK
  char error[JMSG_LENGTH_MAX];
};

[[noreturn]] inline void leave_jpeg(j_common_ptr common, char const* message) {
  auto* job = static_cast<JpegJob*>(common->client_data);
  std::strncpy(job->error, message, sizeof job->error - 1);
  std::longjmp(job->escape, 1);
}

/// Inks to light as Pillow does it; files hold 255 − ink.
inline void cmyk_to_rgb(std::uint8_t const* from, Size width, std::uint8_t* to) {
  for (Size x = 0; x < width; ++x, from += 4, to += 3)
    for (int c = 0; c < 3; ++c) {
      int const light = from[3], product = (255 - from[c]) * light + 128;  // k' = 255 − k, and ink·k'/255 rounded
      to[c] = static_cast<std::uint8_t>(light - ((product >> 8) + product) / 256);
    }
}

/// Decodes; false with job.error set. Nothing in this frame has a destructor, since libjpeg leaves it by longjmp.
inline bool run_jpeg(JpegJob& job, std::uint8_t const* file, std::size_t size) {
  auto& jpeg = job.jpeg;
  jpeg.err = jpeg_std_error(&job.errors);
  job.errors.error_exit = [](j_common_ptr common) {
    char message[JMSG_LENGTH_MAX];
    common->err->format_message(common, message);
    leave_jpeg(common, message);
  };
  job.errors.output_message = [](j_common_ptr) {};
  job.errors.emit_message = [](j_common_ptr common, int level) {
    if (level >= 0) return;
    auto const* d = reinterpret_cast<j_decompress_ptr>(common);
    // Restart markers hold damage within one stretch, and Pillow goes on behind it; data that end too early are no picture all the same.
    bool const inside = d->unread_marker == 0 || (d->unread_marker >= JPEG_RST0 && d->unread_marker <= JPEG_RST0 + 7);
    bool const recovers = d->restart_interval > 0 && inside;
    switch (common->err->msg_code) {
      case JWRN_EXTRANEOUS_DATA:
      case JWRN_ADOBE_XFORM:
      case JWRN_JFIF_MAJOR:
      case JWRN_BOGUS_PROGRESSION:
      case JWRN_NOT_SEQUENTIAL:
        break;  // changes no pixel
      default:
        if (!recovers) common->err->error_exit(common);
    }
  };
  jpeg.client_data = &job;
  if (setjmp(job.escape) != 0) {
    jpeg_destroy_decompress(&job.jpeg);
    return false;
  }
  jpeg_create_decompress(&jpeg);
  job.source = {};
  job.source.next_input_byte = file, job.source.bytes_in_buffer = size;
  job.source.init_source = [](j_decompress_ptr) {};
  job.source.term_source = [](j_decompress_ptr) {};
  job.source.resync_to_restart = jpeg_resync_to_restart;
  job.source.fill_input_buffer = [](j_decompress_ptr d) -> boolean {
    leave_jpeg(reinterpret_cast<j_common_ptr>(d), "the file is truncated");
  };
  job.source.skip_input_data = [](j_decompress_ptr d, long bytes) {
    if (bytes <= 0) return;
    if (static_cast<std::size_t>(bytes) > d->src->bytes_in_buffer) leave_jpeg(reinterpret_cast<j_common_ptr>(d), "the file is truncated");
    d->src->next_input_byte += bytes, d->src->bytes_in_buffer -= static_cast<std::size_t>(bytes);
  };
  jpeg.src = &job.source;
  job.progress = {};
  job.progress.progress_monitor = [](j_common_ptr common) {
    auto* j = static_cast<JpegJob*>(common->client_data);
    if (common->is_decompressor && reinterpret_cast<j_decompress_ptr>(common)->input_scan_number > j->max_scans)
      leave_jpeg(common, "more scans than ImageLimits::scans");
  };
  jpeg.progress = &job.progress;
  jpeg_read_header(&jpeg, TRUE);
  bool const inks = jpeg.num_components == 4;
  jpeg.out_color_space = inks ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&jpeg);
  if (static_cast<Size>(jpeg.output_width) != job.width || static_cast<Size>(jpeg.output_height) != job.height)
    leave_jpeg(reinterpret_cast<j_common_ptr>(&jpeg), "the size changes within the file");
  while (jpeg.output_scanline < jpeg.output_height) {
    std::uint8_t* const to = job.rgb + 3 * Size{jpeg.output_scanline} * job.width;
    JSAMPROW row = inks ? job.row : to;
    jpeg_read_scanlines(&jpeg, &row, 1);
    if (inks) cmyk_to_rgb(job.row, job.width, to);
  }
  jpeg_finish_decompress(&jpeg);
  jpeg_destroy_decompress(&jpeg);
  return true;
}

}  // namespace detail

/// Whether the bytes begin as a JPEG does.
[[nodiscard]] inline bool is_jpeg(std::span<std::uint8_t const> file) {
  return file.size() >= 3 && file[0] == 0xFF && file[1] == 0xD8 && file[2] == 0xFF;
}

/// The picture in a JPEG file. Refuses what is truncated or damaged, also where libjpeg would go on with grey; only between restart markers
/// is damage passed over. `name` is for messages.
/// Throws FileError; LimitError when the header asks for more than `options.limits`.
inline Image decode_jpeg(std::span<std::uint8_t const> file, ReadOptions const& options = {}, std::string_view name = "JPEG data") {
  require<FileError>(is_jpeg(file), name, ": not a JPEG file");
  detail::JpegHeader const header = detail::read_jpeg_header(file, name, options.limits);
  Image out{static_cast<int>(header.width), static_cast<int>(header.height), detail::pixel_memory(3 * header.width * header.height, name)};
  std::vector<std::uint8_t> row(header.components == 4 ? static_cast<std::size_t>(4 * header.width) : 0);
  detail::JpegJob job{};
  job.max_scans = options.limits.scans, job.width = header.width, job.height = header.height, job.rgb = out.rgb.data(),
  job.row = row.data();
  bool const whole = detail::run_jpeg(job, file.data(), file.size());
  require<FileError>(whole, name, ": damaged JPEG: ", std::string_view(job.error));
  return options.exif == Exif::apply ? upright(std::move(out), header.orientation.value_or(1)) : out;
}

}  // namespace mgm::inline v0::io
