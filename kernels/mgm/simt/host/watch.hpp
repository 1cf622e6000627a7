/// Finds races by happens-before: two accesses of one word, at least one a write, by threads that no barrier, no atomic with acquire and
/// release and no finished copy has put in an order. It sees what it is told of: `simt::load`, `store` and atomics in every build, all
/// accesses where the compiler's thread-sanitizer hooks call `Runner::seen` (tests/support/strict_hooks.cpp).
///   Exact in shared memory. Of a word of global memory it keeps two readers since the last write, of different warps or blocks where it
///   can, and the last of several atomic writers.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/simt/host/shadow.hpp>
#include <mgm/simt/platform.hpp>
#include <mgm/simt/stream.hpp>

/// Defined where the hooks are: writes "file:line" of a place in the program to `out` and returns 1, or returns 0.
extern "C" __attribute__((weak)) int mgm_simt_line_of(void const* place, char* out, int bytes);

namespace mgm::inline v0::simt::host {

enum class Touch : std::uint8_t { read, write, readonly, atomic_read, atomic_write };

/// Places in the program in 31 bits: sites of the source by number, addresses of code by distance.
class Places {
 public:
  std::uint32_t of(Site at) {
    std::size_t const slot = (reinterpret_cast<std::uintptr_t>(at.file) * 31 + static_cast<unsigned>(at.line)) % kRecent;
    auto const is = [&](std::uint32_t i) { return i < sites_.size() && sites_[i].file == at.file && sites_[i].line == at.line; };
    if (is(recent_[slot])) return recent_[slot] << 2 | 2u;
    std::uint32_t i = 0;
    while (i < sites_.size() && !is(i)) ++i;
    if (i == sites_.size()) sites_.push_back(at);
    recent_[slot] = i;
    return i << 2 | 2u;
  }
  static std::uint32_t of(void const* code) { return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(code) - anchor()) << 2; }

  /// "file:line"
  [[nodiscard]] std::string text_of(std::uint32_t where) const {
    if ((where & 2u) != 0) {
      std::string_view const file = sites_[where >> 2].file;
      return text(file.substr(file.rfind('/') + 1), ":", sites_[where >> 2].line);
    }
    char line[256];
    auto const distance = static_cast<std::intptr_t>(static_cast<std::int32_t>(where & ~3u) >> 2);
    auto const code = anchor() + static_cast<std::uintptr_t>(distance);
    if (mgm_simt_line_of != nullptr && mgm_simt_line_of(reinterpret_cast<void const*>(code), line, sizeof line) != 0) return line;
    return "an unknown line";
  }

 private:
  static constexpr std::size_t kRecent = 128;
  static std::uintptr_t anchor() { return reinterpret_cast<std::uintptr_t>(&Places::anchor); }
  std::vector<Site> sites_;
  std::uint32_t recent_[kRecent] = {};
};

/// What the blocks of a launch share. One OS thread at a time uses it.
struct LaunchWatch {
  Shadow global;
  std::unordered_map<std::uintptr_t, BlocksRef> released;  ///< by atomic words
  Places places;
  void begin() { global.forget(), released.clear(); }
};

/// One block's view.
class Watch {
 public:
  static constexpr std::uintptr_t kGuard = 256;  ///< bytes on both sides of shared memory that nobody may touch

  void begin(LaunchWatch& launch, std::uint32_t block, int threads, std::byte const* shared, Size bytes) {
    launch_ = &launch, block_ = block % (1u << 22), threads_ = static_cast<std::size_t>(threads);
    shared_ = reinterpret_cast<std::uintptr_t>(shared), bytes_ = static_cast<std::uintptr_t>(bytes);
    own_.forget();
    past_.assign(threads_, {}), stamp_.assign(threads_, 1);
    gone_.clear();
  }

