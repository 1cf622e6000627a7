/// Runs one block of a launch: its threads as fibers on one OS thread, its shared memory, its barriers, and the search for who can go on.
#pragma once
#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include <mgm/simt/host/async_copies.hpp>
#include <mgm/simt/host/fiber.hpp>
#include <mgm/simt/host/machine.hpp>
#include <mgm/simt/platform.hpp>
#include <mgm/simt/stream.hpp>

namespace mgm::inline v0::simt::host {

/// One thread of the block.
struct Thread {
  enum class State : std::uint8_t { fresh, ready, waiting, done };
  int index = 0;
  State state = State::fresh;
  int stack = -1;              ///< which it runs on, once it runs
  char const* wait = "";       ///< for what, in words
  Site site{};                 ///< where
  struct Exchange* exchange = nullptr;
  Fiber fiber;
};

/// A meeting of lanes: each brings a value, each may read all of them afterwards.
struct Exchange {
  unsigned mask = 0, arrived = 0, to_read = 0;
  char const* what = "";
  Site site{};
  alignas(16) std::byte value[kWarp][16];
};

struct Barrier {
  int arrived = 0, expected = 0;
  Site site{};
  std::vector<Thread*> waiting;
};

class Runner {
 public:
  Runner() = default;

  /// Runs block `index`. Throws KernelError for what the machine finds, and what `body` throws.
  void run(Machine& machine, LaunchShape const& shape, Grid index, void (*body)(void const*), void const* arguments);

  /// The one that runs on this OS thread.
  static inline thread_local Runner* current = nullptr;

  [[nodiscard]] Grid index() const { return index_; }
  [[nodiscard]] LaunchShape const& shape() const { return *shape_; }
  [[nodiscard]] Machine& machine() const { return *machine_; }
  [[nodiscard]] Thread& self() const { return *self_; }
  [[nodiscard]] std::byte* shared() { return shared_base_; }
  [[nodiscard]] Stacks const* stacks() const { return stacks_.get(); }
  [[nodiscard]] AsyncCopies& copies() { return copies_; }
  [[nodiscard]] std::uint64_t random() {  // xorshift: which turn, never which number a kernel computes
    random_ ^= random_ << 13, random_ ^= random_ >> 7, random_ ^= random_ << 17;
    return random_;
  }

  /// `id` 0 is the whole block; others meet `expected` threads. Without `wait` the caller only arrives.
  void meet(int id, int expected, bool wait, Site at);
  /// Brings `bytes` of `value` to the lanes of `mask`; returns when all have come. Read with `brought`, then `leave`.
  Exchange& exchange(char const* what, void const* value, std::size_t bytes, unsigned mask, Site at);
  void leave(Exchange& e) {
    if (--e.to_read == 0) e.arrived = 0;
  }
  /// Lets others run until nobody else can, or it is this thread's turn again.
  void yield(char const* what, Site at);

  /// Ends the launch with a message about the running thread.
  [[noreturn]] void fail(std::string const& what, Site at) { fail(what, at, *self_); }
  [[noreturn]] void fail(std::string const& what, Site at, Thread const& thread);
  [[nodiscard]] std::string place(Thread const& thread, Site at) const;

 private:
  static void enter();
  void prepare();
  void schedule();
  Thread* next();
  void suspend();
  void finish();
  void resume(Thread& thread);
  void release(Barrier& barrier);
  [[nodiscard]] std::string stuck() const;

