/// From pictures to what the towers read: every float of the device equals the host's, bit for bit.
#include <array>
#include <cstring>
#include <vector>

#include <mgm/models/device_pixels.hpp>

#include "support/refusals.hpp"

namespace pixels_test {

using namespace mgm;
using io::Aspect;
using io::PixelFormat;
using support::Dev;

struct Case {
  int width, height;
  PixelFormat format;
  int gap;  // bytes behind each row
  io::PixelsConfig config;
};
// one pixel, one row, one column, primes, shrinking and growing, both orders of the axes, crops, blur, every format, rows with gaps
constexpr PixelFormat rgb = PixelFormat::rgb, bgr = PixelFormat::bgr, rgba = PixelFormat::rgba, bgra = PixelFormat::bgra,
                      grey = PixelFormat::grey;
constexpr Case kCases[] = {{1, 1, rgb, 0, {8, 4, 1, false, Aspect::pad}},          {1, 1, grey, 3, {7, 3, 2, true, Aspect::square}},
                           {1, 9, rgb, 0, {8, 4, 1, false, Aspect::pad}},          {9, 1, bgr, 1, {8, 4, 1, false, Aspect::pad}},
                           {5, 3, rgb, 0, {16, 8, 1, false, Aspect::pad}},         {3, 5, rgba, 0, {16, 8, 1, false, Aspect::square}},
                           {7, 11, bgra, 5, {12, 5, 2, false, Aspect::pad}},       {11, 7, rgb, 0, {12, 5, 2, true, Aspect::square}},
                           {13, 13, grey, 0, {13, 13, 1, false, Aspect::pad}},     {16, 16, rgb, 0, {16, 16, 1, false, Aspect::square}},
                           {17, 16, rgb, 2, {32, 16, 1, false, Aspect::pad}},      {31, 33, bgr, 0, {16, 16, 2, true, Aspect::pad}},
                           {64, 48, rgb, 0, {32, 14, 1, false, Aspect::pad}},      {48, 64, rgb, 0, {32, 14, 1, false, Aspect::square}},
                           {64, 48, rgba, 0, {31, 7, 3, true, Aspect::square}},    {97, 61, rgb, 1, {33, 11, 2, true, Aspect::pad}},
                           {61, 97, grey, 0, {33, 11, 2, true, Aspect::pad}},      {20, 400, rgb, 0, {24, 8, 1, false, Aspect::pad}},
                           {400, 20, rgb, 0, {24, 8, 1, false, Aspect::square}},   {40, 400, bgr, 7, {24, 8, 2, true, Aspect::square}},
                           {129, 127, rgb, 0, {128, 56, 1, false, Aspect::pad}},   {127, 129, rgb, 0, {64, 28, 2, true, Aspect::square}},
                           {30, 40, rgb, 0, {48, 14, 2, true, Aspect::pad, true}}, {40, 30, rgb, 0, {48, 21, 1, false, Aspect::pad, true}},
                           {2, 2, rgb, 0, {65, 31, 1, false, Aspect::pad}},        {255, 3, bgra, 0, {9, 2, 4, true, Aspect::pad}},
                           {90, 160, rgb, 0, {96, 42, 1, false, Aspect::pad}},     {57, 300, rgb, 0, {57, 19, 1, false, Aspect::square}}};

/// A picture: noise, with runs of equal pixels and of extremes, where rounding and clamping show.
std::vector<std::uint8_t> picture_of(Case const& c) {
  support::Numbers numbers(std::uint64_t(c.width * 10007 + c.height));
  std::vector<std::uint8_t> bytes(std::size_t((c.width * bytes_per_pixel(c.format) + c.gap) * c.height));
  int last = 0;
  for (auto& b : bytes)
    b = std::uint8_t(last = numbers.whole(0, 3) == 0 ? numbers.whole(0, 1) * 255 : numbers.whole(0, 1) == 0 ? last : numbers.whole(0, 255));
  return bytes;
}

TEST(DevicePixels, EqualTheHostsBitForBit) {
  support::on_each_machine([](Context<Dev>& ctx) {
    bool both_orders[2] = {};
    for (Case const& c : kCases) {
      SCOPED_TRACE(
          text(c.width, " x ", c.height, " to ", c.config.image_size_aux, ", ", c.config.grid, " views a side of ", c.config.low_side));
      auto const bytes = picture_of(c);
      io::PixelView const picture(bytes.data(), c.width, c.height, c.format, c.width * bytes_per_pixel(c.format) + c.gap);
      both_orders[io::columns_first(io::square_plan(c.width, c.height, c.config.image_size_aux, c.config.aspect))] = true;
      auto const want = io::preprocess(picture, c.config);
      auto const got = models::preprocess(ctx, picture, c.config);
      ASSERT_EQ(got.low.extents(), want.low_view().extents());
      auto const aux = ctx.on_host(got.aux.view());
      auto const low = ctx.on_host(got.low.view());
      for (std::size_t i = 0; i < want.aux.size(); ++i) ASSERT_EQ(aux.data()[i], want.aux[i]) << "aux, " << i;
      for (std::size_t i = 0; i < want.low.size(); ++i) ASSERT_EQ(low.data()[i], want.low[i]) << "low, " << i;
      ASSERT_EQ(std::memcmp(low.data(), want.low.data(), want.low.size() * sizeof(float)), 0);
    }
    EXPECT_TRUE(both_orders[0] && both_orders[1]);
  });
}

TEST(DevicePixels, BytesBetweenThePassesArePillows) {  // the passes that store bytes, into rows with gaps that stay as they are
  support::on_each_machine([](Context<Dev>& ctx) {
    Case const c{37, 23, rgb, 0, {}};
    auto const bytes = picture_of(c);
    io::PixelView const picture(bytes.data(), c.width, c.height);
    constexpr int kWide = 19, kHigh = 29;
    auto const want = io::resize_bicubic(picture, kWide, kHigh);
    models::detail::UploadedPicture<Dev> const source(ctx, picture);
    models::detail::UploadedAxis<Dev> const across(ctx, io::detail::place(io::bicubic_taps(c.width, kWide, 0, kWide), 0, c.width));
    models::detail::UploadedAxis<Dev> const down(ctx, io::detail::place(io::bicubic_taps(c.height, kHigh, 0, kHigh), 0, c.height));
    auto narrow = ctx.template empty<std::uint8_t>(Extents{Size{c.height}, Size{kWide}, Size{3}});
    std::vector<std::uint8_t> const poison(kHigh * (3 * kWide + 5) + 2, 0xA5);
    auto const kept = ctx.on_device(View<std::uint8_t const, 1, Cpu>(poison.data(), {Size(poison.size())}));
    View<std::uint8_t, 3, Dev> const out(const_cast<std::uint8_t*>(kept.data()) + 2, {kHigh, kWide, 3}, {3 * kWide + 5, 3, 1});
    kernels::resize_across<Dev>(ctx.stream(), source.view, source.order, across.axis(), {}, narrow.view());
    kernels::resize_down<Dev>(ctx.stream(), narrow, {}, down.axis(), {}, out);
    auto const got = ctx.on_host(kept.view());
    for (Size i = 0; i < got.count(); ++i) {
      Size const at = i - 2, y = at / (3 * kWide + 5), x = at % (3 * kWide + 5);
      ASSERT_EQ(int(got(i)), at < 0 || x >= 3 * kWide ? 0xA5 : int(want.rgb[std::size_t(y * 3 * kWide + x)])) << i;
    }
  });
}

TEST(DevicePixelsArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using Bytes = View<std::uint8_t, 3, Dev>;
    auto const stream = ctx.stream();
    auto in = ctx.template empty<std::uint8_t>(Extents{Size{4}, Size{4}, Size{3}}),
         out = ctx.template empty<std::uint8_t>(Extents{Size{4}, Size{2}, Size{3}});
    models::detail::UploadedAxis<Dev> const axis(ctx, io::detail::place(io::bicubic_taps(4, 2, 0, 2), 0, 4));
    auto const across = [&](Bytes from, kernels::ChannelOrder order, kernels::ResizeAxis<Dev> how, Bytes to) {
      kernels::resize_across<Dev>(stream, from, order, how, {}, to);
    };
    support::expect_refused("resize: in: the pointer is null", [&] { across(Bytes(nullptr, {4, 4, 3}), {}, axis.axis(), out); });
    support::expect_refused("resize: out: expected shape (4, 2, 3)", [&] { across(in, {}, axis.axis(), in); });
    support::expect_refused("resize: order: channel 3", [&] { across(in, {{0, 1, 3}}, axis.axis(), out); });
    support::expect_refused("resize: out: overlaps in", [&] { across(in, {}, axis.axis(), Bytes(in.data(), {4, 2, 3})); });
    auto less = axis.axis();
    less.margin = less.margin.slice(0, 0, 1);
    support::expect_refused("resize: margin: expected shape (2)", [&] { across(in, {}, less, out); });
    support::expect_refused("resize: out: expected shape (2, 4, 3)",
                            [&] { kernels::resize_down<Dev>(stream, in, {}, axis.axis(), {}, out.view()); });
    auto floats = ctx.template empty<float>(Extents{Size{4}, Size{2}, Size{3}});
    support::expect_refused("resize: levels: expected shape (3, 256)", [&] {
      kernels::resize_across<Dev>(stream, in, {}, axis.axis(), {}, View<float const, 2, Dev>(floats.data(), {3, 2}), floats.view());
    });
    auto tiles = ctx.template empty<float>(Extents{Size{4}, Size{2}, Size{2}, Size{3}}),
         one = ctx.template empty<float>(Extents{Size{1}, Size{4}, Size{4}, Size{3}});
    auto samples = ctx.template empty<int>(Extents{Size{4}, Size{2}});
    auto weights = ctx.template empty<float>(Extents{Size{4}});
    kernels::BilinearAxis<Dev> const taps{samples, weights};
    auto const four = [&](View<float, 4, Dev> from, int grid, kernels::BilinearAxis<Dev> how, View<float, 4, Dev> to, int cut) {
      kernels::bilinear<Dev>(stream, from, grid, how, to, cut);
    };
    support::expect_refused("bilinear: in: expected shape (4, 4, *, 3)", [&] { four(one, 2, taps, tiles, 2); });
    support::expect_refused("bilinear: out: a picture has at least one tile", [&] { four(one, 1, taps, tiles, 0); });
    support::expect_refused("bilinear: out: overlaps in", [&] { four(one, 1, taps, one, 1); });
    support::expect_refused("bilinear: samples: expected shape (4, 2)", [&] { four(one, 1, {samples.slice(0, 0, 3), weights}, tiles, 2); });
    support::expect_refused("bilinear: in: the pointer is null", [&] {
      four(View<float, 4, Dev>(nullptr, {1, 4, 4, 3}), 1, taps, tiles, 2);
    });
    support::expect_refused("pixels: expected a side", [&] {
      std::uint8_t const byte[3] = {};
      (void)models::preprocess(ctx, io::PixelView(byte, 1, 1), {.image_size_aux = 0});
    });
    support::expect_bad_views_refused("resize: in", support::input(in),
                                      [&](auto bad) { kernels::resize_across<Dev>(stream, bad, {}, axis.axis(), {}, out.view()); });
    support::expect_bad_views_refused("resize: out", out.view(), [&](auto bad) { across(in, {}, axis.axis(), bad); });
    auto four_in = ctx.template empty<float>(Extents{Size{4}, Size{2}, Size{2}, Size{3}});
    support::expect_bad_views_refused("bilinear: in", support::input(four_in),
                                      [&](auto bad) { kernels::bilinear<Dev>(stream, bad, 2, taps, tiles.view(), 2); });
    support::expect_bad_views_refused("bilinear: out", tiles.view(), [&](auto bad) { four(one, 1, taps, bad, 2); });
  });
}

TEST(DevicePixelsCost, CountsPixelsOnce) {
  EXPECT_EQ(kernels::resize_cost(100, 50, 12, 4), (Cost{900, 3600}));
  EXPECT_EQ(kernels::bilinear_cost(8, 4), (Cost{960, 432}));
}

}  // namespace pixels_test
