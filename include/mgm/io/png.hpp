/// PNG files as Pillow's convert("RGB") gives them, through libpng. Belongs to mgm::images.
/// Alpha and transparency are dropped, gamma and colour profiles ignored; 16 bit keeps the high byte, but 16-bit grey saturates at 255.
#pragma once
#include <png.h>

#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/io/atomic_file.hpp>
#include <mgm/io/exif.hpp>
#include <mgm/io/png_chunks.hpp>
#include <mgm/io/png_text.hpp>

namespace mgm::inline v0::io {

namespace detail {

/// One libpng run. libpng reports errors by jumping out, so this holds plain data only, and the memory it points to belongs to the caller.
struct PngJob {
  std::uint8_t const* file;
  std::size_t size, at = 0;
  std::uint8_t** rows;  ///< of the stored picture: one a row, or all the same scratch row when not interlaced
  PngHeader const* header;
  std::uint8_t* rgb;
  std::uint8_t palette[256 * 3];
  char error[160] = "";
  std::jmp_buf escape;
};

/// Levels of one stored row as RGB.
inline void png_row_to_rgb(PngJob const& job, std::uint8_t const* row, std::uint8_t* to) {
  Size const width = job.header->width;
  int const depth = job.header->depth, colour = job.header->colour;
  if (depth < 8) {  // one channel, the first pixel in the highest bits
    int const per_byte = 8 / depth, levels = (1 << depth) - 1;
    for (Size x = 0; x < width; ++x, to += 3) {
      int const v = row[x / per_byte] >> (depth * (per_byte - 1 - static_cast<int>(x % per_byte))) & levels;
      std::uint8_t const grey = static_cast<std::uint8_t>(v * 255 / levels);
      if (colour == 3)
        std::memcpy(to, job.palette + 3 * v, 3);
      else
        to[0] = to[1] = to[2] = grey;
    }
    return;
  }
  Size const sample = depth / 8, pixel = sample * job.header->channels;
  for (Size x = 0; x < width; ++x, to += 3, row += pixel) {
    if (colour == 3)
      std::memcpy(to, job.palette + 3 * row[0], 3);
    else if (colour == 0 && depth == 16)
      to[0] = to[1] = to[2] = row[0] != 0 ? 255 : row[1];
    else if (colour == 0 || colour == 4)
      to[0] = to[1] = to[2] = row[0];
    else
      to[0] = row[0], to[1] = row[sample], to[2] = row[2 * sample];
  }
}

/// Decodes; false with job.error set. Nothing in this frame has a destructor, since libpng leaves it by longjmp.
inline bool run_png(PngJob& job) {
  png_structp png = png_create_read_struct(
      PNG_LIBPNG_VER_STRING, &job,
      [](png_structp p, png_const_charp message) {
        auto* j = static_cast<PngJob*>(png_get_error_ptr(p));
        std::strncpy(j->error, message, sizeof j->error - 1);
        std::longjmp(j->escape, 1);
      },
      [](png_structp, png_const_charp) {});
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  if (info == nullptr) {
    png_destroy_read_struct(&png, nullptr, nullptr);
    std::strcpy(job.error, "out of memory");
    return false;
  }
  if (setjmp(job.escape) != 0) {
    png_destroy_read_struct(&png, &info, nullptr);
    return false;
  }
  png_set_read_fn(png, &job, [](png_structp p, png_bytep to, std::size_t bytes) {
    auto* j = static_cast<PngJob*>(png_get_io_ptr(p));
    if (bytes > j->size - j->at) png_error(p, "the file is truncated");
    std::memcpy(to, j->file + j->at, bytes);
    j->at += bytes;
  });
  png_set_user_limits(png, 0x7FFFFFFF, 0x7FFFFFFF);  // ours were checked before
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);  // everything but the pixels: checked, not kept
  png_read_info(png, info);
  if (job.header->colour == 3) {
    png_colorp colours = nullptr;
    int count = 0;
    png_get_PLTE(png, info, &colours, &count);
    std::memset(job.palette, 0, sizeof job.palette);  // colours beyond its end are black
    for (int i = 0; i < count; ++i)
      job.palette[3 * i] = colours[i].red, job.palette[3 * i + 1] = colours[i].green, job.palette[3 * i + 2] = colours[i].blue;
  }
  Size const height = job.header->height;
  if (job.header->interlaced) {
    png_set_interlace_handling(png);
    png_start_read_image(png);
    png_read_image(png, job.rows);
  } else {
    for (Size y = 0; y < height; ++y) {
      png_read_row(png, job.rows[y], nullptr);
      png_row_to_rgb(job, job.rows[y], job.rgb + 3 * y * job.header->width);
    }
  }
  png_read_end(png, nullptr);
  if (job.header->interlaced)
    for (Size y = 0; y < height; ++y) png_row_to_rgb(job, job.rows[y], job.rgb + 3 * y * job.header->width);
  png_destroy_read_struct(&png, &info, nullptr);
  return true;
}

}  // namespace detail

