// Pillow's filters, bit for bit.
#include <mgm/io/resize.hpp>
#include <mgm/io/sha256.hpp>
#include <support/images.hpp>

namespace resize_test {
using namespace mgm;
using io::Image, io::PixelFormat, io::PixelView, io::ResizePlan;

std::string digest(std::vector<std::uint8_t> const& bytes) {
  return io::Sha256{}.update({reinterpret_cast<char const*>(bytes.data()), bytes.size()}).hex();
}

TEST(Resize, CoefficientsAreThoseOfTheSpec) {
  struct Row {
    int first;
    std::vector<int> weights;
  };
  auto const rows = [](int n, int m) {
    auto const taps = io::bicubic_taps(n, m, 0, m);
    std::vector<Row> out;
    for (auto const& s : taps.spans) out.push_back({s.first, {taps.weights.begin() + s.at, taps.weights.begin() + s.at + s.count}});
    return out;
  };
  auto const expect = [&](int n, int m, std::vector<Row> const& want) {
    auto const got = rows(n, m);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t d = 0; d < want.size(); ++d) {
      EXPECT_EQ(got[d].first, want[d].first) << n << " to " << m << ", " << d;
      EXPECT_EQ(got[d].weights, want[d].weights) << n << " to " << m << ", " << d;
    }
  };
  expect(5, 3,
         {{0, {2452055, 1871305, 0, -129056}}, {0, {-156067, 1033945, 2438549, 1033945, -156067}}, {1, {-129056, 0, 1871305, 2452055}}});
  expect(3, 5,
         {{0, {4510855, -316551}},
          {0, {2723168, 1658941, -187805}},
          {0, {0, 4194304, 0}},
          {0, {-187805, 1658941, 2723168}},
          {1, {-316551, 4510855}}});
}

TEST(Resize, GreyExamplesOfTheSpec) {
  auto const grey = [](std::vector<std::uint8_t> const& levels, int w, int h, int new_w, int new_h) {
    Image const out = io::resize_bicubic(PixelView(levels.data(), w, h, PixelFormat::grey), new_w, new_h);
    std::vector<int> first;
    for (std::size_t i = 0; i < out.rgb.size(); i += 3) {
      EXPECT_TRUE(out.rgb[i] == out.rgb[i + 1] && out.rgb[i] == out.rgb[i + 2]);
      first.push_back(out.rgb[i]);
    }
    return first;
  };
  EXPECT_EQ(grey({0, 255, 40, 200, 10, 90, 30, 60, 250}, 3, 3, 5, 4),
            (std::vector<int>{0, 97, 255, 131, 20, 147, 125, 98, 71, 58, 160, 96, 11, 97, 160, 18, 27, 63, 192, 255}));
  std::vector<std::uint8_t> steps;
  for (int i = 0; i < 63; ++i) steps.push_back(static_cast<std::uint8_t>(37 * i));
  EXPECT_EQ(grey(steps, 9, 7, 4, 3), (std::vector<int>{92, 136, 113, 91, 122, 111, 135, 124, 155, 133, 110, 154}));
}

void expect_equals_pillow(std::string const& file, io::Filter filter) {
  std::istringstream lines(support::slurp(support::image_data(file)));
  int w, h, new_w, new_h, cases = 0;
  std::string want;
  while (lines >> w >> h >> new_w >> new_h >> want) {
    EXPECT_EQ(digest(io::resize(filter, support::noise(w, h), new_w, new_h).rgb), want) << file << ": " << w << " x " << h << " to " << new_w << " x " << new_h;
    ++cases;
  }
  EXPECT_GE(cases, 20);
}
TEST(Resize, EqualsPillow) { expect_equals_pillow("resized.txt", io::Filter::bicubic); }
TEST(Resize, LanczosEqualsPillow) { expect_equals_pillow("resized_lanczos.txt", io::Filter::lanczos); }

