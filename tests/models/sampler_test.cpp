// The draw: Philox against its published vectors, the filters in their order, greedy ties, refusals.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include <mgm/models/generation_defaults.hpp>
#include <mgm/models/sampler.hpp>

namespace sampler_test {
using namespace mgm::models;

int draw(Sampling const& s, std::vector<float> logits, std::int64_t position) { return sample(s, logits, position); }

TEST(Philox, KnownAnswer) {
  // Philox 4x32-10 of counter 0, key 0 begins 6627e8d5 e169c58d (Random123's known answers)
  EXPECT_EQ(philox_uniform(0, 0), static_cast<double>(((std::uint64_t{0xe169c58du} << 32) | 0x6627e8d5u) >> 11) * 0x1p-53);
}
TEST(Philox, DependsOnSeedAndPositionAlone) {
  EXPECT_EQ(philox_uniform(7, 9), philox_uniform(7, 9));
  EXPECT_NE(philox_uniform(7, 9), philox_uniform(7, 10));
  EXPECT_NE(philox_uniform(7, 9), philox_uniform(8, 9));
  EXPECT_NE(philox_uniform(~std::uint64_t{0}, 0), philox_uniform(0, 0));
}
TEST(Sampler, KeepsFiftyWhereNothingIsSaid) {
  EXPECT_EQ(Sampling{}.top_k, 50);
  EXPECT_EQ(GenerationDefaults{}.top_k, 50);
  EXPECT_EQ(GenerationDefaults{}.top_p, 1);
}
TEST(Sampler, GreedyTakesTheLowestOfEquals) { EXPECT_EQ(draw({.temperature = 0}, {1, 3, 3, 2}, 0), 1); }
TEST(Sampler, TakesALogitOfInfinity) { EXPECT_EQ(draw({.temperature = 1}, {1, INFINITY, 3, 2}, 0), 1); }
TEST(Sampler, FollowsTheSoftmax) {
  std::vector<float> const logits{std::log(0.1f), std::log(0.2f), std::log(0.7f)};
  std::map<int, int> count;
  int const draws = 20000;
  for (int i = 0; i < draws; ++i) ++count[draw({.temperature = 1, .top_k = 0, .seed = 3}, logits, i)];
  for (auto const& [id, p] : {std::pair{0, 0.1}, {1, 0.2}, {2, 0.7}})  // five standard deviations of a binomial share
    EXPECT_NEAR(count[id] / double(draws), p, 5 * std::sqrt(p * (1 - p) / draws)) << id;
}
TEST(Sampler, TemperatureComesBeforeTopP) {
  // p = 0.6, 0.4 at temperature 1; at 0.25 the first has 0.835 and alone reaches 0.8
  std::vector<float> const logits{std::log(0.6f), std::log(0.4f)};
  for (int i = 0; i < 300; ++i) EXPECT_EQ(draw({.temperature = 0.25f, .top_k = 0, .top_p = 0.8f}, logits, i), 0);
  bool second = false;
  for (int i = 0; i < 300; ++i) second = second || draw({.temperature = 1, .top_k = 0, .top_p = 0.8f}, logits, i) == 1;
  EXPECT_TRUE(second);
}
TEST(Sampler, TopKKeepsTies) {
  std::map<int, int> seen;
  for (int i = 0; i < 500; ++i) ++seen[draw({.temperature = 1, .top_k = 2}, {0, 5, 4, 4, 1}, i)];
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen.count(0) + seen.count(4), 0u);
}
TEST(Sampler, UsersMayBiasAndChoose) {
  EXPECT_EQ(draw({.temperature = 0, .adjust = [](std::span<float> l) { l[1] = -INFINITY; }}, {1, 9, 2}, 0), 2);
  EXPECT_EQ(draw({.choose = [](std::span<float const>, std::int64_t p) { return int(p); }}, {1, 9, 2}, 1), 1);
  EXPECT_THROW(draw({.choose = [](std::span<float const>, std::int64_t) { return 3; }}, {1, 9, 2}, 1), mgm::ArgumentError);
}
TEST(Sampler, RefusesWhatIsNoNumber) {
  float const nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  EXPECT_THROW(draw({.temperature = 0}, {1, nan}, 0), mgm::NumericalError);
  EXPECT_THROW(draw({.temperature = 0}, {-inf, -inf}, 0), mgm::NumericalError);
  EXPECT_THROW(check({.temperature = -1}), mgm::ArgumentError);
  EXPECT_THROW(check({.temperature = nan}), mgm::ArgumentError);
  EXPECT_THROW(check({.temperature = inf}), mgm::ArgumentError);
  EXPECT_THROW(check({.top_k = -1}), mgm::ArgumentError);
  EXPECT_THROW(check({.top_p = 0}), mgm::ArgumentError);
  EXPECT_THROW(check({.top_p = 1.5f}), mgm::ArgumentError);
  EXPECT_NO_THROW(check({.temperature = 0, .top_k = 0, .top_p = 1, .seed = ~std::uint64_t{0}}));
}
}  // namespace sampler_test
