/// Work that is done many times with the same shapes: recorded once, then sent as one launch.
#pragma once
#include <optional>
#include <utility>
#include <vector>

#include <mgm/mem/context.hpp>
#include <mgm/simt/dry_run.hpp>

namespace mgm::inline v0 {

/// An arena that gives the same blocks again, in the same order, to work that asks for the same again: so a recording needs no memory that
/// its rehearsal did not have.
class RehearsedArena final : public Arena {
 public:
  using Arena::Arena;
  /// From here on what is given is noted.
  void rehearse() noexcept { given_.clear(), repeats_ = false; }
  /// From here on it is given again. Nothing that was given in the rehearsal lives any more.
  void repeat() noexcept { next_ = 0, repeats_ = true; }
  void end() noexcept { given_.clear(), repeats_ = false; }

  void* allocate(Size bytes, Size& granted) override {
    if (!repeats_) {
      void* const block = Arena::allocate(bytes, granted);
      try {
        given_.push_back({bytes, granted, block});
      } catch (...) {
        Arena::release(block, granted);
        throw;
      }
      return block;
    }
    require<DeviceError>(next_ < given_.size() && given_[next_].bytes == bytes, "recording: ", bytes,
                         " bytes are asked for, which the rehearsal did not; what is recorded must be the same each time");
    granted = given_[next_].granted;
    return given_[next_++].block;
  }
  void release(void* block, Size granted) noexcept override {
    if (!repeats_) Arena::release(block, granted);  // else it is free already
  }

 private:
  struct Given {
    Size bytes, granted;
    void* block;
  };
  std::vector<Given> given_;
  std::size_t next_ = 0;
  bool repeats_ = false;
};

/// Runs `body` once as it is, which is its rehearsal, and then records it, for ctx.replay. `body` enqueues the same each time, takes memory
/// by ctx.empty alone, keeps none of it, and asks the device nothing. The memory is of `arena`, which must outlive the graph and which
/// other recordings may share whose replays follow each other on the same stream. Throws what `body` throws, and DeviceError.
/// With `dry` the rehearsal does nothing: the first replay is the first run.
template <KernelDevice Dev, class Body>
[[nodiscard]] simt::Graph<Dev> run_and_record(Context<Dev>& ctx, std::shared_ptr<RehearsedArena> const& arena, Body&& body,
                                              bool dry = false) {
  auto const scope = ctx.take_from(arena);
  struct End {
    RehearsedArena* arena;
    ~End() { arena->end(); }
  } const end{arena.get()};
  arena->rehearse();
  {
    std::optional<simt::DryRun> nothing;
    if (dry) nothing.emplace();
    body();
  }
  arena->repeat();
  return ctx.record(body);
}

}  // namespace mgm::inline v0
