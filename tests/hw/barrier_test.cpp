/// Probe 2: block and named barriers. A round writes, meets and reads what the others wrote; a stale word is a barrier that did not hold.
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/thread.hpp>

#include "hw/probe.hpp"

namespace barrier_test {

using namespace mgm;
using hw::Dev;

constexpr int kThreads = 128;
struct Words {
  unsigned at[kThreads];
};

/// Kind 0: the whole block; 1: named barriers, the first half of the block at `id` and the second at id + 1; 2: the first half only arrives
/// at `id` when it has written, the second waits there, and the block meets behind. Each thread counts what it read as it should be.
MGM_GLOBAL(kThreads)
void barrier_probe_kernel(int kind, int id, int rounds, View<unsigned, 1, Dev> out) {
  auto& s = simt::shared<Words>();
  int const t = simt::thread_idx(), half = kThreads / 2, group = t / half;
  unsigned good = 0;
  for (int round = 0; round < rounds; ++round) {
    s.at[t] = static_cast<unsigned>(round * kThreads + t);
    if (kind == 0) simt::sync_block();
    if (kind == 1) simt::sync_named(id + group, half);
    if (kind == 2 && group == 0) simt::arrive_named(id, kThreads);
    if (kind == 2 && group == 1) simt::sync_named(id, kThreads);
    int const from = kind == 0 ? (t + half) % kThreads : kind == 1 ? group * half + (t + 37) % half : t - half;
    if (kind != 2 || group == 1) good += s.at[from] == static_cast<unsigned>(round * kThreads + from) ? 1u : 0u;
    simt::sync_block();
  }
  out(t) = good;
}

TEST(Probe2, BlockAndNamedBarriers) {
  support::on_each_machine([](Context<Dev>& ctx) {
    hw::Table table("barrier", "kind id rounds");
    for (auto const& d : hw::descriptors({{0, 0, 50}, {1, 1, 50}, {1, 14, 50}, {2, 3, 50}})) {
      hw::Output const out(ctx, kThreads);
      simt::launch(ctx.stream(), {.name = "barrier_probe", .grid = 1, .block = kThreads, .shared = sizeof(Words)}, barrier_probe_kernel,
                   d[0], d[1], d[2], out.view());
      hw::Words expected(kThreads, static_cast<unsigned>(d[2]));
      for (int t = 0; d[0] == 2 && t < kThreads / 2; ++t) expected[static_cast<std::size_t>(t)] = 0;
      table.add(d, out.back(), expected, 32);
    }
    table.finish();
  });
}

}  // namespace barrier_test