  /// Whether the access is in order; if not, `finding` says why not.
  bool access(int thread, std::uintptr_t at, int bytes, Touch touch, std::uint32_t where) {
    bool const shared = at - shared_ < bytes_;
    if (at - shared_ + kGuard < bytes_ + 2 * kGuard && at - shared_ + static_cast<unsigned>(bytes) - 1 >= bytes_) [[unlikely]] {
      finding_ = text(touch == Touch::write || touch == Touch::atomic_write ? "writes " : "reads ", bytes, " bytes at offset ",
                      static_cast<std::intptr_t>(at - shared_), " of shared memory, which has ", bytes_);
      return false;
    }
    bool const write = touch == Touch::write || touch == Touch::atomic_write, atomic = touch >= Touch::atomic_read;
    auto const t = static_cast<std::size_t>(thread);
    Access const me{block_ * 1024 + static_cast<std::uint32_t>(thread), stamp_[t], where | (atomic ? 1u : 0u)};
    Shadow& shadow = shared ? own_ : launch_->global;
    bool const ok = write ? shadow.each(at, bytes, [&](Cell& cell) { return on_write(shadow, cell, me); })
                          : shadow.each(at, bytes, [&](Cell& cell) { return on_read(shadow, cell, me, shared, touch == Touch::readonly); });
    if (!ok) [[unlikely]] explain(at, bytes, write, shared);
    return ok;
  }
  [[nodiscard]] std::string const& finding() const { return finding_; }
  [[nodiscard]] Places& places() { return launch_->places; }
  /// How a block is written in messages.
  void name_blocks(Grid grid) { grid_ = grid; }

  // --- order. A thread that brings its past begins another piece: what follows is not part of what it brought.
  void bring(Meeting& to, int thread) {
    auto const t = static_cast<std::size_t>(thread);
    to.bring(past_[t], thread, stamp_[t]++, threads_);
  }
  void give(int thread, Past const& past) { past_[static_cast<std::size_t>(thread)] = past; }
  /// Who returned is seen by all that meet at the block's barrier afterwards.
  void leave(int thread) { bring(gone_, thread); }
  void add_gone(Meeting& to) const {
    for (std::size_t i = 0; i < gone_.sum.size(); ++i) to.sum[i] = std::max(to.sum[i], gone_.sum[i]);
    to.others = join(to.others, gone_.others);
  }
  /// What this thread knows becomes known to whoever acquires from the word at `at`. Without `keep`, as by a store, what was there ends.
  void release(int thread, std::uintptr_t at, bool keep) {
    auto const t = static_cast<std::size_t>(thread);
    Meeting mine;
    bring(mine, thread);
    Blocks all;
    if (past_[t].others) all = *past_[t].others;
    add(all, block_, std::make_shared<Stamps>(std::move(mine.sum)));
    auto& to = launch_->released[at];
    BlocksRef const now = std::make_shared<Blocks>(std::move(all));
    to = keep ? join(to, now) : now;
  }
  void drop(std::uintptr_t at) { launch_->released.erase(at); }  ///< a relaxed store
  void acquire(int thread, std::uintptr_t at) {
    auto const it = launch_->released.find(at);
    if (it == launch_->released.end() || !it->second) return;
    Past& mine = past_[static_cast<std::size_t>(thread)];
    mine.others = join(mine.others, it->second);
    for (auto const& [block, stamps] : *it->second)
      if (block == block_) mine.own = join(mine.own, stamps);
  }

 private:
  [[nodiscard]] bool before(Access const& then, Access const& now) const {
    if (then.who == now.who) return true;
    Past const& past = past_[static_cast<std::size_t>(now.thread())];
    Stamps const* known = nullptr;
    if (then.block() == block_) known = past.own.get();
    else if (past.others)
      for (auto const& [block, stamps] : *past.others)
        if (block == then.block()) known = stamps.get();
    return known != nullptr && (*known)[static_cast<std::size_t>(then.thread())] >= then.stamp;
  }
  bool conflict(Access const& with, char const* what) {
    other_ = with, what_ = what;
    return false;
  }

