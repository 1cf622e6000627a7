/// An arena whose memory is one block, as large as a rehearsal of the largest work shows that it must be.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>

#include <mgm/mem/allocator.hpp>

namespace mgm::inline v0 {

/// Which bytes of a range are taken: each request gets the lowest gap that holds it, so that equal requests in equal order lie equally.
class Places {
 public:
  static constexpr Size kStep = 256;  // what every access of a kernel is aligned to
  /// Where `bytes`, a multiple of kStep, lie from now on, or −1 where they would pass `end`. Throws std::bad_alloc.
  [[nodiscard]] Size take(Size bytes, Size end = std::numeric_limits<Size>::max()) {
    Size at = 0;
    auto next = taken_.begin();
    for (; next != taken_.end() && next->first - at < bytes; ++next) at = next->second;
    if (bytes > end - at) return -1;
    taken_.emplace_hint(next, at, at + bytes);
    reach_ = std::max(reach_, at + bytes);
    return at;
  }
  void give(Size at) noexcept { taken_.erase(at); }
  /// Behind the last byte that was ever taken.
  [[nodiscard]] Size reach() const noexcept { return reach_; }

 private:
  std::map<Size, Size> taken_;  // begin and end, by begin
  Size reach_ = 0;
};

/// Until `reserve`, what it gives is addresses without memory: only work under a simt::DryRun may be given them, and must give them back
/// before. From then on the same work finds the same places in one block. What does not fit there is recycled as in any Arena.
class PlannedArena final : public Arena {
 public:
  explicit PlannedArena(std::shared_ptr<Allocator> parent) : Arena(parent), parent_(std::move(parent)) {}
  ~PlannedArena() override {
    if (block_ != nullptr) parent_->release(block_, bytes_);
  }
  /// Takes the block. Throws MemoryError.
  void reserve() {
    std::lock_guard const lock(mutex_);
    if (places_.reach() > 0) block_ = parent_->allocate(places_.reach());
    bytes_ = places_.reach(), planning_ = false;
  }
  [[nodiscard]] Size reserved() const noexcept { return bytes_; }

  void* allocate(Size bytes, Size& granted) override {
    granted = (bytes + Places::kStep - 1) / Places::kStep * Places::kStep;
    {
      std::lock_guard const lock(mutex_);
      Size const at = planning_ ? places_.take(granted) : places_.take(granted, bytes_);
      if (at >= 0) return reinterpret_cast<void*>(begin() + static_cast<std::uintptr_t>(at));
    }
    return Arena::allocate(bytes, granted);
  }
  void release(void* block, Size granted) noexcept override {
    auto const at = reinterpret_cast<std::uintptr_t>(block) - begin();  // wraps to a large number before the block
    if (!planning_ && at >= static_cast<std::uintptr_t>(bytes_)) return Arena::release(block, granted);
    std::lock_guard const lock(mutex_);
    places_.give(static_cast<Size>(at));
  }

 private:
  static constexpr std::uintptr_t kNowhere = std::uintptr_t{1} << 40;  // a null pointer would be refused
  [[nodiscard]] std::uintptr_t begin() const noexcept { return planning_ ? kNowhere : reinterpret_cast<std::uintptr_t>(block_); }

  std::shared_ptr<Allocator> parent_;
  std::mutex mutex_;
  Places places_;
  void* block_ = nullptr;
  Size bytes_ = 0;
  bool planning_ = true;
};

}  // namespace mgm::inline v0
