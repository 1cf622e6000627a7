// The arena that is planned: places of its rehearsal, one block, what does not fit.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include <mgm/mem/context.hpp>
#include <mgm/mem/planned_arena.hpp>

#include "support/counting_allocator.hpp"

namespace planned_arena_test {
using namespace mgm;

TEST(Places, TakeTheLowestGapThatHolds) {
  Places p;
  EXPECT_EQ(p.take(512), 0);
  EXPECT_EQ(p.take(256), 512);
  EXPECT_EQ(p.take(1024), 768);
  p.give(0);
  EXPECT_EQ(p.take(256), 0);
  EXPECT_EQ(p.take(256), 256);
  p.give(0), p.give(512), p.give(256);
  EXPECT_EQ(p.take(768), 0) << "neighbours are one gap";
  EXPECT_EQ(p.take(256, 1792), -1);
  EXPECT_EQ(p.take(256, 2048), 1792);
  EXPECT_EQ(p.reach(), 2048);
}

/// Requests and returns in an order by the seed, `share` of the sizes; gives the addresses.
std::vector<void*> work(Context<Cpu>& ctx, double share, bool write) {
  std::mt19937 random(7);
  std::vector<Tensor<std::byte, 1, Cpu>> alive;
  std::vector<void*> at;
  for (int i = 0; i < 500; ++i) {
    Size const bytes = 1 + static_cast<Size>(share * static_cast<double>(random() % 100000));
    if (alive.size() > 12 || (alive.size() > 2 && random() % 2 == 0))
      alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(random() % alive.size()));
    alive.push_back(ctx.empty<std::byte>(Extents{bytes}));
    at.push_back(alive.back().data());
    if (!write) continue;
    std::fill_n(alive.back().data(), bytes, static_cast<std::byte>(i));
    for (auto const& other : alive)
      if (&other != &alive.back()) {
        EXPECT_TRUE(other.data() + other.count() <= alive.back().data() || alive.back().data() + bytes <= other.data());
      }
  }
  return at;
}

TEST(PlannedArena, TheSameWorkFindsItsPlacesInOneBlock) {
  auto const memory = std::make_shared<support::CountingAllocator>();
  {
    Context<Cpu> ctx({.threads = 1, .allocator = memory});
    auto const arena = std::make_shared<PlannedArena>(memory);
    auto const scope = ctx.take_from(arena);
    auto const planned = work(ctx, 1, false);
    EXPECT_EQ(memory->calls, 0) << "addresses alone";
    arena->reserve();
    EXPECT_EQ(memory->calls, 1);
    EXPECT_EQ(memory->alive, arena->reserved());
    for (int round = 0; round < 2; ++round) {
      auto const found = work(ctx, 1, true);
      for (std::size_t i = 0; i < found.size(); ++i)
        ASSERT_EQ(static_cast<char*>(found[i]) - static_cast<char*>(found[0]),
                  static_cast<char*>(planned[i]) - static_cast<char*>(planned[0]));
    }
    EXPECT_EQ(memory->calls, 1);
    (void)work(ctx, 2, true);
    EXPECT_GT(memory->calls, 1) << "more than was planned comes from the parent";
  }
  EXPECT_EQ(memory->alive, 0);
}
TEST(PlannedArena, NothingPlannedIsAnArenaLikeAnyOther) {
  auto const memory = std::make_shared<support::CountingAllocator>();
  Context<Cpu> ctx({.threads = 1, .allocator = memory});
  auto const arena = std::make_shared<PlannedArena>(memory);
  arena->reserve();
  EXPECT_EQ(memory->calls, 0);
  auto const scope = ctx.take_from(arena);
  (void)work(ctx, 1, true);
  EXPECT_GT(memory->calls, 0);
}

}  // namespace planned_arena_test
