/// Whose turn it is: blocks from begin to end, and threads from one stack to the next.
#pragma once
#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::host {

inline void Runner::run(Launch& launch, Grid index) {
  begin(launch, index);
  while (!step()) {
    bool const spinning = std::any_of(spinning_.begin(), spinning_.end(), [](unsigned lanes) { return lanes != 0; });
    if (!spinning || !launch.wait(version_)) {
      broken_ = true;
      throw KernelError(stuck());
    }
    ++events_;  // another block moved something: those that spin look again
  }
  end();
}

inline void Runner::reserve(int threads) {
  if (capacity_ >= threads) return;
  retire();
  carriers_ = std::make_unique<Carrier[]>(static_cast<std::size_t>(threads));
  threads_ = std::make_unique<Thread[]>(static_cast<std::size_t>(threads));
  stacks_ = std::make_unique<Stacks>(threads);
  for (int i = 0; i < threads; ++i) carriers_[static_cast<std::size_t>(i)].stack = i;
  capacity_ = threads;
}

inline void Runner::begin(Launch& launch, Grid index) {
  launch_ = &launch, machine_ = &launch.machine, shape_ = &launch.shape, index_ = index;
  MachineConfig const& config = machine_->config();
  int const count = shape_->block;
  reserve(count);
  free_.clear();
  for (int i = count - 1; i >= 0; --i) free_.push_back(&carriers_[static_cast<std::size_t>(i)]);
  for (int i = 0; i < count; ++i) thread(i).index = i, thread(i).carrier = nullptr, thread(i).site = {};
  auto const warps = static_cast<std::size_t>(ceil_div(count, kWarp));
  ready_.assign(warps, kFullMask), spinning_.assign(warps, 0);
  if (count % kWarp != 0) ready_.back() = lane_bit(count) - 1;
  if (warps_.size() < warps) warps_.resize(warps);
  for (Warp& warp : warps_) {
    warp.left = 0;
    for (auto& e : warp.exchanges) e->arrived = e->to_read = 0;
  }
  for (Barrier& barrier : barriers_) {
    if (barrier.arrived == 0 && barrier.came.size() == warps) continue;
    barrier.arrived = 0;
    barrier.came.assign(warps, 0), barrier.waiting.assign(warps, 0), barrier.meeting.clear();
  }
  shared_.resize(static_cast<std::size_t>(shape_->shared) + 2 * kGuard + 1024);
  std::fill(shared_.begin(), shared_.end(), std::byte{0xFF});  // NaN in every float type
  auto const start = reinterpret_cast<std::uintptr_t>(shared_.data()) + kGuard;
  shared_base_ = shared_.data() + kGuard + (1024 - start % 1024) % 1024;
  copies_.reset(shared_base_, shape_->shared, count);
  done_ = turn_ = budget_ = 0;
  if (config.order == Order::reversed) turn_ = count - 1;
  events_ = 1, polled_ = 0, thrown_ = nullptr;
  auto const x = static_cast<std::uint64_t>(index_.x), y = static_cast<std::uint64_t>(index_.y), z = static_cast<std::uint64_t>(index_.z);
  random_ = config.seed * 0x9E3779B97F4A7C15u + x * 2654435761u + y * 40503u + z + 88172645463325252u;
  for (int i = 0; i < 4; ++i) (void)random();
  straggler_ = config.order == Order::straggler ? static_cast<int>(random() % static_cast<unsigned>(count)) : -1;
  Size const number = index_.x + Size{shape_->grid.x} * (index_.y + Size{shape_->grid.y} * index_.z);
  races_ = config.races && chosen(number);
  preempt_ = config.preempt && chosen(number) &&
             (config.order == Order::random || config.order == Order::lockstep || config.order == Order::straggler);
  watching_ = races_ || preempt_ || config.count;
  if (races_) {
    watch_.begin(*machine_->watch(), static_cast<std::uint32_t>(number), count, shared_base_, shape_->shared);
    watch_.name_blocks(shape_->grid);
  }
}

