/// Where memory comes from: an interface that an embedding engine can implement, the heap by default, and a recycling arena on top.
#pragma once
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>

#include <mgm/core/error.hpp>
#include <mgm/core/platform.hpp>

namespace mgm::inline v0 {

/// Gives and takes back blocks. Implementations are thread-safe; blocks are aligned to kAlignment.
class Allocator {
 public:
  static constexpr Size kAlignment = 64;  // a cache line, and the widest vector
  virtual ~Allocator() = default;
  /// At least `bytes` bytes (bytes >= 1). Throws MemoryError.
  virtual void* allocate(Size bytes) = 0;
  virtual void release(void* block, Size bytes) noexcept = 0;
};

/// The C++ heap.
class HeapAllocator final : public Allocator {
 public:
  void* allocate(Size bytes) override {
    void* const block = ::operator new(static_cast<std::size_t>(bytes), std::align_val_t{kAlignment}, std::nothrow);
    require<MemoryError>(block != nullptr, "memory: ", bytes, " bytes could not be had; use a smaller max_positions or a 16-bit dtype");
    return block;
  }
  void release(void* block, Size) noexcept override { ::operator delete(block, std::align_val_t{kAlignment}); }
};

/// Keeps released blocks for the next request of about their size, so that a session in its stride allocates nothing.
/// A block serves a request that fills at least half of it. Blocks return to the parent when the arena dies.
class Arena {
 public:
  explicit Arena(std::shared_ptr<Allocator> parent) : parent_(std::move(parent)) {}
  Arena(Arena const&) = delete;
  Arena& operator=(Arena const&) = delete;
  virtual ~Arena() { clear(); }

  /// At least `bytes` bytes; `granted` is what `release` is told. Throws MemoryError.
  virtual void* allocate(Size bytes, Size& granted) {
    granted = (bytes + kStep - 1) / kStep * kStep;
    {
      std::lock_guard const lock(mutex_);
      if (auto const it = free_.lower_bound(granted); it != free_.end() && it->first <= 2 * granted) {
        granted = it->first;
        void* const block = it->second;
        free_.erase(it);
        return block;
      }
    }
    return parent_->allocate(granted);
  }
  virtual void release(void* block, Size granted) noexcept {
    try {
      std::lock_guard const lock(mutex_);
      free_.emplace(granted, block);
    } catch (...) {  // no memory to remember it by
      parent_->release(block, granted);
    }
  }
  /// Hands all free blocks back.
  void clear() noexcept {
    std::lock_guard const lock(mutex_);
    for (auto const& [bytes, block] : free_) parent_->release(block, bytes);
    free_.clear();
  }

 private:
  static constexpr Size kStep = 4096;
  std::shared_ptr<Allocator> parent_;
  std::mutex mutex_;
  std::multimap<Size, void*> free_;
};

}  // namespace mgm::inline v0
