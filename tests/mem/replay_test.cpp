// Work that is recorded and run again: what it reads when, where its memory is, what breaks a recording and what is left then.
#include <gtest/gtest.h>

#include <vector>

#include <mgm/mem/replay.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/thread.hpp>

#include "support/counting_allocator.hpp"

namespace replay_test {
using namespace mgm;

/// to[i] = from[i] + step[0] + own, one thread an element.
void add_kernel(View<float const, 1, Simt> from, View<float const, 1, Simt> step, float own, View<float, 1, Simt> to) {
  int const i = simt::block_idx().x * simt::block_dim() + simt::thread_idx();
  if (i < to.extent(0)) to(i) = from(i) + step(0) + own;
}
void add(Context<Simt>& ctx, View<float const, 1, Simt> from, View<float const, 1, Simt> step, float own, View<float, 1, Simt> to) {
  simt::launch(ctx.stream(), {.name = "add", .grid = simt::ceil_div(to.extent(0), 32), .block = 32}, add_kernel, from, step, own, to);
}

struct Setting {
  std::shared_ptr<support::CountingAllocator> memory = std::make_shared<support::CountingAllocator>();
  Context<Simt> ctx{{.threads = 2, .machine = {.order = simt::Order::random, .seed = 5}, .allocator = memory}};
  Tensor<float, 1, Simt> x = ctx.lasting<float>(Extents{Size{100}}), step = ctx.lasting<float>(Extents{Size{1}});
  Setting() {
    std::fill_n(x.data(), 100, 1.0f);
    step(0) = 1;
  }
};

TEST(Replay, ReadsTheMemoryThenAndTheArgumentsNow) {
  Setting s;
  float own = 10;
  auto const arena = std::make_shared<RehearsedArena>(s.ctx.allocator());
  auto const graph = run_and_record(s.ctx, arena, [&] {
    auto t = s.ctx.empty<float>(Extents{Size{100}});
    add(s.ctx, s.x, s.step, own, t.view());
    add(s.ctx, t, s.step, 0, s.x.view());
  });
  EXPECT_EQ(s.x(99), 13) << "the rehearsal ran, the recording did not";
  own = 1000;
  s.step(0) = 2;
  Size const calls = s.memory->calls;
  Size const launches = s.ctx.machine().counters().launches;
  s.ctx.replay(graph);
  EXPECT_EQ(s.x(0), 27) << "13 + 2 + 10 + 2";
  s.ctx.replay(graph);
  EXPECT_EQ(s.x(99), 41);
  EXPECT_EQ(s.memory->calls, calls);
  EXPECT_EQ(s.ctx.machine().counters().launches, launches + 4);
}

TEST(Replay, NobodyElseGetsItsMemory) {
  Setting s;
  auto arena = std::make_shared<RehearsedArena>(s.ctx.allocator());
  void const* inner = nullptr;
  auto const graph = run_and_record(s.ctx, arena, [&] {
    auto t = s.ctx.empty<float>(Extents{Size{100}});
    inner = t.data();
    add(s.ctx, s.x, s.step, 0, t.view());
    add(s.ctx, t, s.step, 0, s.x.view());
  });
  std::vector<Tensor<float, 1, Simt>> others;
  for (int i = 0; i < 5; ++i) others.push_back(s.ctx.empty<float>(Extents{Size{100}}));
  for (auto const& t : others) EXPECT_NE(static_cast<void const*>(t.data()), inner);
  others.clear();
  s.ctx.trim();
  Size const blocks = s.memory->blocks;
  arena.reset();
  EXPECT_EQ(s.memory->blocks, blocks - 1) << "it goes with its arena";
}

/// Blocks that a second, free choice would give otherwise: a smaller one is then there that the first round did not have.
TEST(Replay, ARecordingNeedsNoMemoryThatItsRehearsalHadNot) {
  Setting s;
  auto const arena = std::make_shared<RehearsedArena>(s.ctx.allocator());
  auto const kilobytes = [&](Size n) { return s.ctx.empty<float>(Extents{256 * n}); };
  auto const body = [&] {
    auto const held = kilobytes(20);
    { auto const brief = kilobytes(24); }
    auto const last = kilobytes(16);
    std::vector<void const*> const at{held.data(), last.data()};
    return at;
  };
  { auto const scope = s.ctx.take_from(arena); auto const large = kilobytes(40); }
  std::vector<void const*> rehearsed, recorded;
  int round = 0;
  (void)run_and_record(s.ctx, arena, [&] { (round++ == 0 ? rehearsed : recorded) = body(); });
  EXPECT_EQ(rehearsed, recorded);
  EXPECT_EQ(round, 2);
}

TEST(Replay, WhatALookAtDataBreaksIsSaidAndTheStreamGoesOn) {
  Setting s;
  auto const arena = std::make_shared<RehearsedArena>(s.ctx.allocator());
  auto const refused = [&](std::string_view part, auto&& body) {
    try {
      (void)s.ctx.record(body);
      ADD_FAILURE() << "accepted; expected: " << part;
    } catch (DeviceError const& error) {
      EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
    }
    add(s.ctx, s.x, s.step, 0, s.x.view());  // runs
  };
  float number = 0;
  refused("synchronise: not while launches are recorded", [&] { (void)s.ctx.on_host(s.x.view()); });
  refused("copy to device: not while", [&] { s.ctx.copy_to_device(View<float const, 1, Cpu>(&number, {1}), s.step.view()); });
  refused("synchronise: not while", [&] { s.ctx.copy_to_host(s.step.view(), View<float, 1, Cpu>(&number, {1})); });
  refused("memory: not while", [&] { (void)s.ctx.lasting<float>(Extents{Size{5000}}); });
  refused("record: not while", [&] { (void)s.ctx.record([] {}); });
  auto const graph = s.ctx.record([] {});
  refused("replay: not while", [&] { s.ctx.replay(graph); });
  EXPECT_EQ(s.x(0), 1 + 6);
  int round = 0;
  EXPECT_THROW((void)run_and_record(s.ctx, arena, [&] { (void)s.ctx.empty<float>(Extents{Size{100} << round++}); }), DeviceError);
  EXPECT_THROW((void)s.ctx.record([] { throw MemoryError("as a user's code may"); }), MemoryError);
  add(s.ctx, s.x, s.step, 0, s.x.view());
  EXPECT_EQ(s.x(0), 8);
}

TEST(Replay, ALaunchThatNoMachineTakesIsRefusedWhenItIsRecorded) {
  Setting s;
  EXPECT_THROW((void)s.ctx.record([&] {
    simt::launch(s.ctx.stream(), {.name = "add", .grid = 1, .block = 2048}, add_kernel, s.x.view(), s.step.view(), 0.0f, s.x.view());
  }), LimitError);
}

}  // namespace replay_test
