/// The strict machine finds races by happens-before and names them: kernel, block, both threads, the memory, both lines; and it is silent
/// where barriers, atomics or waits put accesses in an order. Compiled with the thread sanitizer's hooks, so that raw pointers are seen
/// too.
#include <gtest/gtest.h>

#include <mgm/mem/context.hpp>
#include <mgm/simt/async_copy.hpp>
#include <mgm/simt/atomic.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace races_test {

using namespace mgm;
using simt::Memory, simt::Order;

/// What the machine says of the launch, in an order; empty if nothing.
std::string found_in(Order order, bool preempt, simt::LaunchShape const& shape, auto kernel, auto... args) {
  Context<Simt> ctx({.threads = 2, .machine = {.order = order, .seed = 5, .races = true, .preempt = preempt}});
  try {
    simt::launch(ctx.stream(), shape, kernel, args...);
    ctx.synchronise();
    return {};
  } catch (KernelError const& e) {
    return e.what();
  }
}
constexpr Order kOrders[] = {Order::forward, Order::reversed, Order::random, Order::greedy, Order::lockstep, Order::straggler};

/// In every order something with all of `parts` is found.
void expect_found(simt::LaunchShape const& shape, std::initializer_list<std::string_view> parts, auto kernel, auto... args) {
  for (Order const order : kOrders) {
    std::string const found = found_in(order, false, shape, kernel, args...);
    for (std::string_view const part : parts)
      EXPECT_NE(found.find(part), std::string::npos)
          << simt::kOrderNames[static_cast<int>(order)] << ": '" << found << "' lacks '" << part << "'";
  }
  EXPECT_NE(found_in(Order::random, true, shape, kernel, args...), "");
}
void expect_silence(simt::LaunchShape const& shape, auto kernel, auto... args) {
  for (Order const order : kOrders)
    for (bool const preempt : {false, true})
      EXPECT_EQ(found_in(order, preempt, shape, kernel, args...), "") << simt::kOrderNames[static_cast<int>(order)];
}

struct Words {
  int at[256];
};
/// Each thread reads what its neighbour wrote; `between` stands where a barrier belongs.
template <class Between>
void neighbour(int* out, Between between) {
  int* const s = simt::shared<Words>().at;
  int const t = simt::thread_idx(), n = simt::block_dim();
  s[t] = t;  // line 56, as a test below expects
  between();
  out[t] = s[(t + 1) % n];
}
struct Nothing {
  void operator()() const {}
};
struct Block {
  void operator()() const { simt::sync_block(); }
};
struct Lanes {
  void operator()() const { simt::sync_warp(); }
};
struct Votes {
  void operator()() const { (void)simt::ballot(true); }
};

