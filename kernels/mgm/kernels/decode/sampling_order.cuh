/// Tokens by falling logits, of equals the lower token first, without sorting a vocabulary: a radix search for the k-th logit, and windows
/// of the order that are put into shared memory one after the other. One block a row of logits; all threads call these functions together.
///   Method  the search goes by digits of 4 bits, each thread counting what it sees in a column of its own: no atomics, no order of
///           threads to notice. A window takes all above the search's result, and of its equals the first in index order.
///   Cost    ten reads of the row a window, from the caches; the tokens that matter are nearly always in the first window.
#pragma once
#include <climits>

#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/bits.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/thread.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

struct SamplingTraits {
  static constexpr int kWarps = 16, kThreads = 32 * kWarps;  // of a row; not measured yet
  static constexpr int kRegisters = 128;                     // of a thread, at most: nvcc-gate
  static constexpr int kDigitBits = 4, kDigits = 1 << kDigitBits, kWindow = kThreads;
  static_assert(kDigits == kWarps, "each warp adds up one digit's counts");
  struct Shared {
    int counts[kDigits][kThreads];      // of a digit, by thread
    int totals[kDigits];
    int above[kWarps], equal[kWarps];   // what each warp's part of the row brings to the window
    unsigned key[kWindow];              // the window as gathered
    int gathered[kWindow];
    int token[kWindow];                 // the window in order
    double weight[kWindow];
    double partial[kThreads];
    double sum;                         // of the walk along the order
    int at, last;
    float best[kWarps];                 // the largest logit of each warp's part
    int best_token[kWarps], broken[kWarps];
  };
  static_assert(sizeof(Shared) <= 48 * 1024, "what a block has without asking for more");
};

/// A place in the order: what stands behind it has a lower key, or the same and a higher token.
struct OrderPlace {
  unsigned key = 0xFFFFFFFFu;
  int token = -1;  // at first: before all
  MGM_DEVICE bool before(unsigned k, int t) const { return k < key || (k == key && t > token); }
};
/// The k-th key behind a place, and how many are above it and equal to it there.
struct OrderRank {
  unsigned key;
  int above, equal;
};

/// The `k`-th (from 1) behind `place`; there are at least k.
template <class Dev>
MGM_DEVICE OrderRank order_rank(View<float const, 1, Dev> logits, OrderPlace place, int k, SamplingTraits::Shared& s) {
  using Tr = SamplingTraits;
  int const me = simt::thread_idx(), count = static_cast<int>(logits.extent(0));
  OrderRank rank{0, 0, 0};
  for (int shift = 32 - Tr::kDigitBits; shift >= 0; shift -= Tr::kDigitBits) {
    for (int d = 0; d < Tr::kDigits; ++d) s.counts[d][me] = 0;
    for (int i = me; i < count; i += Tr::kThreads) {
      unsigned const key = simt::ordered_bits(logits(i));
      bool const same = shift + Tr::kDigitBits == 32 || (key ^ rank.key) >> (shift + Tr::kDigitBits) == 0;  // in all digits found so far
      if (same && place.before(key, i)) ++s.counts[key >> shift & (Tr::kDigits - 1)][me];
    }
    simt::sync_block();
    int total = 0;
    for (int i = simt::lane_idx(); i < Tr::kThreads; i += simt::kWarp) total += s.counts[simt::warp_idx()][i];
    for (int bit = simt::kWarp / 2; bit > 0; bit /= 2) total += simt::shuffle_xor(total, bit);
    if (simt::lane_idx() == 0) s.totals[simt::warp_idx()] = total;
    simt::sync_block();
    int digit = Tr::kDigits - 1;
    for (; digit > 0 && rank.above + s.totals[digit] < k; --digit) rank.above += s.totals[digit];
    rank.key |= static_cast<unsigned>(digit) << shift;
    rank.equal = s.totals[digit];
  }
  return rank;
}

/// s.gathered, s.key <- the `wanted` (at most kWindow) that stand next behind `place`, in no order yet.
template <class Dev>
MGM_DEVICE void order_gather(View<float const, 1, Dev> logits, OrderPlace place, OrderRank rank, int wanted, SamplingTraits::Shared& s) {
  using Tr = SamplingTraits;
  int const lane = simt::lane_idx(), warp = simt::warp_idx(), count = static_cast<int>(logits.extent(0));
  int const part = static_cast<int>(simt::ceil_div(count, Tr::kThreads)) * simt::kWarp;  // consecutive tokens of one warp
  int const begin = warp * part, end = begin + part;
  auto const key_at = [&](int i) { return i < count ? simt::ordered_bits(logits(i)) : 0u; };
  auto const is_above = [&](int i, unsigned key) { return i < count && key > rank.key && place.before(key, i); };
  auto const is_equal = [&](int i, unsigned key) { return i < count && key == rank.key && place.before(key, i); };
  int above = 0, equal = 0;
  for (int i = begin + lane; i < end + lane; i += simt::kWarp) {
    unsigned const key = key_at(i);
    above += simt::count_bits(simt::ballot(is_above(i, key)));
    equal += simt::count_bits(simt::ballot(is_equal(i, key)));
  }
  if (lane == 0) s.above[warp] = above, s.equal[warp] = equal;
  simt::sync_block();
  int next_above = 0, next_equal = rank.above;                                            // equals stand behind all that are above
  for (int w = 0; w < warp; ++w) next_above += s.above[w], next_equal += s.equal[w];
  for (int i = begin + lane; i < end + lane; i += simt::kWarp) {
    unsigned const key = key_at(i), before = simt::bits_below(lane);
    unsigned const aboves = simt::ballot(is_above(i, key)), equals = simt::ballot(is_equal(i, key));
    int const to = is_above(i, key) ? next_above + simt::count_bits(aboves & before) : next_equal + simt::count_bits(equals & before);
    if ((is_above(i, key) || is_equal(i, key)) && to < wanted) s.key[to] = key, s.gathered[to] = i;
    next_above += simt::count_bits(aboves), next_equal += simt::count_bits(equals);
  }
  simt::sync_block();
}

/// s.token[0 … wanted) <- the tokens that stand next behind `place`, in order; s.weight is the caller's.
template <class Dev>
MGM_DEVICE void order_window(View<float const, 1, Dev> logits, OrderPlace place, int wanted, SamplingTraits::Shared& s) {
  order_gather(logits, place, order_rank(logits, place, wanted, s), wanted, s);
  int const me = simt::thread_idx();
  if (me < wanted) {
    int rank = 0;
    for (int i = 0; i < wanted; ++i) rank += s.key[i] > s.key[me] || (s.key[i] == s.key[me] && s.gathered[i] < s.gathered[me]) ? 1 : 0;
    s.token[rank] = s.gathered[me];
  }
  simt::sync_block();
}

}  // namespace mgm::inline v0::kernels
