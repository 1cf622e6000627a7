// PNG files: equal to Pillow, or refused.
#include <mgm/io/read_image.hpp>
#include <support/images.hpp>

namespace png_test {
using namespace mgm;
using io::Exif, io::Image, io::ReadOptions;
using namespace std::string_literals;
using support::be, support::bytes_of, support::deflated, support::expect_refused, support::png_chunk, support::PngParts, support::slurp;

Image decode(std::string const& file, ReadOptions const& options = {}) { return io::decode_image(bytes_of(file), options, "x.png"); }

TEST(Png, EqualsPillow) {
  auto const goldens = support::golden_images(".png");
  ASSERT_GE(goldens.size(), 120u);
  for (auto const& golden : goldens) {
    ASSERT_GT(golden.width, 0) << golden.file;
    Image const got = io::read_image(support::image_data(golden.file), {.exif = golden.apply ? Exif::apply : Exif::ignore});
    EXPECT_EQ(got.width, golden.width) << golden.file;
    EXPECT_EQ(got.height, golden.height) << golden.file;
    EXPECT_TRUE(got.rgb == golden.rgb) << golden.file << (golden.apply ? " apply" : " ignore");
  }
}

TEST(Png, CorruptFilesOfPngSuiteAreRefused) {
  std::filesystem::path const folder = std::string(MGM_TEST_DATA) + "/images/png_corrupt";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
  int files = 0;
  for (auto const& entry : std::filesystem::directory_iterator(folder)) {
    expect_refused([&] { io::read_image(entry.path().string()); }, Code::file, entry.path().filename().string(), entry.path().string());
    ++files;
  }
  EXPECT_GE(files, 10);
}

TEST(Png, MalformedFilesAreRefusedByName) {
  ASSERT_EQ(decode(PngParts{}.file()).width, 5);  // the good twin of all that follow
  struct Bad {
    char const* what;
    std::string file, says;
  };
  std::string const good = PngParts{}.file();
  auto const with = [](auto&& spoil) {
    PngParts p;
    spoil(p);
    return p.file();
  };
  std::string bad_crc = good;
  bad_crc[29] = static_cast<char>(bad_crc[29] ^ 1);  // of IHDR
  std::string const data = deflated(PngParts{}.rows);
  std::string const lying = good.substr(0, 33) + be(0xFFFFFFFFu, 4) + good.substr(37),
                    beyond = good.substr(0, 33) + be(static_cast<std::uint32_t>(good.size()), 4) + good.substr(37);
  std::vector<Bad> const bad = {
      {"nothing", "", "the file is empty"},
      {"text", "this is no picture", "not an image we read: first bytes 74 68 69 73"},
      {"line ends converted", with([](auto& p) { p.signature = "\x89PNG\n\x1A\n"; }), "not an image we read: first bytes 89 50"},
      {"signature alone", PngParts{}.signature, "truncated"},
      {"no header", with([](auto& p) { p.header = false; }), "exactly one IHDR"},
      {"header second", with([](auto& p) { p.before_header = png_chunk("tIME", "1234567"); }), "exactly one IHDR"},
      {"two headers", with([](auto& p) { p.before_data = png_chunk("IHDR", p.header_data()); }), "exactly one IHDR"},
      {"header short", with([](auto& p) { p.header = false, p.before_header = png_chunk("IHDR", p.header_data().substr(1)); }),
       "header of 12 bytes"},
      {"width 0", with([](auto& p) { p.width = 0; }), "0 x 4"},
      {"height 0", with([](auto& p) { p.height = 0; }), "5 x 0"},
      {"width 2^31", with([](auto& p) { p.width = 1u << 31; }), "31 bits"},
      {"colour type 5", with([](auto& p) { p.colour = 5; }), "colour type 5"},
      {"depth 3", with([](auto& p) { p.colour = 0, p.depth = 3; }), "3 bits"},
      {"depth 4 with colour", with([](auto& p) { p.depth = 4; }), "colour type 2 with 4 bits"},
      {"palette of 16 bit", with([](auto& p) { p.colour = 3, p.depth = 16; }), "colour type 3 with 16 bits"},
      {"unknown compression", with([](auto& p) { p.compression = 1; }), "unknown compression"},
      {"unknown filter", with([](auto& p) { p.filter = 1; }), "unknown compression, filter"},
      {"unknown interlace", with([](auto& p) { p.interlace = 2; }), "interlace method"},
      {"header's checksum", bad_crc, "CRC"},
      {"data's checksum",
       [&] {
         auto f = good;
         f[f.size() - 14] = static_cast<char>(f[f.size() - 14] ^ 64);
         return f;
       }(),
       "CRC"},
      {"a text's checksum", with([](auto& p) {
         p.before_data = png_chunk("tEXt", std::string("k\0v", 3));
         p.before_data.back() ^= 1;
       }),
       "CRC"},
      {"no data", with([](auto& p) { p.data = false; }), "without image data"},
      {"no end", with([](auto& p) { p.end = false; }), "before its IEND"},
      {"no palette", with([](auto& p) { p.colour = 3; }), "palette of 0"},
      {"palette of 4 bytes", with([](auto& p) { p.colour = 3, p.before_data = png_chunk("PLTE", "abcd"); }), "palette of 4"},
      {"palette of 257 colours", with([](auto& p) { p.colour = 3, p.before_data = png_chunk("PLTE", std::string(771, 'x')); }),
       "palette of 771"},
      {"too few rows", with([](auto& p) { p.rows.resize(p.rows.size() - 16); }), "Not enough image data"},
      {"half a row less", with([](auto& p) { p.rows.resize(p.rows.size() - 8); }), "Not enough image data"},
      {"data cut, checksum right", with([&](auto& p) { p.packed = data.substr(0, data.size() / 2); }), "damaged PNG"},
      {"no zlib stream", with([](auto& p) { p.packed = "not a zlib stream at all"; }), "damaged PNG"},
      {"no such row filter", with([](auto& p) { p.rows[0] = 7; }), "bad adaptive filter"},
      {"length past the end", beyond, "the file ends at"},
      {"length 2^32 - 1", lying, "says 4294967295 bytes"},
      {"name of no chunk", with([](auto& p) { p.before_data = png_chunk("ab1d", ""); }), "is not a chunk"},
      {"unknown critical chunk", with([](auto& p) { p.before_data = png_chunk("ABCD", "zz"); }), "ABCD"},
      {"data for a picture that large cannot be there", with([](auto& p) { p.width = 10000, p.height = 10000; }), "too few"},
  };
  for (auto const& b : bad) expect_refused([&] { decode(b.file); }, Code::file, b.says, b.what);
}

TEST(Png, LimitsAreCheckedFromTheHeader) {
  PngParts p;
  p.width = p.height = 65535;
  expect_refused([&] { decode(p.file()); }, Code::limit, "65535 x 65535");
  std::string const good = PngParts{}.file();
  EXPECT_NO_THROW(decode(good, {.limits = {.pixels = 20}}));
  expect_refused([&] { decode(good, {.limits = {.pixels = 19}}); }, Code::limit, "limit of 19");
}

TEST(Png, TextsAndProfilesAreIgnoredHoweverLargeUnpacked) {
  PngParts p;
  std::string const bomb = deflated(std::string(50'000'000, 'a'));
  p.before_data = png_chunk("zTXt", std::string("Raw profile type exif\0\0", 23) + bomb) +
                  png_chunk("iCCP", std::string("p\0\0", 3) + bomb) +
                  png_chunk("iTXt", std::string("XML:com.adobe.xmp\0\1\0\0\0", 22) + bomb);
  for (int i = 0; i < 2000; ++i) p.before_data += png_chunk("tEXt", std::string("k\0", 2) + std::string(100, 'v'));
  EXPECT_EQ(decode(p.file()).rgb, decode(PngParts{}.file()).rgb);
}

TEST(Png, EveryTruncationAndEveryFlippedBitIsRefused) {
  for (std::string const name : {"raw_3_4_interlaced.png", "raw_0_16.png", "exif_in_itxt.png"}) {
    std::string const file = slurp(support::image_data(name));
    ASSERT_NO_THROW(decode(file)) << name;
    for (std::size_t n = 0; n < file.size(); ++n) EXPECT_THROW(decode(file.substr(0, n)), Error) << name << " cut at " << n;
    for (std::size_t n = 0; n < file.size(); ++n) {
      std::string flipped = file;
      flipped[n] = static_cast<char>(flipped[n] ^ (1 << n % 8));
      EXPECT_THROW(decode(flipped), Error) << name << " flipped at " << n;
    }
    EXPECT_NO_THROW(decode(file + "anything behind"));
  }
}

TEST(Png, AfterARefusalTheNextFileIsRead) {
  std::string const good = slurp(support::image_data("mode_RGB.png")), bad = good.substr(0, good.size() / 2);
  auto const want = decode(good).rgb;
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(decode(bad), FileError);
    EXPECT_EQ(decode(good).rgb, want);
  }
}