TEST(Races, AMissingBarrierIsFoundAndNamed) {
  int out[256];
  simt::LaunchShape const shape{.name = "neighbour", .grid = 1, .block = 256, .shared = sizeof(Words)};
  expect_found(shape, {"simt: kernel neighbour, block (0, 0, 0), thread ", "races_test.cpp:", "4 bytes of shared memory at offset"},
               neighbour<Nothing>, &out[0], Nothing{});
  expect_silence(shape, neighbour<Block>, &out[0], Block{});
  // by index, the first thread reads what nobody has written; from the last, thread 254 reads what 255 wrote at the line of the write
  EXPECT_NE(found_in(Order::forward, false, shape, neighbour<Nothing>, &out[0], Nothing{}).find("which no thread of the block has written"),
            std::string::npos);
  std::string const found = found_in(Order::greedy, true, {.name = "neighbour", .grid = 1, .block = 32, .shared = sizeof(Words)},
                                     neighbour<Votes>, &out[0], Votes{});
  EXPECT_NE(found.find("race: reads 4 bytes of shared memory at offset"), std::string::npos) << found;
  EXPECT_NE(found.find("wrote at races_test.cpp:56"), std::string::npos) << found;
}
TEST(Races, AWarpsBarrierOrdersItsLanesOnly) {
  int out[256];
  expect_silence({.name = "neighbour", .grid = 1, .block = 32, .shared = sizeof(Words)}, neighbour<Lanes>, &out[0], Lanes{});
  expect_found({.name = "neighbour", .grid = 1, .block = 64, .shared = sizeof(Words)}, {"4 bytes of shared memory"}, neighbour<Lanes>,
               &out[0], Lanes{});
}
TEST(Races, VotesAndShufflesOrderNothing) {
  int out[256];
  expect_found({.name = "neighbour", .grid = 1, .block = 32, .shared = sizeof(Words)},
               {"race: reads 4 bytes of shared memory", "nothing puts the two in an order"}, neighbour<Votes>, &out[0], Votes{});
}
TEST(Races, AMissingBarrierBeforeTheNextWriteIsFound) {
  int out[256];
  auto const loop = [](int* to, bool right) {
    int* const s = simt::shared<Words>().at;
    int const t = simt::thread_idx();
    for (int i = 0; i < 3; ++i) {
      s[t] = t + i;
      simt::sync_block();
      to[t] += s[0];  // all read one word
      if (right) simt::sync_block();
    }
  };
  simt::LaunchShape const shape{.name = "loop", .grid = 2, .block = 96, .shared = sizeof(Words)};
  // thread 0 writes what others read, or another reads what thread 0 wrote again
  expect_found({.name = "loop", .grid = 1, .block = 96, .shared = sizeof(Words)}, {"race: ", "4 bytes of shared memory at offset 0"}, loop,
               &out[0], false);
  expect_silence({.name = "loop", .grid = 1, .block = 96, .shared = sizeof(Words)}, loop, &out[0], true);
  expect_found(shape, {"4 bytes of global memory", " of block ("}, loop, &out[0], true);  // two blocks, one `to`
}

TEST(Races, GlobalWordsOfTwoThreadsAndOfTwoBlocks) {
  int words[64] = {};
  expect_found(
      {.name = "same", .grid = 1, .block = 64}, {"race: writes 4 bytes of global memory that thread"},
      [](int* p) { p[simt::thread_idx() / 2] = 1; }, &words[0]);
  expect_found(
      {.name = "blocks", .grid = {3, 2}, .block = 1}, {"race: writes 4 bytes of global memory that thread 0 of block ("},
      [](int* p) { p[simt::block_idx().x] = 1; }, &words[0]);
  expect_found(
      {.name = "reads", .grid = 2, .block = 32}, {"4 bytes of global memory that thread"},
      [](int* p) {
        int const b = simt::block_idx().x, t = simt::thread_idx();
        if (b == 0)
          p[t] = p[t] + 1;
        else if (t == 0)
          p[32] = p[31];
      },
      &words[0]);
  expect_silence(
      {.name = "apart", .grid = 2, .block = 32}, [](int* p) { p[simt::block_idx().x * 32 + simt::thread_idx()] += 1; }, &words[0]);
}
TEST(Races, PartsOfAWordAreApart) {
  char bytes[64] = {};
  alignas(4) bf16 halves[64];
  expect_silence(
      {.name = "bytes", .grid = 2, .block = 32}, [](char* p) { p[simt::block_idx().x * 32 + simt::thread_idx()] = 1; }, &bytes[0]);
  expect_silence(
      {.name = "halves", .grid = 2, .block = 32}, [](bf16* p) { p[2 * simt::thread_idx() + simt::block_idx().x] = bf16(1); }, &halves[0]);
  expect_found(
      {.name = "halves", .grid = 1, .block = 32}, {"2 bytes of global memory"}, [](bf16* p) { p[simt::thread_idx() / 2] = bf16(1); },
      &halves[0]);
  expect_found(
      {.name = "wide", .grid = 1, .block = 2}, {"bytes of global memory"},
      [](bf16* p) {  // a word over another thread's half
        if (simt::thread_idx() == 0)
          p[1] = bf16(1);
        else
          simt::store<2>(p, simt::Vec<bf16, 2>{});
      },
      &halves[0]);
}

