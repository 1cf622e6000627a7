/// Counts what wide accesses cost a GPU: passes over the 32 banks of shared memory, and sectors of 32 bytes of global memory (CUDA C++ Best
/// Practices Guide, "Coalesced access" and "Shared memory and memory banks"). The n-th execution of a line by each lane of a warp counts as
/// one instruction, which it is unless lanes take the line different numbers of times.
#pragma once
#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::simt {

/// What a machine has done since it was made. Those of memory count `load`, `store` and `load_readonly` only, on a machine told to `count`.
struct Counters {
  Size launches = 0, blocks = 0;
  Size switches = 0;                       ///< from one stack to another
  Size shared_passes = 0, shared_least = 0;    ///< over the banks: taken, and what no conflict would take
  Size global_sectors = 0, global_least = 0;   ///< of 32 bytes: moved, and what holds the bytes asked for
  Counters& operator+=(Counters const& c) {
    launches += c.launches, blocks += c.blocks, switches += c.switches;
    shared_passes += c.shared_passes, shared_least += c.shared_least, global_sectors += c.global_sectors, global_least += c.global_least;
    return *this;
  }
};

namespace host {

/// Passes that one instruction of a warp takes: each moves at most one 4-byte word a bank; accesses of 8 and 16 bytes go by half and
/// quarter warps. `at` are byte addresses of the lanes that take part.
inline int bank_passes(std::vector<std::pair<int, std::uintptr_t>> const& lanes, int bytes) {
  int const group = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  int passes = 0;
  for (int first = 0; first < 32; first += group) {
    std::vector<std::uintptr_t> words;
    for (auto const& [lane, at] : lanes)
      if (lane >= first && lane < first + group)
        for (int b = 0; b < bytes; b += 4) words.push_back((at + static_cast<unsigned>(b)) / 4);
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());  // lanes that read one word share it
    int of_bank[32] = {};
    for (auto const word : words) ++of_bank[word % 32];
    passes += *std::max_element(of_bank, of_bank + 32);
  }
  return passes;
}
/// Sectors of 32 bytes that the accesses touch.
inline int sectors(std::vector<std::pair<int, std::uintptr_t>> const& lanes, int bytes) {
  std::vector<std::uintptr_t> touched;
  for (auto const& [lane, at] : lanes)
    for (auto s = at / 32; s <= (at + static_cast<unsigned>(bytes) - 1) / 32; ++s) touched.push_back(s);
  std::sort(touched.begin(), touched.end());
  return static_cast<int>(std::unique(touched.begin(), touched.end()) - touched.begin());
}

/// The accesses of one block, until the lanes of a warp are together.
class Traffic {
 public:
  void add(int thread, int threads, Site at, void const* p, int bytes, bool shared) {
    int const warp = thread / kWarp, lane = thread % kWarp;
    Line& line = lines_[{warp, {at.file, at.line}}];
    auto const turn = static_cast<std::size_t>(line.taken[lane]++ - line.first);
    if (line.open.size() <= turn) line.open.resize(turn + 1);
    Instruction& i = line.open[turn];
    i.bytes = bytes, i.shared = shared;
    i.lanes.emplace_back(lane, reinterpret_cast<std::uintptr_t>(p));
    int const all = std::min(kWarp, threads - warp * kWarp);
    while (!line.open.empty() && static_cast<int>(line.open.front().lanes.size()) == all) {
      tally(line.open.front());
      line.open.pop_front();
      ++line.first;
    }
  }
  /// The block has ended: what is open was executed by some lanes only.
  void end() {
    for (auto& [key, line] : lines_)
      for (Instruction const& i : line.open)
        if (!i.lanes.empty()) tally(i);
    lines_.clear();
  }
  Counters take() { return std::exchange(sum_, Counters{}); }

 private:
  struct Instruction {
    int bytes = 0;
    bool shared = false;
    std::vector<std::pair<int, std::uintptr_t>> lanes;
  };
  struct Line {
    Size taken[kWarp] = {}, first = 0;  ///< executions by each lane, and the number of the oldest that is open
    std::deque<Instruction> open;
  };
  void tally(Instruction const& i) {
    if (i.shared) {
      sum_.shared_passes += bank_passes(i.lanes, i.bytes);
      std::vector<std::pair<int, std::uintptr_t>> dense;
      for (auto const& [lane, at] : i.lanes) dense.emplace_back(lane, static_cast<std::uintptr_t>(lane * i.bytes));
      sum_.shared_least += std::min(bank_passes(i.lanes, i.bytes), bank_passes(dense, i.bytes));
    } else {
      sum_.global_sectors += sectors(i.lanes, i.bytes);
      auto where = i.lanes;
      std::sort(where.begin(), where.end(), [](auto const& a, auto const& b) { return a.second < b.second; });
      Size distinct = 0;
      for (std::size_t k = 0; k < where.size(); ++k) distinct += k == 0 || where[k].second != where[k - 1].second;
      sum_.global_least += (distinct * i.bytes + 31) / 32;
    }
  }
  std::map<std::pair<int, std::pair<char const*, int>>, Line> lines_;
  Counters sum_;
};

}  // namespace host
}  // namespace mgm::inline v0::simt