TEST(Png, WritesWhatItReads) {
  support::TempDir const folder;
  for (auto [w, h] : {std::pair{1, 1}, {37, 21}, {1, 100}}) {
    Image const image = support::noise(w, h);
    io::write_png(folder.path("out.png"), image);
    Image const back = io::read_image(folder.path("out.png"));
    EXPECT_EQ(back.width, w);
    EXPECT_EQ(back.rgb, image.rgb);
  }
  EXPECT_EQ(folder.count(), 1u);
  expect_refused([&] { io::write_png(folder.path("out.png"), Image{2, 2, {1}}); }, Code::argument, "found 1");
  expect_refused([&] { io::write_png(folder.path("missing/out.png"), support::noise(2, 2)); }, Code::file, "missing/out.png");
  EXPECT_EQ(folder.count(), 1u);
}

TEST(ReadImage, ContentDecidesNotTheName) {
  support::TempDir const folder;
  auto const jpeg = support::image_data("RGB_75.jpg"), png = support::image_data("mode_RGB.png");
  EXPECT_EQ(io::read_image(folder.write("a.png", slurp(jpeg))).rgb, io::read_image(jpeg).rgb);
  EXPECT_EQ(io::read_image(folder.write("b.jpg", slurp(png))).rgb, io::read_image(png).rgb);
  expect_refused([&] { io::read_image(folder.write("c.png", "GIF89a......")); }, Code::file, "first bytes 47 49 46 38");
  expect_refused([&] { io::read_image(folder.write("d.png", "")); }, Code::file, "d.png: not an image we read: the file is empty");
  expect_refused([&] { io::read_image(folder.path("none.png")); }, Code::file, "none.png");
  expect_refused([&] { io::read_image(folder.path()); }, Code::file, "directory");
  expect_refused([&] { io::read_image(png, {.limits = {.file_bytes = 100}}); }, Code::limit, "the limit is 100");
}

