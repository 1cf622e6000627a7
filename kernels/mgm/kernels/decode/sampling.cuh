/// From logits to a token on the device, with the semantics and the draws of models/sampler.hpp.
///   temperature 0    the largest logit, of equals the lowest token
///   else             p ∝ exp((l − peak)/temperature) over the kept; the first token, most probable first, at which the running sum of p
///                    passes u·mass, u = philox_uniform(seed, position)
///   kept             top_k: logits that reach the k-th largest; then top_p: the least set of most probable tokens with that mass
/// Shapes  logits (P, V) float; positions, out (P).   Types  weights and sums in double, as on the host.
/// Method  one block a row; tokens in falling order from sampling_order.cuh, summed one after the other as the host does.
/// Same    token as the host's from the same logits, seed and position, but for two things far below the logits' own rounding: exp may
///         differ by an ulp of double, and where more than a window (512) is kept, the mass is a sum in a fixed tree, not in falling order.
///         So a token may differ where u·mass falls within about 1e-13 of the mass from the border between two tokens.
/// Cost    4·P·V bytes once from memory; about ten more reads of each row from the caches where top_k, top_p or a draw need the order.
#pragma once
#include <cmath>
#include <cstdint>
#include <type_traits>

#include <mgm/core/cost.hpp>
#include <mgm/core/random.hpp>
#include <mgm/kernels/decode/sampling_order.cuh>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>

namespace mgm::inline v0::kernels {

/// As models::Sampling, without the user's functions.
struct SamplingRule {
  float temperature = 0.2f;  ///< 0: the most probable token
  int top_k = 50;            ///< 0: all
  float top_p = 1;           ///< 1: all
  std::uint64_t seed = 0;
};
enum class SampleStatus : int {
  ok,
  nan,      ///< a logit is NaN; `token` is the first such
  nothing,  ///< all logits are −infinity
};
struct SampledToken {
  int token;
  SampleStatus status;
};

/// The largest logit and what is wrong with the row; the same in all threads.
template <class Dev>
MGM_DEVICE SampledToken sample_best(View<float const, 1, Dev> logits, SamplingTraits::Shared& s) {
  using Tr = SamplingTraits;
  int const count = static_cast<int>(logits.extent(0));
  float best = -INFINITY;
  int token = 0, broken = INT_MAX;
  for (int i = simt::thread_idx(); i < count; i += Tr::kThreads) {
    float const logit = logits(i);
    if (logit > best) best = logit, token = i;
    if (logit != logit && broken == INT_MAX) broken = i;
  }
  auto const take = [&](float logit, int at, int nan) {
    if (logit > best || (logit == best && at < token)) best = logit, token = at;
    if (nan < broken) broken = nan;
  };
  for (int bit = simt::kWarp / 2; bit > 0; bit /= 2) {
    float const logit = simt::shuffle_xor(best, bit);
    int const at = simt::shuffle_xor(token, bit), nan = simt::shuffle_xor(broken, bit);
    take(logit, at, nan);
  }
  if (simt::lane_idx() == 0) s.best[simt::warp_idx()] = best, s.best_token[simt::warp_idx()] = token, s.broken[simt::warp_idx()] = broken;
  simt::sync_block();
  for (int w = 0; w < Tr::kWarps; ++w) take(s.best[w], s.best_token[w], s.broken[w]);
  if (broken != INT_MAX) return {broken, SampleStatus::nan};
  return {token, best == -INFINITY ? SampleStatus::nothing : SampleStatus::ok};
}

/// exp((l − peak)/temperature), as the host has it.
MGM_DEVICE double sample_weight(float logit, double peak, double temperature) {
  return simt::exp((static_cast<double>(logit) - peak) / temperature);
}

/// Σ of the weights of all logits from `floor` on, in a fixed tree.
template <class Dev>
MGM_DEVICE double sample_mass(View<float const, 1, Dev> logits, unsigned floor, double peak, double temperature,
                              SamplingTraits::Shared& s) {
  using Tr = SamplingTraits;
  int const me = simt::thread_idx(), count = static_cast<int>(logits.extent(0));
  double sum = 0;
  for (int i = me; i < count; i += Tr::kThreads)
    if (simt::ordered_bits(logits(i)) >= floor) sum += sample_weight(logits(i), peak, temperature);
  s.partial[me] = sum;
  simt::sync_block();
  for (int half = Tr::kThreads / 2; half > 0; half /= 2) {
    if (me < half) s.partial[me] += s.partial[me + half];
    simt::sync_block();
  }
  return s.partial[0];
}

/// Where a walk along the order ended: after `count` tokens, whose weights sum to `sum`; `token` is the last of them that weighs anything.
struct SampleWalk {
  int token, count;
  double sum;
};

/// The order of one row, of which a window lies in shared memory.
template <class Dev>
struct SampleOrder {
  View<float const, 1, Dev> logits;
  double peak, temperature;
  int first = -1, size = 0;  // of the window, counted along the order

