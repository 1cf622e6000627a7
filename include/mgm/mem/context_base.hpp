/// What the Contexts of all devices share: memory that is recycled, and reports to a monitor.
#pragma once
#include <cstring>
#include <memory>
#include <utility>

#include <mgm/mem/allocator.hpp>
#include <mgm/mem/monitor.hpp>
#include <mgm/mem/tensor.hpp>
#include <mgm/mem/thread_pool.hpp>

namespace mgm::inline v0 {

template <Device Dev>
class ContextBase {
 public:
  ContextBase(ContextBase const&) = delete;
  ContextBase& operator=(ContextBase const&) = delete;

  [[nodiscard]] Monitor* monitor() const { return monitor_; }
  void watch(Monitor* monitor) { monitor_ = monitor; }

  /// A stage of `total` steps begins; the layers below report to it by `step`. Throws Cancelled when the monitor was asked to stop.
  void begin(Stage stage, Size total) {
    stage_ = stage, done_ = 0, total_ = total;
    report();
  }
  /// One step, a layer or a tensor, is done (on a GPU: enqueued), or several that were one piece of work. Throws Cancelled.
  void step(Size steps = 1) {
    done_ += steps;
    report();
  }

  /// Uninitialised memory from the arena, reused in the order of the work as soon as the tensor dies. Throws ShapeError for a negative
  /// extent, MemoryError.
  template <class T, int R>
  [[nodiscard]] Tensor<T, R, Dev> empty(Extents<R> extents) {
    Size granted = 0;
    void* const block = arena_->allocate(bytes_of<T>(extents), granted);
    std::shared_ptr<void const> owner(block, [arena = arena_, granted](void* p) { arena->release(p, granted); });
    return {View<T, R, Dev>(static_cast<T*>(block), extents), std::move(owner)};
  }
  template <class T, class U, int R>
  [[nodiscard]] Tensor<T, R, Dev> empty_like(View<U, R, Dev> like) {
    return empty<T>(like.extents());
  }
  /// Uninitialised memory of its own, for what lives long: weights, caches.
  template <class T, int R>
  [[nodiscard]] Tensor<T, R, Dev> lasting(Extents<R> extents) {
    Size const bytes = bytes_of<T>(extents);
    void* const block = allocator_->allocate(bytes);
    std::shared_ptr<void const> owner(block, [allocator = allocator_, bytes](void* p) { allocator->release(p, bytes); });
    return {View<T, R, Dev>(static_cast<T*>(block), extents), std::move(owner)};
  }
  /// Hands the arena's free blocks back to the allocator.
  void trim() noexcept { arena_->clear(); }

  /// Where arenas of one's own take their blocks.
  [[nodiscard]] std::shared_ptr<Allocator> const& allocator() const { return allocator_; }
  [[nodiscard]] std::shared_ptr<Arena> const& arena() const { return arena_; }
  /// While the result lives, `empty` takes from `arena`. It ends before the Context does.
  [[nodiscard]] auto take_from(std::shared_ptr<Arena> arena) {
    struct Scope {
      Scope(ContextBase& of, std::shared_ptr<Arena> arena) : ctx(of), before(std::exchange(of.arena_, std::move(arena))) {}
      Scope(Scope const&) = delete;
      Scope& operator=(Scope const&) = delete;
      ~Scope() { ctx.arena_ = std::move(before); }
      ContextBase& ctx;
      std::shared_ptr<Arena> before;
    };
    return Scope(*this, std::move(arena));
  }

 protected:
  ContextBase(std::shared_ptr<Allocator> allocator, Monitor* monitor)
      : monitor_(monitor), allocator_(std::move(allocator)), arena_(std::make_shared<Arena>(allocator_)) {}
  ~ContextBase() = default;

  static std::shared_ptr<Threads> make_pool(int threads) {
    require<ArgumentError>(threads >= 0 && threads <= 4096, "context: threads must be 0 (all) to 4096, found ", threads);
    return std::make_shared<ThreadPool>(threads);
  }
  template <class T, int R>
  static Size bytes_of(Extents<R> const& extents) {
    Size bytes = sizeof(T);
    for (int i = 0; i < R; ++i) {
      require<ShapeError>(extents[i] >= 0 && !__builtin_mul_overflow(bytes, extents[i], &bytes),
                          "memory: no tensor has shape ", shape_text(extents));
    }
    return bytes > 0 ? bytes : 1;
  }

 private:
  void report() {
    if (monitor_ == nullptr) return;
    monitor_->progress(stage_, done_, total_);
    require<Cancelled>(!monitor_->cancelled(), name(stage_), ": cancelled after ", done_, " of ", total_, " steps");
  }

  Monitor* monitor_;
  std::shared_ptr<Allocator> allocator_;
  std::shared_ptr<Arena> arena_;
  Stage stage_ = Stage::load;
  Size done_ = 0, total_ = 0;
};

}  // namespace mgm::inline v0
