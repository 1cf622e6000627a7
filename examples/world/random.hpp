// Random numbers as the trainer draws them: Python's `random.Random(seed)`, so that a seed means the same scene here and there.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <random>
#include <sstream>
#include <vector>

namespace world {

class Random {
 public:
  explicit Random(std::uint64_t seed) {
    std::vector<std::uint32_t> key{static_cast<std::uint32_t>(seed)};
    if (seed >> 32) key.push_back(static_cast<std::uint32_t>(seed >> 32));
    constexpr std::size_t n = std::mt19937::state_size;
    std::array<std::uint32_t, n> s{19650218u};  // init_by_array of the authors of MT19937
    for (std::size_t i = 1; i < n; ++i) s[i] = 1812433253u * (s[i - 1] ^ s[i - 1] >> 30) + static_cast<std::uint32_t>(i);
    std::size_t i = 1, j = 0;
    auto const next = [&] {
      if (++i == n) s[0] = s[n - 1], i = 1;
    };
    for (std::size_t k = n; k > 0; --k) {
      s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1664525u) + key[j] + static_cast<std::uint32_t>(j);
      next(), j = (j + 1) % key.size();
    }
    for (std::size_t k = n - 1; k > 0; --k)
      s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1566083941u) - static_cast<std::uint32_t>(i), next();
    s[0] = 0x80000000u;
    std::stringstream state;
    for (auto const word : s) state << word << ' ';
    state << n;  // all used up: the next draw makes new ones
    state >> engine_;
  }

  /// From [0, 1), with 53 bits.
  double unit() {
    double const high = static_cast<double>(engine_() >> 5), low = static_cast<double>(engine_() >> 6);
    return (high * 67108864 + low) / 9007199254740992;
  }
  double uniform(double from, double to) { return from + (to - from) * unit(); }
  bool chance(double p) { return unit() < p; }
  /// From 0 to n − 1.
  int below(int n) {
    int bits = 0;
    while (n >> bits) ++bits;
    int out;
    do out = static_cast<int>(engine_() >> (32 - bits));
    while (out >= n);
    return out;
  }
  int between(int least, int most) { return least + below(most - least + 1); }
  template <class List>
  auto const& choice(List const& list) {
    return *(std::begin(list) + below(static_cast<int>(std::size(list))));
  }
  /// `count` of `list`, none twice.
  template <class T>
  std::vector<T> sample(std::vector<T> list, int count) {
    std::vector<T> out;
    for (int left = static_cast<int>(list.size()); count > 0; --count, --left) {
      auto& hit = list[static_cast<std::size_t>(below(left))];
      out.push_back(hit), hit = list[static_cast<std::size_t>(left - 1)];
    }
    return out;
  }
  /// An index, each with its weight.
  int weighted(std::vector<double> const& weights) {
    double sum = 0;
    for (double const w : weights) sum += w;
    double const at = unit() * sum;
    double reached = 0;
    for (std::size_t i = 0; i + 1 < weights.size(); ++i)
      if (at < (reached += weights[i])) return static_cast<int>(i);
    return static_cast<int>(weights.size()) - 1;
  }

 private:
  std::mt19937 engine_;
};

}  // namespace world
