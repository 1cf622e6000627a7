/// A Context is a place to run: device, threads, instruction set, arena, monitor. Not global; as many as wanted may live side by side.
#pragma once
#include <memory>
#include <optional>

#include <mgm/core/executor.hpp>
#include <mgm/mem/allocator.hpp>
#include <mgm/mem/monitor.hpp>
#include <mgm/mem/tensor.hpp>
#include <mgm/mem/thread_pool.hpp>

namespace mgm::inline v0 {

/// Specialised for each device.
template <Device Dev = DefaultDevice>
class Context;

/// Work on the CPU. One thread at a time uses a Context; several Contexts may share a model.
template <>
class Context<Cpu> {
 public:
  struct Config {
    int threads = 0;                                 ///< 0: as many as the machine has; ignored when `pool` is given
    std::optional<Isa> isa = std::nullopt;           ///< forces a path; must be one that the machine has
    std::shared_ptr<Threads> pool = nullptr;         ///< the user's own threads
    std::shared_ptr<Allocator> allocator = nullptr;  ///< the user's own memory
    Monitor* monitor = nullptr;                      ///< borrowed
  };
  /// Throws DeviceError when `isa` is not to be had here, ArgumentError when `threads` is negative or above 4096.
  explicit Context(Config config)
      : monitor_(config.monitor),
        threads_(config.pool ? std::move(config.pool) : make_pool(config.threads)),
        allocator_(config.allocator ? std::move(config.allocator) : std::make_shared<HeapAllocator>()),
        arena_(std::make_shared<Arena>(allocator_)),
        isa_(config.isa.value_or(best_isa())) {
    require<DeviceError>(isa_ <= best_isa(), "context: the path ", name(isa_), " was asked for; this machine has at most ",
                         name(best_isa()));
  }
  Context() : Context(Config{}) {}
  Context(Context const&) = delete;
  Context& operator=(Context const&) = delete;

  [[nodiscard]] Executor executor() const { return {threads_.get(), isa_}; }
  [[nodiscard]] Isa isa() const { return isa_; }
  [[nodiscard]] int threads() const { return threads_->concurrency(); }
  [[nodiscard]] Monitor* monitor() const { return monitor_; }
  void watch(Monitor* monitor) { monitor_ = monitor; }

  /// A stage of `total` steps begins; the layers below report to it by `step`. Throws Cancelled when the monitor was asked to stop.
  void begin(Stage stage, Size total) {
    stage_ = stage, done_ = 0, total_ = total;
    report();
  }
  /// One step, a layer or a tensor, is done. Throws Cancelled.
  void step() {
    ++done_;
    report();
  }

  /// Uninitialised memory from the arena, reused as soon as the tensor dies. Throws ShapeError for a negative extent, MemoryError.
  template <class T, int R>
  [[nodiscard]] Tensor<T, R, Cpu> empty(Extents<R> extents) {
    Size granted = 0;
    void* const block = arena_->allocate(bytes_of<T>(extents), granted);
    std::shared_ptr<void const> owner(block, [arena = arena_, granted](void* p) { arena->release(p, granted); });
    return {View<T, R, Cpu>(static_cast<T*>(block), extents), std::move(owner)};
  }
  template <class T, class U, int R>
  [[nodiscard]] Tensor<T, R, Cpu> empty_like(View<U, R, Cpu> like) {
    return empty<T>(like.extents());
  }
  /// Uninitialised memory of its own, for what lives long: weights, caches.
  template <class T, int R>
  [[nodiscard]] Tensor<T, R, Cpu> lasting(Extents<R> extents) {
    Size const bytes = bytes_of<T>(extents);
    void* const block = allocator_->allocate(bytes);
    std::shared_ptr<void const> owner(block, [allocator = allocator_, bytes](void* p) { allocator->release(p, bytes); });
    return {View<T, R, Cpu>(static_cast<T*>(block), extents), std::move(owner)};
  }
  /// Hands the arena's free blocks back to the allocator.
  void trim() noexcept { arena_->clear(); }

 private:
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

  void report() {
    if (monitor_ == nullptr) return;
    monitor_->progress(stage_, done_, total_);
    require<Cancelled>(!monitor_->cancelled(), name(stage_), ": cancelled after ", done_, " of ", total_, " steps");
  }

  Monitor* monitor_;
  std::shared_ptr<Threads> threads_;
  std::shared_ptr<Allocator> allocator_;
  std::shared_ptr<Arena> arena_;
  Isa isa_;
  Stage stage_ = Stage::load;
  Size done_ = 0, total_ = 0;
};

Context() -> Context<DefaultDevice>;

}  // namespace mgm::inline v0
