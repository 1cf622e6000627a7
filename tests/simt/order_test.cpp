/// Meetings, leavers, spinning and cost of the Simt machine: what is wrong is named in every order, what is right is left alone.
#include <gtest/gtest.h>

#include <mgm/mem/context.hpp>
#include <mgm/simt/atomic.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace order_test {

using namespace mgm;
using simt::Memory, simt::Order;
constexpr Order kOrders[] = {Order::forward, Order::reversed, Order::random, Order::greedy, Order::lockstep, Order::straggler};

std::string found(simt::MachineConfig const& machine, simt::LaunchShape const& shape, auto kernel, auto... args) {
  Context<Simt> ctx({.threads = 2, .machine = machine});
  try {
    simt::launch(ctx.stream(), shape, kernel, args...);
    ctx.synchronise();
    return {};
  } catch (Error const& e) {
    return e.what();
  }
}
void expect_in_all_orders(simt::LaunchShape const& shape, std::string_view part, auto kernel, auto... args) {
  for (Order const order : kOrders)
    for (std::uint64_t const seed : {1u, 2u}) {
      std::string const message = found({.order = order, .seed = seed}, shape, kernel, args...);
      if (part.empty())
        EXPECT_EQ(message, "") << simt::kOrderNames[static_cast<int>(order)];
      else
        EXPECT_NE(message.find(part), std::string::npos)
            << simt::kOrderNames[static_cast<int>(order)] << ": '" << message << "' lacks '" << part << "'";
    }
}

TEST(Leavers, AreReportedAtNamedBarriers) {
  expect_in_all_orders({.name = "early", .grid = 1, .block = 64}, "has left the kernel", [] {
    if (simt::thread_idx() == 40) return;
    simt::sync_named(3, 64);
  });
}
TEST(Leavers, AreReportedInShufflesAndVotes) {
  expect_in_all_orders({.name = "early", .grid = 1, .block = 64}, "lane 9, which has left the kernel", [] {
    if (simt::thread_idx() == 41) return;
    (void)simt::ballot(true);
  });
  expect_in_all_orders({.name = "rest", .grid = 1, .block = 64}, "", [] {
    if (simt::lane_idx() == 9) return;
    (void)simt::ballot(true, ~(1u << 9));
  });
}
TEST(Leavers, CountAtTheBlocksBarrierAndNowhereElse) {
  expect_in_all_orders({.name = "early", .grid = 3, .block = 70}, "", [] {
    if (simt::thread_idx() % 3 == 1) return;
    simt::sync_block();
    if (simt::thread_idx() % 3 == 2) return;
    simt::sync_block();
  });
}
TEST(Meetings, OneThreadDoesNotCountTwice) {
  expect_in_all_orders({.name = "twice", .grid = 1, .block = 64}, "arrives a second time", [] {
    if (simt::warp_idx() != 0) return;
    simt::arrive_named(1, 64);
    simt::arrive_named(1, 64);
  });
}
TEST(Meetings, SubsetsOfAWarpMeetByTheirMasks) {
  expect_in_all_orders({.name = "masks", .grid = 1, .block = 64}, "", [] {
    int const lane = simt::lane_idx();
    unsigned const mine = lane < 12 ? 0xFFFu : ~0xFFFu;
    for (int i = 0; i < (lane < 12 ? 3 : 5); ++i)
      if (simt::shuffle(lane, lane < 12 ? 4 : 20, mine) != (lane < 12 ? 4 : 20))
        simt::sync_named(99, 64);  // a mistake, said in our own way
    if (simt::ballot(lane == 3) != 8u) simt::sync_named(99, 64);
  });
}
TEST(Meetings, SayWhoWaitsWhere) {
  std::string const message = found({}, {.name = "half", .grid = {2, 2}, .block = 64}, [] {
    if (simt::thread_idx() < 32)
      simt::sync_named(2, 64);
    else
      simt::sync_named(3, 64);
  });
  EXPECT_NE(message.find("simt: kernel half, block ("), std::string::npos) << message;
  EXPECT_NE(message.find("thread 0, order_test.cpp:"), std::string::npos) << message;
  EXPECT_NE(message.find("32 of 64 threads came to barrier 2; thread 32 waits for a named barrier at line"), std::string::npos) << message;
}

