/// A Context is a place to run: device, threads, arena, monitor. Not global; as many as wanted may live side by side.
#pragma once
#include <memory>
#include <optional>

#include <mgm/core/executor.hpp>
#include <mgm/mem/allocator.hpp>
#include <mgm/mem/context_base.hpp>
#include <mgm/mem/thread_pool.hpp>

namespace mgm::inline v0 {

/// Specialised for each device: `Context<Simt>` in simt_context.hpp, `Context<Cuda>` in cuda_context.hpp.
template <Device Dev = DefaultDevice>
class Context;

/// Work on the CPU. One thread at a time uses a Context; several Contexts may share a model.
template <>
class Context<Cpu> : public ContextBase<Cpu> {
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
      : ContextBase(config.allocator ? std::move(config.allocator) : std::make_shared<HeapAllocator>(), config.monitor),
        threads_(config.pool ? std::move(config.pool) : make_pool(config.threads)),
        isa_(config.isa.value_or(best_isa())) {
    require<DeviceError>(isa_ <= best_isa(), "context: the path ", name(isa_), " was asked for; this machine has at most ",
                         name(best_isa()));
  }
  Context() : Context(Config{}) {}

  [[nodiscard]] Executor executor() const { return {threads_.get(), isa_}; }
  /// For what is done on the host whatever the device: pictures, files.
  [[nodiscard]] Executor host_executor() const { return executor(); }
  [[nodiscard]] Isa isa() const { return isa_; }
  /// The path taken, for people: the instruction set.
  [[nodiscard]] std::string path() const { return std::string(name(isa_)); }
  [[nodiscard]] int threads() const { return threads_->concurrency(); }

  /// `v` where the host reads it, after all enqueued work: the memory itself, which the caller keeps alive.
  template <class T, int R>
  [[nodiscard]] Tensor<T const, R, Cpu> on_host(View<T, R, Cpu> v) {
    return {v, nullptr};
  }
  /// `v` where kernels read it: the memory itself, which the caller keeps alive.
  template <class T, int R>
  [[nodiscard]] Tensor<T const, R, Cpu> on_device(View<T, R, Cpu> v) {
    return {v, nullptr};
  }
  /// A loaded tensor where kernels read it: itself.
  template <class T, int R>
  [[nodiscard]] Tensor<T const, R, Cpu> on_device(Tensor<T const, R, Cpu> t) {
    return t;
  }

 private:
  std::shared_ptr<Threads> threads_;
  Isa isa_;
};

Context() -> Context<DefaultDevice>;

}  // namespace mgm::inline v0

#include <mgm/mem/cuda_context.hpp>
#include <mgm/mem/simt_context.hpp>
