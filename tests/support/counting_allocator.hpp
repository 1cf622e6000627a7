// The heap, counted, that refuses requests when it is told to.
#pragma once
#include <atomic>
#include <limits>

#include <mgm/mem/allocator.hpp>

namespace support {

class CountingAllocator : public mgm::Allocator {
 public:
  void* allocate(mgm::Size bytes) override {
    mgm::Size const n = ++calls;
    if (alone_ ? n == refused_ : n >= refused_) throw mgm::MemoryError("memory: none left, says the test");
    void* const block = heap_.allocate(bytes);
    ++blocks, alive += bytes;
    return block;
  }
  void release(void* block, mgm::Size bytes) noexcept override {
    --blocks, alive -= bytes;
    heap_.release(block, bytes);
  }
  /// The n-th request from now on (1: the next) is refused, alone or with all that follow.
  void refuse(mgm::Size n, bool alone = false) { refused_ = calls + n, alone_ = alone; }
  void refuse_nothing() { refused_ = std::numeric_limits<mgm::Size>::max(); }

  std::atomic<mgm::Size> calls = 0, blocks = 0, alive = 0;  ///< requests so far; what is out, in blocks and in bytes

 private:
  mgm::HeapAllocator heap_;
  std::atomic<mgm::Size> refused_ = std::numeric_limits<mgm::Size>::max();
  std::atomic<bool> alone_ = false;
};

}  // namespace support
