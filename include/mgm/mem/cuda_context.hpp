/// Work on an NVIDIA GPU. Compiled by every compiler: the calls to CUDA are functions that one file of nvcc's defines (simt/runtime.hpp).
#pragma once
#include <memory>

#include <mgm/mem/context_base.hpp>
#include <mgm/mem/second_backend.hpp>
#include <mgm/simt/graph.hpp>
#include <mgm/simt/runtime.hpp>

namespace mgm::inline v0 {

template <Device Dev>
class Context;

/// Memory of the current device, in the order of a stream (cudaMallocAsync).
class CudaAllocator final : public Allocator {
 public:
  explicit CudaAllocator(std::shared_ptr<simt::Runtime> runtime) : runtime_(std::move(runtime)) {}
  void* allocate(Size bytes) override { return runtime_->allocate(bytes); }
  void release(void* block, Size) noexcept override { runtime_->release(block); }

 private:
  std::shared_ptr<simt::Runtime> runtime_;
};

/// One thread at a time uses a Context. Calls return before the work is done, unless they hand data to the host.
template <>
class Context<Cuda> : public ContextBase<Cuda> {
 public:
  struct Config {
    int device = 0;                                  ///< ordinal
    ::CUstream_st* stream = nullptr;                 ///< the user's own; null: one of our own
    int threads = 0;                                 ///< for work on the host; 0: as many as the machine has
    std::shared_ptr<Allocator> allocator = nullptr;  ///< the user's own device memory
    Monitor* monitor = nullptr;                      ///< borrowed
    bool tuned = true;                               ///< false: general kernels only
    std::shared_ptr<Products> products = nullptr;    ///< a second backend, such as vendor::CublasLt
    std::shared_ptr<Convolutions> convolutions = nullptr;  ///< the same, such as vendor::Cudnn
    Prefer prefer = Prefer::table;                         ///< between them and our own
  };
  /// Throws DeviceError when there is no such device, no driver, or no code in this program for its architecture.
  explicit Context(Config config) : Context(config, std::make_shared<simt::Runtime>(config.device, config.stream)) {}
  Context() : Context(Config{}) {}

  [[nodiscard]] simt::Stream<Cuda> stream() const { return runtime_->stream(); }
  [[nodiscard]] int threads() const { return threads_->concurrency(); }
  /// The path taken, for people: the GPU.
  [[nodiscard]] std::string path() const { return text("cuda: ", runtime_->info().name, tuned_ ? "" : ", general kernels"); }
  [[nodiscard]] simt::Runtime& runtime() const { return *runtime_; }
  /// For what is done on the host whatever the device: pictures, files.
  [[nodiscard]] Executor host_executor() const { return {threads_.get(), best_isa()}; }
  [[nodiscard]] bool tuned() const { return tuned_; }
  /// Second backends, null where there are none, and what is taken where there are.
  [[nodiscard]] Products* products() const { return products_.get(); }
  [[nodiscard]] Convolutions* convolutions() const { return convolutions_.get(); }
  [[nodiscard]] Prefer prefer() const { return prefer_; }
  /// Waits for this stream alone. Throws DeviceError for what went wrong in it.
  void synchronise() { runtime_->synchronise(); }

  /// `v` where the host reads it, after all enqueued work: a copy. `v` is dense.
  template <class T, int R>
  [[nodiscard]] Tensor<T const, R, Cpu> on_host(View<T, R, Cuda> v) {
    Size const bytes = bytes_of<T>(v.extents());
    std::shared_ptr<void> block(heap_.allocate(bytes), [bytes](void* p) { HeapAllocator{}.release(p, bytes); });
    if (v.count() > 0) runtime_->copy_to_host(block.get(), v.data(), v.count() * Size{sizeof(T)});
    return {View<T const, R, Cpu>(static_cast<T const*>(block.get()), v.extents()), block};
  }
  /// `v` where kernels read it: a copy in the arena. `v` is dense; it may change as soon as this returns.
  template <class T, int R>
  [[nodiscard]] Tensor<T const, R, Cuda> on_device(View<T, R, Cpu> v) {
    auto out = this->template empty<std::remove_const_t<T>>(v.extents());
    copy_to_device(v, out.view());
    return out;
  }
  /// The same into memory that is there, both dense, of one shape.
  template <class T, int R>
  void copy_to_device(View<T, R, Cpu> from, std::type_identity_t<View<std::remove_const_t<T>, R, Cuda>> to) {
    if (from.count() > 0) runtime_->copy_to_device(to.data(), from.data(), from.count() * Size{sizeof(T)});
  }
  /// What all enqueued work left in `from`, into the host's memory; both dense, of one shape. Waits for this stream alone.
  template <class T, int R>
  void copy_to_host(View<T, R, Cuda> from, std::type_identity_t<View<std::remove_const_t<T>, R, Cpu>> to) {
    if (from.count() > 0) runtime_->copy_to_host(to.data(), from.data(), from.count() * Size{sizeof(T)});
  }
  /// A loaded tensor where kernels read it: a copy of its own.
  template <class T, int R>
  [[nodiscard]] Tensor<T const, R, Cuda> on_device(Tensor<T const, R, Cpu> t) {
    auto out = this->template lasting<T>(t.extents());
    if (t.count() > 0) runtime_->copy_to_device(out.data(), t.data(), t.count() * Size{sizeof(T)});
    return out;
  }

  /// Records what `body` enqueues, as a CUDA graph, instead of running it; it may neither allocate nor look at data (mem/replay.hpp sees to
  /// that). What it throws ends the recording, and the stream runs again. Throws DeviceError.
  template <class Body>
  [[nodiscard]] simt::Graph<Cuda> record(Body&& body) {
    runtime_->begin_recording();
    try {
      body();
    } catch (...) {
      runtime_->drop_recording();
      throw;
    }
    return {{runtime_->end_recording(), [runtime = runtime_](::CUgraphExec_st* graph) { runtime->discard(graph); }}};
  }
  /// Enqueues what was recorded, as one launch, and returns.
  void replay(simt::Graph<Cuda> const& graph) { runtime_->replay(graph.exec.get()); }

 private:
  Context(Config const& c, std::shared_ptr<simt::Runtime> runtime)
      : ContextBase(c.allocator ? c.allocator : std::make_shared<CudaAllocator>(runtime), c.monitor),
        runtime_(std::move(runtime)),
        threads_(make_pool(c.threads)),
        tuned_(c.tuned),
        products_(c.products),
        convolutions_(c.convolutions),
        prefer_(c.prefer) {}

  HeapAllocator heap_;
  std::shared_ptr<simt::Runtime> runtime_;
  std::shared_ptr<Threads> threads_;
  bool tuned_;
  std::shared_ptr<Products> products_;
  std::shared_ptr<Convolutions> convolutions_;
  Prefer prefer_;
};

}  // namespace mgm::inline v0