std::span<std::uint8_t const> span_of(std::string const& s) { return {reinterpret_cast<std::uint8_t const*>(s.data()), s.size()}; }

TEST(PngText, ComesBackAsItWasWritten) {
  support::TempDir const folder;
  std::string const path = folder.path("texts.png");
  Image const picture{3, 2, std::vector<std::uint8_t>(18, 9)};
  std::vector<io::PngText> const texts{
      {"parameters", "a b\nc"}, {"Title", "caf\xC3\xA9"},          {"mgm", "\xE7\x8C\xAB \xF0\x9F\x90\x88 \x07"}, {"empty", ""},
      {"Clef \xC3\xA9", "x"},   {"long", std::string(300000, 'y')}};
  io::write_png(path, picture, texts);
  auto const found = io::read_png_texts(path);
  ASSERT_EQ(found.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(found[i].key, texts[i].key);
    EXPECT_TRUE(found[i].text == texts[i].text) << texts[i].key;
  }
  std::string const bytes = slurp(path);
  EXPECT_NE(bytes.find("tEXtTitle\0caf\xE9"s), bytes.npos);     // Latin-1 where that holds it
  EXPECT_NE(bytes.find("iTXtmgm\0\0\0\0\0\xE7"s), bytes.npos);  // else UTF-8
  EXPECT_EQ(decode(bytes).rgb, picture.rgb);                    // libpng finds the checksums right
  io::write_png(path, picture, std::vector<io::PngText>{{"k", "a\xFF"s + '\0' + "b"}});
  EXPECT_EQ(io::read_png_texts(path).at(0).text,
            "a\xEF\xBF\xBD\xEF\xBF\xBD"
            "b");
  EXPECT_TRUE(io::png_texts(span_of(PngParts{}.file())).empty());
}

TEST(PngText, ReadsWhatOthersWrite) {
  auto const texts = [](std::string const& chunk) {
    PngParts p;
    p.before_data = chunk;
    return io::png_texts(span_of(p.file()), "x.png");
  };
  EXPECT_EQ(texts(png_chunk("zTXt", "k\0\0"s + deflated("caf\xE9"))).at(0).text, "caf\xC3\xA9");
  EXPECT_EQ(texts(png_chunk("iTXt", "k\0\1\0fr\0cl\xC3\xA9\0"s + deflated("caf\xC3\xA9"))).at(0).text, "caf\xC3\xA9");
  std::string damaged = png_chunk("tEXt", "k\0abc"s);
  damaged[10] = static_cast<char>(damaged[10] ^ 1);
  expect_refused([&] { (void)texts(damaged); }, Code::file, "checksum");
  expect_refused([&] { (void)texts(png_chunk("tEXt", "no end of a key")); }, Code::file, "cannot be read");
  expect_refused([&] { (void)texts(png_chunk("zTXt", "k\0\0"s + deflated(std::string(2 << 20, 'x')))); }, Code::file, "unpacks");
  expect_refused([] { (void)io::png_texts(span_of("GIF89a")); }, Code::file, "not a PNG");
  support::TempDir const folder;
  for (std::string const& key : {""s, " a"s, "a "s, "a  b"s, "a\nb"s, std::string(80, 'k'), "\xE7\x8C\xAB"s, "\xFF"s})
    expect_refused(
        [&] {
          io::write_png(folder.path("x.png"), Image{1, 1, {1, 2, 3}}, std::vector<io::PngText>{{key, "x"}});
        },
        Code::argument, "a key has 1 to 79", key);
  EXPECT_EQ(folder.count(), 0u);
}
}  // namespace png_test
