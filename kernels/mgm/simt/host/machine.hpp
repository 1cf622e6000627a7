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

namespace mgm::inline v0::simt {

namespace host {
class Runner;
}

/// In which order the threads of a block take their turns between two meeting points. All are legal; a kernel must not notice.
enum class Order {
  forward,    ///< by index, each as far as it comes: the quickest
  reversed,   ///< from the last thread
  random,     ///< any, by the seed
  greedy,     ///< always the lowest thread that can run, so that one warp runs far ahead
  lockstep,   ///< warp after warp, so that none runs ahead
  straggler,  ///< one thread, by the seed, runs only when nobody else can
};
inline constexpr std::string_view kOrderNames[] = {"forward", "reversed", "random", "greedy", "lockstep", "straggler"};

struct MachineConfig {
  int arch = 80;                 ///< compute capability times ten; its limits hold, and its forms of kernels are taken
  Order order = Order::forward;
  std::uint64_t seed = 0;        ///< for orders, and for when asynchronous copies land
  bool tuned = false;            ///< take the forms that rest on matrix instructions where they fit, as Cuda does
};

/// What one block may have on an architecture (CUDA C++ Programming Guide, compute capabilities).
struct Limits {
  int threads = 1024, named_barriers = 16;
  Size shared;  ///< bytes, opted in
  static Limits of(int arch) { return {.shared = (arch >= 90 ? 227 : arch == 80 || arch == 87 ? 163 : 99) * 1024}; }
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
  /// Passes over the banks of shared memory that `ldmatrix` took, one a matrix, and those that rows on the same banks cost on top.
  struct BankPasses {
    Size least = 0, extra = 0;
  };
  [[nodiscard]] BankPasses ldmatrix_passes() const { return {ldmatrix_least_.load(), ldmatrix_extra_.load()}; }
  void count_ldmatrix(int extra) { ldmatrix_least_.fetch_add(1, std::memory_order_relaxed), ldmatrix_extra_.fetch_add(extra, std::memory_order_relaxed); }
  /// Runners keep their stacks between launches.
  [[nodiscard]] std::unique_ptr<host::Runner> take_runner();
  void give_runner(std::unique_ptr<host::Runner> runner) noexcept;

 private:
  MachineConfig config_;
  std::shared_ptr<Threads> threads_;
  std::mutex mutex_;
  std::optional<std::string> found_;
  std::atomic<Size> ldmatrix_least_ = 0, ldmatrix_extra_ = 0;
  std::vector<std::unique_ptr<host::Runner>> idle_;
};

}  // namespace mgm::inline v0::simt

#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt {

inline Machine::Machine(MachineConfig config, std::shared_ptr<Threads> threads) : config_(config), threads_(std::move(threads)) {
  require<DeviceError>(config.arch >= 75 && config.arch < 130, "simt: the machine can play compute capability 7.5 to 12.9 (75 to 129), found ",
                       config.arch);
}
inline Machine::~Machine() = default;
inline std::unique_ptr<host::Runner> Machine::take_runner() {
  {
    std::lock_guard const lock(mutex_);
    if (!idle_.empty()) {
      auto runner = std::move(idle_.back());
      idle_.pop_back();
      return runner;
    }
  }
  return std::make_unique<host::Runner>();
}
inline void Machine::give_runner(std::unique_ptr<host::Runner> runner) noexcept {
  try {
    std::lock_guard const lock(mutex_);
    idle_.push_back(std::move(runner));
  } catch (...) {  // no memory to keep it: it goes
  }
}

}  // namespace mgm::inline v0::simt