TEST(Spinning, EndsWhenSomebodyMovesTheCounter) {
  auto const relay = [](int* counter, int* out) {  // each thread waits for the one before
    int const t = simt::thread_idx();
    simt::wait_until(counter, [t](int seen) { return seen == t; });
    out[t] = t == 0 ? 1 : out[t - 1] + 1;
    simt::atomic_store<Memory::release>(counter, t + 1);
  };
  for (Order const order : kOrders)
    for (bool const races : {false, true}) {
      int counter = 0, out[96] = {};
      EXPECT_EQ(found({.order = order, .seed = 3, .races = races}, {.name = "relay", .grid = 1, .block = 96}, relay, &counter, &out[0]),
                "");
      EXPECT_EQ(out[95], 96);
    }
}
TEST(Spinning, IsReportedWhenNobodyCan) {
  int counter = 0;
  auto const stuck = [](int* c) { simt::wait_until(c, [](int seen) { return seen == 7; }); };
  expect_in_all_orders({.name = "stuck", .grid = 3, .block = 33}, "waits for a counter, which nobody moves any more", stuck, &counter);
  expect_in_all_orders(
      {.name = "mixed", .grid = 1, .block = 64}, "thread 0, order_test.cpp:",
      [](int* c) {
        if (simt::thread_idx() == 0) simt::wait_until(c, [](int seen) { return seen == 7; });
        simt::sync_block();
      },
      &counter);
}
TEST(Spinning, OnABlockThatRunsMeanwhileOrEarlier) {
  auto const chain = [](int* turns, int* sums) {  // blocks take tickets, so that each waits for one that has begun
    auto& ticket = simt::shared<int>();
    if (simt::thread_idx() == 0) ticket = simt::atomic_add(&turns[0], 1);
    simt::sync_block();
    if (simt::thread_idx() != 0) return;
    simt::wait_until(&turns[1], [](int) { return true; });
    simt::wait_until(&turns[1], [t = ticket](int seen) { return seen == t; });
    sums[ticket + 1] = sums[ticket] + ticket;
    simt::atomic_store<Memory::release>(&turns[1], ticket + 1);
  };
  for (Order const order : kOrders)
    for (bool const races : {false, true}) {
      int turns[2] = {}, sums[65] = {};
      EXPECT_EQ(found({.order = order, .seed = 3, .races = races}, {.name = "chain", .grid = 64, .block = 32, .shared = 4}, chain,
                      &turns[0], &sums[0]),
                "");
      EXPECT_EQ(sums[64], 63 * 32);
    }
}
TEST(Atomics, AddAndCompareInAllBlocks) {
  struct Words {
    int sum, winner;
    unsigned long long wide;
    float real;
  } w{0, -1, 0, 0};
  auto const kernel = [](Words* to) {
    (void)simt::atomic_add(&to->sum, 1);
    (void)simt::atomic_add(&to->wide, 1ull << 33);
    (void)simt::atomic_add(&to->real, 0.5f);
    (void)simt::atomic_cas<Memory::acq_rel>(&to->winner, -1, simt::thread_idx());
  };
  EXPECT_EQ(found({}, {.name = "atomics", .grid = 16, .block = 64}, kernel, &w), "");
  EXPECT_EQ(w.sum, 1024);
  EXPECT_EQ(w.wide, 1024ull << 33);
  EXPECT_EQ(w.real, 512.0f);
  EXPECT_TRUE(w.winner >= 0 && w.winner < 64);
}

/// Races in what `load` and `store` touch are found in every build.
TEST(Races, OfWideAccessesAreFoundInEveryBuild) {
  alignas(16) float words[64] = {};
  std::string const message = found(
      {.races = true}, {.name = "rows", .grid = 2, .block = 4},
      [](float* p) { simt::store<4>(p + 4 * simt::thread_idx(), simt::Vec<float, 4>{}); }, &words[0]);
  EXPECT_NE(message.find("simt: kernel rows, block (1, 0, 0), thread 0, order_test.cpp:"), std::string::npos) << message;
  EXPECT_NE(message.find("race: writes 16 bytes of global memory that thread 0 of block (0, 0, 0) wrote at order_test.cpp:"),
            std::string::npos)
      << message;
}

