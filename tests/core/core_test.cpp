// Error texts, element types, views.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <mgm/core/dtype.hpp>
#include <mgm/core/epilogue.hpp>
#include <mgm/core/error.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>

namespace core_test {
using namespace mgm;

TEST(Error, SaysWhatWithoutALocale) {
  EXPECT_EQ(text("a ", 1.5, ' ', 1000000, " ", true, " ", std::string_view("z")), "a 1.5 1000000 true z");
  try {
    require<ShapeError>(false, "x: expected ", 3, ", found ", 4);
    FAIL();
  } catch (Error const& e) {
    EXPECT_EQ(e.code(), Code::shape);
    EXPECT_STREQ(e.what(), "x: expected 3, found 4");
  }
}
TEST(Error, QuotesAtMostEightyBytesOfAUsersText) {
  EXPECT_EQ(mgm::quoted("a\nb"), "'a?b'");
  std::string const umlauts = [] {
    std::string s;
    for (int i = 0; i < 60; ++i) s += "\xC3\xA4";
    return s;
  }();
  std::string const shown = mgm::quoted(umlauts);
  EXPECT_LE(shown.size(), 82u);
  EXPECT_NE(shown[shown.size() - 5], '\xC3') << "cut inside of a character";
}

/// The float nearest to `x` among all values of T by trial: the definition of rounding, to nearest and ties to even.
template <class T>
std::uint16_t nearest(float x) {
  T best{};
  double distance = INFINITY;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    T candidate{};
    candidate.bits = static_cast<std::uint16_t>(bits);
    float const value = candidate;
    if (!std::isfinite(value) || std::signbit(value) != std::signbit(x)) continue;
    double const d = std::fabs(static_cast<double>(value) - static_cast<double>(x));
    if (d < distance || (d == distance && bits % 2 == 0)) distance = d, best = candidate;
  }
  return best.bits;
}
TEST(Dtype, SixteenBitFloatsRoundToNearestEven) {
  for (float const x : {0.0f, 1.0f, 1.0009765f, 1.00048828125f, 1.00146484375f, -3.14159f, 65504.0f, 6.1e-5f, 5.9e-8f, 3.0e-8f, 1e-6f, 1.00390625f, 1.01171875f}) {
    EXPECT_EQ(half(x).bits, nearest<half>(x)) << x;
    EXPECT_EQ(bf16(x).bits, nearest<bf16>(x)) << x;
  }
  EXPECT_EQ(static_cast<float>(half(65520.0f)), INFINITY);
  EXPECT_EQ(static_cast<float>(half(65519.0f)), 65504.0f);
  EXPECT_EQ(static_cast<float>(bf16(std::numeric_limits<float>::max())), INFINITY);
  EXPECT_TRUE(std::isnan(static_cast<float>(half(NAN))));
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(__builtin_bit_cast(float, 0x7F800001u))))) << "a NaN whose payload lies in the dropped half";
}
TEST(Dtype, SixteenBitFloatsComeBackAsTheyWere) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    half h{};
    bf16 b{};
    h.bits = b.bits = static_cast<std::uint16_t>(bits);
    if (!std::isnan(static_cast<float>(h))) {
      ASSERT_EQ(half(static_cast<float>(h)).bits, bits);
    }
    if (!std::isnan(static_cast<float>(b))) {
      ASSERT_EQ(bf16(static_cast<float>(b)).bits, bits);
    }
  }
}

TEST(Activation, GoldenValues) {  // at −3, −1, −0.5, 0.5, 1, 2, 3
  double const x[] = {-3, -1, -0.5, 0.5, 1, 2, 3};
  double const quick[] = {-0.0180713098, -0.154204234, -0.149611563, 0.350388437, 0.845795766, 1.93565862, 2.98192869};
  double const gelu[] = {-0.00404969409, -0.158655254, -0.154268769, 0.345731231, 0.841344746, 1.95449974, 2.99595031};
  double const tanh[] = {-0.00363739208, -0.158808009, -0.154285990, 0.345714010, 0.841191991, 1.95459769, 2.99636261};
  double const silu[] = {-0.142277620, -0.268941421, -0.188770334, 0.311229666, 0.731058579, 1.76159416, 2.85772238};
  for (int i = 0; i < 7; ++i) {
    EXPECT_NEAR(activate(Activation::quick_gelu, x[i]), quick[i], 5e-9);
    EXPECT_NEAR(activate(Activation::gelu, x[i]), gelu[i], 5e-9);
    EXPECT_NEAR(activate(Activation::gelu_tanh, x[i]), tanh[i], 5e-9);
    EXPECT_NEAR(activate(Activation::silu, x[i]), silu[i], 5e-9);
  }
}

TEST(View, IndexesSlicesAndReshapes) {
  float data[24];
  for (int i = 0; i < 24; ++i) data[i] = static_cast<float>(i);
  View<float, 3> const v(data, {2, 3, 4});
  EXPECT_EQ(v(1, 2, 3), 23);
  EXPECT_EQ(v[1].row(2)[3], 23);
  auto const s = v.slice(1, 1, 2);
  EXPECT_EQ(s(0, 0, 0), 4);
  EXPECT_FALSE(s.contiguous());
  EXPECT_EQ(v.reshape(Extents{6, 4})(5, 3), 23);
  View<float const, 3> const reading = v;
  EXPECT_EQ(reading.count(), 24);
}
TEST(View, ShapeErrorsNameExpectedAndFound) {
  float data[6];
  View<float, 2> const v(data, {2, 3});
  EXPECT_NO_THROW(check_shape("op: v", v, 2, any));
  try {
    check_shape("op: v", v, any, 4);
    FAIL();
  } catch (ShapeError const& e) {
    EXPECT_STREQ(e.what(), "op: v: expected shape (*, 4), found (2, 3)");
  }
}

TEST(Executor, RunsEachTaskOnceWithoutThreads) {
  int ran[5] = {};
  Executor{nullptr, Isa::portable}.parallel(5, [&](Size i) { ++ran[i]; });
  for (int const n : ran) EXPECT_EQ(n, 1);
}
}  // namespace core_test
