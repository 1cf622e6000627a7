/// Byte-pair merging: the one loop behind every vocabulary (Sennrich et al. 2016, arXiv:1508.07909).
/// While some adjacent pair may merge, merge the one of the lowest rank, the leftmost among equals. SentencePiece's highest score first
/// and the lowest merge index of tokenizer.json are both such ranks.
/// Cost  at most n - 1 merges and 3n entries of a heap over n symbols: O(n log n) whatever the text.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace mgm::inline v0::io::vocab {

/// A run of text that is one token so far.
struct Symbol {
  static constexpr std::int32_t kEnd = -1;
  std::int32_t prev = kEnd, next = kEnd;
  std::uint32_t at = 0, bytes = 0;  ///< where it stands in the text; no bytes: merged into its left neighbour
  std::int32_t id = -1;             ///< -1: no token of this text is known
  bool frozen = false;              ///< taken whole, never merged
};

/// What a pair becomes, and how soon.
struct Merge {
  std::uint32_t rank;
  std::int32_t id;
};

/// Ranks for scores: a higher score has a lower rank, equal scores the same, -0 as 0. Not for NaN.
[[nodiscard]] inline std::uint32_t rank_of_score(float score) noexcept {
  auto const bits = std::bit_cast<std::uint32_t>(score + 0.0F);
  std::uint32_t const ascending = bits & 0x80000000U ? ~bits : bits | 0x80000000U;
  return ~ascending;
}

/// Appends a symbol to the chain.
inline void add_symbol(std::vector<Symbol>& chain, std::size_t at, std::size_t bytes, int id, bool frozen = false) {
  auto const index = static_cast<std::int32_t>(chain.size());
  if (index > 0) chain.back().next = index;
  chain.push_back({index - 1, Symbol::kEnd, static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(bytes), id, frozen});
}

/// Counts what merging did, for tests of its growth.
struct MergeWork {
  std::uint64_t merges = 0, looked_up = 0, queued = 0;
};

/// Merges `chain` to the end. `rule(Symbol left, Symbol right, Merge& out)` says whether a pair may merge. Survivors are linked from index
/// 0. A queued pair is stale exactly when the bytes from its left symbol on are no longer what they were, for symbols only grow.
template <class Rule>
MergeWork merge_pairs(std::vector<Symbol>& chain, Rule&& rule) {
  struct Entry {
    std::uint64_t key;  // rank, then place
    std::uint32_t bytes;
    std::int32_t id;
  };
  auto const later = [](Entry const& a, Entry const& b) { return a.key > b.key; };
  MergeWork work;
  std::vector<Entry> heap;
  auto const look = [&](std::int32_t left, std::int32_t right, auto&& put) {
    if (left < 0 || right < 0) return;
    Symbol const &a = chain[static_cast<std::size_t>(left)], &b = chain[static_cast<std::size_t>(right)];
    if (a.frozen || b.frozen) return;
    ++work.looked_up;
    Merge merge{};
    if (rule(a, b, merge)) put(Entry{(std::uint64_t{merge.rank} << 32) | static_cast<std::uint32_t>(left), a.bytes + b.bytes, merge.id});
  };
  auto const collect = [&](Entry entry) { heap.push_back(entry); };
  auto const push = [&](Entry entry) {
    heap.push_back(entry);
    std::push_heap(heap.begin(), heap.end(), later);
  };
  for (std::size_t i = 1; i < chain.size(); ++i) look(static_cast<std::int32_t>(i) - 1, static_cast<std::int32_t>(i), collect);
  work.queued = heap.size();
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    Entry const best = heap.back();
    heap.pop_back();
    auto const place = static_cast<std::int32_t>(best.key & 0xFFFFFFFFU);
    Symbol& left = chain[static_cast<std::size_t>(place)];
    if (left.bytes == 0 || left.next < 0) continue;
    Symbol& right = chain[static_cast<std::size_t>(left.next)];
    if (left.bytes + right.bytes != best.bytes) continue;
    left.bytes = best.bytes, left.id = best.id, left.next = right.next;
    right.bytes = 0;
    if (left.next >= 0) chain[static_cast<std::size_t>(left.next)].prev = place;
    ++work.merges;
    std::size_t const before = heap.size();
    look(left.prev, place, push);
    look(place, left.next, push);
    work.queued += heap.size() - before;
  }
  return work;
}

}  // namespace mgm::inline v0::io::vocab