  /// Adds weights along the first `kept` of the order until the sum reaches `target`, or with `beyond` passes it. All threads get the end.
  MGM_DEVICE SampleWalk walk(int kept, double target, bool beyond, SamplingTraits::Shared& s) {
    using Tr = SamplingTraits;
    int const me = simt::thread_idx();
    SampleWalk end{-1, 0, 0};
    while (end.count < kept) {
      int const wanted = kept - end.count < Tr::kWindow ? kept - end.count : Tr::kWindow;
      if (first != end.count || size < wanted) {
        int const last = end.count == 0 ? -1 : s.token[size - 1];
        OrderPlace const place = last < 0 ? OrderPlace{} : OrderPlace{simt::ordered_bits(logits(last)), last};
        simt::sync_block();                                                      // all have read the window that goes
        order_window(logits, place, wanted, s);
        if (me < wanted) s.weight[me] = sample_weight(logits(s.token[me]), peak, temperature);
        simt::sync_block();
        first = end.count, size = wanted;
      }
      if (me == 0) {  // one after the other, as the host adds them
        s.sum = end.sum, s.at = wanted, s.last = end.token;
        for (int i = 0; i < wanted; ++i) {
          s.sum += s.weight[i];
          if (s.weight[i] > 0) s.last = s.token[i];
          if (beyond ? s.sum > target : s.sum >= target) {
            s.at = i;
            break;
          }
        }
      }
      simt::sync_block();
      bool const found = s.at < wanted;
      end = {s.last, end.count + (found ? s.at + 1 : wanted), s.sum};
      simt::sync_block();                                                        // before the next walk writes there
      if (found) break;
    }
    return end;
  }
};

/// The rule of row n: one for all rows, or each its own, in the device's memory.
MGM_DEVICE SamplingRule sample_rule(SamplingRule const& rule, Size) { return rule; }
template <class Dev>
MGM_DEVICE SamplingRule sample_rule(View<SamplingRule const, 1, Dev> rules, Size n) {
  return rules(n);
}

/// Positions that may be written are advanced, and the draws are those of where they then are.
template <class Rule, class Position, class Dev>
MGM_GLOBAL(SamplingTraits::kThreads)
void sample_kernel(View<float const, 2, Dev> logits, Rule rules, View<Position, 1, Dev> positions, View<SampledToken, 1, Dev> out) {
  using Tr = SamplingTraits;
  constexpr bool kAdvances = !std::is_const_v<Position>;
  auto& s = simt::shared<Tr::Shared>();
  Size const n = simt::block_idx().x;
  auto const row = logits[n];
  SamplingRule const rule = sample_rule(rules, n);
  std::int64_t const position = positions(n) + (kAdvances ? 1 : 0);              // read by all before sample_best's barrier
  SampledToken choice = sample_best(row, s);
  if (choice.status == SampleStatus::ok && rule.temperature > 0 && row(choice.token) < INFINITY) {  // the same for the whole block
    int kept = static_cast<int>(row.extent(0));
    unsigned floor = 0;
    if (rule.top_k > 0 && rule.top_k < kept) {                                   // what equals the k-th stays too
      OrderRank const rank = order_rank(row, OrderPlace{}, rule.top_k, s);
      kept = rank.above + rank.equal, floor = rank.key;
      simt::sync_block();
    }
    SampleOrder<Dev> order{row, row(choice.token), rule.temperature};
    double mass = kept <= Tr::kWindow ? order.walk(kept, INFINITY, true, s).sum : sample_mass(row, floor, order.peak, order.temperature, s);
    if (rule.top_p < 1) {
      SampleWalk const nucleus = order.walk(kept, static_cast<double>(rule.top_p) * mass, false, s);
      kept = nucleus.count, mass = nucleus.sum;
    }
    double const mark = philox_uniform(rule.seed, static_cast<std::uint64_t>(position)) * mass;
    choice.token = order.walk(kept, mark, true, s).token;
  }
  if (simt::thread_idx() == 0) {
    out(n) = choice;
    if constexpr (kAdvances) positions(n) = position;
  }
}

namespace detail {
/// What both launchers ask, and the launch.
template <class Rule, class Position, class Dev>
void sample_rows(simt::Stream<Dev> stream, View<float const, 2, Dev> logits, Rule const& rules, View<Position, 1, Dev> positions,
                 View<SampledToken, 1, Dev> out) {
  using Tr = SamplingTraits;
  check_input("sample: logits", logits), check_input("sample: positions", positions), check_output("sample: out", out);
  check_shape("sample: out", out, logits.extent(0)), check_shape("sample: positions", positions, logits.extent(0));
  check_apart("sample: out", out, "logits", logits), check_apart("sample: out", out, "positions", positions);
  require<ShapeError>(logits.extent(1) > 0, "sample: logits: expected at least one token");
  require<LimitError>(logits.extent(1) <= INT_MAX - 2 * Tr::kThreads && logits.extent(0) <= INT_MAX,
                      "sample: logits: at most 2^31 of them, found ", shape_text(logits.extents()));
  if (out.count() == 0) return;
  simt::launch(stream, {.name = "sample", .grid = out.extent(0), .block = Tr::kThreads, .shared = sizeof(Tr::Shared)},
               sample_kernel<Rule, Position, Dev>, logits, rules, positions, out);
}
}  // namespace detail

/// One token for each row of logits (P, V), any strides: out (P), positions (P) that count the draws of a seed, all in the device's memory.
/// What is wrong with a row is its status; a logit of +infinity is taken. Enqueues and returns. Throws ShapeError, ArgumentError,
/// LimitError naming the argument; ArgumentError for a rule out of range.
template <KernelDevice Dev>
void sample(simt::Stream<Dev> stream, In<float, 2, Dev> logits, SamplingRule const& rule, View<std::int64_t const, 1, Dev> positions,
            View<SampledToken, 1, Dev> out) {
  require<ArgumentError>(std::isfinite(rule.temperature) && rule.temperature >= 0, "sample: temperature must be 0 (greedy) or more, found ",
                         rule.temperature);
  require<ArgumentError>(rule.top_k >= 0, "sample: top_k must be 0 (all) or more, found ", rule.top_k);
  require<ArgumentError>(rule.top_p > 0 && rule.top_p <= 1, "sample: top_p must lie in (0, 1], found ", rule.top_p);
  detail::sample_rows(stream, logits, rule, positions, out);
}

/// The same as a step of decoding wants it: rules (P) in the device's memory too, where nobody sees whether they are in range; positions (P)
/// are advanced by one before they count the draw.
template <KernelDevice Dev>
void sample_next(simt::Stream<Dev> stream, In<float, 2, Dev> logits, View<SamplingRule const, 1, Dev> rules,
                 View<std::int64_t, 1, Dev> positions, View<SampledToken, 1, Dev> out) {
  check_input("sample: rules", rules), check_shape("sample: rules", rules, logits.extent(0));
  check_output("sample: positions", positions), check_apart("sample: out", out, "rules", rules);
  check_apart("sample: positions", positions, "logits", logits), check_apart("sample: positions", positions, "rules", rules);
  detail::sample_rows<View<SamplingRule const, 1, Dev>, std::int64_t, Dev>(stream, logits, rules, positions, out);
}

constexpr Cost sample_cost(Size p, Size v) { return {p * (4 * v + 16), 2 * p * v}; }

}  // namespace mgm::inline v0::kernels
