/// Normal noise as PyTorch draws it: bit for bit as its generator on a CPU (with AVX2), or as its generator on a GPU.
/// What is drawn decides the picture, so a seed must mean here what it means there.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <random>
#include <span>

#include <mgm/core/random.hpp>
#include <mgm/core/view.hpp>

namespace mgm::inline v0::models {

namespace detail {

/// ln x for 0 < x <= 1 in float, as Cephes' polynomial with fused products gives it: libm's differs in the last bit of many results.
[[nodiscard]] inline float cephes_log(float x) {
  auto const bits = __builtin_bit_cast(std::uint32_t, x);
  float e = static_cast<float>(static_cast<int>(bits >> 23) - 126);
  float m = __builtin_bit_cast(float, (bits & 0x007FFFFFu) | 0x3F000000u);  // [0.5, 1)
  if (m < 0.707106781186547524f)
    e -= 1, m = (m - 1) + m;
  else
    m = m - 1;
  float const z = m * m;
  float y = 7.0376836292e-2f;
  for (float const c : {-1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f, 2.0000714765e-1f,
                        -2.4999993993e-1f, 3.3333331174e-1f})
    y = std::fma(y, m, c);
  y = y * m;
  y = std::fma(y, z, e * -2.12194440e-4f);
  y = std::fma(-z, 0.5f, y);
  return std::fma(e, 0.693359375f, m + y);
}

/// sin and cos of x >= 0 in float, likewise.
struct SinCos {
  float sin, cos;
};
[[nodiscard]] inline SinCos cephes_sincos(float x) {
  int const j = (static_cast<int>(x * 1.27323954473516f) + 1) & ~1;
  float const octant = static_cast<float>(j);
  x = std::fma(octant, -0.78515625f, x);
  x = std::fma(octant, -2.4187564849853515625e-4f, x);
  x = std::fma(octant, -3.77489497744594108e-8f, x);
  float const z = x * x;
  float c = std::fma(2.443315711809948e-5f, z, -1.388731625493765e-3f);
  c = std::fma(c, z, 4.166664568298827e-2f) * z;
  c = std::fma(c, z, -(z * 0.5f)) + 1;
  float s = std::fma(-1.9515295891e-4f, z, 8.3321608736e-3f);
  s = std::fma(s, z, -1.6666654611e-1f) * z;
  s = std::fma(s, x, x);
  if ((j & 2) != 0) std::swap(s, c);
  return {(j & 4) != 0 ? -s : s, ((j - 2) & 4) == 0 ? -c : c};
}

}  // namespace detail

/// torch.Generator on a CPU: MT19937 seeded by the low 32 bits of the seed. Draws follow each other; a copy goes on as the original would.
class CpuNoise {
 public:
  explicit CpuNoise(std::uint64_t seed) : engine_(static_cast<std::uint32_t>(seed)) {}

  /// Fills `out` with N(0, 1) as torch.randn of so many float32 does.
  void draw(std::span<float> out) {
    if (out.size() < 16) {
      for (float& v : out) v = static_cast<float>(single());
      return;
    }
    for (float& v : out) v = uniform();
    for (std::size_t i = 0; i + 16 <= out.size(); i += 16) block(out.subspan(i, 16));
    if (out.size() % 16 != 0) {  // the last sixteen anew, over what was done
      auto const tail = out.last(16);
      for (float& v : tail) v = uniform();
      block(tail);
    }
  }

 private:
  float uniform() { return static_cast<float>(engine_() & 0xFFFFFFu) * 0x1p-24f; }
  double uniform_double() {
    std::uint64_t const high = engine_(), low = engine_();
    return static_cast<double>((high << 32 | low) & ((std::uint64_t{1} << 53) - 1)) * 0x1p-53;
  }
  /// Sixteen uniform numbers to normal ones, Box and Muller's pairs eight apart.
  static void block(std::span<float> v) {
    for (std::size_t j = 0; j < 8; ++j) {
      float const radius = std::sqrt(-2 * detail::cephes_log(1 - v[j]));
      auto const angle = detail::cephes_sincos(6.283185307179586f * v[j + 8]);
      v[j] = radius * angle.cos, v[j + 8] = radius * angle.sin;
    }
  }
  /// One of a pair in double; the other waits for the next call.
  double single() {
    if (second_) {
      double const out = *second_;
      second_.reset();
      return out;
    }
    double const u1 = uniform_double(), u2 = uniform_double(), radius = std::sqrt(-2 * std::log1p(-u2)), angle = 2 * std::numbers::pi * u1;
    second_ = radius * std::sin(angle);
    return radius * std::cos(angle);
  }

  std::mt19937 engine_;
  std::optional<double> second_;
};

/// torch.Generator on a GPU: Philox 4×32-10 with a subsequence for each of `threads` threads, which take turns. Draws of up to `threads`
/// numbers are the same on every GPU with as many threads; 270 336 is 132 multiprocessors of 2048. Within 1e-6 of the GPU's own bits.
class GpuNoise {
 public:
  explicit GpuNoise(std::uint64_t seed, Size threads = 270336) : seed_(seed), most_(threads) {}

  /// Fills `out` with N(0, 1) as torch.randn of so many float32 on a GPU does.
  void draw(std::span<float> out) {
    Size const n = static_cast<Size>(out.size()), threads = std::min((n + 255) / 256 * 256, most_);
    for (Size first = 0; first < n; first += 4 * threads, ++offset_)
      for (Size p = 0; p < threads; ++p) {
        auto const subsequence = static_cast<std::uint64_t>(p);
        auto const c = philox(seed_, {static_cast<std::uint32_t>(offset_), static_cast<std::uint32_t>(offset_ >> 32),
                                      static_cast<std::uint32_t>(subsequence), static_cast<std::uint32_t>(subsequence >> 32)});
        auto const first_two = pair(c.x, c.y), last_two = pair(c.z, c.w);
        float const values[] = {first_two.sin, first_two.cos, last_two.sin, last_two.cos};
        for (Size k = 0; k < 4; ++k)
          if (Size const i = first + p + k * threads; i < n) out[static_cast<std::size_t>(i)] = values[k];
      }
  }

 private:
  static detail::SinCos pair(std::uint32_t x, std::uint32_t y) {
    constexpr float kUnit = 2.3283064e-10f, kTurn = 2.3283064e-10f * 6.2831855f;
    float const u = static_cast<float>(x) * kUnit + kUnit / 2, v = static_cast<float>(y) * kTurn + kTurn / 2;
    float const radius = std::sqrt(-2 * std::log(u));
    return {radius * std::sin(v), radius * std::cos(v)};
  }
  std::uint64_t seed_, offset_ = 0;
  Size most_;
};

}  // namespace mgm::inline v0::models
