/// Pictures as pixels: what readers of files return, and what an embedding engine hands in without any file.
#pragma once
#include <cstdint>
#include <new>
#include <string_view>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/core/platform.hpp>

namespace mgm::inline v0::io {

/// An upright picture, 8-bit RGB, interleaved: the red of pixel (x, y) is rgb[3·(y·width + x)].
struct Image {
  int width = 0, height = 0;
  std::vector<std::uint8_t> rgb;
};

/// Order of the bytes of a pixel. Alpha is dropped, not blended; grey is repeated.
enum class PixelFormat { rgb, bgr, rgba, bgra, grey };

[[nodiscard]] constexpr int bytes_per_pixel(PixelFormat f) {
  return f == PixelFormat::grey ? 1 : f == PixelFormat::rgb || f == PixelFormat::bgr ? 3 : 4;
}

/// Borrowed 8-bit pixels: row y begins at data + y·row_stride (bytes). What functions take; an Image converts to it.
/// The memory must outlive the call that it is given to, no longer.
class PixelView {
 public:
  /// Throws ArgumentError for null data, extents below 1, or a stride smaller than a row. row_stride 0 means rows without gaps.
  PixelView(std::uint8_t const* data, int width, int height, PixelFormat format = PixelFormat::rgb, Size row_stride = 0)
      : data_(data), width_(width), height_(height), format_(format) {
    require<ArgumentError>(data != nullptr, "pixels: expected an address, found null");
    require<ArgumentError>(width > 0 && height > 0, "pixels: expected at least 1 x 1, found ", width, " x ", height);
    Size const least = Size{width} * bytes_per_pixel(format);
    row_stride_ = row_stride == 0 ? least : row_stride;
    require<ArgumentError>(row_stride_ >= least, "pixels: a row of ", width, " pixels takes ", least, " bytes, found a stride of ",
                           row_stride);
  }
  /// The whole of an Image. Throws ArgumentError when its size and its bytes disagree.
  PixelView(Image const& image) : PixelView(image.rgb.data(), image.width, image.height) {  // NOLINT: borrowing read-only is always right
    Size const bytes = 3 * Size{image.width} * image.height;
    require<ArgumentError>(static_cast<Size>(image.rgb.size()) == bytes, "image: ", image.width, " x ", image.height, " pixels are ", bytes,
                           " bytes, found ", image.rgb.size());
  }

  [[nodiscard]] std::uint8_t const* data() const { return data_; }
  [[nodiscard]] int width() const { return width_; }
  [[nodiscard]] int height() const { return height_; }
  [[nodiscard]] PixelFormat format() const { return format_; }
  [[nodiscard]] std::uint8_t const* row(int y) const { return data_ + Size{y} * row_stride_; }

 private:
  std::uint8_t const* data_;
  int width_, height_;
  PixelFormat format_;
  Size row_stride_ = 0;
};

/// Whether a file's orientation turns the picture upright (`apply`) or the pixels stay as stored (`ignore`, as the original model's code).
enum class Exif { apply, ignore };

/// What a picture file may cost. Checked from headers, before memory is taken.
struct ImageLimits {
  Size pixels = 178'956'970;        ///< width · height; where Pillow refuses too
  Size file_bytes = Size{1} << 30;  ///< of the file
  int scans = 100;                  ///< of a progressive JPEG; encoders write about ten
  Size text_bytes = Size{1} << 20;  ///< of one compressed text of a PNG, unpacked; longer ones are not looked at
};

struct ReadOptions {
  Exif exif = Exif::apply;
  ImageLimits limits{};
};

namespace detail {

/// One row of any format as RGB.
inline void to_rgb(std::uint8_t const* from, PixelFormat format, int width, std::uint8_t* to) {
  int const step = bytes_per_pixel(format);
  int const r = format == PixelFormat::bgr || format == PixelFormat::bgra ? 2 : 0;
  int const g = format == PixelFormat::grey ? 0 : 1, b = format == PixelFormat::grey ? 0 : 2 - r;
  for (int x = 0; x < width; ++x, from += step, to += 3) to[0] = from[r], to[1] = from[g], to[2] = from[b];
}

/// Memory for pixels. Throws MemoryError.
inline std::vector<std::uint8_t> pixel_memory(Size bytes, std::string_view what) {
  try {
    return std::vector<std::uint8_t>(static_cast<std::size_t>(bytes));
  } catch (std::bad_alloc const&) {
    throw MemoryError(text(what, ": no memory for ", bytes, " bytes of pixels"));
  }
}

/// Refuses a picture by its header. `what` names file and format.
inline void check_extents(std::string_view what, Size width, Size height, ImageLimits const& limits) {
  require<FileError>(width > 0 && height > 0, what, ": a picture of ", width, " x ", height, " pixels; expected at least 1 x 1");
  require<FileError>(width <= 0x7FFFFFFF && height <= 0x7FFFFFFF, what, ": ", width, " x ", height, " pixels do not fit in 31 bits a side");
  require<LimitError>(width <= limits.pixels / height, what, ": ", width, " x ", height, " pixels are more than the limit of ",
                      limits.pixels, "; make the picture smaller or raise ImageLimits::pixels");
}

}  // namespace detail
}  // namespace mgm::inline v0::io
