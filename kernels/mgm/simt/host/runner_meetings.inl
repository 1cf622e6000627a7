/// Where threads meet: barriers and exchanges, who may no longer come, and what to say when not all do.
#pragma once
#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::host {

[[nodiscard]] inline bool same_site(Site a, Site b) { return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0); }

inline void Runner::release(int id) {
  Barrier& barrier = barriers_[id];
  if (races_) {
    if (id == 0) watch_.add_gone(barrier.meeting);
    Past const past = barrier.meeting.take();
    for (int i = 0; i < shape_->block; ++i)
      if ((barrier.waiting[warp_of(i)] & lane_bit(i)) != 0) watch_.give(i, past);
  }
  for (std::size_t w = 0; w < ready_.size(); ++w) {
    ready_[w] |= barrier.waiting[w];
    barrier.waiting[w] = barrier.came[w] = 0;
  }
  barrier.arrived = 0;
}

inline void Runner::meet(int id, int expected, bool wait, Site at) {
  Busy const busy(*this);
  Barrier& barrier = barriers_[id];
  int const me = self_->index, all = id == 0 ? shape_->block - done_ : expected;
  std::size_t const w = warp_of(me);
  if (id == 0) {
    if (barrier.arrived > 0 && !same_site(barrier.site, at))
      fail(text("divergence: this thread is at one block barrier while others wait at line ", barrier.site.line), at);
  } else {
    if (barrier.arrived > 0 && barrier.expected != expected)
      fail(text("named barrier ", id, ": expects ", expected, " threads here and ", barrier.expected, " at line ", barrier.site.line), at);
    if ((barrier.came[w] & lane_bit(me)) != 0)
      fail(text("named barrier ", id, ": this thread arrives a second time before the ", expected, " threads have met"), at);
    if (unsigned const missing = warps_[w].left & ~barrier.came[w]; missing != 0)
      fail(text("named barrier ", id, ": thread ", static_cast<int>(w) * kWarp + std::countr_zero(missing),
                " of this warp has left the kernel; whole warps meet here"), at);
  }
  if (barrier.arrived == 0) barrier.site = at, barrier.expected = expected;
  ++barrier.arrived, ++events_;
  barrier.came[w] |= lane_bit(me);
  if (wait) barrier.waiting[w] |= lane_bit(me);
  if (races_) watch_.bring(barrier.meeting, me);
  if (barrier.arrived == all) {
    release(id);
  } else if (wait) {
    self_->wait = id == 0 ? "the block barrier" : "a named barrier", self_->site = at;
    suspend();
  }
}

inline Exchange& Runner::exchange(char const* what, void const* value, std::size_t bytes, unsigned mask, Site at, bool orders) {
  Busy const busy(*this);
  int const index = self_->index, lane = index % kWarp, first = index - lane;
  Warp& warp = warps_[warp_of(index)];
  if (shape_->block - first < kWarp) mask &= lane_bit(shape_->block) - 1;  // the last warp of a block may be short
  if ((mask & lane_bit(lane)) == 0) fail(text(what, ": the mask does not name the lane that calls, ", lane), at);
  if ((mask & warp.left) != 0)
    fail(text(what, ": the mask names lane ", std::countr_zero(mask & warp.left), ", which has left the kernel"), at);
  Exchange* e = nullptr;
  Exchange* spare = nullptr;
  for (auto const& other : warp.exchanges) {
    if (other->arrived == 0 && other->to_read == 0) spare = other.get();
    if (other->arrived == 0 || other->arrived == other->mask || other->mask != mask) continue;
    if (!same_site(other->site, at) || std::strcmp(other->what, what) != 0)
      fail(text("divergence: ", what, " here, while lanes of the same mask wait in ", other->what, " at line ", other->site.line), at);
    e = other.get();
  }
  if (e == nullptr) {
    e = spare != nullptr ? spare : warp.exchanges.emplace_back(std::make_unique<Exchange>()).get();
    e->mask = mask, e->what = what, e->site = at;
  }
  std::memcpy(e->value[lane], value, bytes);
  e->arrived |= lane_bit(lane);
  ++e->to_read, ++events_;
  bool const order = orders && races_;
  if (order) watch_.bring(e->meeting, index);
  if (e->arrived == mask) {
    if (order) e->past = e->meeting.take();
    ready_[warp_of(index)] |= mask;
  } else {
    self_->wait = what, self_->site = at;
    suspend();
  }
  if (order) watch_.give(index, e->past);
  return *e;
}

/// The running thread returned from the kernel: it counts as arrived at the block's barrier, and nowhere else.
inline void Runner::finish() {
  Thread& me = *self_;
  std::size_t const w = warp_of(me.index);
  unsigned const lane = lane_bit(me.index);
  if (std::string const found = copies_.left(me.index); !found.empty()) fail(found, me.site);
  if (!stacks_->intact(me.carrier->stack)) fail(text("used more than ", kStackBytes, " bytes of stack"), me.site);
  for (auto const& e : warps_[w].exchanges)
    if (e->arrived != 0 && e->arrived != e->mask && (e->mask & lane) != 0)
      fail(text(e->what, ": the mask names lane ", me.index % kWarp, ", which has left the kernel"), e->site);
  for (int id = 1; id < 16; ++id)
    if (barriers_[id].waiting[w] != 0 && (barriers_[id].came[w] & lane) == 0)
      fail(text("named barrier ", id, ": this thread has left the kernel, while others of its warp wait there; whole warps meet"),
           barriers_[id].site);
  ready_[w] &= ~lane;
  warps_[w].left |= lane;
  ++done_, ++events_;
  if (races_) watch_.leave(me.index);
  if (barriers_[0].arrived > 0 && barriers_[0].arrived + done_ == shape_->block) release(0);
}

/// Nobody can go on: who waits where, and for whom.
inline std::string Runner::stuck() const {
  auto const waits = [&](int i) { return (warps_[warp_of(i)].left & lane_bit(i)) == 0; };
  for (int i = 0; i < shape_->block; ++i) {
    if (!waits(i)) continue;
    Thread const& waiting = thread(i);
    bool const spins = (spinning_[warp_of(i)] & lane_bit(i)) != 0;
    std::string out = text("simt: ", place(waiting, waiting.site), ": waits for ", waiting.wait,
                           spins ? ", which nobody moves any more" : " that not all reach");
    for (Barrier const& barrier : barriers_)
      if (&barrier != barriers_ && (barrier.waiting[warp_of(i)] & lane_bit(i)) != 0)
        out += text("; ", barrier.arrived, " of ", barrier.expected, " threads came to barrier ", &barrier - barriers_);
    for (int j = i + 1; j < shape_->block; ++j)
      if (Thread const& other = thread(j); waits(j) && (!same_site(other.site, waiting.site) || other.wait != waiting.wait))
        return out + text("; thread ", j, " waits for ", other.wait, " at line ", other.site.line);
    return out + text("; ", done_, " of ", shape_->block, " threads have returned");
  }
  return text("simt: kernel ", shape_->name, ": no thread can go on");
}

}  // namespace mgm::inline v0::simt::host