  Machine* machine_ = nullptr;
  LaunchShape const* shape_ = nullptr;
  Grid index_{};
  void (*body_)(void const*) = nullptr;
  void const* arguments_ = nullptr;
  std::unique_ptr<Stacks> stacks_;
  std::vector<int> free_stacks_;
  std::unique_ptr<Thread[]> threads_;
  int capacity_ = 0, fresh_ = 0, done_ = 0, turn_ = 0, straggler_ = -1;
  std::vector<std::vector<std::unique_ptr<Exchange>>> exchanges_;  // of each warp
  Barrier barriers_[16];
  std::vector<std::byte> shared_;
  std::byte* shared_base_ = nullptr;
  AsyncCopies copies_;
  Thread* self_ = nullptr;
  Fiber scheduler_;
  std::string failure_;
  std::exception_ptr thrown_;
  std::uint64_t random_ = 1;
  static constexpr std::size_t kGuard = 256;
};

inline std::string Runner::place(Thread const& thread, Site at) const {
  std::string_view file = at.file;
  file = file.substr(file.rfind('/') + 1);
  return text("kernel ", shape_->name, ", block (", index_.x, ", ", index_.y, ", ", index_.z, "), thread ", thread.index, ", ", file, ":",
              at.line);
}

inline void Runner::fail(std::string const& what, Site at, Thread const& thread) {
  throw KernelError(text("simt: ", place(thread, at), ": ", what));  // `enter` catches it; the other threads are abandoned where they wait
}

inline void Runner::prepare() {
  int const count = shape_->block;
  if (capacity_ < count) {
    threads_ = std::make_unique<Thread[]>(static_cast<std::size_t>(count));
    stacks_ = std::make_unique<Stacks>(count);
    capacity_ = count;
  }
  free_stacks_.clear();
  for (int i = capacity_ - 1; i >= 0; --i) free_stacks_.push_back(i);
  for (int i = 0; i < count; ++i) threads_[static_cast<std::size_t>(i)].index = i, threads_[static_cast<std::size_t>(i)].state = Thread::State::fresh;
  exchanges_.resize(static_cast<std::size_t>(ceil_div(count, kWarp)));
  for (auto& warp : exchanges_)
    for (auto& e : warp) e->arrived = e->to_read = 0;
  for (auto& barrier : barriers_) barrier.arrived = 0, barrier.waiting.clear();
  shared_.resize(static_cast<std::size_t>(shape_->shared) + 2 * kGuard + 1024);
  std::fill(shared_.begin(), shared_.end(), std::byte{0xFF});  // NaN in every float type
  auto const start = reinterpret_cast<std::uintptr_t>(shared_.data()) + kGuard;
  shared_base_ = shared_.data() + kGuard + (1024 - start % 1024) % 1024;
  copies_.reset(shared_base_, shape_->shared, count);
  fresh_ = done_ = turn_ = 0;
  random_ = machine_->config().seed * 0x9E3779B97F4A7C15u + static_cast<std::uint64_t>(index_.x) * 2654435761u +
            static_cast<std::uint64_t>(index_.y) * 40503u + static_cast<std::uint64_t>(index_.z) + 88172645463325252u;
  for (int i = 0; i < 4; ++i) (void)random();
  straggler_ = machine_->config().order == Order::straggler ? static_cast<int>(random() % static_cast<unsigned>(count)) : -1;
  failure_.clear(), thrown_ = nullptr;
}

inline void Runner::run(Machine& machine, LaunchShape const& shape, Grid index, void (*body)(void const*), void const* arguments) {
  machine_ = &machine, shape_ = &shape, index_ = index, body_ = body, arguments_ = arguments;
  prepare();
  Runner* const outer = current;
  current = this;
  schedule();
  current = outer;
  if (thrown_) std::rethrow_exception(thrown_);
  if (!failure_.empty()) throw KernelError(failure_);
  for (std::size_t i = 0; i < kGuard; ++i)
    require<KernelError>(shared_base_[-1 - static_cast<std::ptrdiff_t>(i)] == std::byte{0xFF} && shared_base_[static_cast<std::size_t>(shape.shared) + i] == std::byte{0xFF},
                         "simt: kernel ", shape.name, ", block (", index.x, ", ", index.y, ", ", index.z, "): wrote beyond its ", shape.shared,
                         " bytes of shared memory");
}

inline void Runner::schedule() {
  int const count = shape_->block;
  while (done_ < count && failure_.empty() && !thrown_) {
    Thread* const thread = next();
    if (thread == nullptr) {
      failure_ = stuck();
      return;
    }
    resume(*thread);
  }
}

/// Whose turn it is, or nobody's.
inline Thread* Runner::next() {
  int const count = shape_->block;
  auto const can = [&](int i) { return threads_[static_cast<std::size_t>(i)].state <= Thread::State::ready; };
  auto const search = [&](int from, int step) -> Thread* {
    for (int tried = 0, i = from; tried < count; ++tried, i = (i + step + count) % count)
      if (can(i) && i != straggler_) return turn_ = (i + step + count) % count, &threads_[static_cast<std::size_t>(i)];
    return straggler_ >= 0 && can(straggler_) ? &threads_[static_cast<std::size_t>(straggler_)] : nullptr;
  };
  switch (machine_->config().order) {
    case Order::forward:
    case Order::lockstep:
    case Order::straggler: return search(turn_, 1);
    case Order::reversed: return search(turn_ == 0 ? count - 1 : turn_, -1);
    case Order::greedy: return search(0, 1);
    case Order::random: return search(static_cast<int>(random() % static_cast<unsigned>(count)), 1);
  }
  return nullptr;
}

inline void Runner::resume(Thread& thread) {
  self_ = &thread;
  if (thread.state == Thread::State::fresh) {
    thread.stack = free_stacks_.back();
    free_stacks_.pop_back();
    thread.fiber.start(stacks_->at(thread.stack), &Runner::enter);
  }
  thread.state = Thread::State::ready;
  scheduler_.switch_to(thread.fiber);
}

inline void Runner::enter() {
  Runner& r = *current;
  r.self_->fiber.entered();
  try {
    r.body_(r.arguments_);
  } catch (...) {
    r.thrown_ = std::current_exception();
  }
  r.finish();
}

/// The running thread returned from the kernel: it counts as arrived at the block's barrier, and nowhere else.
inline void Runner::finish() {
  Thread& me = *self_;
  me.state = Thread::State::done;
  ++done_;
  if (std::string const found = copies_.left(me.index); !found.empty()) failure_ = text("simt: ", place(me, me.site), ": ", found);
  if (!stacks_->intact(me.stack)) failure_ = text("simt: kernel ", shape_->name, ": thread ", me.index, " used more than ", kStackBytes, " bytes of stack");
  free_stacks_.push_back(me.stack);
  if (barriers_[0].arrived > 0 && barriers_[0].arrived + done_ == shape_->block) release(barriers_[0]);
  me.fiber.switch_to(scheduler_, true);
}

inline void Runner::suspend() {
  self_->state = Thread::State::waiting;
  self_->fiber.switch_to(scheduler_);
}

inline void Runner::yield(char const* what, Site at) {
  self_->wait = what, self_->site = at;
  self_->fiber.switch_to(scheduler_);
}

inline void Runner::release(Barrier& barrier) {
  for (Thread* const thread : barrier.waiting) thread->state = Thread::State::ready;
  barrier.waiting.clear();
  barrier.arrived = 0;
}

inline void Runner::meet(int id, int expected, bool wait, Site at) {
  Barrier& barrier = barriers_[id];
  int const gone = id == 0 ? done_ : 0, all = id == 0 ? shape_->block : expected;
  if (barrier.arrived > 0 && id == 0 && (barrier.site.line != at.line || std::strcmp(barrier.site.file, at.file) != 0))
    fail(text("divergence: this thread is at one block barrier while others wait at line ", barrier.site.line), at);
  if (barrier.arrived > 0 && id != 0 && barrier.expected != expected)
    fail(text("named barrier ", id, ": expects ", expected, " threads here and ", barrier.expected, " at line ", barrier.site.line), at);
  barrier.site = at, barrier.expected = expected;
  ++barrier.arrived;
  if (barrier.arrived + gone == all) return release(barrier);
  if (!wait) return;
  self_->wait = id == 0 ? "the block barrier" : "a named barrier", self_->site = at;
  barrier.waiting.push_back(self_);
  suspend();
}

inline Exchange& Runner::exchange(char const* what, void const* value, std::size_t bytes, unsigned mask, Site at) {
  int const index = self_->index, lane = index % kWarp, first = index - lane, last = std::min(first + kWarp, shape_->block);
  if (last - first < kWarp) mask &= (1u << (last - first)) - 1u;  // the last warp of a block may be short
  if ((mask >> lane & 1u) == 0) fail(text(what, ": the mask does not name the lane that calls, ", lane), at);
  for (int i = first; i < last; ++i)
    if ((mask >> (i - first) & 1u) != 0 && threads_[static_cast<std::size_t>(i)].state == Thread::State::done)
      fail(text(what, ": the mask names lane ", i - first, ", which has left the kernel"), at);
  auto& open = exchanges_[static_cast<std::size_t>(index / kWarp)];
  Exchange* e = nullptr;
  for (auto const& other : open) {
    if (other->arrived != 0 && other->arrived != other->mask && (other->mask & mask) != 0) {  // under way, with lanes of ours
      if (other->mask != mask || std::strcmp(other->what, what) != 0 || other->site.line != at.line)
        fail(text("divergence: ", what, " here, while lanes of the same mask wait in ", other->what, " at line ", other->site.line), at);
      e = other.get();
    }
  }
  if (e == nullptr) {
    for (auto const& other : open)
      if (other->arrived == 0 && other->to_read == 0) e = other.get();
    if (e == nullptr) e = open.emplace_back(std::make_unique<Exchange>()).get();
    e->mask = mask, e->arrived = 0, e->to_read = 0, e->what = what, e->site = at;
  }
  std::memcpy(e->value[lane], value, bytes);
  e->arrived |= 1u << lane;
  ++e->to_read;
  self_->exchange = e;
  if (e->arrived == mask) {
    for (int i = first; i < last; ++i) {
      Thread& other = threads_[static_cast<std::size_t>(i)];
      if ((mask >> (i - first) & 1u) != 0 && i != index) other.state = Thread::State::ready;
    }
  } else {
    self_->wait = what, self_->site = at;
    suspend();
  }
  return *e;
}

/// Nobody can go on: who waits where, and for whom.
inline std::string Runner::stuck() const {
  for (int i = 0; i < shape_->block; ++i) {
    Thread const& waiting = threads_[static_cast<std::size_t>(i)];
    if (waiting.state != Thread::State::waiting) continue;
    std::string out = text("simt: ", place(waiting, waiting.site), ": waits for ", waiting.wait, " that not all reach");
    for (int j = i + 1; j < shape_->block; ++j) {
      Thread const& other = threads_[static_cast<std::size_t>(j)];
      if (other.state == Thread::State::waiting && (other.site.line != waiting.site.line || other.wait != waiting.wait))
        return out + text("; thread ", j, " waits for ", other.wait, " at line ", other.site.line);
    }
    return out + text("; ", done_, " of ", shape_->block, " threads have returned");
  }
  return text("simt: kernel ", shape_->name, ": no thread can go on");
}

}  // namespace mgm::inline v0::simt::host
