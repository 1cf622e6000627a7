/// The device that a test of kernels runs on: Simt where g++ or clang compile it, Cuda where nvcc compiles the same file.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include <mgm/mem/context.hpp>
#include <mgm/simt/platform.hpp>
#include "support/reference.hpp"

namespace support {

using Dev = mgm::simt::KernelsFor;

/// Whether `./tests/run --full` asked for more shapes and orders.
inline bool full_suite() { return std::getenv("MGM_TEST_FULL") != nullptr; }

/// Of all that tests have read back from the device, one number, printed after each (MGM_TEST_BITS): two runs have the same bits, or not.
class BitsSeen {
 public:
  static void add(void const* data, std::size_t bytes) {
    if (!asked()) return;
    for (std::size_t i = 0; i < bytes; ++i) state() = (state() ^ static_cast<unsigned char const*>(data)[i]) * 1099511628211u;  // FNV-1a
  }
  static void print() {
    if (asked()) std::printf("bits %016llx\n", static_cast<unsigned long long>(state()));
  }

 private:
  static bool asked() {
    static bool const is_set = std::getenv("MGM_TEST_BITS") != nullptr;
    return is_set;
  }
  static std::uint64_t& state() {
    static std::uint64_t value = 14695981039346656037u;
    return value;
  }
};

/// Whether the machine is told of every access, finds races and changes threads at accesses: in test_strict.
#if defined(MGM_TEST_STRICT)
inline constexpr bool kStrict = true;
#else
inline constexpr bool kStrict = false;
#endif

/// The fixed shapes, and with --full so many more that there are 200: extents of the fixed ones in other company, one less, equal or one
/// more, where `fits(shape)` and no larger than the largest. Not where every access is watched: that takes ten times as long, and what it
/// finds hangs on the path through a kernel.
template <std::size_t R, std::size_t N, class Fits>
std::vector<std::array<mgm::Size, R>> shapes(std::array<mgm::Size, R> const (&fixed)[N], Fits fits) {
  std::vector<std::array<mgm::Size, R>> all(std::begin(fixed), std::end(fixed));
  auto const count = [](std::array<mgm::Size, R> const& s) {
    mgm::Size n = 1;
    for (mgm::Size const extent : s) n *= extent;
    return n;
  };
  mgm::Size most = 0;
  for (auto const& s : fixed) most = std::max(most, count(s));
  Numbers numbers(2026);
  for (int tries = 0; full_suite() && !kStrict && all.size() < 200 && tries < 100'000; ++tries) {
    std::array<mgm::Size, R> s{};
    for (std::size_t axis = 0; axis < R; ++axis)
      s[axis] = std::max<mgm::Size>(1, fixed[static_cast<std::size_t>(numbers.whole(0, int(N) - 1))][axis] + numbers.whole(-1, 1));
    if (count(s) <= most && fits(s)) all.push_back(s);
  }
  if (std::getenv("MGM_TEST_SMALL") != nullptr && all.size() > 6) {  // the smallest, for tools that make each access slow
    std::stable_sort(all.begin(), all.end(), [&](auto const& a, auto const& b) { return count(a) < count(b); });
    all.resize(6);
  }
  return all;
}
template <std::size_t R, std::size_t N>
std::vector<std::array<mgm::Size, R>> shapes(std::array<mgm::Size, R> const (&fixed)[N]) {
  return shapes(fixed, [](auto const&) { return true; });
}

#if defined(__CUDACC__)
/// Calls `test(ctx)` on the GPU; without one the test is skipped, and says why.
template <class Test>
void on_each_machine(Test&& test) {
  std::string why;
  if (mgm::simt::device_count(&why) == 0) GTEST_SKIP() << "no CUDA device: " << why;
  mgm::Context<mgm::Cuda> ctx;
  test(ctx);
  ctx.synchronise();
  BitsSeen::print();
}
#else
/// Calls `test(ctx)` on machines that differ in the order of threads and in when copies land: three with --full, otherwise one. In
/// test_strict that is one of the three, by the name of the test, so that a test of three element types meets each.
template <class Test>
void on_each_machine(Test&& test) {
  using enum mgm::simt::Order;
  mgm::simt::Order const orders[] = {random, kStrict ? straggler : reversed, kStrict ? reversed : greedy};
  int sum = 0;
  auto const* const info = testing::UnitTest::GetInstance()->current_test_info();
  for (char const c : std::string(info->test_suite_name()) + info->name()) sum += c;
  for (int i = 0; i < 3; ++i) {
    if (!full_suite() && i != (kStrict ? sum % 3 : 0)) continue;
    SCOPED_TRACE(std::string("order ") + std::string(mgm::simt::kOrderNames[static_cast<int>(orders[i])]));
    mgm::Context<mgm::Simt> ctx({.threads = 2,
                                 .machine = {.order = orders[i],
                                             .seed = 7 + static_cast<std::uint64_t>(i),
                                             .races = kStrict,
                                             .preempt = kStrict,
                                             .blocks = full_suite() ? 0 : 3}});
    test(ctx);
    ctx.synchronise();
    BitsSeen::print();
  }
}
#endif

/// A Guarded tensor as it lies on the device, guards included. Declare each by itself: nvcc's front end wants all of a declaration to be of
/// one rank.
template <class T, int R>
class OnDevice {
 public:
  OnDevice(mgm::Context<Dev>& ctx, Guarded<T, R> const& host)
      : ctx_(&ctx),
        host_(host),
        block_(ctx.on_device(mgm::View<T const, 1, mgm::Cpu>(host.block().data(), mgm::Extents{mgm::Size(host.block().size())}))) {}
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
    BitsSeen::add(bytes.data(), static_cast<std::size_t>(bytes.count()) * sizeof(T));
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