/// Whether block `number` is watched: all of few; of many the first ones, the last ones, and some by the seed.
inline bool Runner::chosen(Size number) const {
  Size const most = machine_->config().blocks, all = shape_->grid.count();
  if (most == 0 || all <= most || number < (most + 1) / 3 || number >= all - (most + 1) / 3) return true;
  std::uint64_t const draw = (machine_->config().seed + static_cast<std::uint64_t>(number)) * 0x9E3779B97F4A7C15u >> 33;
  return static_cast<Size>(draw % static_cast<std::uint64_t>(all)) < (most + 2) / 3;
}

/// Runs threads until the block is done (true) or nobody can go on (false).
inline bool Runner::step() {
  if (Thread* const first = next()) {
    Runner* const outer = std::exchange(current, this);
    dispatch(scheduler_, *first);
    current = outer;
  }
  if (thrown_) {
    broken_ = true;
    std::rethrow_exception(thrown_);
  }
  return done_ == shape_->block;
}

inline void Runner::end() {
  std::byte const* const behind = shared_base_ + shape_->shared;
  for (std::size_t i = 0; i < kGuard; ++i)
    require<KernelError>(shared_base_[-1 - static_cast<std::ptrdiff_t>(i)] == std::byte{0xFF} && behind[i] == std::byte{0xFF},
                         "simt: kernel ", shape_->name, ", block (", index_.x, ", ", index_.y, ", ", index_.z, "): wrote beyond its ",
                         shape_->shared, " bytes of shared memory");
  traffic_.end();
  counters_ += traffic_.take();
  ++counters_.blocks;
  machine_->add(std::exchange(counters_, Counters{}));
}

/// Lets the stacks' fibers end, so that a sanitizer frees what it keeps for each.
inline void Runner::retire() noexcept {
#if defined(MGM_FIBER_ASAN)
  retire_ = true;
  for (int i = 0; i < capacity_ && !broken_; ++i)
    if (Fiber& fiber = carriers_[static_cast<std::size_t>(i)].fiber; fiber.started()) scheduler_.switch_to(fiber);
  retire_ = false;
#endif
}

inline int Runner::find_up(int from) const {
  std::size_t w = warp_of(from);
  unsigned lanes = ready_[w] & (kFullMask << (from % kWarp));
  for (std::size_t tried = 0; tried <= ready_.size(); ++tried) {
    if (lanes != 0) return static_cast<int>(w) * kWarp + std::countr_zero(lanes);
    w = w + 1 == ready_.size() ? 0 : w + 1;
    lanes = ready_[w];
  }
  return -1;
}
inline int Runner::find_down(int from) const {
  std::size_t w = warp_of(from);
  unsigned lanes = ready_[w] & (kFullMask >> (kWarp - 1 - from % kWarp));
  for (std::size_t tried = 0; tried <= ready_.size(); ++tried) {
    if (lanes != 0) return static_cast<int>(w) * kWarp + kWarp - 1 - std::countl_zero(lanes);
    w = w == 0 ? ready_.size() - 1 : w - 1;
    lanes = ready_[w];
  }
  return -1;
}

/// Among those that can run, by the order; -1: nobody can.
inline int Runner::pick() {
  int const count = shape_->block;
  switch (machine_->config().order) {
    case Order::forward:
    case Order::lockstep: {
      int const i = find_up(turn_);
      turn_ = i + 1 == count ? 0 : i + 1;
      return i;
    }
    case Order::reversed: {
      int const i = find_down(turn_);
      turn_ = i <= 0 ? count - 1 : i - 1;
      return i;
    }
    case Order::straggler: {
      unsigned& lanes = ready_[warp_of(straggler_)];
      unsigned const late = lanes & lane_bit(straggler_);
      lanes &= ~late;
      int const i = find_up(turn_);
      lanes |= late;
      if (i < 0) return late != 0 ? straggler_ : -1;
      turn_ = i + 1 == count ? 0 : i + 1;
      return i;
    }
    case Order::greedy: return find_up(0);
    case Order::random: return find_up(static_cast<int>(random() % static_cast<unsigned>(count)));
  }
  return -1;
}

