/// The device that a test of kernels runs on: Simt where g++ or clang compile it, Cuda where nvcc compiles the same file.
#pragma once
#include <cstdlib>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include <mgm/mem/context.hpp>
#include <mgm/simt/platform.hpp>
#include "support/reference.hpp"

namespace support {

using Dev = mgm::simt::KernelsFor;

/// Whether `./tests/run --full` asked for more shapes and orders.
inline bool full_suite() { return std::getenv("MGM_TEST_FULL") != nullptr; }

#if defined(__CUDACC__)
/// Calls `test(ctx)` on the GPU; without one the test is skipped, and says why.
template <class Test>
void on_each_machine(Test&& test) {
  std::string why;
  if (mgm::simt::device_count(&why) == 0) GTEST_SKIP() << "no CUDA device: " << why;
  mgm::Context<mgm::Cuda> ctx;
  test(ctx);
  ctx.synchronise();
}
#else
/// Whether the machine is told of every access, finds races and changes threads at accesses: in test_strict.
#if defined(MGM_TEST_STRICT)
inline constexpr bool kStrict = true;
#else
inline constexpr bool kStrict = false;
#endif

/// Calls `test(ctx)` on machines that differ in the order of threads and in when copies land: one, three with --full or in test_strict.
template <class Test>
void on_each_machine(Test&& test) {
  using enum mgm::simt::Order;
  mgm::simt::Order const orders[] = {random, kStrict ? straggler : reversed, kStrict ? reversed : greedy};
  for (int i = 0; i < (full_suite() || kStrict ? 3 : 1); ++i) {
    SCOPED_TRACE(std::string("order ") + std::string(mgm::simt::kOrderNames[static_cast<int>(orders[i])]));
    mgm::Context<mgm::Simt> ctx({.threads = 2,
                                 .machine = {.order = orders[i], .seed = 7 + static_cast<std::uint64_t>(i), .races = kStrict, .preempt = kStrict,
                                             .blocks = full_suite() ? 0 : 3}});
    test(ctx);
    ctx.synchronise();
  }
}
#endif

/// A Guarded tensor as it lies on the device, guards included. Declare each by itself: nvcc's front end wants all of a declaration to be of
/// one rank.
template <class T, int R>
class OnDevice {
 public:
  OnDevice(mgm::Context<Dev>& ctx, Guarded<T, R> const& host)
      : ctx_(&ctx), host_(host), block_(ctx.on_device(mgm::View<T const, 1, mgm::Cpu>(host.block().data(), mgm::Extents{mgm::Size(host.block().size())}))) {}
  /// For the kernel: as the host's view, in the device's memory.
  [[nodiscard]] mgm::View<T, R, Dev> view() const {
    auto const v = host_.view();
    return {const_cast<T*>(block_.data()) + host_.offset(), v.extents(), v.strides()};
  }
  /// What lies there now.
  [[nodiscard]] Guarded<T, R> back() const {
    Guarded<T, R> out = host_;
    auto const bytes = ctx_->on_host(mgm::View<T const, 1, Dev>(block_.data(), block_.extents()));
    std::copy(bytes.data(), bytes.data() + bytes.count(), out.block().begin());
    return out;
  }

 private:
  mgm::Context<Dev>* ctx_;
  Guarded<T, R> host_;
  mgm::Tensor<T const, 1, Dev> block_;
};

/// Inputs whose products and sums are exact in every type: whole numbers of [-4, 4], mostly zero.
template <class T, int R>
Guarded<T, R> sparse(Numbers& numbers, mgm::Extents<R> extents, mgm::Size guard = 3, mgm::Size offset = 1) {
  Guarded<T, R> t(extents, guard, offset);
  t.fill([&] { return numbers.whole(0, 3) == 0 ? numbers.whole(-4, 4) : 0; });
  return t;
}
/// Uniform in [-1, 1), rounded to T.
template <class T, int R>
Guarded<T, R> dense(Numbers& numbers, mgm::Extents<R> extents, mgm::Size guard = 3, mgm::Size offset = 1) {
  Guarded<T, R> t(extents, guard, offset);
  t.fill([&] { return numbers.uniform(); });
  return t;
}
/// An output: poisoned.
template <class T, int R>
Guarded<T, R> poisoned(mgm::Extents<R> extents, mgm::Size guard = 3, mgm::Size offset = 1) {
  return Guarded<T, R>(extents, guard, offset);
}

template <class T>
std::string type_of() {
  return std::is_same_v<T, float> ? "f32" : std::is_same_v<T, mgm::bf16> ? "bf16" : "f16";
}

}  // namespace support
