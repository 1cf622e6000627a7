/// Runs one block of a launch: its threads as fibers on one OS thread, its shared memory, its barriers, and the search for who can go on.
///   A fiber that must wait switches to the next thread itself, and one whose thread has returned goes on with the next that has not begun:
///   a kernel without meetings costs two switches a block. (Turns: runner_turns.inl. Meetings: runner_meetings.inl.)
#pragma once
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <mgm/simt/host/async_copies.hpp>
#include <mgm/simt/host/fiber.hpp>
#include <mgm/simt/host/machine.hpp>
#include <mgm/simt/host/watch.hpp>
#include <mgm/simt/platform.hpp>
#include <mgm/simt/stream.hpp>

/// What kernels call to know where they are is not theirs to be watched for.
#define MGM_UNWATCHED __attribute__((no_sanitize("thread")))

namespace mgm::inline v0::simt::host {

/// One launch, shared by the OS threads that run its blocks. (A cooperative launch would take a Runner for each of its blocks and `step`
/// them in turn on one OS thread, until all are done or none has moved.)
struct Launch {
  Machine& machine;
  LaunchShape const& shape;
  void (*body)(void const*);
  void const* arguments;  ///< what `body` is called with
  Size argument_bytes;
  std::atomic<int> workers = 0;          ///< OS threads that still run blocks
  /// 2¹⁶ times how often anything was written that a spinning thread may see, plus the blocks that saw no use in it.
  std::atomic<std::uint64_t> pulse = 0;

  [[nodiscard]] std::uint64_t version() const { return pulse.load() >> 16; }
  void moved() {
    std::uint64_t now = pulse.load();
    while (!pulse.compare_exchange_weak(now, ((now >> 16) + 1) << 16)) {
    }
  }
  /// A block in which nobody can go on waits for something after `seen`. False: all blocks do, so it will not come.
  [[nodiscard]] bool wait(std::uint64_t seen) {
    for (std::uint64_t now = pulse.load();;) {
      if (now >> 16 != seen) return true;
      if (pulse.compare_exchange_weak(now, now + 1)) break;
    }
    for (;; std::this_thread::yield()) {
      std::uint64_t const now = pulse.load();
      if (now >> 16 != seen) return true;
      if (static_cast<int>(now & 0xFFFFu) >= workers.load()) return false;
    }
  }
};

/// A stack that carries threads, one after the other; one that waits keeps it.
struct Carrier {
  Fiber fiber;
  int stack = 0;
};

/// One thread of the block.
struct Thread {
  int index = 0;
  Carrier* carrier = nullptr;  ///< from its first step to its return
  char const* wait = "";       ///< for what, in words
  Site site{};                 ///< where
};

/// A meeting of lanes: each brings a value, each may read all of them afterwards.
struct Exchange {
  unsigned mask = 0, arrived = 0, to_read = 0;
  char const* what = "";
  Site site{};
  Meeting meeting{};  ///< of the lanes' pasts, where memory is ordered
  Past past{};
  alignas(16) std::byte value[kWarp][16];
};

struct Warp {
  unsigned left = 0;  ///< lanes that returned
  std::vector<std::unique_ptr<Exchange>> exchanges;
};

struct Barrier {
  int arrived = 0, expected = 0;
  Site site{};
  std::vector<unsigned> came, waiting;  ///< lanes of each warp
  Meeting meeting{};
};

class Runner {
 public:
  Runner() = default;
  Runner(Runner const&) = delete;
  Runner& operator=(Runner const&) = delete;
  ~Runner() { retire(); }

  /// Runs block `index`. Throws KernelError for what the machine finds, and what `body` throws; it then can run nothing more.
  void run(Launch& launch, Grid index);

  /// The one that runs on this OS thread.
  static inline constinit thread_local Runner* current = nullptr;

  [[nodiscard]] MGM_UNWATCHED Grid index() const { return index_; }
  [[nodiscard]] MGM_UNWATCHED LaunchShape const& shape() const { return *shape_; }
  [[nodiscard]] MGM_UNWATCHED Machine& machine() const { return *machine_; }
  [[nodiscard]] MGM_UNWATCHED Thread& self() const { return *self_; }
  [[nodiscard]] MGM_UNWATCHED std::byte* shared() { return shared_base_; }
  [[nodiscard]] bool in_shared(void const* p) const {
    auto const begin = reinterpret_cast<std::uintptr_t>(shared_base_);
    return reinterpret_cast<std::uintptr_t>(p) - begin < static_cast<std::uintptr_t>(shape_->shared);
  }
  [[nodiscard]] AsyncCopies& copies() { return copies_; }
  [[nodiscard]] std::uint64_t random() {  // xorshift: which turn, never which number a kernel computes
    random_ ^= random_ << 13, random_ ^= random_ >> 7, random_ ^= random_ << 17;
    return random_;
  }

  /// While one lives, what the running thread does is the machine's own work, and is not watched.
  class Busy {
   public:
    MGM_UNWATCHED explicit Busy(Runner& r) : r_(r), before_(r.busy_) { r.busy_ = true; }
    MGM_UNWATCHED ~Busy() { r_.busy_ = before_; }
    Busy(Busy const&) = delete;
    Busy& operator=(Busy const&) = delete;

