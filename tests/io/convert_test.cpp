#include <mgm/io/convert.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include <mgm/io/safetensors_writer.hpp>
#include <support/files.hpp>

namespace convert_test {
using namespace mgm;
using support::expect_refused, support::TempDir;

TEST(Convert, EveryHalfWidensAndNarrowsAsItsDefinition) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    half h;
    h.bits = static_cast<std::uint16_t>(bits);
    float const expected = h, wide = io::detail::widen_half(h.bits);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(wide), std::bit_cast<std::uint32_t>(expected)) << bits;
    if (!std::isnan(expected)) {
      ASSERT_EQ(io::detail::narrow_half(wide), h.bits) << bits;
    }
  }
}

TEST(Convert, NarrowingToHalfRoundsToNearestEven) {
  std::mt19937 random(1);
  auto const same = [](float value) {
    ASSERT_EQ(io::detail::narrow_half(value), half(value).bits) << value << ' ' << std::bit_cast<std::uint32_t>(value);
    ASSERT_EQ(io::detail::narrow_half(-value), half(-value).bits) << -value;
  };
  for (unsigned bits = 0; bits < 0x7C00; ++bits) {  // each half, the middle to the next, and beside the middle
    float const low = io::detail::widen_half(static_cast<std::uint16_t>(bits));
    float const next = bits + 1 < 0x7C00 ? io::detail::widen_half(static_cast<std::uint16_t>(bits + 1)) : 65536.f;
    float const middle = 0.5f * low + 0.5f * next;
    for (float const v : {low, middle, std::nextafter(middle, 0.f), std::nextafter(middle, INFINITY)}) same(v);
  }
  for (int i = 0; i < 200'000; ++i) same(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  for (float const v : {0.f, INFINITY, 65519.99f, 65520.f, 0x1p-25f, 0x1.000002p-25f, 0x1p-149f, 3e38f}) same(v);
}

template <class T>
class CopyConverted : public ::testing::Test {};
using Targets = ::testing::Types<float, double, bf16, half>;
TYPED_TEST_SUITE(CopyConverted, Targets);

TYPED_TEST(CopyConverted, AllFloatTypesByValue) {
  using T = TypeParam;
  TempDir dir;
  constexpr Size kCount = 1000;
  std::vector<double> d;
  std::vector<float> f;
  std::vector<half> h;
  std::vector<bf16> b;
  std::mt19937 random(2);
  std::normal_distribution<double> normal;
  for (Size i = 0; i < kCount; ++i) {
    double const v = i == 0 ? INFINITY : i == 1 ? -0.0 : normal(random);
    d.push_back(v), f.push_back(static_cast<float>(v)), h.push_back(half(static_cast<float>(v))), b.push_back(bf16(static_cast<float>(v)));
  }
  std::vector<std::int32_t> const integers{1, 2};
  io::write_safetensors(dir.path("x"), {{"d", Dtype::f64, {10, 100}, d.data()},
                                        {"f", Dtype::f32, {kCount}, f.data()},
                                        {"h", Dtype::f16, {kCount}, h.data()},
                                        {"b", Dtype::bf16, {kCount}, b.data()},
                                        {"i", Dtype::i32, {2}, integers.data()},
                                        {"none", Dtype::f32, {0}, nullptr}});
  for (auto const access : {io::Access::map, io::Access::read}) {
    auto const file = io::TensorFile::open(dir.path("x"), {.access = access});
    auto const expect = [&](char const* name, auto const& source) {
      std::vector<T> out(static_cast<std::size_t>(kCount), T(NAN));
      io::copy_converted(*file, *file->find(name), out.data(), kCount);
      for (std::size_t i = 0; i < out.size(); ++i) {
        T want;
        if constexpr (std::is_same_v<T, double>)
          want = static_cast<double>(source[i]);
        else
          want = T(static_cast<float>(source[i]));
        ASSERT_EQ(0, std::memcmp(&want, &out[i], sizeof(T))) << name << ' ' << i;
      }
    };
    expect("d", d), expect("f", f), expect("h", h), expect("b", b);
    T unused[2];
    io::copy_converted(*file, *file->find("none"), unused, 0);
    expect_refused([&] { io::copy_converted(*file, *file->find("i"), unused, 2); }, Code::dtype,
                   "tensor 'i': expected F64, F32, F16 or BF16, found I32");
    expect_refused([&] { io::copy_converted(*file, *file->find("f"), unused, 2); }, Code::shape, "expected 2 elements, found 1000");
  }
}

TEST(Convert, BlocksJoinWithoutASeam) {
  TempDir dir;
  constexpr Size kCount = 2'500'000;  // ten million bytes: three blocks
  std::vector<float> values(static_cast<std::size_t>(kCount));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 4096);
  io::write_safetensors(dir.path("x"), {{"w", Dtype::f32, {kCount}, values.data()}});
  auto const file = io::TensorFile::open(dir.path("x"));
  std::vector<bf16> narrow(values.size());
  io::copy_converted(*file, file->tensors()[0], narrow.data(), kCount);
  std::vector<float> same(values.size());
  io::copy_converted(*file, file->tensors()[0], same.data(), kCount);
  EXPECT_EQ(same, values);
  Size wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i) wrong += narrow[i].bits != bf16(values[i]).bits;
  EXPECT_EQ(wrong, 0);
}

}  // namespace convert_test
