/// The host's side of CUDA as plain functions: every compiler sees them, nvcc defines them (simt/cuda/runtime.inl). No CUDA header here.
#pragma once
#include <string>

#include <mgm/core/error.hpp>
#include <mgm/simt/dry_run.hpp>
#include <mgm/simt/stream.hpp>

struct CUgraphExec_st;  // what a cudaGraphExec_t points to

namespace mgm::inline v0::simt {

/// What a GPU has.
struct DeviceInfo {
  std::string name;
  int arch = 0;             ///< compute capability times ten
  int multiprocessors = 0;
  Size shared = 0;          ///< bytes of shared memory that a block may opt in to
  Size memory = 0, l2 = 0;  ///< bytes
  int driver = 0, toolkit = 0;
};

/// How many devices there are, 0 also where there is no driver; `why` says so in words when given.
[[nodiscard]] int device_count(std::string* why = nullptr);
/// Whether CUDA knows the memory: device, managed or pinned; not the host's own. Under a DryRun it is taken for such. Throws DeviceError.
[[nodiscard]] bool is_device_memory(void const* p);

/// A stream on a device: the caller's, or one of its own that it ends. Every call to CUDA is checked; an error that was pending before a
/// call is told apart from one of ours. All throw DeviceError, `allocate` MemoryError; nothing here waits for the whole device. CUDA does not
/// survive a fork: a child that uses its parent's Runtime gets a DeviceError that says so.
class Runtime {
 public:
  Runtime(int device, ::CUstream_st* stream);
  Runtime(Runtime const&) = delete;
  Runtime& operator=(Runtime const&) = delete;
  ~Runtime();

  [[nodiscard]] Stream<Cuda> stream() const { return {stream_}; }
  [[nodiscard]] DeviceInfo const& info() const { return info_; }
  [[nodiscard]] void* allocate(Size bytes);
  void release(void* block) noexcept;
  // under a DryRun nothing is copied; the host finds zeros
  void copy_to_device(void* to, void const* from, Size bytes);
  void copy_to_host(void* to, void const* from, Size bytes);  ///< returns when the bytes are there
  void synchronise();

  /// What is enqueued on the stream from here on is recorded instead of run, until one of the two below. Meanwhile all of the above throw.
  /// The legacy default stream cannot record.
  void begin_recording();
  [[nodiscard]] ::CUgraphExec_st* end_recording();  ///< the stream runs again whatever happens; `discard` what it returns
  void drop_recording() noexcept;
  void replay(::CUgraphExec_st* graph);             ///< enqueues and returns
  void discard(::CUgraphExec_st* graph) noexcept;   ///< returns at once; a replay that is under way ends as it would

 private:
  void ready(char const* what) const;  ///< throws for a fork, for what was pending before, and while the stream records

  int device_, process_;
  bool own_, recording_ = false;
  ::CUstream_st* stream_ = nullptr;
  DeviceInfo info_;
};

}  // namespace mgm::inline v0::simt

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/graph.inl>
#  include <mgm/simt/cuda/runtime.inl>
#endif
