// JPEG files: equal to Pillow, or refused.
#include <mgm/io/read_image.hpp>
#include <support/images.hpp>

namespace jpeg_test {
using namespace mgm;
using io::Exif, io::Image, io::ReadOptions;
using support::bytes_of, support::expect_refused, support::jpeg_file, support::jpeg_segments, support::JpegSegment, support::slurp;

Image decode(std::string const& file, ReadOptions const& options = {}) { return io::decode_image(bytes_of(file), options, "x.jpg"); }

TEST(Jpeg, EqualsPillow) {
  auto const goldens = support::golden_images(".jpg");
  ASSERT_GE(goldens.size(), 150u);
  for (auto const& golden : goldens) {
    ASSERT_GT(golden.width, 0) << golden.file;
    Image const got = io::read_image(support::image_data(golden.file), {.exif = golden.apply ? Exif::apply : Exif::ignore});
    EXPECT_EQ(got.width, golden.width) << golden.file;
    EXPECT_EQ(got.height, golden.height) << golden.file;
    EXPECT_TRUE(got.rgb == golden.rgb) << golden.file << (golden.apply ? " apply" : " ignore");
  }
}

TEST(Jpeg, PhotographsOfOthersAreRead) {
  std::filesystem::path const folder = std::string(MGM_TEST_DATA) + "/images/jpeg";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
  int files = 0;
  std::vector<std::uint8_t> first;
  for (auto const& entry : std::filesystem::directory_iterator(folder)) {
    EXPECT_NO_THROW(io::read_image(entry.path().string())) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 20);
}

/// The first segment of a marker.
JpegSegment& find(std::vector<JpegSegment>& segments, int marker) {
  for (auto& s : segments)
    if (s.marker == marker) return s;
  throw std::runtime_error("no such marker");
}

TEST(Jpeg, MalformedFilesAreRefusedByName) {
  std::string const baseline = slurp(support::image_data("sampling_420_17x33.jpg"));
  auto const parts = jpeg_segments(baseline);
  ASSERT_EQ(decode(jpeg_file(parts)).rgb, decode(baseline).rgb);  // the good twin of all that follow
  auto const with = [&](int marker, auto&& spoil) {
    auto p = parts;
    spoil(find(p, marker));
    return jpeg_file(p);
  };
  auto const without = [&](int marker) {
    auto p = parts;
    std::erase_if(p, [&](auto const& s) { return s.marker == marker; });
    return jpeg_file(p);
  };
  auto const frame = [&](std::size_t at, int value) { return with(0xC0, [&](auto& s) { s.data[at] = static_cast<char>(value); }); };
  struct Bad {
    char const* what;
    std::string file, says;
  };
  std::vector<Bad> const bad = {
      {"two bytes", "\xFF\xD8", "not an image we read"},
      {"start alone", "\xFF\xD8\xFF", "truncated"},
      {"start and end", "\xFF\xD8\xFF\xD9", "without a picture"},
      {"zeros", std::string("\xFF\xD8\xFF", 3) + std::string(400, '\0'), "truncated"},
      {"no scan", without(0xDA), "without a picture"},
      {"no frame", without(0xC0), "before the frame header"},
      {"two frames", with(0xC0, [](auto& s) { s.data += std::string("\xFF\xC0\x00\x11", 4) + s.data; }), ""},
      {"no quantisation", without(0xDB), "uantization table"},
      {"scan with a Huffman table that is not there", with(0xDA, [](auto& s) { s.data[2] = 0x33; }), "Huffman table"},
      {"height 0", with(0xC0, [](auto& s) { s.data[1] = s.data[2] = 0; }), "17 x 0"},
      {"width 0", with(0xC0, [](auto& s) { s.data[3] = s.data[4] = 0; }), "0 x 33"},
      {"12 bits", frame(0, 12), "JPEG of 12 bits"},
      {"16 bits", frame(0, 16), "JPEG of 16 bits"},
      {"lossless", with(0xC0, [](auto& s) { s.marker = 0xC3; }), "lossless"},
      {"hierarchical", with(0xC0, [](auto& s) { s.marker = 0xC5; }), "hierarchical"},
      {"no components", frame(5, 0), "0 components"},
      {"two components", frame(5, 2), "2 components"},
      {"five components", frame(5, 5), "5 components"},
      {"frame header shorter than its components", with(0xC0, [](auto& s) { s.data.pop_back(); }), "damaged JPEG"},
      {"frame header of 3 bytes", with(0xC0, [](auto& s) { s.data.resize(3); }), "of 3 bytes"},
      {"sampling 0", frame(7, 0), "ampling factors"},
      {"sampling 5", frame(7, 0x51), "ampling factors"},
      {"scan of an unknown component", with(0xDA, [](auto& s) { s.data[1] = 77; }), "damaged JPEG"},
      {"scan of no component", with(0xDA, [](auto& s) { s.data[0] = 0; }), "damaged JPEG"},
      {"scan header short", with(0xDA, [](auto& s) { s.data.pop_back(); }), "damaged JPEG"},
      {"Huffman table that is no code", with(0xC4, [](auto& s) { s.data[1] = 5; }), "damaged JPEG"},
      {"Huffman table cut", with(0xC4, [](auto& s) { s.data.resize(10); }), "damaged JPEG"},
      {"quantisation table cut", with(0xDB, [](auto& s) { s.data.resize(30); }), "damaged JPEG"},
      {"segment length 1", std::string("\xFF\xD8\xFF\xE0\x00\x01", 6) + baseline.substr(2), "says 1 bytes"},
      {"segment past the end", baseline.substr(0, 2) + "\xFF\xE1\xFF\xFF" + baseline.substr(2), "says 65535 bytes"},
      {"no end", jpeg_file(parts, false), "truncated"},
      {"half the data, then an end", with(0xDA, [](auto& s) { s.scan.resize(s.scan.size() / 2); }), "premature end"},
      {"no data at all", with(0xDA, [](auto& s) { s.scan.clear(); }), "damaged JPEG"},
      {"much larger than its data", with(0xC0, [](auto& s) { s.data.replace(1, 4, "\x27\x10\x27\x10"); }), "too few"},
      {"larger than its data", with(0xC0, [](auto& s) { s.data.replace(1, 4, std::string("\x01\x00\x01\x00", 4)); }), "premature end"},
  };
  for (auto const& b : bad) expect_refused([&] { decode(b.file); }, Code::file, b.says, b.what);
}

TEST(Jpeg, LimitsAreCheckedFromTheHeader) {
  auto parts = jpeg_segments(slurp(support::image_data("sampling_420_17x33.jpg")));
  std::string const good = jpeg_file(parts);
  EXPECT_NO_THROW(decode(good, {.limits = {.pixels = 17 * 33}}));
  expect_refused([&] { decode(good, {.limits = {.pixels = 17 * 33 - 1}}); }, Code::limit, "17 x 33");
  find(parts, 0xC0).data.replace(1, 4, "\xFF\xFF\xFF\xFF");
  expect_refused([&] { decode(jpeg_file(parts)); }, Code::limit, "65535 x 65535");
}

TEST(Jpeg, ScansAreCounted) {
  std::string const file = slurp(support::image_data("RGB_progressive.jpg"));
  auto parts = jpeg_segments(file);
  auto const scans = std::count_if(parts.begin(), parts.end(), [](auto const& s) { return s.marker == 0xDA; });
  ASSERT_GE(scans, 5);
  EXPECT_NO_THROW(decode(file));
  expect_refused([&] { decode(file, {.limits = {.scans = static_cast<int>(scans) - 1}}); }, Code::file, "more scans");
  auto const first = std::find_if(parts.begin(), parts.end(), [](auto const& s) { return s.marker == 0xDA; });
  std::vector<JpegSegment> const again(first - 1, first + 1);                              // with its Huffman table
  for (int i = 0; i < 10'000; ++i) parts.insert(parts.end(), again.begin(), again.end());  // a bomb: each costs a pass over the picture
  expect_refused([&] { decode(jpeg_file(parts)); }, Code::file, "more scans");
}

TEST(Jpeg, EveryTruncationIsRefused) {
  for (std::string const name :
       {"RGB_75.jpg", "RGB_progressive.jpg", "odd_arithmetic.jpg", "restart_blocks.jpg", "odd_ycck.jpg", "exif_6.jpg"}) {
    std::string const file = slurp(support::image_data(name));
    ASSERT_NO_THROW(decode(file)) << name;
    for (std::size_t n = 0; n < file.size(); ++n) EXPECT_THROW(decode(file.substr(0, n)), Error) << name << " cut at " << n;
  }
}

// A flipped bit need not be noticed, but what comes back is then a whole picture of the size that the file says.
TEST(Jpeg, EveryFlippedBitIsRefusedOrGivesAPicture) {
  for (std::string const name :
       {"RGB_75.jpg", "RGB_progressive.jpg", "odd_arithmetic.jpg", "restart_blocks.jpg", "odd_ycck.jpg", "exif_6.jpg"}) {
    std::string const file = slurp(support::image_data(name));
    int refused = 0;
    for (std::size_t n = 0; n < file.size(); ++n) {
      std::string flipped = file;
      flipped[n] = static_cast<char>(flipped[n] ^ (1 << n % 8));
      try {
        Image const image = decode(flipped, {.limits = {.pixels = 1 << 20}});
        ASSERT_EQ(image.rgb.size(), 3u * static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height));
      } catch (Error const&) {
        ++refused;
      }
    }
    EXPECT_GT(refused, 10) << name;
  }
}

TEST(Jpeg, DamageBetweenRestartMarkersIsPassedOver) {
  std::string const file = slurp(support::image_data("restart_blocks.jpg"));
  auto parts = jpeg_segments(file);
  auto& scan = find(parts, 0xDA).scan;
  std::size_t const second = scan.find("\xFF\xD1");
  ASSERT_NE(second, scan.npos);
  scan[second - 3] = static_cast<char>(~scan[second - 3]);
  Image const whole = decode(file), damaged = decode(jpeg_file(parts));
  EXPECT_EQ(damaged.width, whole.width);
  EXPECT_EQ(std::vector<std::uint8_t>(damaged.rgb.end() - 30, damaged.rgb.end()),
            std::vector<std::uint8_t>(whole.rgb.end() - 30, whole.rgb.end()));
}

TEST(Jpeg, AfterARefusalTheNextFileIsRead) {
  std::string const good = slurp(support::image_data("CMYK_50.jpg")), bad = good.substr(0, good.size() / 2);
  auto const want = decode(good).rgb;
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(decode(bad), FileError);
    EXPECT_EQ(decode(good).rgb, want);
  }
}

}  // namespace jpeg_test
