/// The machine that `Simt` kernels run on: what it plays, in which order it runs threads, and what it has found. Owned by a Context<Simt>.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/simt/host/recording.hpp>
#include <mgm/simt/host/traffic.hpp>
#include <mgm/simt/stream.hpp>

namespace mgm::inline v0::simt {

namespace host {
class Runner;
struct LaunchWatch;
}  // namespace host

/// In which order the threads of a block take their turns between two meeting points. All are legal; a kernel must not notice.
enum class Order {
  forward,    ///< by index, each as far as it comes: the quickest
  reversed,   ///< from the last thread, and from the last block
  random,     ///< any, by the seed
  greedy,     ///< always the lowest thread that can run, so that one warp runs far ahead
  lockstep,   ///< warp after warp, so that none runs ahead; with `preempt` access by access
  straggler,  ///< one thread, by the seed, runs only when nobody else can
};
inline constexpr std::string_view kOrderNames[] = {"forward", "reversed", "random", "greedy", "lockstep", "straggler"};

struct MachineConfig {
  int arch = 80;                 ///< compute capability times ten; its limits hold, and its forms of kernels are taken
  Order order = Order::forward;
  std::uint64_t seed = 0;        ///< for orders, and for when asynchronous copies land
  bool tuned = false;            ///< take the forms that rest on matrix instructions where they fit, as Cuda does
  bool races = false;            ///< find races and shared memory that is read before it is written; one OS thread runs all blocks
  bool preempt = false;          ///< random, lockstep and straggler also change threads at the accesses that the machine is told of
  int blocks = 0;                ///< of a launch that `races` and `preempt` are for, about; 0: all of them
  bool count = false;            ///< count bank passes and sectors
};

/// What one block may have on an architecture (CUDA C++ Programming Guide, compute capabilities).
struct Limits {
  int threads = 1024, named_barriers = 16;
  Size shared;             ///< bytes, opted in
  Size arguments = 32764;  ///< bytes of a kernel's parameters (since CUDA 12.1)
  static Limits of(int arch) {
    return {.shared = (arch >= 90 && arch < 120 ? 227 : arch == 80 || arch == 87 ? 163 : arch < 80 ? 64 : 99) * 1024};
  }
};

class Machine {
 public:
  explicit Machine(MachineConfig config = {}, std::shared_ptr<Threads> threads = nullptr);
  Machine(Machine const&) = delete;
  Machine& operator=(Machine const&) = delete;
  ~Machine();

  [[nodiscard]] MachineConfig const& config() const { return config_; }
  [[nodiscard]] Limits limits() const { return Limits::of(config_.arch); }
  [[nodiscard]] Threads* threads() const { return threads_.get(); }
  [[nodiscard]] Stream<Simt> stream() { return {this}; }

  /// Keeps the first thing found where nothing may be thrown; the next launch or `check` throws it.
  void report(std::string message) noexcept {
    std::lock_guard const lock(mutex_);
    if (!found_) found_ = std::move(message);
  }
  /// Throws KernelError with what was reported since the last time.
  void check() {
    std::lock_guard const lock(mutex_);
    if (!found_) return;
    std::string const message = std::move(*found_);
    found_.reset();
    throw KernelError(message);
  }
  /// What it has done so far, in launches that succeeded.
  [[nodiscard]] Counters counters() const {
    std::lock_guard const lock(mutex_);
    return counters_;
  }
  void add(Counters const& c) {
    std::lock_guard const lock(mutex_);
    counters_ += c;
  }
  /// Passes over the banks of shared memory that `ldmatrix` took, one a matrix, and those that rows on the same banks cost on top.
  struct BankPasses {
    Size least = 0, extra = 0;
  };
  [[nodiscard]] BankPasses ldmatrix_passes() const { return {ldmatrix_least_.load(), ldmatrix_extra_.load()}; }
  void count_ldmatrix(int extra) {
    ldmatrix_least_.fetch_add(1, std::memory_order_relaxed), ldmatrix_extra_.fetch_add(extra, std::memory_order_relaxed);
  }

  /// From here on launches are checked and kept in `to`, which the caller holds, instead of run. Throws DeviceError within a recording.
  void begin_recording(host::Recording* to) {
    refuse_recording("record");
    recording_ = to;
  }
  void end_recording() noexcept { recording_ = nullptr; }
  [[nodiscard]] host::Recording* recording() const { return recording_; }
  /// What would look at data that a recording has not made: on a GPU it breaks the recording. Throws DeviceError.
  void refuse_recording(std::string_view what) const {
    require<DeviceError>(recording_ == nullptr, "simt: ", what, ": not while launches are recorded; what a recording reads and writes is in "
                         "the device's memory before it begins");
  }

  /// Runners keep their stacks between launches.
  [[nodiscard]] std::unique_ptr<host::Runner> take_runner();
  void give_runner(std::unique_ptr<host::Runner> runner) noexcept;
  /// What the blocks of a launch have touched; null unless the machine finds races.
  [[nodiscard]] host::LaunchWatch* watch() const { return watch_.get(); }

 private:
  MachineConfig config_;
  std::shared_ptr<Threads> threads_;
  mutable std::mutex mutex_;
  std::optional<std::string> found_;
  Counters counters_;
  std::atomic<Size> ldmatrix_least_ = 0, ldmatrix_extra_ = 0;
  std::vector<std::unique_ptr<host::Runner>> idle_;
  std::unique_ptr<host::LaunchWatch> watch_;
  host::Recording* recording_ = nullptr;
};

}  // namespace mgm::inline v0::simt

#include <mgm/simt/host/runner.hpp>
