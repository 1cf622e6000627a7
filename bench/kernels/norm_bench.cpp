// LayerNorm and RMSNorm at the shapes of CLIP (577 tokens of 1024) and of a 640-token prefill (2048), rotary positions of the latter.
#include <benchmark/benchmark.h>
#include <mgm/mem/context.hpp>
#include <mgm/ops/attention.hpp>
#include <mgm/ops/norm.hpp>

namespace {

using namespace mgm;

template <class T>
void layer_norm(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  Size const n = state.range(0), c = state.range(1);
  auto const x = ctx.lasting<T>(Extents{n, c}), out = ctx.lasting<T>(x.extents()), vectors = ctx.lasting<T>(Extents{Size{2}, c});
  for (Size i = 0; i < x.count(); ++i) x.data()[i] = T(static_cast<float>(i * 7919 % 255) / 128 - 1);
  std::fill_n(vectors.data(), vectors.count(), T(1));
  for (auto _ : state) ops::layer_norm<T, Cpu>(ctx, x, vectors[0], vectors[1], 1e-5f, out);
  state.SetBytesProcessed(state.iterations() * 2 * x.count() * Size{sizeof(T)});
}

template <class T>
void rms_norm(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  Size const n = state.range(0), c = state.range(1);
  auto const x = ctx.lasting<T>(Extents{n, c}), out = ctx.lasting<T>(x.extents()), vectors = ctx.lasting<T>(Extents{Size{1}, c});
  for (Size i = 0; i < x.count(); ++i) x.data()[i] = T(static_cast<float>(i * 7919 % 255) / 128 - 1);
  std::fill_n(vectors.data(), vectors.count(), T(1));
  for (auto _ : state) ops::rms_norm<T, Cpu>(ctx, x, vectors[0], 1e-6f, 1, out);
  state.SetBytesProcessed(state.iterations() * 2 * x.count() * Size{sizeof(T)});
}

template <class T>
void rope(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  auto const x = ctx.lasting<T>(Extents{state.range(0), Size{8}, Size{256}});
  std::fill_n(x.data(), x.count(), T(1));
  for (auto _ : state) ops::rope<T, Cpu>(ctx, x, ops::rope_table(ctx, state.range(0), 256, 100, 10000));
}

/// CPU time is that of all threads: halved, what two idle cores would take.
void in_microseconds(benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMicrosecond)->MeasureProcessCPUTime()->UseRealTime(); }

BENCHMARK(layer_norm<bf16>)->Name("layer_norm/bf16")->Args({577, 1024})->Args({9216, 384})->Apply(in_microseconds);
BENCHMARK(rms_norm<bf16>)->Name("rms_norm/bf16")->Args({640, 2048})->Args({1, 2048})->Apply(in_microseconds);
BENCHMARK(rope<bf16>)->Name("rope/bf16")->Arg(640)->Arg(1)->Apply(in_microseconds);

}  // namespace
