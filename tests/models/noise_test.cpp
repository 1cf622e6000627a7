// Noise as PyTorch draws it.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include <mgm/models/diffusion/noise.hpp>

namespace noise_test {

using namespace mgm;
using namespace mgm::models;

template <class Generator>
std::vector<float> drawn(Generator& generator, std::size_t n) {
  std::vector<float> out(n, NAN);
  generator.draw(out);
  return out;
}
void expect_begins(std::vector<float> const& got, std::vector<float> const& want, float within) {
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], within) << i;
}
constexpr float kPrinted = 6e-9f;  // eight decimals, and a float's own rounding at about 1

TEST(CpuNoise, EqualsTorch) {
  CpuNoise zero(0);
  std::vector<float> const first{-1.12583983f, -1.15236020f, -0.25057858f, -0.43387881f, 0.84871036f, 0.69200915f,
                                 -0.31601277f, -2.11521935f, 0.32227492f,  -1.26333475f, 0.34998319f, 0.30813393f,
                                 0.11984151f,  1.23765790f,  1.11677718f,  -0.24727815f};
  EXPECT_EQ(drawn(zero, 16), first);  // nine digits name one float
  CpuNoise other(42);
  expect_begins(drawn(other, 65536),
                {1.92691529f, 1.48728406f, 0.90071720f, -2.10552096f, 0.67841846f, -1.23454487f, -0.04306748f, -1.60466695f}, kPrinted);
}

TEST(CpuNoise, RedrawsTheTailAndKeepsTheSecondOfAPair) {
  CpuNoise twenty(0);
  auto const v = drawn(twenty, 20);
  expect_begins(v,
                {-1.12583983f, -1.15236020f, -0.25057858f, -0.43387881f, 0.59883946f, -1.55509508f, -0.34136039f, 1.85300612f, 0.46809641f},
                kPrinted);
  expect_begins({v.end() - 4, v.end()}, {0.93182659f, 1.25900924f, 2.00498056f, 0.05373690f}, kPrinted);
  CpuNoise five(0), split(0);
  auto const few = drawn(five, 5);
  expect_begins(few, {1.54099607f, -0.29342890f, -2.17878938f, 0.56843126f, -1.08452237f}, kPrinted);
  auto two = drawn(split, 3), rest = drawn(split, 2);
  two.insert(two.end(), rest.begin(), rest.end());
  EXPECT_EQ(two, few);
}

TEST(CpuNoise, LatentsOfAPicture) {
  CpuNoise generator(0);
  auto const latents = drawn(generator, 4 * 128 * 128);
  EXPECT_NEAR(std::accumulate(latents.begin(), latents.end(), 0.0), -243.911985, 1e-6 * 65536 * 0.01);
  expect_begins(drawn(generator, 4 * 128 * 128), {0.01929728f, 0.40889612f, 0.13441060f, 0.34430292f}, kPrinted);
  CpuNoise seven(7 + (std::uint64_t{5} << 32));  // only the low half of a seed counts
  expect_begins(drawn(seven, 4), {-0.146795f, 0.786141f, 0.946822f, -1.114344f}, 1e-6f);
  expect_begins(drawn(seven, 4), {1.690790f, -0.894828f, -0.355625f, 1.232386f}, 1e-6f);
}

TEST(GpuNoise, EqualsTorchOnAGpu) {
  GpuNoise zero(0);
  expect_begins(drawn(zero, 65536), {-0.924662f, -0.425344f, -2.643846f, 0.145184f, -0.120867f, -0.579726f, -0.622852f, -0.328387f}, 2e-6f);
  expect_begins(drawn(zero, 65536), {0.180826f, -0.552263f, 0.923813f}, 2e-6f);
  GpuNoise other(42);
  expect_begins(drawn(other, 65536), {0.194019f, 2.161374f, -0.172051f}, 2e-6f);
}

TEST(GpuNoise, ThreadsTakeTurns) {
  GpuNoise many(3), few(3, 256);
  auto const wide = drawn(many, 512), narrow = drawn(few, 512);  // 512 threads of one value, or 256 of two
  EXPECT_EQ((std::vector<float>{wide.begin(), wide.begin() + 256}), (std::vector<float>{narrow.begin(), narrow.begin() + 256}));
  EXPECT_NE(wide[256], narrow[256]);
}

}  // namespace noise_test