/// Whether the bytes begin as a PNG does.
[[nodiscard]] inline bool is_png(std::span<std::uint8_t const> file) {
  return file.size() >= 8 && std::memcmp(file.data(), "\x89PNG\r\n\x1A\n", 8) == 0;
}

/// The picture in a PNG file. Refuses what is truncated or damaged anywhere, bad checksums included. `name` is for messages.
/// Throws FileError; LimitError when the header asks for more than `options.limits`.
inline Image decode_png(std::span<std::uint8_t const> file, ReadOptions const& options = {}, std::string_view name = "PNG data") {
  require<FileError>(is_png(file), name, ": not a PNG file");
  detail::PngHeader const header = detail::read_png_header(file, name, options.limits);
  Image out{static_cast<int>(header.width), static_cast<int>(header.height), detail::pixel_memory(3 * header.width * header.height, name)};
  auto stored = detail::pixel_memory(header.row_bytes * (header.interlaced ? header.height : 1), name);
  std::vector<std::uint8_t*> rows(static_cast<std::size_t>(header.height));
  for (std::size_t y = 0; y < rows.size(); ++y)
    rows[y] = stored.data() + (header.interlaced ? y * static_cast<std::size_t>(header.row_bytes) : 0);
  detail::PngJob job{file.data(), file.size(), 0, rows.data(), &header, out.rgb.data(), {}, {}, {}};
  bool const whole = detail::run_png(job);
  require<FileError>(whole, name, ": damaged PNG: ", std::string_view(job.error));
  return options.exif == Exif::apply ? upright(std::move(out), header.orientation.value_or(1)) : out;
}

/// Writes a picture as PNG, 8-bit RGB, with `texts` between its header and its pixels: whole or not at all. Throws FileError, and
/// ArgumentError for a text that no PNG takes; the old file is then still there.
inline void write_png(std::string const& path, Image const& picture, std::span<PngText const> texts = {}) {
  constexpr std::size_t kHeader = 8 + 25;  // the signature and IHDR
  static_cast<void>(PixelView(picture));  // refuses sizes that disagree
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width), image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
  auto file = detail::pixel_memory(static_cast<Size>(bytes), path);
  int const done = png_image_write_to_memory(&image, file.data(), &bytes, 0, picture.rgb.data(), 0, nullptr);
  require<FileError>(done != 0, "cannot write ", path, ": ", std::string_view(image.message));
  std::string_view const written(reinterpret_cast<char const*>(file.data()), static_cast<std::size_t>(bytes));
  std::string front(written.substr(0, kHeader));
  for (auto const& t : texts) front += detail::png_text_chunk(t);
  AtomicFile out(path);
  out.write(front);
  out.write(written.substr(kHeader));
  out.commit();
}

}  // namespace mgm::inline v0::io
