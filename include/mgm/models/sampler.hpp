/// From logits to a token. Random numbers are counter-based (core/random.hpp), so that a seed and a position give the draw, whatever was
/// drawn before.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <span>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/core/random.hpp>

namespace mgm::inline v0::models {

struct Sampling {
  float temperature = 0.2f;  ///< 0: the most probable token
  int top_k = 50;            ///< keep scores that reach the k-th largest; 0: all
  float top_p = 1;           ///< keep the least set of most probable tokens with this mass; 1: all
  std::uint64_t seed = 0;
  /// Sees the logits before anything else and may change them, to mask or to bias. May throw: the answer ends and the caller gets it.
  std::function<void(std::span<float>)> adjust{};
  /// Replaces the choice as a whole: logits, position -> token.
  std::function<int(std::span<float const>, std::int64_t)> choose{};
};

/// Throws ArgumentError for a value out of range.
inline void check(Sampling const& s) {
  require<ArgumentError>(std::isfinite(s.temperature) && s.temperature >= 0, "sampling: temperature must be 0 (greedy) or more, found ",
                         s.temperature);
  require<ArgumentError>(s.top_k >= 0, "sampling: top_k must be 0 (all) or more, found ", s.top_k);
  require<ArgumentError>(s.top_p > 0 && s.top_p <= 1, "sampling: top_p must lie in (0, 1], found ", s.top_p);
}

/// Whether the choice is by the rules alone, so that it can be made where the logits are.
[[nodiscard]] inline bool by_rule(Sampling const& s) { return !s.adjust && !s.choose; }

using mgm::philox_uniform;

/// What is wrong with logits, in the words of all devices. Throw NumericalError.
[[noreturn]] inline void refuse_nan(std::int64_t token) {
  throw NumericalError(text("sampling: the logit of token ", token, " is NaN; weights or inputs are broken, or f16 overflowed"));
}
[[noreturn]] inline void refuse_nothing(std::int64_t count) {
  throw NumericalError(text("sampling: no token is possible, all ", count, " logits are -inf"));
}

/// The index of the largest logit, the lowest of equals. Throws NumericalError when a logit is NaN or none is above −infinity.
[[nodiscard]] inline int greedy(std::span<float const> logits) {
  std::size_t best = 0;
  bool any_finite = false;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) refuse_nan(static_cast<std::int64_t>(i));
    if (logits[i] > logits[best]) best = i;
    any_finite = any_finite || logits[i] > -INFINITY;
  }
  if (!any_finite) refuse_nothing(static_cast<std::int64_t>(logits.size()));
  return static_cast<int>(best);
}

/// Chooses a token: temperature, then top-k, then top-p, then softmax and a draw for (seed, position). `logits` may be changed by `adjust`.
/// Throws ArgumentError, NumericalError.
[[nodiscard]] inline int sample(Sampling const& s, std::span<float> logits, std::int64_t position) {
  if (s.adjust) s.adjust(logits);
  if (s.choose) {
    int const id = s.choose(logits, position);
    require<ArgumentError>(id >= 0 && static_cast<std::size_t>(id) < logits.size(), "sampling: the user's sampler chose token ", id, " of ",
                           logits.size());
    return id;
  }
  int const best = greedy(logits);
  if (s.temperature == 0 || logits[static_cast<std::size_t>(best)] == INFINITY) return best;  // `adjust` may set infinity: certain

  std::vector<int> kept(logits.size());
  std::iota(kept.begin(), kept.end(), 0);
  auto const before = [&](int a, int b) {
    float const x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x > y || (x == y && a < b);
  };
  std::size_t const k = s.top_k == 0 ? kept.size() : std::min(kept.size(), static_cast<std::size_t>(s.top_k));
  std::partial_sort(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(k), kept.end(), before);
  if (k < kept.size()) {  // scores that equal the k-th stay too
    float const kth = logits[static_cast<std::size_t>(kept[k - 1])];
    auto const tail = std::partition(kept.begin() + static_cast<std::ptrdiff_t>(k), kept.end(),
                                     [&](int i) { return logits[static_cast<std::size_t>(i)] == kth; });
    std::sort(kept.begin() + static_cast<std::ptrdiff_t>(k), tail);
    kept.erase(tail, kept.end());
  }
  double const peak = logits[static_cast<std::size_t>(best)];
  std::vector<double> weight(kept.size());
  for (std::size_t i = 0; i < kept.size(); ++i)
    weight[i] = std::exp((static_cast<double>(logits[static_cast<std::size_t>(kept[i])]) - peak) / static_cast<double>(s.temperature));
  double mass = std::accumulate(weight.begin(), weight.end(), 0.0);
  if (s.top_p < 1) {  // most probable first: keep until the mass before a token reaches top_p
    double sum = 0;
    std::size_t n = 0;
    while (n < weight.size() && sum < static_cast<double>(s.top_p) * mass) sum += weight[n++];
    weight.resize(n);
    mass = sum;
  }
  double const mark = philox_uniform(s.seed, static_cast<std::uint64_t>(position)) * mass;
  double sum = 0;
  for (std::size_t i = 0; i < weight.size(); ++i)
    if ((sum += weight[i]) > mark) return kept[i];
  return kept[weight.size() - 1];
}

}  // namespace mgm::inline v0::models
