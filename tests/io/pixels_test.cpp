// From pictures to the inputs of the towers.
#include <bit>
#include <cmath>

#include <mgm/io/pixels.hpp>
#include <mgm/io/sha256.hpp>
#include <support/images.hpp>

namespace pixels_test {
using namespace mgm;
using io::Aspect, io::Image, io::Pixels, io::PixelsConfig;

TEST(Pixels, NormalisationTableOfTheSpec) {
  auto const table = io::normalise_table();
  struct Row {
    std::size_t level;
    float r, g, b;
    int half_r, half_g, half_b;
  };
  for (Row const row : {Row{0, -1.79226255f, -1.75209713f, -1.48021984f, 0xbf2b, 0xbf02, 0xbdec},
                        {104, -0.274026185f, -0.191289201f, -0.00133289478f, 0xb462, 0xb21f, 0x9576},
                        {116, -0.0988450721f, -0.0111960042f, 0.169307888f, 0xae53, 0xa1bb, 0x316b},
                        {122, -0.0112545202f, 0.0788505971f, 0.254628271f, 0xa1c3, 0x2d0c, 0x3413},
                        {128, 0.0763361454f, 0.168897316f, 0.339948773f, 0x2ce3, 0x3168, 0x3570},
                        {255, 1.93033612f, 2.0748837f, 2.14589691f, 0x3fb9, 0x4026, 0x404b}}) {
    EXPECT_EQ(table[0][row.level], row.r) << row.level;
    EXPECT_EQ(table[1][row.level], row.g) << row.level;
    EXPECT_EQ(table[2][row.level], row.b) << row.level;
    EXPECT_EQ(half(table[0][row.level]).bits, row.half_r);
    EXPECT_EQ(half(table[1][row.level]).bits, row.half_g);
    EXPECT_EQ(half(table[2][row.level]).bits, row.half_b);
  }
}

TEST(Pixels, EqualPillowAndNumpyBitForBit) {
  std::istringstream lines(support::slurp(support::image_data("preprocessed.txt")));
  int w, h, side, cases = 0;
  std::string aspect, want;
  while (lines >> w >> h >> side >> aspect >> want) {
    Pixels const p = io::preprocess(support::noise(w, h),
                                    {.image_size_aux = side, .low_side = 16, .aspect = aspect == "pad" ? Aspect::pad : Aspect::square});
    auto const planes = io::channels_first(p.aux_view());
    EXPECT_EQ(io::Sha256{}.update({reinterpret_cast<char const*>(planes.data()), 4 * planes.size()}).hex(), want)
        << w << " x " << h << ", " << side << ' ' << aspect;
    ++cases;
  }
  EXPECT_GE(cases, 40);
}

TEST(Pixels, PaddingIsTruncatedMeanAtTheFlooredOffset) {
  Image const white{4, 1, std::vector<std::uint8_t>(12, 255)};
  Image const out = io::fit_square(white, 4, Aspect::pad);  // (4 − 1)//2 = 1: one line above, two below
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 4; ++x)
      for (int c = 0; c < 3; ++c)
        EXPECT_EQ(out.rgb[static_cast<std::size_t>(3 * (4 * y + x) + c)], y == 1 ? 255 : io::kPadColour[static_cast<std::size_t>(c)])
            << x << ", " << y;
  Image const tall{1, 4, std::vector<std::uint8_t>(12, 255)};
  Image const turned = io::fit_square(tall, 4, Aspect::pad);
  for (std::size_t x = 0; x < 4; ++x) EXPECT_EQ(turned.rgb[3 * x], x == 1 ? 255 : 122);
}

// A ramp shows the coordinates themselves: value at tap position t is t.
TEST(Pixels, BilinearTapsOfTheSpec) {
  std::vector<float> ramp(768 * 3);
  for (std::size_t x = 0; x < 768; ++x)
    ramp[3 * x] = static_cast<float>(x), ramp[3 * x + 1] = static_cast<float>(x % 2), ramp[3 * x + 2] = 1;
  auto const out = io::bilinear(View<float const, 3, Cpu>(ramp.data(), {{1, 768, 3}}), 336);
  std::pair<std::size_t, double> const taps[] = {{0, 0.642857}, {1, 2.928571}, {2, 5.214286}, {3, 7.5}, {335, 766.357143}};
  for (auto const& [d, position] : taps) EXPECT_NEAR(out[3 * d], position, 1e-6 * (1 + position)) << d;
  for (std::size_t d = 0; d < 336; ++d) EXPECT_EQ(out[3 * d + 2], 1) << d;
  EXPECT_NEAR(out[1], 0.642857, 1e-6);
}