TEST(Races, NamedBarriersOrderProducersAndConsumers) {
  int out[64];
  auto const ring = [](int* to, int fault) {  // warp 0 fills two slots in turn, warp 1 empties them: barriers 1, 2 "full", 3, 4 "empty"
    int* const s = simt::shared<Words>().at;
    int const lane = simt::lane_idx();
    for (int i = 0; i < 6; ++i) {
      int const slot = i % 2;
      if (simt::warp_idx() == 0) {
        if (i >= 2 && fault != 1) simt::sync_named(3 + slot, 64);
        s[slot * 32 + (lane + 1) % 32] = i;
        if (fault == 2 && i == 5) s[(1 - slot) * 32] = 9;
        simt::arrive_named(1 + slot, 64);
      } else {
        simt::sync_named(1 + slot, 64);
        to[lane] += s[slot * 32 + lane];
        if (i < 4) simt::arrive_named(3 + slot, 64);
      }
    }
  };
  simt::LaunchShape const shape{.name = "ring", .grid = 1, .block = 64, .shared = sizeof(Words)};
  expect_silence(shape, ring, &out[0], 0);
  expect_found(shape, {"4 bytes of shared memory at offset 0"}, ring, &out[0], 2);
}

TEST(Races, AcquireAndReleaseOrderBlocks) {
  struct Partial {
    int sum[8 * 32], count, total;
  } p{};
  auto const last_block_sums = []<Memory M>(std::integral_constant<Memory, M>, Partial* to) {
    int const b = simt::block_idx().x, t = simt::thread_idx();
    to->sum[b * 32 + t] = b;
    simt::sync_block();
    auto& last = simt::shared<int>();
    if (t == 0) last = simt::atomic_add<M>(&to->count, 1) == simt::grid_dim().x - 1;
    simt::sync_block();
    if (last == 0 || t != 0) return;
    int total = 0;
    for (int i = 0; i < simt::grid_dim().x * 32; ++i) total += to->sum[i];
    to->total = total, to->count = 0;
  };
  simt::LaunchShape const shape{.name = "sums", .grid = 8, .block = 32, .shared = sizeof(int)};
  expect_silence(shape, last_block_sums, std::integral_constant<Memory, Memory::acq_rel>{}, &p);
  EXPECT_EQ(p.total, 28 * 32);
  p.count = 0;
  for (Order const order : kOrders) {
    p.count = 0;
    std::string const found = found_in(order, false, shape, last_block_sums, std::integral_constant<Memory, Memory::relaxed>{}, &p);
    EXPECT_NE(found.find("race: reads 4 bytes of global memory that thread"), std::string::npos) << found;
  }
}
TEST(Races, AnAtomicAndAPlainAccessAreARace) {
  int word = 0;
  expect_silence(
      {.name = "count", .grid = 3, .block = 64}, [](int* p) { (void)simt::atomic_add(p, 1); }, &word);
  expect_found(
      {.name = "count", .grid = 1, .block = 2}, {"race: ", "4 bytes of global memory"},
      [](int* p) {
        if (simt::thread_idx() == 0)
          (void)simt::atomic_add(p, 1);
        else
          *p = 3;
      },
      &word);
}
TEST(Races, WhoReturnedWasThereBefore) {
  int out[64];
  auto const early = [](int* to) {
    int* const s = simt::shared<Words>().at;
    s[simt::thread_idx()] = 1;
    if (simt::thread_idx() >= 32) return;
    simt::sync_block();
    to[simt::thread_idx()] = s[simt::thread_idx() + 32];
  };
  expect_silence({.name = "early", .grid = 1, .block = 64, .shared = sizeof(Words)}, early, &out[0]);
}
TEST(Races, LaunchesFollowEachOther) {
  int words[32] = {};
  Context<Simt> ctx({.machine = {.races = true}});
  for (int i = 0; i < 3; ++i)
    simt::launch(
        ctx.stream(), {.name = "turn", .grid = 32, .block = 1}, [](int* p, int by) { p[(simt::block_idx().x + by) % 32] += 1; }, &words[0],
        i);
  for (int const w : words) EXPECT_EQ(w, 3);
}

