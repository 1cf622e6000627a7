/// Stacks, and the switch between them: by hand on x86-64, by ucontext elsewhere (or with MGM_FIBER_UCONTEXT). AddressSanitizer is told of
/// each switch, and so may look at a fiber's stack as at a thread's.
#pragma once
#include <cstddef>
#include <cstdint>

#include <sys/mman.h>
#if !defined(__x86_64__) && !defined(MGM_FIBER_UCONTEXT)
#  define MGM_FIBER_UCONTEXT 1
#endif
#if defined(MGM_FIBER_UCONTEXT)
#  include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#  define MGM_FIBER_ASAN 1
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define MGM_FIBER_ASAN 1
#  endif
#endif
#if defined(MGM_FIBER_ASAN)
#  include <sanitizer/asan_interface.h>
#  include <sanitizer/common_interface_defs.h>
#endif

#include <mgm/core/error.hpp>

namespace mgm::inline v0::simt::host {

/// Bytes of a fiber's stack; committed as they are touched. Sanitizers make frames several times larger.
#if defined(MGM_FIBER_ASAN)
inline constexpr std::size_t kStackBytes = 512 * 1024;
#else
inline constexpr std::size_t kStackBytes = 128 * 1024;
#endif

#if !defined(MGM_FIBER_UCONTEXT)
#  if defined(__clang__)
#    define MGM_OPAQUE
#  else
#    define MGM_OPAQUE noipa,  // g++ would look into the body, find no register named there, and keep its own across the call
#  endif
/// Saves what the ABI says a callee keeps, stores the stack pointer in `*from`, takes `to` and restores.
__attribute__((MGM_OPAQUE naked, noinline, no_sanitize("thread"))) inline void switch_stack(void** /*from: rdi*/, void* /*to: rsi*/) {
  __asm__(
      "pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
      "movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
      "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tretq");
}
#  undef MGM_OPAQUE
#endif

/// A stack with a place to come back to. A host thread's own is a Fiber that was not `start`ed.
class Fiber {
 public:
  Fiber() = default;
  Fiber(Fiber const&) = delete;
  Fiber& operator=(Fiber const&) = delete;

  /// Readies the stack [base, base + kStackBytes) so that the first switch to this fiber calls `entry`, which must never return.
  void start(std::byte* base, void (*entry)()) {
    base_ = base;
#if defined(MGM_FIBER_UCONTEXT)
    ::getcontext(&context_);
    context_.uc_stack.ss_sp = base, context_.uc_stack.ss_size = kStackBytes;
    context_.uc_link = nullptr;
    ::makecontext(&context_, entry, 0);
#else
    auto* top = reinterpret_cast<void**>(base + kStackBytes);
    *--top = nullptr;                              // the ABI wants the stack 8 off 16 at a function's entry, as after a call
    *--top = reinterpret_cast<void*>(entry);       // where the switch returns to
    for (int i = 0; i < 6; ++i) *--top = nullptr;  // what it pops
    saved_ = top;
#endif
  }
  [[nodiscard]] bool started() const { return base_ != nullptr; }
  /// Runs `to` until somebody switches back here. `last`: this fiber will never run again.
  void switch_to(Fiber& to, [[maybe_unused]] bool last = false) {
#if defined(MGM_FIBER_ASAN)
    void* fake = nullptr;
    ::__sanitizer_start_switch_fiber(last ? nullptr : &fake, to.base_ ? to.base_ : to.seen_base_, to.base_ ? kStackBytes : to.seen_bytes_);
    to.came_from_ = this;
#endif
#if defined(MGM_FIBER_UCONTEXT)
    ::swapcontext(&context_, &to.context_);
#else
    switch_stack(&saved_, to.saved_);
#endif
#if defined(MGM_FIBER_ASAN)
    finish(fake);
#endif
  }
  /// First thing that an entry does.
  void entered() {
#if defined(MGM_FIBER_ASAN)
    finish(nullptr);
#endif
  }

 private:
#if defined(MGM_FIBER_ASAN)
  void finish(void* fake) {  // tells the sanitizer, and learns where a host thread that came has its stack
    void const* base = nullptr;
    std::size_t bytes = 0;
    ::__sanitizer_finish_switch_fiber(fake, &base, &bytes);
    if (came_from_ && !came_from_->base_) came_from_->seen_base_ = base, came_from_->seen_bytes_ = bytes;
  }
  Fiber* came_from_ = nullptr;
  void const* seen_base_ = nullptr;
  std::size_t seen_bytes_ = 0;
#endif
  std::byte* base_ = nullptr;
#if defined(MGM_FIBER_UCONTEXT)
  ::ucontext_t context_{};
#else
  void* saved_ = nullptr;
#endif
};

/// Stacks in one piece of address space above pages that nobody may touch. Each ends in a canary; they follow each other at a distance that
/// is no power of two, since tops a power of two apart would share a few lines of the caches.
class Stacks {
 public:
  explicit Stacks(int count) : count_(count) {
    void* const block = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require<MemoryError>(block != MAP_FAILED, "simt: no address space for ", count, " stacks of ", kStackBytes, " bytes");
    base_ = static_cast<std::byte*>(block);
    (void)::mprotect(base_, kGuard, PROT_NONE);
  }
  Stacks(Stacks const&) = delete;
  Stacks& operator=(Stacks const&) = delete;
  ~Stacks() {
#if defined(MGM_FIBER_ASAN)
    __asan_unpoison_memory_region(base_, bytes());  // a fiber that was abandoned leaves the marks of its frames
#endif
    ::munmap(base_, bytes());
  }

  [[nodiscard]] int count() const { return count_; }
  /// Lowest byte of stack `i`, its canary set.
  [[nodiscard]] std::byte* at(int i) const {
    std::byte* const stack = place(i);
    *reinterpret_cast<std::uint64_t*>(stack) = kCanary;
    return stack;
  }
  [[nodiscard]] bool intact(int i) const { return *reinterpret_cast<std::uint64_t const*>(place(i)) == kCanary; }
  [[nodiscard]] bool holds(void const* p) const {
    return reinterpret_cast<std::uintptr_t>(p) - reinterpret_cast<std::uintptr_t>(base_) < bytes();
  }

 private:
  static constexpr std::uint64_t kCanary = 0x5AFE57ACC0FFEE00u;
  static constexpr std::size_t kGuard = 64 * 1024, kStep = kStackBytes + 17 * 64;  // a guard of whole pages, whatever their size
  [[nodiscard]] std::byte* place(int i) const { return base_ + kGuard + static_cast<std::size_t>(i) * kStep; }
  [[nodiscard]] std::size_t bytes() const { return kGuard + static_cast<std::size_t>(count_) * kStep; }
  int count_;
  std::byte* base_;
};

}  // namespace mgm::inline v0::simt::host