TEST(Pixels, BilinearEqualsItsFormulaInDouble) {
  auto const in = io::normalise(support::noise(48, 48));
  View<float const, 3, Cpu> const view(in.data(), {{48, 48, 3}});
  for (int side : {21, 48, 24, 96, 1}) {
    auto const out = io::bilinear(view, side);
    auto const tap = [side](int d, int& low, int& high) {
      double const src = std::max(0.0, (d + 0.5) * 48 / side - 0.5);
      low = static_cast<int>(src), high = std::min(low + 1, 47);
      return src - low;
    };
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x)
        for (int c = 0; c < 3; ++c) {
          int y0, y1, x0, x1;
          double const ly = tap(y, y0, y1), lx = tap(x, x0, x1);
          double const want =
              (1 - ly) * ((1 - lx) * view(y0, x0, c) + lx * view(y0, x1, c)) + ly * ((1 - lx) * view(y1, x0, c) + lx * view(y1, x1, c));
          ASSERT_NEAR(out[static_cast<std::size_t>(3 * (side * y + x) + c)], want, 1e-6) << side << ": " << x << ", " << y;
        }
  }
}

TEST(Pixels, OneViewIsTheLowResolutionPictureOfTheNormalisedOne) {
  Pixels const p = io::preprocess(support::noise(50, 40), {.image_size_aux = 32, .low_side = 14});
  EXPECT_EQ(p.views, 1);
  EXPECT_EQ(p.aux.size(), 3u * 32 * 32);
  EXPECT_EQ(p.low, io::bilinear(p.aux_view(), 14));
}

TEST(Pixels, HdViewsAreCropsInRowOrderThenTheExactMeanOfFour) {
  PixelsConfig const config{.image_size_aux = 64, .low_side = 14, .grid = 2, .global = true};
  Pixels const p = io::preprocess(support::noise(50, 40), config);
  ASSERT_EQ(p.views, 5);
  auto const low = io::bilinear(p.aux_view(), 28);
  auto const at = [&](int y, int x, int c) { return low[static_cast<std::size_t>(3 * (28 * y + x) + c)]; };
  for (int v = 0; v < 4; ++v)
    for (int y = 0; y < 14; ++y)
      for (int x = 0; x < 14; ++x)
        for (int c = 0; c < 3; ++c) ASSERT_EQ(p.low_view()(v, y, x, c), at(14 * (v / 2) + y, 14 * (v % 2) + x, c)) << v;
  for (int y = 0; y < 14; ++y)
    for (int x = 0; x < 14; ++x)
      for (int c = 0; c < 3; ++c)
        ASSERT_EQ(p.low_view()(4, y, x, c), 0.5f * (0.5f * at(2 * y, 2 * x, c) + 0.5f * at(2 * y, 2 * x + 1, c)) +
                                                0.5f * (0.5f * at(2 * y + 1, 2 * x, c) + 0.5f * at(2 * y + 1, 2 * x + 1, c)));
  auto without = config;
  without.global = false;
  EXPECT_EQ(io::preprocess(support::noise(50, 40), without).views, 4);
  without.grid = 1, without.global = true;  // a global view exists only beside crops
  EXPECT_EQ(io::preprocess(support::noise(50, 40), without).views, 1);
}

TEST(Pixels, BlurredAuxHoldsOnlyWhatTheViewsHold) {
  PixelsConfig config{.image_size_aux = 64, .low_side = 14};
  auto const sharp = io::preprocess(support::noise(50, 50), config);
  config.blur_aux = true;
  auto const blurred = io::preprocess(support::noise(50, 50), config);
  EXPECT_EQ(blurred.low, sharp.low);
  EXPECT_NE(blurred.aux, sharp.aux);
  EXPECT_EQ(blurred.aux, io::bilinear(View<float const, 3, Cpu>(sharp.low.data(), {{14, 14, 3}}), 64));
}

TEST(Pixels, ChannelsFirst) {
  std::vector<float> const in = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(io::channels_first(View<float const, 3, Cpu>(in.data(), {{1, 2, 3}})), (std::vector<float>{1, 4, 2, 5, 3, 6}));
}

TEST(Pixels, RefusesConfigurationsThatMakeNoSense) {
  Image const p = support::noise(4, 4);
  using support::expect_refused;
  EXPECT_NO_THROW(io::preprocess(p, {.image_size_aux = 8, .low_side = 4}));
  expect_refused([&] { io::preprocess(p, {.image_size_aux = 0, .low_side = 4}); }, Code::argument, "side of 1");
  expect_refused([&] { io::preprocess(p, {.image_size_aux = 1 << 20, .low_side = 4}); }, Code::argument, "16384");
  expect_refused([&] { io::preprocess(p, {.image_size_aux = 8, .low_side = 0}); }, Code::argument, "found 0");
  expect_refused([&] { io::preprocess(p, {.image_size_aux = 8, .low_side = 4, .grid = 0}); }, Code::argument, "found 4 and 0");
  expect_refused([&] { io::preprocess(p, {.image_size_aux = 8, .low_side = 1 << 30, .grid = 4}); }, Code::argument, "1073741824 and 4");
  std::vector<std::uint8_t> const line(3 * 3'000'000);
  expect_refused([&] { io::preprocess(io::PixelView(line.data(), 1, 3'000'000), {.image_size_aux = 768, .aspect = Aspect::square}); },
                 Code::limit, "pad instead");
}

}  // namespace pixels_test
