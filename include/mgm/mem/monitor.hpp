/// Progress and cancel, one interface for every stage.
#pragma once
#include <atomic>
#include <string_view>

#include <mgm/core/platform.hpp>

namespace mgm::inline v0 {

enum class Stage { load, encode, prefill, decode, denoise, paint };

[[nodiscard]] constexpr std::string_view name(Stage s) {
  constexpr std::string_view kNames[] = {"load", "encode", "prefill", "decode", "denoise", "paint"};
  return kNames[static_cast<int>(s)];
}

/// Told of progress after every layer or tensor; asked to stop at the same points. `cancel` may be called from any thread and from a
/// signal handler; the work then throws Cancelled and the session is as before the call.
class Monitor {
 public:
  virtual ~Monitor() = default;
  /// `done` of `total` steps of `stage` are behind us. Must not throw.
  virtual void progress(Stage stage, Size done, Size total) noexcept { (void)stage, (void)done, (void)total; }
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
  void reset() noexcept { cancelled_.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
  static_assert(std::atomic<bool>::is_always_lock_free);
};

}  // namespace mgm::inline v0