TEST(Races, CopiesInFlightBelongToWhoWaits) {
  alignas(16) int from[256] = {}, out[256];
  auto const copy = [](int const* in, int* to, bool wait, bool meet) {
    int* const s = simt::shared<Words>().at;
    int const t = simt::thread_idx();
    simt::copy_async<16>(s + 4 * t, in + 4 * t);
    simt::copy_async_commit();
    if (wait) simt::copy_async_wait<0>();
    if (meet) simt::sync_block();
    if (!wait) simt::copy_async_wait<0>();
    to[t] = s[4 * ((t + 1) % 64)];
  };
  simt::LaunchShape const shape{.name = "copy", .grid = 1, .block = 64, .shared = sizeof(Words)};
  expect_silence(shape, copy, static_cast<int const*>(from), &out[0], true, true);
  for (Order const order : kOrders) {
    EXPECT_NE(found_in(order, false, shape, copy, static_cast<int const*>(from), &out[0], true, false), "");
    EXPECT_NE(found_in(order, false, shape, copy, static_cast<int const*>(from), &out[0], false, true), "");  // waits after the meeting
  }
}
TEST(Races, TheReadOnlyPathIsForWordsThatNobodyWrites) {
  int words[64] = {};
  auto const kernel = [](int* p) {
    int const t = simt::thread_idx();
    if (simt::block_idx().x == 0)
      p[t] = simt::load_readonly<1>(p + 32 + t)[0];
    else
      p[t] = simt::load_readonly<1>(p + t)[0];
  };
  expect_silence({.name = "read", .grid = 1, .block = 32}, kernel, &words[0]);
  expect_found({.name = "read", .grid = 2, .block = 32}, {"read-only path", "4 bytes of global memory", "in the same launch"}, kernel,
               &words[0]);
}
TEST(Races, SharedMemoryIsReadAfterItIsWritten) {
  int out[32];
  expect_found(
      {.name = "unwritten", .grid = 1, .block = 32, .shared = sizeof(Words)},
      {"thread ", "races_test.cpp:", "reads 4 bytes of shared memory at offset 400, which no thread of the block has written"},
      [](int* to) { to[simt::thread_idx()] = simt::shared<Words>().at[100]; }, &out[0]);
}

TEST(Races, NobodyTouchesWhatLiesBesideSharedMemory) {
  int out[32];
  simt::LaunchShape const shape{.name = "tile", .grid = 1, .block = 32, .shared = sizeof(Words)};
  expect_found(
      shape,
      {"simt: kernel tile, block (0, 0, 0), thread 31, races_test.cpp:", "reads 4 bytes at offset 1024 of shared memory, which has 1024"},
      [](int* to) {
        int* const s = simt::shared<Words>().at;
        s[224 + simt::thread_idx()] = 1;
        simt::sync_warp();
        to[simt::thread_idx()] = s[225 + simt::thread_idx()];
      },
      &out[0]);
  expect_found(shape, {"thread 0, races_test.cpp:", "writes 4 bytes at offset -4 of shared memory"},
               [] { simt::shared<Words>().at[simt::thread_idx() - 1] = 1; });
  expect_found(shape, {"thread 31, races_test.cpp:", "writes 16 bytes at offset 1024 of shared memory"},
               [] { simt::store<4>(&simt::shared<Words>().at[132 + 4 * simt::thread_idx()], simt::Vec<int, 4>{}); });
}

/// Without clocks, a missing barrier shows in the results as soon as threads change at accesses.
TEST(Preemption, ShowsAMissingBarrierInTheResults) {
  auto const halves = [](int* to, bool right) {
    int* const s = simt::shared<Words>().at;
    int const t = simt::thread_idx();
    s[t] = 1;
    simt::sync_block();
    for (int half = 128; half > 0; half /= 2) {
      if (t < half) s[t] += s[t + half];
      if (right) simt::sync_block();
    }
    if (t == 0) *to = s[0];
  };
  for (bool const right : {true, false}) {
    int wrong = 0;
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      int out = 0;
      Context<Simt> ctx({.machine = {.order = Order::random, .seed = seed, .preempt = true}});
      simt::launch(ctx.stream(), {.name = "halves", .grid = 1, .block = 256, .shared = sizeof(Words)}, halves, &out, right);
      wrong += out != 256;
    }
    EXPECT_EQ(wrong, right ? 0 : 8);
  }
}

}  // namespace races_test
