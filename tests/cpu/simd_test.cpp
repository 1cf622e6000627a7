#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <mgm/cpu/simd/vec.hpp>
#include <support/reference.hpp>
#define MGM_SIMD_SOURCE <cpu/simd_cases.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace simd_test {
using namespace mgm;
constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

/// Calls check(isa, x, f(x)) for every path and every x.
template <class Check>
void over(int function, std::vector<float> x, Check check) {
  std::size_t const n = x.size();
  x.resize((n + 15) / 16 * 16, 0.5f);
  for (Isa const isa : support::machine_isas()) {
    std::vector<float> y(x.size(), kNan);
    MGM_SIMD_CALL_BF16(isa, map(function, x.data(), y.data(), static_cast<Size>(x.size())));
    for (std::size_t i = 0; i < n; ++i) check(isa, x[i], y[i]);
  }
}
/// A dense sweep of [-limit, limit], with zeros, subnormals and the least steps around zero.
std::vector<float> sweep(double limit) {
  std::vector<float> out = {0.0f, -0.0f, 1e-40f, -1e-40f, 1e-20f, -1e-20f, 1e-6f, -1e-6f};
  constexpr int kSteps = 200000;
  for (int i = -kSteps; i <= kSteps; ++i) out.push_back(static_cast<float>(limit * i / kSteps));
  return out;
}
/// Distance in units of the last place of `want` as float.
double ulps(float got, double want) {
  int exponent;
  std::frexp(want, &exponent);
  return std::abs(double(got) - want) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

TEST(Simd, ExpWithinTwoUlp) {
  double worst = 0;
  over(0, sweep(87.3), [&](Isa, float x, float y) { worst = std::max(worst, ulps(y, std::exp(double(x)))); });
  EXPECT_LE(worst, 2);
  over(0, sweep(200), [&](Isa isa, float x, float y) {  // beyond: subnormal, zero, infinity
    double const want = std::exp(double(x));
    bool const ok = x > 88.8f ? y == kInf : x < -104.0f ? y == 0.0f : x > -87.0f || ulps(y, want) <= 2.5;
    ASSERT_TRUE(ok) << name(isa) << ' ' << x << ' ' << y;
  });
  over(0, {kInf, -kInf, kNan, 0.0f}, [&](Isa isa, float x, float y) {
    bool const ok = std::isnan(x) ? std::isnan(y) : y == (x == 0 ? 1.0f : x > 0 ? kInf : 0.0f);
    EXPECT_TRUE(ok) << name(isa) << ' ' << x << ' ' << y;
  });
}
TEST(Simd, SigmoidAndTanhWithinFourUlp) {
  double worst_sigmoid = 0, worst_tanh = 0;
  over(1, sweep(80), [&](Isa, float x, float y) { worst_sigmoid = std::max(worst_sigmoid, ulps(y, 1 / (1 + std::exp(-double(x))))); });
  over(2, sweep(20), [&](Isa, float x, float y) { worst_tanh = std::max(worst_tanh, ulps(y, std::tanh(double(x)))); });
  EXPECT_LE(worst_sigmoid, 4);
  EXPECT_LE(worst_tanh, 4);
}

/// Against the definition in double: within 5e-7 of the greater of |x| and 1 for |x| <= 30 (math.inl derives 3e-7 for the normal tail and
/// a few ulp of x for the others), x or 0 far out, NaN for NaN.
TEST(Simd, ActivationsMatchTheirDefinition) {
  constexpr Activation kAll[] = {Activation::quick_gelu, Activation::gelu, Activation::gelu_tanh, Activation::silu};
  for (int f = 0; f < 4; ++f) {
    double worst = 0;
    over(3 + f, sweep(30), [&](Isa, float x, float y) {
      double const error = std::abs(double(y) - activate(kAll[f], double(x))) / std::max(1.0, std::abs(double(x)));
      worst = error < 1 ? std::max(worst, error) : kInf;
    });
    EXPECT_LE(worst, 5e-7) << f;
    over(3 + f, {1e4f, -1e4f, 3e38f, -3e38f, kNan}, [&](Isa isa, float x, float y) {
      bool const ok = std::isnan(x) ? std::isnan(y) : x > 0 ? y == x : std::abs(y) <= 1e-30f;
      EXPECT_TRUE(ok) << name(isa) << ' ' << f << ' ' << x << ' ' << y;
    });
  }
}

template <class From, class To>
std::vector<To> converted(Isa isa, std::vector<From> const& x) {
  std::vector<To> y(x.size() + 1, To(7.0f));
  MGM_SIMD_CALL_BF16(isa, convert(x.data(), y.data(), static_cast<Size>(x.size())));
  EXPECT_EQ(float(y.back()), 7.0f) << "written behind the end";
  y.pop_back();
  return y;
}
template <class T>
void expect_conversions_like_core() {
  std::vector<T> all;
  for (unsigned i = 0; i < 65536; ++i) all.push_back(std::bit_cast<T>(static_cast<std::uint16_t>(i)));
  std::vector<float> floats = {kInf, -kInf, kNan, 65519.9f, 65520.0f, 3.4e38f, 0x1p-25f, 0x1.000002p-25f, 0x1p-24f, 0x1.8p-24f, 0x1.ffep-15f, 0x1.fffp-15f};
  std::uint32_t bits = 12345;
  for (int i = 0; i < 300000; ++i) floats.push_back(std::bit_cast<float>(bits = bits * 1664525u + 1013904223u));
  for (T const v : all) {  // every value, its neighbours and the ties above it
    std::uint32_t const u = std::bit_cast<std::uint32_t>(float(v));
    for (std::uint32_t const step : {0u, 1u, 0xFFFFFFFFu, 0x1000u, 0x1001u, 0x8000u, 0x7FFFu}) floats.push_back(std::bit_cast<float>(u + step));
  }
  for (Isa const isa : support::machine_isas()) {
    int wrong = 0;
    auto const wide = converted<T, float>(isa, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      float const want = float(all[i]);
      wrong += std::isnan(want) ? !std::isnan(wide[i]) : std::bit_cast<std::uint32_t>(want) != std::bit_cast<std::uint32_t>(wide[i]);
    }
    EXPECT_EQ(wrong, 0) << name(isa) << " widening";
    auto const narrow = converted<float, T>(isa, floats);
    for (std::size_t i = 0; i < floats.size(); ++i) {
      T const want = T(floats[i]);
      bool const same = std::isnan(floats[i]) ? std::isnan(float(narrow[i])) : want.bits == narrow[i].bits;
      if (!same && ++wrong < 4) ADD_FAILURE() << name(isa) << ": " << floats[i] << " became " << narrow[i].bits << ", core says " << want.bits;
    }
    EXPECT_EQ(wrong, 0) << name(isa) << " narrowing";
  }
}
TEST(Simd, Bf16LikeCore) { expect_conversions_like_core<bf16>(); }
TEST(Simd, HalfLikeCore) { expect_conversions_like_core<half>(); }

TEST(Simd, PartialLoadsAndStoresKeepTheirBounds) {
  for (Isa const isa : support::machine_isas())
    for (std::size_t n = 0; n <= 40; ++n) {
      std::vector<float> x(n);
      for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i) - 9;
      auto const back = converted<float, float>(isa, converted<half, float>(isa, converted<bf16, half>(isa, converted<float, bf16>(isa, x))));
      EXPECT_EQ(back, x) << name(isa) << ' ' << n;
    }
}

TEST(Simd, SumsPeaksAndTransposes) {
  std::vector<float> x(256);
  for (std::size_t i = 0; i < 256; ++i) x[i] = static_cast<float>((i * 37) % 256);
  for (Isa const isa : support::machine_isas()) {
    std::vector<float> out(3 + 256, kNan);
    MGM_SIMD_CALL_BF16(isa, shuffles(x.data(), out.data()));
    std::size_t const lanes = static_cast<std::size_t>(out[0]);
    float total = 0, most = -kInf;
    for (std::size_t i = 0; i < lanes; ++i) total += x[i], most = std::max(most, x[i]);
    EXPECT_EQ(out[1], total) << name(isa);
    EXPECT_EQ(out[2], most) << name(isa);
    for (std::size_t i = 0; i < lanes; ++i)
      for (std::size_t j = 0; j < lanes; ++j) ASSERT_EQ(out[3 + i * lanes + j], x[j * lanes + i]) << name(isa);
  }
}

}  // namespace simd_test
