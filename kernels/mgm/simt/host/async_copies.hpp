/// The asynchronous copies that a block has under way: when they land, and what they find when somebody touched what was theirs.
/// When is by the machine's seed: seed % 3 = 0 each by a coin, 1 as late as is legal (in the wait; until then the destination is poison),
/// 2 as early as is legal (at the issue). A kernel must not notice.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::simt::host {

struct AsyncCopy {
  std::byte* to;
  std::byte const* from;
  int bytes, source_bytes, group;
  bool landed;
  Site site;
  std::byte source[16], destination[16];  ///< as they were at the issue, and as the destination must still be
};

/// All functions that can find something return it in words, and otherwise an empty string.
class AsyncCopies {
 public:
  void reset(std::byte* shared, Size bytes, int threads) {
    shared_ = shared, bytes_ = bytes, threads_ = threads;
    if (!used_) return;
    for (auto& thread : of_) thread.open.clear(), thread.first = 0, thread.groups = 0;
    owner_.clear();
    used_ = false;
  }

  std::string issue(int thread, void* to, void const* from, int bytes, int source_bytes, bool early, Site at) {
    auto* const target = static_cast<std::byte*>(to);
    auto const* const source = static_cast<std::byte const*>(from);
    Size const offset = target - shared_;
    if (offset < 0 || offset + bytes > bytes_) return "the destination lies outside of the block's shared memory";
    if (source >= shared_ && source < shared_ + bytes_) return "the source lies in shared memory; it must be global";
    if (source_bytes < 0 || source_bytes > bytes) return text(source_bytes, " source bytes in a copy of ", bytes);
    if (offset % bytes != 0) return text("the destination of ", bytes, " bytes is misaligned by ", offset % bytes);
    if (auto const odd = reinterpret_cast<std::uintptr_t>(from) % static_cast<unsigned>(bytes); odd != 0)
      return text("the source of ", bytes, " bytes is misaligned by ", odd);
    if (!used_) {
      used_ = true;
      owner_.assign(static_cast<std::size_t>(bytes_ / 4 + 1), 0);
      if (of_.size() < static_cast<std::size_t>(threads_)) of_.resize(static_cast<std::size_t>(threads_));
    }
    if (std::string found = touched(to, bytes, "overwritten by another copy"); !found.empty()) return found;
    AsyncCopy copy{target, source, bytes, source_bytes, 0, false, at, {}, {}};
    if (source_bytes > 0) std::memcpy(copy.source, from, static_cast<std::size_t>(source_bytes));
    if (early) std::memcpy(copy.destination, copy.source, 16), copy.landed = true;
    else std::memset(copy.destination, 0xFF, 16);
    std::memcpy(to, copy.destination, static_cast<std::size_t>(bytes));
    Mine& mine = of_[static_cast<std::size_t>(thread)];
    copy.group = mine.groups;
    mine.open.push_back(copy);
    own(copy, thread + 1);
    return {};
  }
  void commit(int thread) {
    if (used_) ++of_[static_cast<std::size_t>(thread)].groups;
  }
  /// Lands what lies in all groups of the thread but the latest `pending`, and calls `landed(copy)` for each.
  template <class Landed>
  std::string wait(int thread, int pending, Landed landed) {
    if (!used_) return {};
    Mine& mine = of_[static_cast<std::size_t>(thread)];
    for (; mine.first < mine.open.size() && mine.open[mine.first].group < mine.groups - pending; ++mine.first) {
      if (std::string found = land(mine.open[mine.first]); !found.empty()) return found;
      landed(mine.open[mine.first]);
    }
    if (mine.first == mine.open.size()) mine.open.clear(), mine.first = 0;
    return {};
  }
  /// What the thread leaves behind when it returns.
  [[nodiscard]] std::string left(int thread) const {
    if (!used_) return {};
    Mine const& mine = of_[static_cast<std::size_t>(thread)];
    if (mine.first == mine.open.size()) return {};
    return text("returns with ", mine.open.size() - mine.first, " asynchronous copies in flight, the first of line ",
                mine.open[mine.first].site.line);
  }
  /// Whether [p, p + bytes) is the destination of a copy under way.
  [[nodiscard]] std::string touched(void const* p, int bytes, char const* how) const {
    if (!used_) return {};
    Size const offset = static_cast<std::byte const*>(p) - shared_;
    if (offset < 0 || offset >= bytes_) return {};
    for (Size word = offset / 4; word <= (offset + bytes - 1) / 4 && word < bytes_ / 4; ++word)
      if (int const owner = owner_[static_cast<std::size_t>(word)]; owner != 0) [[unlikely]]
        return text("the destination of an asynchronous copy is ", how, " before it was waited for; thread ", owner - 1,
                    " issued it at line ", line_of(owner - 1, word));
    return {};
  }
  [[nodiscard]] bool any() const { return used_; }

 private:
  struct Mine {
    std::vector<AsyncCopy> open;
    std::size_t first = 0;
    int groups = 0;
  };
  void own(AsyncCopy const& copy, int owner) {
    for (Size word = (copy.to - shared_) / 4; word < (copy.to - shared_ + copy.bytes) / 4; ++word)
      owner_[static_cast<std::size_t>(word)] = static_cast<std::int16_t>(owner);
  }
  std::string land(AsyncCopy const& copy) {
    own(copy, 0);
    if (copy.source_bytes > 0 && std::memcmp(copy.source, copy.from, static_cast<std::size_t>(copy.source_bytes)) != 0)
      return text("the source of the asynchronous copy of line ", copy.site.line, " was written before the copy was waited for");
    if (std::memcmp(copy.to, copy.destination, static_cast<std::size_t>(copy.bytes)) != 0)
      return text("the destination of the asynchronous copy of line ", copy.site.line, " was written before the copy was waited for");
    if (!copy.landed) std::memcpy(copy.to, copy.source, static_cast<std::size_t>(copy.bytes));
    return {};
  }
  [[nodiscard]] int line_of(int thread, Size word) const {
    Mine const& mine = of_[static_cast<std::size_t>(thread)];
    for (std::size_t i = mine.first; i < mine.open.size(); ++i)
      if (Size const first = (mine.open[i].to - shared_) / 4; word >= first && word < first + mine.open[i].bytes / 4)
        return mine.open[i].site.line;
    return 0;
  }

  std::byte* shared_ = nullptr;
  Size bytes_ = 0;
  int threads_ = 0;
  bool used_ = false;                 // in this block
  std::vector<Mine> of_;              // each thread's
  std::vector<std::int16_t> owner_;   // of each word of shared memory: 1 + the thread whose copy is on its way there
};

}  // namespace mgm::inline v0::simt::host
