/// Work that is gone through without being done, to learn what memory it takes.
#pragma once
#include <utility>

namespace mgm::inline v0::simt {

/// While one lives, what its thread enqueues is checked and dropped: launches, second backends' work, copies to the device. What a Context
/// brings to the host is zeros. No memory of a device is read or written, so that blocks need not be there. Ours alone heeds it: work that
/// a program enqueues past `launch` and Context is done.
class DryRun {
 public:
  DryRun() noexcept : before_(std::exchange(under_way(), true)) {}
  DryRun(DryRun const&) = delete;
  DryRun& operator=(DryRun const&) = delete;
  ~DryRun() { under_way() = before_; }
  /// Whether this thread's work is dropped.
  [[nodiscard]] static bool& under_way() noexcept {
    thread_local bool flag = false;
    return flag;
  }

 private:
  bool before_;
};

}  // namespace mgm::inline v0::simt
