/// Asynchronous copies of the Simt machine: they land when they may, and what touches them too soon is named.
#include <cmath>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include <mgm/mem/context.hpp>
#include <mgm/simt/async_copy.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/ldmatrix.hpp>
#include <mgm/simt/memory.hpp>

namespace async_copy_test {

using namespace mgm;

constexpr int kThreads = 64;
struct Block {
  alignas(16) float at[2][kThreads * 4];
};
constexpr simt::LaunchShape kShape{.name = "copies", .grid = 1, .block = kThreads, .shared = sizeof(Block)};

/// Every rule broken in turn, and none.
enum class Fault {
  none,
  unwaited,
  unwaited_matrix,
  other_group,
  uncommitted,
  leaves,
  source,
  destination,
  twice,
  odd_source,
  odd_target,
  outside,
  from_shared
};

void copies_kernel(Fault fault, View<float, 1, Simt> in, View<float, 1, Simt> out) {
  auto& s = simt::shared<Block>();
  int const t = simt::thread_idx();
  int const bytes = t % 3 == 0 ? 16 : t % 3 == 1 ? 8 : 0;  // the rest reads as zero
  float* const first = &s.at[0][4 * t];
  float* const second = &s.at[1][4 * t];
  if (fault == Fault::odd_source) simt::copy_async<16>(first, in.data() + 1);
  if (fault == Fault::odd_target) simt::copy_async<16>(first + 1, in.data() + 4 * t);
  if (fault == Fault::outside) simt::copy_async<16>(second + kThreads * 4, in.data() + 4 * t);
  if (fault == Fault::from_shared) simt::copy_async<16>(first, second);
  simt::copy_async<16>(first, in.data() + 4 * t, bytes);
  if (fault != Fault::uncommitted) simt::copy_async_commit();
  simt::copy_async<8>(second, in.data() + 4 * t), simt::copy_async<4>(second + 2, in.data() + 4 * t + 2, t % 2 ? 4 : 1);
  if (fault == Fault::twice) simt::copy_async<4>(second, in.data() + 4 * t);
  if (fault != Fault::uncommitted) simt::copy_async_commit();
  if (fault == Fault::leaves) return;
  if (fault == Fault::source && t == 5) in(4 * 3) += 1;
  if (fault == Fault::destination && t == 5) s.at[0][4 * 3] = 1;
  simt::sync_block();
  unsigned two[2] = {};
  if (fault == Fault::unwaited_matrix) simt::ldmatrix<2>(two, &s.at[0][4 * simt::lane_idx()]);
  if (fault != Fault::unwaited) simt::copy_async_wait<1>();
  simt::sync_block();
  int const other = (t + 1) % kThreads;
  auto const a = simt::load<4>(&s.at[0][4 * other]);
  if (fault == Fault::other_group) (void)simt::load<2>(&s.at[1][4 * other]);
  simt::copy_async_wait<0>();
  simt::sync_block();
  auto const b = simt::load<2>(&s.at[1][4 * other]);
  for (int i = 0; i < 4; ++i) out(8 * other + i) = a[i] + float(two[0]);
  for (int i = 0; i < 2; ++i) out(8 * other + 4 + i) = b[i];
  out(8 * other + 6) = s.at[1][4 * other + 2];
}

std::string found_with(Fault fault, std::uint64_t seed, simt::Order order = simt::Order::forward) {
  Context<Simt> ctx({.threads = 1, .machine = {.order = order, .seed = seed}});
  auto in = ctx.empty<float>(Extents{Size{kThreads * 4}}), out = ctx.empty<float>(Extents{Size{kThreads * 8}});
  for (int i = 0; i < kThreads * 4; ++i) in(i) = float(i + 1);
  try {
    simt::launch(ctx.stream(), kShape, copies_kernel, fault, in.view(), out.view());
    ctx.synchronise();
  } catch (Error const& e) {
    return e.what();
  }
  for (int t = 0; t < kThreads; ++t) {
    int const bytes = t % 3 == 0 ? 16 : t % 3 == 1 ? 8 : 0;
    for (int i = 0; i < 4; ++i)
      if (out(8 * t + i) != (4 * i < bytes ? in(4 * t + i) : 0)) return "wrong";
    float third = in(4 * t + 2);
    if (t % 2 == 0) {  // one byte of it
      std::uint32_t bits;
      std::memcpy(&bits, &third, 4), bits &= 0xFFu, std::memcpy(&third, &bits, 4);
    }
    if (out(8 * t + 4) != in(4 * t) || out(8 * t + 5) != in(4 * t + 1) || out(8 * t + 6) != third) return "wrong";
  }
  return "";
}

TEST(AsyncCopy, LandsWithZerosBehindItsSourceWheneverItMay) {
  for (std::uint64_t seed = 0; seed < 6; ++seed)
    for (int order = 0; order < 6; ++order) EXPECT_EQ(found_with(Fault::none, seed, static_cast<simt::Order>(order)), "");
}
TEST(AsyncCopy, FindsEveryFaultWheneverItLands) {
  auto const expect = [](Fault fault, std::string_view part) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) {  // a coin, latest, earliest
      std::string const found = found_with(fault, seed);
      EXPECT_NE(found.find(part), std::string::npos) << "seed " << seed << ": " << found;
      EXPECT_NE(found.find("kernel copies, block (0, 0, 0), thread "), std::string::npos) << found;
    }
  };
  expect(Fault::unwaited, "the destination of an asynchronous copy is read before it was waited for; thread ");
  expect(Fault::unwaited_matrix, "ldmatrix: the destination of an asynchronous copy is read before it was waited for");
  expect(Fault::other_group, "the destination of an asynchronous copy is read before it was waited for");
  expect(Fault::uncommitted, "the destination of an asynchronous copy is read before it was waited for");
  expect(Fault::leaves, "returns with 3 asynchronous copies in flight");
  expect(Fault::source, "was written before the copy was waited for");
  expect(Fault::destination, "the destination of the asynchronous copy of line");
  expect(Fault::twice, "is overwritten by another copy before it was waited for");
  expect(Fault::odd_source, "copy_async: the source of 16 bytes is misaligned by 4");
  expect(Fault::odd_target, "copy_async: the destination of 16 bytes is misaligned by 4");
  expect(Fault::outside, "copy_async: the destination lies outside of the block's shared memory");
  expect(Fault::from_shared, "copy_async: the source lies in shared memory");
}
TEST(AsyncCopy, ReadsPoisonUntilItLands) {
  Context<Simt> ctx({.threads = 1, .machine = {.seed = 1}});
  auto in = ctx.empty<float>(Extents{Size{4}}), out = ctx.empty<float>(Extents{Size{2}});
  for (int i = 0; i < 4; ++i) in(i) = 7;
  simt::launch(ctx.stream(), {.name = "late", .grid = 1, .block = 1, .shared = 16}, [](View<float, 1, Simt> from, View<float, 1, Simt> to) {
    auto& s = simt::shared<float>();
    s = 3;
    simt::copy_async<16>(&s, from.data());
    to(0) = s;  // past the checks of load<N>
    simt::copy_async_commit(), simt::copy_async_wait<0>();
    to(1) = s;
  }, in.view(), out.view());
  EXPECT_TRUE(std::isnan(out(0)));
  EXPECT_EQ(out(1), 7);
}

}  // namespace async_copy_test
