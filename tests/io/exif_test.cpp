// Which way up: EXIF, XMP, and the turns. Whole files stand in png_test and jpeg_test.
#include <mgm/io/exif.hpp>
#include <support/images.hpp>

namespace exif_test {
using namespace mgm;
using support::be;

/// A TIFF block, big-endian: entries of 12 bytes, then what they point to.
std::string block(std::vector<std::string> const& entries, std::string const& rest = "", std::string const& head = "MM") {
  std::string out = head + be(42, 2) + be(8, 4) + be(static_cast<std::uint32_t>(entries.size()), 2);
  for (auto const& e : entries) out += e;
  return out + be(8, 4) + rest;  // the next directory is this one again
}
std::string entry(int tag, int type, std::uint32_t count, std::string value) {
  value.resize(4, '\0');
  return be(static_cast<std::uint32_t>(tag), 2) + be(static_cast<std::uint32_t>(type), 2) + be(count, 4) + value;
}
std::optional<int> read(std::string const& bytes) { return io::exif_orientation(support::bytes_of(bytes)); }

TEST(Exif, ReadsTheOrientation) {
  for (int n = 1; n <= 8; ++n) EXPECT_EQ(read(block({entry(0x112, 3, 1, be(static_cast<std::uint32_t>(n), 2))})), n);
  std::string const good = block({entry(0x112, 3, 1, be(6, 2))});
  EXPECT_EQ(read(std::string("Exif\0\0", 6) + good), 6);
  EXPECT_EQ(read(std::string("Exif\0\0Exif\0\0", 12) + good), 6);
  EXPECT_EQ(read(std::string("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0", 22)), 8);
}

TEST(Exif, WhatCannotBeReadIsNone) {
  EXPECT_FALSE(read(""));
  EXPECT_FALSE(read("MM"));
  EXPECT_FALSE(read("not a TIFF block"));
  EXPECT_FALSE(read(block({})));
  EXPECT_FALSE(read(block({entry(0x110, 3, 1, be(6, 2))})));
  EXPECT_FALSE(read(block({entry(0x112, 99, 1, be(6, 2))})));
  EXPECT_FALSE(read(block({entry(0x112, 3, 0, be(6, 2))})));
  EXPECT_FALSE(read(block({entry(0x112, 3, 0xFFFFFFFF, be(8, 4))})));
  EXPECT_FALSE(read(block({entry(0x112, 3, 3, be(1000, 4))})));
  EXPECT_FALSE(read(std::string("MM") + be(42, 2) + be(0xFFFFFFF0, 4) + std::string(40, '\1')));
  // A value that lies outside ends the reading, as in Pillow; a directory that claims more than it has does not.
  EXPECT_FALSE(read(block({entry(0x110, 2, 30, be(30, 4)), entry(0x112, 3, 1, be(6, 2))})));
  EXPECT_EQ(read(block({entry(0x110, 2, 3'000'000, be(30, 4)), entry(0x112, 3, 1, be(6, 2))})), 6);
  std::string claims = block({entry(0x112, 3, 1, be(6, 2))});
  claims[9] = 100;
  EXPECT_EQ(read(claims), 6);
}

TEST(Exif, OtherTypesAndValues) {
  EXPECT_EQ(read(block({entry(0x112, 4, 1, be(6, 4))})), 6);
  EXPECT_EQ(read(block({entry(0x112, 9, 1, be(6, 4))})), 6);
  EXPECT_EQ(read(block({entry(0x112, 1, 1, "\6")})), 0);  // bytes are no number
  EXPECT_EQ(read(block({entry(0x112, 3, 1, be(9, 2))})), 0);
  EXPECT_EQ(read(block({entry(0x112, 3, 1, be(0, 2))})), 0);
  EXPECT_EQ(read(block({entry(0x112, 3, 3, be(26, 4))}, be(6, 2) + be(1, 2) + be(1, 2))), 6);
  EXPECT_EQ(read(block({entry(0x112, 5, 1, be(26, 4))}, be(12, 4) + be(2, 4))), 6);
  EXPECT_EQ(read(block({entry(0x112, 5, 1, be(26, 4))}, be(0, 4) + be(0, 4))), 0);
  EXPECT_EQ(read(block({entry(0x112, 3, 1, be(3, 2)), entry(0x112, 3, 1, be(6, 2))})), 3);
}

TEST(Exif, EveryTruncationAndFlipIsSafe) {
  std::string const good = block({entry(0x110, 2, 8, be(38, 4)), entry(0x112, 3, 1, be(6, 2))}, "camera 1");
  ASSERT_EQ(read(good), 6);
  for (std::size_t n = 0; n < good.size(); ++n) {
    auto const cut = read(good.substr(0, n));
    EXPECT_TRUE(!cut || *cut == 6) << n;
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = good;
      flipped[n] = static_cast<char>(flipped[n] ^ (1 << bit));
      auto const got = read(flipped).value_or(0);
      EXPECT_TRUE(got >= 0 && got <= 8) << n;
    }
  }
}

TEST(Exif, Xmp) {
  EXPECT_EQ(io::xmp_orientation("<a tiff:Orientation=\"6\"/>"), 6);
  EXPECT_EQ(io::xmp_orientation("<tiff:Orientation>3</tiff:Orientation>"), 3);
  EXPECT_EQ(io::xmp_orientation("tiff:Orientation tiff:Orientation=\"x\" tiff:Orientation=\"8\""), 8);
  EXPECT_FALSE(io::xmp_orientation("tiff:Orientation=\""));
  EXPECT_FALSE(io::xmp_orientation("tiff:Orientation"));
  EXPECT_FALSE(io::xmp_orientation(""));
}

TEST(Exif, Turns) {
  // A picture of 3 × 2 whose pixels are named abc / def; each orientation as Pillow turns it.
  std::pair<int, std::string> const want[] = {{1, "abc/def"},  {2, "cba/fed"},  {3, "fed/cba"},  {4, "def/abc"}, {5, "ad/be/cf"},
                                              {6, "da/eb/fc"}, {7, "fc/eb/da"}, {8, "cf/be/ad"}, {0, "abc/def"}, {9, "abc/def"}};
  for (auto const& [n, rows] : want) {
    io::Image picture{3, 2, {}};
    for (char const c : std::string("abcdef"))
      for (int k = 0; k < 3; ++k) picture.rgb.push_back(static_cast<std::uint8_t>(c + 40 * k));
    io::Image const out = io::upright(std::move(picture), n);
    std::string got;
    for (int y = 0; y < out.height; ++y) {
      if (y > 0) got += '/';
      for (int x = 0; x < out.width; ++x) {
        std::uint8_t const* p = out.rgb.data() + 3 * (y * out.width + x);
        got += static_cast<char>(p[0]);
        EXPECT_EQ(p[2], p[0] + 80);
      }
    }
    EXPECT_EQ(got, rows) << n;
  }
}

TEST(Exif, TurningTwiceTheOtherWayGivesThePictureBack) {
  auto const picture = support::noise(130, 70);  // larger than a block of the loop
  for (auto [there, back] : {std::pair{2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 8}, {7, 7}, {8, 6}}) {
    auto const turned = io::upright(picture, there);
    EXPECT_NE(turned.rgb, picture.rgb);
    EXPECT_EQ(io::upright(turned, back).rgb, picture.rgb) << there;
  }
}

}  // namespace exif_test
