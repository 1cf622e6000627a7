// Mining from stage maps against the definition: maps upsampled and concatenated, keys and values projected, in double.
#include <mgm/cpu/mining.hpp>
#include <mgm/cpu/mining_resize.hpp>

#include "support/reference_vision.hpp"

namespace mining_test {

using namespace mgm;
using support::Data;

/// Maps, taps and queries of one view, and what the definition makes of them.
template <class T>
struct Case {
  std::vector<Data<T, 3>> maps;
  std::vector<std::vector<Tap>> taps;
  std::vector<MiningStage<T>> stages;
  Data<float, 2> u;
  Data<T, 1> gain, bias;
  Size side, cells, width = 0;
  float scale;

  Case(Size token_side, Size cell_side, std::vector<std::pair<Size, Size>> const& sides_and_channels, double mean = 0, double deviation = 1)
      : side(token_side), cells(token_side * cell_side) {
    unsigned seed = 1;
    for (auto const& [n, c] : sides_and_channels) {
      maps.push_back(support::normal<T>(Extents{n, n, c}, seed++, mean, deviation));
      taps.push_back(resize_taps(n, cells));
      width += c;
    }
    for (std::size_t l = 0; l < maps.size(); ++l) {
      View<Tap const, 1> const t(taps[l].data(), Extents{cells});
      stages.push_back({maps[l].view(), t, t});
    }
    u = support::normal<float>(Extents{side * side, width}, 77);
    gain = support::normal<T>(Extents{width}, 78, 1, 0.2), bias = support::normal<T>(Extents{width}, 79);
    scale = 2 / std::sqrt(float(width));
  }
  std::span<MiningStage<T> const> view() const { return stages; }
  ref::Array fine() const {
    std::vector<ref::Array> arrays{ref::Array(cells, cells, 0)};  // sets the side, has no channels
    for (auto const& m : maps) arrays.push_back(m.array());
    return ref::concatenated(arrays);
  }
};

struct Statistics {
  std::vector<double> mean, rstd;
};
Statistics statistics(ref::Array const& fine) {
  Statistics s;
  for (Size i = 0; i < fine.n0 * fine.n1; ++i) {
    double mean = 0, var = 0;
    double const* x = &fine.v[std::size_t(i * fine.n2)];
    for (Size c = 0; c < fine.n2; ++c) mean += x[c] / double(fine.n2);
    for (Size c = 0; c < fine.n2; ++c) var += (x[c] - mean) * (x[c] - mean) / double(fine.n2);
    s.mean.push_back(mean), s.rstd.push_back(1 / std::sqrt(var + 1e-5));
  }
  return s;
}

template <class T>
struct Mined {
  Data<float, 2> mean, rstd, probabilities;
  Data<T, 2> z;
  Mined(Executor const& ex, Case<T> const& c)
      : mean(support::filled<float>(Extents{c.cells, c.cells}, NAN)), rstd(mean),
        probabilities(support::filled<float>(Extents{c.side * c.side, c.cells * c.cells / (c.side * c.side)}, NAN)),
        z(support::filled<T>(Extents{c.side * c.side, c.width}, NAN)) {
    cpu::mining_statistics<T>(ex, c.view(), 1e-5f, mean.view(), rstd.view());
    cpu::mining<T>(ex, c.u.view(), {c.side, c.side}, c.view(), mean.view(), rstd.view(), c.scale, c.gain.view(), c.bias.view(), z.view(),
                   probabilities.view());
  }
};

/// Compares with the definition; `spread` is the largest |map value| over its deviation, by which float sums lose accuracy.
template <class T>
void check(Case<T> const& c, double spread, std::string const& what) {
  ref::Array const fine = c.fine();
  auto const s = statistics(fine);
  Size const cell = c.cells / c.side;
  std::vector<double> p_want, z_want;
  double u_norm = 0;
  for (Size n = 0; n < c.side * c.side; ++n) {
    std::vector<double> scores;
    double squares = 0;
    for (Size i = 0; i < c.width; ++i) squares += std::pow(double(c.u.v[std::size_t(n * c.width + i)]), 2);
    u_norm = std::max(u_norm, std::sqrt(squares));
    auto const normalised = [&](Size j, Size i) {
      Size const at = (n / c.side * cell + j / cell) * c.cells + n % c.side * cell + j % cell;
      return (fine.v[std::size_t(at * c.width + i)] - s.mean[std::size_t(at)]) * s.rstd[std::size_t(at)];
    };
    for (Size j = 0; j < cell * cell; ++j) {
      double score = 0;
      for (Size i = 0; i < c.width; ++i) score += double(c.u.v[std::size_t(n * c.width + i)]) * normalised(j, i) * double(c.scale);
      scores.push_back(score);
    }
    auto const p = ref::softmax(scores);
    p_want.insert(p_want.end(), p.begin(), p.end());
    for (Size i = 0; i < c.width; ++i) {
      double sum = 0;
      for (Size j = 0; j < cell * cell; ++j) sum += p[std::size_t(j)] * normalised(j, i);
      z_want.push_back(sum * double(float(c.gain.v[std::size_t(i)])) + double(float(c.bias.v[std::size_t(i)])));
    }
  }
  double const noise = 16 * 0x1p-24 * spread;             // sums of products of size `spread` in float, in a few partial sums
  double const score_noise = noise * u_norm * double(c.scale);
  for (Isa isa : support::isas()) {
    support::PlainThreads one(1), two(2), three(3);
    Mined<T> const run({&one, isa}, c);
    std::string const name = what + " " + support::type_name<T>() + " " + std::string(mgm::name(isa));
    double widest = 0, sharpest = 0;
    for (double const r : s.rstd) sharpest = std::max(sharpest, r);
    for (double const m : s.mean) widest = std::max(widest, std::abs(m));
    support::expect_near(run.mean, s.mean, 16 * 0x1p-24 * (widest + 1 / sharpest), name + " mean");
    support::expect_near(run.rstd, s.rstd, noise * sharpest, name + " rstd");
    support::expect_near(run.probabilities, p_want, score_noise, name + " probabilities");
    support::expect_near(run.z, z_want, 4 * (noise + score_noise), name + " z");
    Mined<T> const again({&two, isa}, c), thrice({&three, isa}, c);
    support::expect_same(run.z, again.z, name + " z, 2 threads"), support::expect_same(run.z, thrice.z, name + " z, 3 threads");
    support::expect_same(run.rstd, again.rstd, name + " rstd, 2 threads");
    support::expect_same(run.rstd, thrice.rstd, name + " rstd, 3 threads");
    support::expect_same(run.probabilities, thrice.probabilities, name + " probabilities, 3 threads");
  }
}

template <class T>
void check_all(std::vector<std::pair<Size, Size>> const& stages, Size side, Size cell, std::string const& what) {
  check(Case<T>(side, cell, stages), 4, what);
}

TEST(Mining, MatchesTheDefinition) {
  std::vector<std::pair<Size, Size>> const usual{{24, 16}, {12, 24}, {6, 40}, {3, 72}}, odd{{15, 5}, {7, 3}, {3, 17}, {1, 33}};
  check_all<float>(usual, 3, 8, "3x3 tokens of 8x8 cells");
  check_all<bf16>(usual, 3, 8, "3x3 tokens of 8x8 cells");
  check_all<half>(usual, 3, 8, "3x3 tokens of 8x8 cells");
  check_all<float>(odd, 5, 3, "5x5 tokens of 3x3 cells, floored maps");
  check_all<bf16>(odd, 5, 3, "5x5 tokens of 3x3 cells, floored maps");
  check_all<float>({{1, 2}}, 1, 1, "one cell");
  check_all<float>({{4, 1}, {2, 1}}, 4, 1, "one cell a token");
  check_all<half>({{6, 70}, {9, 31}}, 2, 3, "a map finer than the cells");
}

TEST(Mining, KeepsItsAccuracyOnMapsFarFromZero) {
  std::vector<std::pair<Size, Size>> const stages{{16, 48}, {8, 96}, {4, 192}, {2, 384}};
  check(Case<float>(2, 8, stages, 100, 1), 104, "mean 100, deviation 1");
  check(Case<float>(2, 8, stages, -1000, 1), 1004, "mean -1000, deviation 1");
}

TEST(Mining, StatisticsDoNotCancelWhereStagesLieApart) {
  Case<float> c(2, 4, {{8, 32}, {4, 32}, {2, 64}});
  for (std::size_t l = 0; l < 3; ++l)
    for (float& v : c.maps[l].v) v = v * 0.01f + 50.0f * float(l);
  auto const want = statistics(c.fine());
  for (Isa isa : support::isas()) {
    Mined<float> const run({nullptr, isa}, c);
    support::expect_near(run.mean, want.mean, 1e-4, "mean");
    support::expect_near(run.rstd, want.rstd, 1e-6 * want.rstd[0], "rstd");
  }
}

TEST(Mining, ScoresThatAreNoNumbersBecomeNumbers) {
  Case<float> c(1, 2, {{2, 8}});
  c.u.v[0] = NAN;
  for (Isa isa : support::isas()) {
    Mined<float> const run({nullptr, isa}, c);
    for (float const p : run.probabilities.v) EXPECT_EQ(p, 0.25f);  // NaN -> 0, the same for all cells
  }
  c.u = support::filled<float>(c.u.extents, 0);
  c.u.v[0] = INFINITY;  // Σu is infinite, scores are ±infinity or NaN
  for (Isa isa : support::isas()) {
    Mined<float> const run({nullptr, isa}, c);
    double sum = 0;
    for (float const p : run.probabilities.v) sum += double(p);
    EXPECT_NEAR(sum, 1, 1e-6);
  }
}

TEST(Mining, TapsFollowHalfPixelCentres) {
  auto const taps = resize_taps(3, 6);  // weights 0.25 and 0.75, borders replicated
  std::vector<std::array<double, 3>> const want{{0, 1, 0}, {0, 1, 0.25}, {0, 1, 0.75}, {1, 2, 0.25}, {1, 2, 0.75}, {2, 2, 0}};
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(taps[i].first, want[i][0]) << i;
    EXPECT_EQ(taps[i].weight, float(want[i][2])) << i;
    EXPECT_EQ(taps[i].second, taps[i].weight == 0 ? taps[i].first : int(want[i][1])) << i;
  }
  EXPECT_FALSE(resize_twice_taps(12, 12, 6));                           // finer than the cells: to be made
  EXPECT_FALSE(resize_twice_taps(6, 12, 6));                            // [1/8, 3/4, 1/8]
  auto const doubled = resize_twice_taps(3, 12, 6), direct = std::optional(taps);  // a ratio of 4, halved, is one of 2
  ASSERT_TRUE(doubled);
  for (std::size_t i = 0; i < taps.size(); ++i) EXPECT_EQ((*doubled)[i].weight, (*direct)[i].weight) << i;
  EXPECT_TRUE(resize_twice_taps(6, 18, 6));                             // an odd grid picks single cells
}

TEST(Mining, ResizedTwiceIsTheTwoResizes) {
  for (Isa isa : support::isas())
    for (auto const& [n, full, to, channels] : std::vector<std::array<Size, 4>>{
             {8, 8, 4, 35}, {4, 8, 4, 16}, {9, 9, 3, 5}, {3, 9, 3, 1}, {16, 16, 4, 64}, {5, 15, 5, 7}, {1, 6, 3, 20}}) {
      auto const map = support::normal<float>(Extents{n, n, channels}, 5);
      auto out = support::filled<float>(Extents{to, to, channels}, NAN);
      support::PlainThreads two(2);
      cpu::resize_twice<float>({&two, isa}, map.view(), full, full, out.view());
      support::expect_near(out, ref::bilinear(ref::bilinear(map.array(), full, full), to, to).v, 1e-6, text(n, " ", full, " ", to));
    }
}

}  // namespace mining_test
