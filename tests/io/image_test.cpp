// Raw pixels: what a view accepts, and what it refuses.
#include <mgm/io/image.hpp>
#include <support/images.hpp>

namespace image_test {
using namespace mgm;
using io::Image, io::PixelFormat, io::PixelView;
using support::expect_refused;

TEST(PixelView, TakesAnImageWhole) {
  Image const image = support::noise(4, 3);
  PixelView const view = image;
  EXPECT_EQ(view.width(), 4);
  EXPECT_EQ(view.height(), 3);
  EXPECT_EQ(view.row(2) - view.data(), 24);
}

TEST(PixelView, RefusesNullZeroAndWrongStrides) {
  std::uint8_t const byte[64] = {};
  EXPECT_NO_THROW(PixelView(byte, 4, 4, PixelFormat::rgb, 13));
  EXPECT_NO_THROW(PixelView(byte, 4, 4, PixelFormat::rgba));
  expect_refused([&] { PixelView(nullptr, 4, 4); }, Code::argument, "null");
  expect_refused([&] { PixelView(byte, 0, 4); }, Code::argument, "0 x 4");
  expect_refused([&] { PixelView(byte, 4, -1); }, Code::argument, "4 x -1");
  expect_refused([&] { PixelView(byte, 4, 4, PixelFormat::rgb, 11); }, Code::argument, "stride of 11");
  expect_refused([&] { PixelView(byte, 4, 4, PixelFormat::rgba, 12); }, Code::argument, "16 bytes");
  expect_refused([&] { PixelView(byte, 4, 4, PixelFormat::rgb, -12); }, Code::argument, "stride of -12");
}

TEST(PixelView, RefusesAnImageThatLiesAboutItsSize) {
  Image image = support::noise(4, 3);
  EXPECT_NO_THROW(PixelView{image});
  image.width = 5;
  expect_refused([&] { PixelView{image}; }, Code::argument, "found 36");
  expect_refused([] { PixelView{Image{}}; }, Code::argument, "null");
}

TEST(PixelView, FormatsBecomeRgb) {
  std::uint8_t const bytes[] = {1, 2, 3, 4, 5, 6, 7, 8}, *p = bytes;
  std::uint8_t out[6];
  auto const convert = [&](PixelFormat f) {
    io::detail::to_rgb(p, f, 2, out);
    return std::vector<int>(out, out + 6);
  };
  EXPECT_EQ(convert(PixelFormat::rgb), (std::vector<int>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(convert(PixelFormat::bgr), (std::vector<int>{3, 2, 1, 6, 5, 4}));
  EXPECT_EQ(convert(PixelFormat::rgba), (std::vector<int>{1, 2, 3, 5, 6, 7}));
  EXPECT_EQ(convert(PixelFormat::bgra), (std::vector<int>{3, 2, 1, 7, 6, 5}));
  EXPECT_EQ(convert(PixelFormat::grey), (std::vector<int>{1, 1, 1, 2, 2, 2}));
}

}  // namespace image_test
