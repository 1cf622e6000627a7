// Depthwise 7×7 with LayerNorm at the shapes of ConvNeXt-L at 768 px, two threads; `all` runs its 36 blocks once.
#include <vector>

#include <benchmark/benchmark.h>
#include <mgm/mem/context.hpp>
#include <mgm/ops/conv.hpp>

namespace {

using namespace mgm;

struct Stage {
  Size side, channels, blocks;
};
constexpr Stage kStages[] = {{192, 192, 3}, {96, 384, 3}, {48, 768, 27}, {24, 1536, 3}};

template <class T>
struct Block {
  Tensor<T, 3> x, y;
  Tensor<T, 2> weight, vectors;
  Block(Context<Cpu>& ctx, Stage s)
      : x(ctx.lasting<T>(Extents{s.side, s.side, s.channels})), y(ctx.lasting<T>(x.extents())),
        weight(ctx.lasting<T>(Extents{Size{49}, s.channels})), vectors(ctx.lasting<T>(Extents{Size{3}, s.channels})) {
    for (Size i = 0; i < x.count(); ++i) x.data()[i] = T(static_cast<float>(i * 7919 % 255) / 128 - 1);
    for (Size i = 0; i < weight.count(); ++i) weight.data()[i] = T(static_cast<float>(i * 104729 % 255) / 512 - 0.25f);
    for (Size i = 0; i < vectors.count(); ++i) vectors.data()[i] = T(static_cast<float>(i % 13) / 8);
  }
  void run(Context<Cpu>& ctx) const {
    ops::depthwise_conv7_norm<T, Cpu>(ctx, x, weight, vectors[0], vectors[1], vectors[2], 1e-6f, y);
  }
};

template <class T>
void stage(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2, .isa = std::min(best_isa(), static_cast<Isa>(state.range(1)))});
  Stage const s = kStages[state.range(0)];
  Block<T> const block(ctx, s);
  for (auto _ : state) block.run(ctx);
  double const products = 2.0 * 49 * double(s.side * s.side * s.channels);
  state.counters["flops"] = benchmark::Counter(products, benchmark::Counter::kIsIterationInvariantRate);
}

template <class T>
void all(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  std::vector<Block<T>> blocks;
  for (Stage const s : kStages) blocks.emplace_back(ctx, s);
  for (auto _ : state)
    for (std::size_t i = 0; i < blocks.size(); ++i)
      for (Size n = 0; n < kStages[i].blocks; ++n) blocks[i].run(ctx);
}

/// CPU time is that of all threads: halved, what two idle cores would take.
void in_milliseconds(benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime(); }

BENCHMARK(stage<bf16>)->Name("depthwise/bf16")->ArgNames({"stage", "isa"})->ArgsProduct({{0, 1, 2, 3}, {0, 1, 2}})->Apply(in_milliseconds);
BENCHMARK(all<bf16>)->Name("depthwise/bf16/all")->Apply(in_milliseconds);
BENCHMARK(all<float>)->Name("depthwise/f32/all")->Apply(in_milliseconds);

}  // namespace
