/// What happened before what (Lamport 1978; vector clocks: Mattern 1989, Fidge 1988). A thread's work is cut into pieces at everything that
/// others may wait for; a piece has a stamp. A thread's past says for each thread up to which stamp all has happened before its own piece.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace mgm::inline v0::simt::host {

using Stamp = std::uint32_t;
using Stamps = std::vector<Stamp>;  ///< of each thread of a block
using StampsRef = std::shared_ptr<Stamps const>;

/// Both together; null is nothing.
inline StampsRef join(StampsRef const& a, StampsRef const& b) {
  if (!a || a == b) return b;
  if (!b) return a;
  auto out = std::make_shared<Stamps>(*a);
  for (std::size_t i = 0; i < out->size(); ++i) (*out)[i] = std::max((*out)[i], (*b)[i]);
  return out;
}

/// What is known of each of several blocks, sorted by block.
using Blocks = std::vector<std::pair<std::uint32_t, StampsRef>>;
using BlocksRef = std::shared_ptr<Blocks const>;

inline void add(Blocks& to, std::uint32_t block, StampsRef const& stamps) {
  auto const it = std::lower_bound(to.begin(), to.end(), block, [](auto const& entry, std::uint32_t b) { return entry.first < b; });
  if (it != to.end() && it->first == block) it->second = join(it->second, stamps);
  else to.insert(it, {block, stamps});
}
inline BlocksRef join(BlocksRef const& a, BlocksRef const& b) {
  if (!a || a == b) return b;
  if (!b) return a;
  auto out = std::make_shared<Blocks>(*a);
  for (auto const& [block, stamps] : *b) add(*out, block, stamps);
  return out;
}

/// What a thread knows to have happened: in its own block, and in others (only through atomics and grid barriers).
struct Past {
  StampsRef own;
  BlocksRef others;
};

/// Threads bring their pasts here; who takes it away has seen them all. Of one block, as a barrier is.
struct Meeting {
  Stamps sum;
  BlocksRef others;
  StampsRef last;  ///< joined already: threads of a warp mostly share one past

  void bring(Past const& past, int thread, Stamp stamp, std::size_t threads) {
    sum.resize(threads);
    if (past.own && past.own != last) {
      for (std::size_t i = 0; i < threads; ++i) sum[i] = std::max(sum[i], (*past.own)[i]);
      last = past.own;
    }
    others = join(others, past.others);
    sum[static_cast<std::size_t>(thread)] = stamp;
  }
  /// All that was brought; empties the meeting.
  Past take() {
    Past out{std::make_shared<Stamps>(std::move(sum)), std::move(others)};
    clear();
    return out;
  }
  void clear() { sum.clear(), others.reset(), last.reset(); }
};

}  // namespace mgm::inline v0::simt::host