Size switches(simt::LaunchShape const& shape, auto kernel) {
  Context<Simt> ctx({.threads = 1});
  simt::launch(ctx.stream(), shape, kernel);
  EXPECT_EQ(ctx.machine().counters().blocks, shape.grid.count());
  EXPECT_EQ(ctx.machine().counters().launches, 1);
  return ctx.machine().counters().switches;
}
TEST(Cost, IsCountedInSwitches) {
  // a stack that has carried one thread to its end carries the next: into the block and out of it
  EXPECT_EQ(switches({.name = "none", .grid = 10, .block = 256}, [] {}), 2 * 10);
  // with n meetings each thread is left n times and begun or taken up n + 1 times, but whoever completes a meeting goes on
  EXPECT_EQ(switches({.name = "one", .grid = 1, .block = 256}, [] { simt::sync_block(); }), 2 + 2 * 255);
  EXPECT_EQ(switches({.name = "ten", .grid = 1, .block = 256},
                     [] {
                       for (int i = 0; i < 10; ++i) simt::sync_block();
                     }),
            2 + 11 * 255);
  EXPECT_EQ(switches({.name = "sum", .grid = 1, .block = 32},
                     [] {
                       for (int i = 0; i < 10; ++i) (void)simt::warp_sum(1);
                     }),
            2 + 11 * 31);
}

TEST(Traffic, BanksAndSectorsAreCounted) {
  struct Tile {
    alignas(16) float at[32 * 36];
  };
  auto const counted = [](auto kernel) {
    Context<Simt> ctx({.threads = 1, .machine = {.count = true}});
    auto const data = ctx.empty<float>(Extents{Size{4096}});
    simt::launch(ctx.stream(), {.name = "traffic", .grid = 1, .block = 64, .shared = sizeof(Tile)}, kernel, data.data());
    return ctx.machine().counters();
  };
  auto const rows = counted([](float* p) {
    int const t = simt::thread_idx();
    simt::store<1>(&simt::shared<Tile>().at[t], simt::load<1>(p + t));
  });
  EXPECT_EQ(rows.shared_passes, 2);
  EXPECT_EQ(rows.shared_least, 2);
  EXPECT_EQ(rows.global_sectors, 2 * 4);
  EXPECT_EQ(rows.global_least, 2 * 4);
  auto const columns = counted([](float* p) {  // a stride of 32 words: one bank; in global memory one sector a lane
    int const t = simt::lane_idx();
    simt::store<1>(&simt::shared<Tile>().at[32 * t], simt::load<1>(p + 32 * t));
  });
  EXPECT_EQ(columns.shared_passes, 2 * 32);
  EXPECT_EQ(columns.shared_least, 2);
  EXPECT_EQ(columns.global_sectors, 2 * 32);
  EXPECT_EQ(columns.global_least, 2 * 4);
  auto const padded = counted([](float*) {  // 16 bytes a lane go by quarter warps; 36 words apart they do not meet
    simt::store<4>(&simt::shared<Tile>().at[36 * simt::lane_idx()], simt::Vec<float, 4>{});
  });
  EXPECT_EQ(padded.shared_passes, 2 * 4);
  EXPECT_EQ(padded.shared_least, 2 * 4);
}

TEST(Limits, OfArgumentsAndOfTheStack) {
  struct Large {
    char bytes[40'000];
  };
  static Large const large{};
  EXPECT_NE(found(
                {}, {.name = "large", .grid = 1, .block = 1}, [](Large const&) {}, large)
                .find("at most 32764 bytes of arguments"),
            std::string::npos);
  EXPECT_EQ(found({.arch = 120}, {.name = "small", .grid = 1, .block = 1, .shared = 100 * 1024}, [] {})
                .find("small: 102400 bytes of shared memory"),
            0u);
}
TEST(Launches, WithinALaunchAreTheHosts) {
  int out = 0;
  Context<Simt> inner({.threads = 1});
  auto const nested = [](Context<Simt>* ctx, int* to) {
    simt::launch(
        ctx->stream(), {.name = "inner", .grid = 1, .block = 64},
        [](int* p) {
          simt::sync_block();
          if (simt::thread_idx() == 0) *p += 1;
        },
        to);
    simt::sync_block();
    if (simt::thread_idx() == 3) throw ShapeError("after the inner one");
  };
  EXPECT_EQ(found({}, {.name = "outer", .grid = 1, .block = 32}, nested, &inner, &out), "after the inner one");
  EXPECT_EQ(out, 32);
}

}  // namespace order_test
