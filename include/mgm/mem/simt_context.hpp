/// Work on the Simt machine: the CUDA kernels, run and watched on the processor. In what nvcc compiles there is none.
#pragma once
#if !defined(__CUDACC__)
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include <mgm/mem/context_base.hpp>
#include <mgm/simt/dry_run.hpp>
#include <mgm/simt/graph.hpp>
#include <mgm/simt/machine.hpp>

namespace mgm::inline v0 {

template <Device Dev>
class Context;

/// Blocks between two bands of poison; all of a block is poison until it is written: NaN in every float type. A kernel that wrote into a
/// band is found when the block comes back.
class PoisonAllocator final : public Allocator {
 public:
  PoisonAllocator(std::shared_ptr<Allocator> parent, std::shared_ptr<simt::Machine> machine)
      : parent_(std::move(parent)), machine_(std::move(machine)) {}
  void* allocate(Size bytes) override {
    machine_->refuse_recording("memory");
    auto* const block = static_cast<unsigned char*>(parent_->allocate(bytes + 2 * kBand));
    std::memset(block, kPoison, static_cast<std::size_t>(bytes + 2 * kBand));
    return block + kBand;
  }
  void release(void* given, Size bytes) noexcept override {
    auto* const data = static_cast<unsigned char*>(given);
    for (Size i = 0; i < kBand; ++i) {
      if (data[-1 - i] == kPoison && data[bytes + i] == kPoison) continue;
      machine_->report("simt: memory was written outside of a block that a Context gave out; run the kernel's tests under AddressSanitizer");
      break;
    }
    parent_->release(data - kBand, bytes + 2 * kBand);
  }

 private:
  static constexpr Size kBand = 256;
  static constexpr unsigned char kPoison = 0xFF;
  std::shared_ptr<Allocator> parent_;
  std::shared_ptr<simt::Machine> machine_;
};

/// One thread at a time uses a Context. Work is done when the call that enqueues it returns.
template <>
class Context<Simt> : public ContextBase<Simt> {
 public:
  struct Config {
    int threads = 0;                                 ///< that blocks are shared among; 0: as many as the machine has
    simt::MachineConfig machine{};                   ///< what it plays, and in which order
    std::shared_ptr<Threads> pool = nullptr;         ///< the user's own threads
    std::shared_ptr<Allocator> allocator = nullptr;  ///< the user's own memory
    Monitor* monitor = nullptr;                      ///< borrowed
  };
  /// Throws DeviceError for an architecture that it cannot play, ArgumentError when `threads` is negative or above 4096.
  explicit Context(Config config) : Context(config, make_machine(config)) {}
  Context() : Context(Config{}) {}
  ~Context() = default;

  [[nodiscard]] simt::Stream<Simt> stream() const { return machine_->stream(); }
  [[nodiscard]] simt::Machine& machine() const { return *machine_; }
  [[nodiscard]] int threads() const { return machine_->threads()->concurrency(); }
  /// The path taken, for people: the machine played, and whether its matrix instructions are used.
  [[nodiscard]] std::string path() const { return text("simt:", machine_->config().arch, tuned() ? "" : ", general kernels"); }
  /// For what is done on the host whatever the device: pictures, files.
  [[nodiscard]] Executor host_executor() const { return {machine_->threads(), best_isa()}; }
  [[nodiscard]] bool tuned() const { return machine_->config().tuned; }
  void synchronise() {
    machine_->refuse_recording("synchronise");
    machine_->check();
  }

  /// `v` where the host reads it, after all enqueued work: the same memory, which the caller keeps alive. Under a simt::DryRun zeros.
  template <class T, int R>
  [[nodiscard]] Tensor<T const, R, Cpu> on_host(View<T, R, Simt> v) {
    synchronise();
    if (simt::DryRun::under_way()) {
      auto const zeros = std::make_shared<std::vector<std::remove_const_t<T>>>(static_cast<std::size_t>(v.count()));
      return {View<T const, R, Cpu>(zeros->data(), v.extents()), std::shared_ptr<void const>(zeros, zeros->data())};
    }
    return {View<T const, R, Cpu>(v.data(), v.extents(), v.strides()), nullptr};
  }
  /// `v` where kernels read it: a copy in the arena. `v` is dense.
  template <class T, int R>
  [[nodiscard]] Tensor<T const, R, Simt> on_device(View<T, R, Cpu> v) {
    auto out = this->template empty<std::remove_const_t<T>>(v.extents());
    copy_to_device(v, out.view());
    return out;
  }
  /// The same into memory that is there, both dense, of one shape.
  template <class T, int R>
  void copy_to_device(View<T, R, Cpu> from, std::type_identity_t<View<std::remove_const_t<T>, R, Simt>> to) {
    machine_->refuse_recording("copy to device");
    if (from.count() > 0 && !simt::DryRun::under_way())
      std::memcpy(to.data(), from.data(), static_cast<std::size_t>(from.count()) * sizeof(T));
  }
  /// What all enqueued work left in `from`, into the host's memory; both dense, of one shape.
  template <class T, int R>
  void copy_to_host(View<T, R, Simt> from, std::type_identity_t<View<std::remove_const_t<T>, R, Cpu>> to) {
    synchronise();
    if (simt::DryRun::under_way())
      std::fill_n(to.data(), to.count(), std::remove_const_t<T>{});
    else if (from.count() > 0)
      std::memcpy(to.data(), from.data(), static_cast<std::size_t>(from.count()) * sizeof(T));
  }
  /// A loaded tensor where kernels read it: the same memory, shared, so that a mapped file serves as it is.
  template <class T, int R>
  [[nodiscard]] Tensor<T const, R, Simt> on_device(Tensor<T const, R, Cpu> t) {
    return {View<T const, R, Simt>(t.data(), t.extents(), t.strides()), t.owner()};
  }

  /// Records what `body` enqueues instead of running it; it may neither allocate nor look at data (mem/replay.hpp sees to that). What
  /// it throws ends the recording. Throws DeviceError.
  template <class Body>
  [[nodiscard]] simt::Graph<Simt> record(Body&& body) {
    return simt::record(stream(), body);
  }
  /// Enqueues what was recorded.
  void replay(simt::Graph<Simt> const& graph) { simt::replay(stream(), graph); }

 private:
  static std::shared_ptr<simt::Machine> make_machine(Config const& c) {
    return std::make_shared<simt::Machine>(c.machine, c.pool ? c.pool : make_pool(c.threads));
  }
  Context(Config const& c, std::shared_ptr<simt::Machine> machine)
      : ContextBase(std::make_shared<PoisonAllocator>(c.allocator ? c.allocator : std::make_shared<HeapAllocator>(), machine), c.monitor),
        machine_(std::move(machine)) {}

  std::shared_ptr<simt::Machine> machine_;
};

}  // namespace mgm::inline v0
#endif
