/// Who uses a session: nobody, a call, or an answer that is still being read. Whatever would corrupt it is refused.
#pragma once
#include <atomic>
#include <string_view>

#include <mgm/core/error.hpp>

namespace mgm::inline v0::models {

/// A session's own. Each call that changes the session begins here; one that comes while another is under way, from another thread or from
/// a callback of the first, gets an ArgumentError, and so does one that would change what an answer stands on. It may move while idle.
class SessionUse {
  enum class State { idle, busy, answering };

 public:
  SessionUse() = default;
  SessionUse(SessionUse&&) noexcept {}
  SessionUse& operator=(SessionUse&&) noexcept { return *this; }

  /// A call under way, until it dies.
  class Call {
   public:
    Call(SessionUse& use, State after) : use_(&use), after_(after) {}
    Call(Call const&) = delete;
    Call& operator=(Call const&) = delete;
    ~Call() { use_->state_ = after_; }
    void leave_to_answer() noexcept { after_ = State::answering; }
    void leave_idle() noexcept { after_ = State::idle; }

   private:
    SessionUse* use_;
    State after_;
  };

  /// A call of the session's. Throws ArgumentError.
  [[nodiscard]] Call begin(std::string_view what) {
    take(State::idle, what);
    return {*this, State::idle};
  }
  /// The answer's next piece. Throws ArgumentError.
  [[nodiscard]] Call go_on(std::string_view what) {
    take(State::answering, what);
    return {*this, State::answering};
  }
  /// The answer was dropped.
  void drop_answer() noexcept { state_ = State::idle; }

 private:
  void take(State from, std::string_view what) {
    State found = from;
    if (state_.compare_exchange_strong(found, State::busy)) return;
    require<ArgumentError>(
        found != State::busy, what,
        ": the session is in use, by another thread or by the call that this one comes from; one call at a time uses it");
    require<ArgumentError>(found != State::answering, what,
                           ": an answer of this session is still being read; read it to its end or drop it");
    throw ArgumentError(text(what, ": the session goes on without this answer"));
  }
  std::atomic<State> state_ = State::idle;
};

}  // namespace mgm::inline v0::models