   private:
    Runner& r_;
    bool before_;
  };

  /// `id` 0 is the whole block; others meet `expected` threads. Without `wait` the caller only arrives.
  void meet(int id, int expected, bool wait, Site at);
  /// Brings `bytes` of `value` to the lanes of `mask`; returns when all have come. Read with `e.value`, then `leave`. With `orders` what
  /// the lanes wrote before is seen by all of them after.
  Exchange& exchange(char const* what, void const* value, std::size_t bytes, unsigned mask, Site at, bool orders = false);
  void leave(Exchange& e) {
    if (--e.to_read == 0) e.arrived = 0;
  }
  /// Lets others run until something has moved: for those that spin. `went_on` when the wait is over; `progressed` whenever something is
  /// written that another thread may spin on.
  void yield(char const* what, Site at);
  void went_on() { ++events_; }
  void progressed() {
    ++events_;
    launch_->moved();
  }

  /// Tells the machine of an access by the running thread. Nothing but a test where it neither finds races nor counts.
  void touch(void const* p, int bytes, Touch touch, Site at) {
    if (watching_) [[unlikely]]
      touched(p, bytes, touch, at);
  }
  /// The same from the compiler's hooks: `code` is the address of the access. Never throws.
  void seen(void const* p, int bytes, bool write, void const* code) {
    if (busy_ || stacks_->holds(p) || is_mine(p)) return;
    seen_here(p, bytes, write, code);
  }
  /// Null unless the machine finds races.
  [[nodiscard]] Watch* watch() { return races_ ? &watch_ : nullptr; }

  /// Ends the launch with a message about the running thread.
  [[noreturn]] void fail(std::string const& what, Site at) { fail(what, at, *self_); }
  [[noreturn]] void fail(std::string const& what, Site at, Thread const& thread) {
    throw KernelError(text("simt: ", place(thread, at), ": ", what));  // `carry` catches it; other threads are abandoned where they wait
  }
  [[nodiscard]] std::string place(Thread const& thread, Site at) const {
    std::string_view const file = at.file;
    return place(thread, text(file.substr(file.rfind('/') + 1), ":", at.line));
  }
  [[nodiscard]] std::string place(Thread const& thread, std::string_view line) const {
    return text("kernel ", shape_->name, ", block (", index_.x, ", ", index_.y, ", ", index_.z, "), thread ", thread.index, ", ", line);
  }

 private:
  static void enter();
  bool carry(Carrier& mine);
  void begin(Launch& launch, Grid index);
  [[nodiscard]] bool chosen(Size number) const;
  bool step();
  void end();
  void retire() noexcept;
  void reserve(int threads);
  int pick();
  Thread* next();
  void dispatch(Fiber& from, Thread& to);
  void pass_on();
  void suspend();
  void finish();
  void release(int id);
  void preempt();
  void touched(void const* p, int bytes, Touch touch, Site at);
  void seen_here(void const* p, int bytes, bool write, void const* code);
  /// Not memory of the device: this object, and the arguments of the launch.
  [[nodiscard]] bool is_mine(void const* p) const {
    auto const at = reinterpret_cast<std::uintptr_t>(p);
    return at - reinterpret_cast<std::uintptr_t>(this) < sizeof(Runner) ||
           at - reinterpret_cast<std::uintptr_t>(launch_->arguments) < static_cast<std::uintptr_t>(launch_->argument_bytes);
  }
  [[nodiscard]] std::string stuck() const;
  [[nodiscard]] Thread& thread(int i) const { return threads_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] static std::size_t warp_of(int i) { return static_cast<std::size_t>(i) / kWarp; }
  [[nodiscard]] static unsigned lane_bit(int i) { return 1u << (i % kWarp); }
  [[nodiscard]] int find_up(int from) const;
  [[nodiscard]] int find_down(int from) const;

  Machine* machine_ = nullptr;
  Launch* launch_ = nullptr;
  LaunchShape const* shape_ = nullptr;
  Grid index_{};
  Thread* self_ = nullptr;
  std::byte* shared_base_ = nullptr;
  bool busy_ = true;  // also while nothing is watched
  bool watching_ = false, races_ = false, preempt_ = false, retire_ = false, broken_ = false;
  std::unique_ptr<Stacks> stacks_;
  std::unique_ptr<Carrier[]> carriers_;
  std::unique_ptr<Thread[]> threads_;
  std::vector<Carrier*> free_;
  std::vector<unsigned> ready_, spinning_;  // lanes of each warp that can run, and that wait for something to move
  int capacity_ = 0, done_ = 0, turn_ = 0, straggler_ = -1, budget_ = 0;
  std::uint64_t events_ = 0, polled_ = 0, version_ = 0;
  std::vector<Warp> warps_;
  Barrier barriers_[16];
  std::vector<std::byte> shared_;
  AsyncCopies copies_;
  Watch watch_;
  Traffic traffic_;
  Counters counters_;
  Fiber scheduler_;
  std::exception_ptr thrown_;
  std::uint64_t random_ = 1;
  static constexpr std::size_t kGuard = Watch::kGuard;
};

}  // namespace mgm::inline v0::simt::host

#include <mgm/simt/host/runner_meetings.inl>
#include <mgm/simt/host/runner_turns.inl>
#include <mgm/simt/host/machine.inl>