  bool on_read(Shadow& shadow, Cell& cell, Access const& me, bool shared, bool readonly) {
    if (cell.read[0].who == me.who && cell.read[0].stamp == me.stamp && !readonly) return true;
    if (cell.write.stamp != 0) {
      if (readonly) return conflict(cell.write, "reads through the read-only path");
      if (!(cell.write.atomic() && me.atomic()) && !before(cell.write, me)) return conflict(cell.write, nullptr);
    } else if (shared) {
      return conflict(Access{}, "unwritten");
    }
    cell.readonly = cell.readonly || readonly;
    if (cell.crowd != 0) {
      shadow.crowd(cell)[static_cast<std::size_t>(me.thread())] = me;
      return true;
    }
    for (Access& reader : cell.read)
      if (reader.stamp == 0 || before(reader, me)) {
        if (&reader == &cell.read[1] && reader.stamp != 0 && reader.block() != block_) continue;  // another block's reader stays
        reader = me;
        return true;
      }
    if (shared) {
      shadow.make_crowd(cell, threads_);
      shadow.crowd(cell)[static_cast<std::size_t>(me.thread())] = me;
    } else if (cell.read[0].block() != block_) {
      cell.read[1] = cell.read[0], cell.read[0] = me;
    } else {
      bool const same_warp = cell.read[0].thread() / kWarp == me.thread() / kWarp;
      cell.read[same_warp || cell.read[1].block() != block_ ? 0 : 1] = me;
    }
    return true;
  }

  bool on_write(Shadow& shadow, Cell& cell, Access const& me) {
    if (cell.readonly) return conflict(cell.read[0], "writes what was read through the read-only path");
    if (cell.write.stamp != 0 && !(cell.write.atomic() && me.atomic()) && !before(cell.write, me)) return conflict(cell.write, nullptr);
    if (cell.crowd != 0) {
      for (Access const& reader : shadow.crowd(cell))
        if (reader.stamp != 0 && !(reader.atomic() && me.atomic()) && !before(reader, me)) return conflict(reader, "");
      shadow.end_crowd(cell);
    } else {
      for (Access const& reader : cell.read)
        if (reader.stamp != 0 && !(reader.atomic() && me.atomic()) && !before(reader, me)) return conflict(reader, "");
    }
    cell.write = me, cell.read[0] = cell.read[1] = Access{};
    return true;
  }

  void explain(std::uintptr_t at, int bytes, bool write, bool shared) {
    std::string const memory =
        shared ? text(bytes, " bytes of shared memory at offset ", at - shared_) : text(bytes, " bytes of global memory");
    if (what_ != nullptr && std::string_view(what_) == "unwritten") {
      finding_ = text("reads ", memory, ", which no thread of the block has written");
      return;
    }
    std::string who = text("thread ", other_.thread());
    if (other_.block() != block_) {
      auto const x = static_cast<std::uint32_t>(grid_.x), y = static_cast<std::uint32_t>(grid_.y);
      who += text(" of block (", other_.block() % x, ", ", other_.block() / x % y, ", ", other_.block() / x / y, ")");
    }
    std::string const line = launch_->places.text_of(other_.where);
    bool const by_rule = what_ != nullptr && *what_ != '\0';
    if (by_rule) finding_ = text(what_, ": ", memory, ", which ", who, write ? " read so at " : " wrote at ", line, " in the same launch");
    else
      finding_ = text("race: ", write ? "writes " : "reads ", memory, " that ", who, what_ == nullptr ? " wrote at " : " read at ", line,
                      "; nothing puts the two in an order");
  }

  LaunchWatch* launch_ = nullptr;
  std::uint32_t block_ = 0;
  std::size_t threads_ = 0;
  std::uintptr_t shared_ = 0, bytes_ = 0;
  Grid grid_{};
  Shadow own_;  ///< of shared memory
  std::vector<Past> past_;
  std::vector<Stamp> stamp_;
  Meeting gone_;
  Access other_;
  char const* what_ = nullptr;  ///< null: it wrote; empty: it read; or the rule that was broken
  std::string finding_;
};

}  // namespace mgm::inline v0::simt::host