/// Who goes on, or nobody. Those that spin look again when nobody else can run and something has happened since they looked.
inline Thread* Runner::next() {
  int i = pick();
  if (i < 0 && events_ != polled_) {
    polled_ = events_, version_ = launch_->version();
    for (std::size_t w = 0; w < ready_.size(); ++w) ready_[w] |= std::exchange(spinning_[w], 0u);
    i = pick();
  }
  return i < 0 ? nullptr : &thread(i);
}

inline void Runner::dispatch(Fiber& from, Thread& to) {
  if (to.carrier == nullptr) {
    to.carrier = free_.back();
    free_.pop_back();
    if (!to.carrier->fiber.started()) to.carrier->fiber.start(stacks_->at(to.carrier->stack), &Runner::enter);
  }
  self_ = &to;
  ++counters_.switches;
  from.switch_to(to.carrier->fiber);
}

inline void Runner::enter() {
  Runner& r = *current;  // looked up once: a later launch may run this fiber on another OS thread
  Carrier& mine = *r.self_->carrier;
  mine.fiber.entered();
  while (r.carry(mine)) {
  }
  mine.fiber.switch_to(r.scheduler_, true);
}

/// Runs the thread whose turn it is to its end, and then whoever is next; returns when this stack is to carry another.
inline bool Runner::carry(Carrier& mine) {
  if (retire_) return false;
  try {
    busy_ = !watching_;
    launch_->body(launch_->arguments);
    busy_ = true;
    finish();
  } catch (...) {
    busy_ = true;
    thrown_ = std::current_exception();
  }
  self_->carrier = nullptr;
  free_.push_back(&mine);
  Thread* const to = thrown_ ? nullptr : next();
  if (to != nullptr && to->carrier == nullptr) {  // it begins where this one ended
    free_.pop_back();
    to->carrier = &mine, self_ = to;
    return true;
  }
  if (to != nullptr) {
    dispatch(mine.fiber, *to);
  } else {
    ++counters_.switches;
    mine.fiber.switch_to(scheduler_);
  }
  return true;
}

/// Gives the processor to whoever is next; returns when it is this thread's turn again.
inline void Runner::pass_on() {
  Fiber& mine = self_->carrier->fiber;
  Thread* const to = next();
  if (to == self_) return;
  if (to != nullptr) {
    dispatch(mine, *to);
  } else {
    ++counters_.switches;
    mine.switch_to(scheduler_);
  }
}
inline void Runner::suspend() {
  ready_[warp_of(self_->index)] &= ~lane_bit(self_->index);
  pass_on();
}
inline void Runner::yield(char const* what, Site at) {
  Busy const busy(*this);
  self_->wait = what, self_->site = at;
  spinning_[warp_of(self_->index)] |= lane_bit(self_->index);
  suspend();
}
inline void Runner::preempt() {
  budget_ = machine_->config().order == Order::lockstep ? 0 : static_cast<int>(random() % 32);
  pass_on();
}

inline void Runner::touched(void const* p, int bytes, Touch touch, Site at) {
  Busy const busy(*this);
  if (machine_->config().count) traffic_.add(self_->index, shape_->block, at, p, bytes, in_shared(p));
  if (races_ && !stacks_->holds(p) &&
      !watch_.access(self_->index, reinterpret_cast<std::uintptr_t>(p), bytes, touch, watch_.places().of(at)))
    fail(watch_.finding(), at);
  if (preempt_ && --budget_ < 0) preempt();
}
inline void Runner::seen_here(void const* p, int bytes, bool write, void const* code) {
  Busy const busy(*this);
  if (races_) {
    std::uint32_t const where = Places::of(code);
    if (!watch_.access(self_->index, reinterpret_cast<std::uintptr_t>(p), bytes, write ? Touch::write : Touch::read, where)) {
      thrown_ = std::make_exception_ptr(KernelError(text("simt: ", place(*self_, watch_.places().text_of(where)), ": ", watch_.finding())));
      for (;;) self_->carrier->fiber.switch_to(scheduler_);  // a hook must not throw, so this thread is abandoned like the others
    }
  }
  if (preempt_ && --budget_ < 0) preempt();
}

}  // namespace mgm::inline v0::simt::host
