/// How CPU work is spread: the user's or our threads behind one small interface, and the instruction set chosen at run time.
/// Results never depend on the number of threads: work is cut by output, and no sum is cut.
#pragma once
#include <memory>
#include <string_view>
#include <type_traits>

#include <mgm/core/error.hpp>
#include <mgm/core/platform.hpp>

namespace mgm::inline v0 {

/// Instruction sets that the CPU kernels are compiled for, each by target attributes; later ones include the earlier.
enum class Isa { portable, avx2, avx512, avx512_bf16 };

[[nodiscard]] constexpr std::string_view name(Isa isa) {
  constexpr std::string_view kNames[] = {"portable", "avx2", "avx512", "avx512_bf16"};
  return kNames[static_cast<int>(isa)];
}

/// The best instruction set of this machine.
[[nodiscard]] inline Isa best_isa() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return __builtin_cpu_supports("avx512bf16") ? Isa::avx512_bf16 : Isa::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::portable;
}

/// A borrowed callable `void(Size)`; the callee does not outlive it.
class Task {
 public:
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, Task>)
  Task(F&& body)  // NOLINT: a lambda is a task
      : body_(const_cast<void*>(static_cast<void const*>(std::addressof(body)))),
        call_([](void* f, Size i) { (*static_cast<std::remove_reference_t<F>*>(f))(i); }) {}
  void operator()(Size i) const { call_(body_, i); }

 private:
  void* body_;
  void (*call_)(void*, Size);
};

/// Threads. Users bring their own pool by deriving; `mem` has ours.
class Threads {
 public:
  virtual ~Threads() = default;
  /// Runs `task(0) … task(count - 1)`, each once, in any order and on any threads, and returns when all are done.
  /// The first exception of a task is thrown here, after the others have ended.
  virtual void run(Size count, Task task) = 0;
  /// How many tasks run at the same time.
  [[nodiscard]] virtual int concurrency() const noexcept = 0;
};

/// What a CPU kernel needs to run. Borrowed from a Context.
struct Executor {
  Threads* threads;
  Isa isa;
  /// Runs `body(i)` for i in [0, count). With one task, or one thread, on the caller's own thread.
  template <class F>
  void parallel(Size count, F&& body) const {
    if (count <= 1 || threads == nullptr || threads->concurrency() <= 1) {
      for (Size i = 0; i < count; ++i) body(i);
    } else {
      threads->run(count, Task(body));
    }
  }
};

}  // namespace mgm::inline v0
