/// What the Simt machine costs: a switch between fibers, and a block whose threads never meet.
#include <benchmark/benchmark.h>

#include <mgm/mem/context.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/warp.hpp>

namespace {

using namespace mgm;

/// Time of a launch over its switches: searching for the next thread, meeting and the switch itself.
void per_switch(benchmark::State& state, auto kernel) {
  Context<Simt> ctx({.threads = 1});
  int const threads = static_cast<int>(state.range(0));
  auto const before = ctx.machine().counters().switches;
  for (auto _ : state) simt::launch(ctx.stream(), {.name = "bench", .grid = 1, .block = threads}, kernel);
  auto const switches = static_cast<double>(ctx.machine().counters().switches - before);
  state.counters["per_switch"] = benchmark::Counter(switches, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
void block_barrier(benchmark::State& state) {
  per_switch(state, [] { for (int i = 0; i < 100; ++i) simt::sync_block(); });
}
void warp_sum(benchmark::State& state) {
  per_switch(state, [] { for (int i = 0; i < 100; ++i) benchmark::DoNotOptimize(simt::warp_sum(1)); });
}
BENCHMARK(block_barrier)->Arg(32)->Arg(256)->Arg(1024);
BENCHMARK(warp_sum)->Arg(32)->Arg(256)->Arg(1024);

/// A thread that meets nobody: no switch of its own.
void per_thread(benchmark::State& state) {
  Context<Simt> ctx({.threads = 1});
  int const threads = static_cast<int>(state.range(0));
  for (auto _ : state) simt::launch(ctx.stream(), {.name = "bench", .grid = 64, .block = threads}, [] { benchmark::DoNotOptimize(simt::thread_idx()); });
  state.counters["per_thread"] =
      benchmark::Counter(64.0 * threads, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(per_thread)->Arg(32)->Arg(256)->Arg(1024);

}  // namespace
