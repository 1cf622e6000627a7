/// Working memory for the length of one kernel call.
#pragma once
#include <cstddef>
#include <new>
#include <utility>

#include <mgm/core/error.hpp>
#include <mgm/core/platform.hpp>

namespace mgm::inline v0::cpu {

/// An uninitialised block, aligned to 64 bytes, given back at the end of the scope. Each thread keeps the last few blocks that it gave
/// back, since fresh pages cost more than many kernels. Safe when a thread that waits for its tasks runs another kernel meanwhile.
class Scratch {
 public:
  /// Throws MemoryError.
  explicit Scratch(Size bytes) {
    Block* best = nullptr;
    for (Block& b : kept().blocks)
      if (b.data != nullptr && b.bytes >= bytes && (best == nullptr || b.bytes < best->bytes)) best = &b;
    if (best != nullptr) {
      block_ = std::exchange(*best, Block{});
      return;
    }
    std::size_t const rounded = (static_cast<std::size_t>(bytes) + 4095) / 4096 * 4096;
    block_ = {::operator new(rounded, std::align_val_t{64}, std::nothrow), static_cast<Size>(rounded)};
    require<MemoryError>(block_.data != nullptr, "kernel: ", rounded,
                         " bytes of working memory could not be had; free memory or use fewer threads");
  }
  ~Scratch() {
    Block* least = &kept().blocks[0];  // an empty place, else the smallest
    for (Block& b : kept().blocks)
      if (b.bytes < least->bytes) least = &b;
    if (least->bytes < block_.bytes) std::swap(*least, block_);
    release(block_);
  }
  Scratch(Scratch const&) = delete;
  Scratch& operator=(Scratch const&) = delete;
  template <class T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(block_.data);
  }

 private:
  struct Block {
    void* data = nullptr;
    Size bytes = 0;
  };
  struct Kept {
    Block blocks[4];
    ~Kept() {
      for (Block& b : blocks) release(b);
    }
  };
  static void release(Block const& b) {
    if (b.data != nullptr) ::operator delete(b.data, std::align_val_t{64});
  }
  static Kept& kept() {
    thread_local Kept k;
    return k;
  }
  Block block_;
};

}  // namespace mgm::inline v0::cpu