// A canvas that is not stored must give what a stored one gives, in either order of the axes, with crops, in bands or whole.
TEST(Resize, MarginsAreAsIfStored) {
  std::uint8_t const colour[3] = {122, 116, 104};
  struct Case {
    int w, h, canvas_w, canvas_h, left, top, full_w, full_h, crop_left, crop_top, crop_w, crop_h;
  };
  for (Case const c : {Case{20, 9, 20, 20, 0, 5, 8, 8, 0, 0, 8, 8}, Case{9, 20, 20, 20, 5, 0, 50, 50, 0, 0, 50, 50},
                       Case{5, 60, 12, 90, 3, 20, 10, 20, 0, 0, 10, 20}, Case{30, 30, 40, 41, 10, 1, 33, 71, 5, 40, 20, 31},
                       Case{1, 1, 64, 64, 31, 31, 7, 7, 2, 2, 3, 3}, Case{3, 3, 500, 500, 0, 497, 16, 16, 0, 0, 16, 16}}) {
    Image const picture = support::noise(c.w, c.h);
    Image canvas{c.canvas_w, c.canvas_h, {}};
    for (int y = 0; y < c.canvas_h; ++y)
      for (int x = 0; x < c.canvas_w; ++x)
        for (int k = 0; k < 3; ++k) {
          bool const inside = x >= c.left && x < c.left + c.w && y >= c.top && y < c.top + c.h;
          canvas.rgb.push_back(inside ? picture.rgb[static_cast<std::size_t>(3 * ((y - c.top) * c.w + x - c.left) + k)] : colour[k]);
        }
    Image const whole = io::resize_bicubic(canvas, c.full_w, c.full_h);
    ResizePlan const plan{c.canvas_w, c.canvas_h,  c.left,     c.top,    {122, 116, 104}, c.full_w,
                          c.full_h,   c.crop_left, c.crop_top, c.crop_w, c.crop_h};
    Image const got = io::resize_bicubic(picture, plan);
    for (int y = 0; y < c.crop_h; ++y)
      for (int x = 0; x < 3 * c.crop_w; ++x)
        ASSERT_EQ(got.rgb[static_cast<std::size_t>(3 * y * c.crop_w + x)],
                  whole.rgb[static_cast<std::size_t>(3 * ((y + c.crop_top) * c.full_w + c.crop_left) + x)])
            << c.w << " x " << c.h << " at " << x << ", " << y;
  }
}

TEST(Resize, StridesFormatsAndThreadsChangeNothing) {
  struct Backwards : Threads {  // a pool that runs the tasks in another order
    void run(Size count, Task task) override {
      for (Size i = count; i-- > 0;) task(i);
    }
    [[nodiscard]] int concurrency() const noexcept override { return 3; }
  } pool;
  Image const picture = support::noise(101, 67);
  auto const want = io::resize_bicubic(picture, 60, 90).rgb;
  EXPECT_EQ(io::resize_bicubic(picture, 60, 90, Executor{&pool, Isa::portable}).rgb, want);
  std::vector<std::uint8_t> strided(67 * 450, 99);
  for (std::size_t y = 0; y < 67; ++y)
    for (std::size_t x = 0; x < 101; ++x)
      for (std::size_t c = 0; c < 3; ++c) strided[450 * y + 4 * x + 2 - c] = picture.rgb[3 * (101 * y + x) + c];
  EXPECT_EQ(io::resize_bicubic(PixelView(strided.data(), 101, 67, PixelFormat::bgra, 450), 60, 90).rgb, want);
}

TEST(Resize, ExtremeAspectsStayCheap) {
  std::vector<std::uint8_t> const line(3 * 65535, 200);
  for (bool tall : {false, true}) {
    PixelView const view(line.data(), tall ? 1 : 65535, tall ? 65535 : 1);
    ResizePlan const plan{65535, 65535, tall ? 32767 : 0, tall ? 0 : 32767, {122, 116, 104}, 64, 64, 0, 0, 64, 64};
    Image const out = io::resize_bicubic(view, plan);
    EXPECT_EQ(out.rgb[0], 122);
    EXPECT_EQ(out.rgb.size(), 3u * 64 * 64);
  }
}

TEST(Resize, RefusesWhatDoesNotFit) {
  Image const p = support::noise(4, 4);
  using support::expect_refused;
  EXPECT_NO_THROW(io::resize_bicubic(p, 1, 1));
  expect_refused([&] { io::resize_bicubic(p, 0, 1); }, Code::argument, "0 x 1");
  expect_refused([&] { io::resize_bicubic(p, 1 << 15, 1 << 15); }, Code::limit, "2^28");
  expect_refused([&] { io::resize_bicubic(p, ResizePlan{4, 4, 1, 0, {}, 8, 8, 0, 0, 8, 8}); }, Code::argument, "on the canvas");
  expect_refused([&] { io::resize_bicubic(p, ResizePlan{4, 4, 0, 0, {}, 8, 8, 1, 0, 8, 8}); }, Code::argument, "crop");
  expect_refused([&] { io::resize_bicubic(p, ResizePlan{1 << 23, 4, 0, 0, {}, 8, 8, 0, 0, 8, 8}); }, Code::limit, "2^22");
}

}  // namespace resize_test
