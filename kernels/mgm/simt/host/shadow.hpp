/// What is remembered of each word of memory: who wrote it last, and who has read it since (after FastTrack: Flanagan and Freund 2009).
#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include <mgm/simt/host/clocks.hpp>

namespace mgm::inline v0::simt::host {

/// One access: which thread of which block, in which of its pieces (0: none), and from where in the program.
struct Access {
  std::uint32_t who = 0;    ///< block · 1024 + thread; blocks beyond 2²² share numbers, so that a race among those may stay unseen
  Stamp stamp = 0;
  std::uint32_t where = 0;  ///< see Places; the lowest bit says "atomic"
  [[nodiscard]] bool atomic() const { return (where & 1u) != 0; }
  [[nodiscard]] int thread() const { return static_cast<int>(who % 1024); }
  [[nodiscard]] std::uint32_t block() const { return who / 1024; }
};

/// One word, or less where parts of words were accessed.
struct Cell {
  Access write, read[2];
  std::uint32_t crowd = 0;  ///< more than two readers that nothing orders: 1 + their place in Shadow::crowds; all of them are there
  bool readonly = false;    ///< read by load_readonly
};

class Shadow {
 public:
  /// All is forgotten.
  void forget() {
    ++life_;
    crowds_.clear(), spare_.clear();
    if (pages_.size() > kMostPages) pages_.clear(), std::fill(recent_, recent_ + kRecent, nullptr);
  }
  /// Calls `visit(cell)` for the cells of [at, at + bytes) until one is false.
  template <class Visit>
  bool each(std::uintptr_t at, int bytes, Visit visit) {
    int const shift = std::min(2, std::countr_zero(static_cast<unsigned>(at) | static_cast<unsigned>(bytes)));
    for (std::uintptr_t const end = at + static_cast<unsigned>(bytes); at < end;) {
      Page& p = page(at / kPage);
      if (p.shift > shift) refine(p, shift);
      std::uintptr_t const stop = std::min(end, (at / kPage + 1) * kPage);
      for (; at < stop; at += std::uintptr_t{1} << p.shift)
        if (!visit(p.cells[at % kPage >> p.shift])) return false;
    }
    return true;
  }
  /// The readers of a cell, one entry a thread of the block.
  [[nodiscard]] std::vector<Access>& crowd(Cell const& cell) { return crowds_[cell.crowd - 1]; }
  void make_crowd(Cell& cell, std::size_t threads) {
    if (spare_.empty()) {
      crowds_.emplace_back(threads);
      cell.crowd = static_cast<std::uint32_t>(crowds_.size());
    } else {
      cell.crowd = spare_.back();
      spare_.pop_back();
      crowd(cell).assign(threads, Access{});
    }
    for (Access const& reader : cell.read) crowd(cell)[static_cast<std::size_t>(reader.thread())] = reader;
  }
  void end_crowd(Cell& cell) {
    spare_.push_back(cell.crowd);
    cell.crowd = 0;
  }

 private:
  static constexpr std::uintptr_t kPage = 1024;
  static constexpr std::size_t kRecent = 256, kMostPages = 1 << 14;
  struct Page {
    std::uintptr_t number = 0;
    std::uint64_t life = 0;
    int shift = 2;  ///< a cell stands for 1 << shift bytes: the smallest that were accessed alone
    std::vector<Cell> cells;
  };
  Page& page(std::uintptr_t number) {
    Page*& recent = recent_[number % kRecent];
    if (recent == nullptr || recent->number != number) {
      auto& found = pages_[number];
      if (!found) found = std::make_unique<Page>(), found->number = number;
      recent = found.get();
    }
    if (recent->life != life_) recent->life = life_, recent->shift = 2, recent->cells.assign(kPage >> 2, Cell{});
    return *recent;
  }
  void refine(Page& p, int shift) {
    std::vector<Cell> cells(kPage >> shift);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      cells[i] = p.cells[i >> (p.shift - shift)];
      if (cells[i].crowd == 0 || i % (std::size_t{1} << (p.shift - shift)) == 0) continue;
      std::vector<Access> copy = crowd(cells[i]);
      crowds_.push_back(std::move(copy));
      cells[i].crowd = static_cast<std::uint32_t>(crowds_.size());
    }
    p.cells = std::move(cells), p.shift = shift;
  }

  std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages_;
  Page* recent_[kRecent] = {};
  std::uint64_t life_ = 1;
  std::vector<std::vector<Access>> crowds_;
  std::vector<std::uint32_t> spare_;
};

}  // namespace mgm::inline v0::simt::host
