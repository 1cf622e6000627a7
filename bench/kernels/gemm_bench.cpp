// Products at the shapes of the models, (M, N, K): CLIP 577 × {3072×1024, 4096×1024, 1024×4096}, ConvNeXt stage 2 2304 × {3072×768, 768×3072},
// MGM-2B prefill 640 × 32768×2048, and one row against 16384×2048 (decoding), beside the machine's multiply-adds from registers and its
// read-sum. Two threads. GFLOP/s and GB/s of weights; decoding rotates over copies of 512 MiB in all, so that each read is cold.
#include <benchmark/benchmark.h>

#include <mgm/cpu/attention.hpp>
#include <mgm/cpu/gemm.hpp>
#include <mgm/mem/context.hpp>
#include <support/ceilings.hpp>

namespace {
using namespace mgm;
using benchmark::Counter;

void peak(benchmark::State& state, bool pairs) {
  Context<Cpu> ctx({.threads = 2});
  double flops = 0;
  for (auto _ : state) flops += bench::spin(ctx.executor(), pairs);
  state.counters["GFLOP/s"] = Counter(flops * 1e-9, Counter::kIsRate);
  state.SetLabel(std::string(name(ctx.isa())));
}

template <class T>
void gemm_nt(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  Size const m = state.range(0), n = state.range(1), k = state.range(2);
  auto const a = ctx.lasting<T>(Extents{m, k}), w = ctx.lasting<T>(Extents{n, k}), out = ctx.lasting<T>(Extents{m, n});
  bench::fill(a.data(), a.count(), 1), bench::fill(w.data(), w.count(), 2);
  for (auto _ : state) cpu::gemm_nt<T>(ctx.executor(), a, w, Epilogue<T, Cpu>{}, View<T, 2, Cpu>(out));
  state.counters["GFLOP/s"] = Counter(2e-9 * double(m) * double(n) * double(k) * double(state.iterations()), Counter::kIsRate);
  state.SetLabel(std::string(name(ctx.isa())));
}

constexpr Size kCold = Size{512} << 20;

template <class T>
void gemv_nt(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  Size const m = state.range(0), n = state.range(1), k = state.range(2), bytes = n * k * Size{sizeof(T)}, copies = kCold / bytes;
  auto const a = ctx.lasting<T>(Extents{m, k}), w = ctx.lasting<T>(Extents{copies * n, k}), out = ctx.lasting<T>(Extents{m, n});
  bench::fill(a.data(), a.count(), 1), bench::fill(w.data(), w.count(), 2);
  Size at = 0;
  for (auto _ : state) {
    cpu::gemm_nt<T>(ctx.executor(), a, w.slice(0, at * n, n), Epilogue<T, Cpu>{}, View<T, 2, Cpu>(out));
    at = (at + 1) % copies;
  }
  state.counters["GB/s"] = Counter(1e-9 * double(bytes) * double(state.iterations()), Counter::kIsRate);
}
void read_sum(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  auto const block = ctx.lasting<bf16>(Extents{kCold / 2});
  bench::fill(block.data(), block.count(), 3);
  Size const bytes = state.range(0);
  Size at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(bench::read_sum(ctx.executor(), block.data() + at / 2, bytes));
    at = (at + 2 * bytes <= kCold) ? at + bytes : 0;
  }
  state.counters["GB/s"] = Counter(1e-9 * double(bytes) * double(state.iterations()), Counter::kIsRate);
}

/// (Tq, Tk, H, Hkv, d, causal): CLIP's layer, MGM-2B's prefill and decode step.
template <class T>
void attention(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  Size const tq = state.range(0), tk = state.range(1), h = state.range(2), g = state.range(3), d = state.range(4);
  auto const q = ctx.lasting<T>(Extents{tq, h, d}), k = ctx.lasting<T>(Extents{tk, g, d}), v = ctx.lasting<T>(Extents{tk, g, d}), out = ctx.lasting<T>(q.extents());
  bench::fill(q.data(), q.count(), 1), bench::fill(k.data(), k.count(), 2), bench::fill(v.data(), v.count(), 3);
  bool const causal = state.range(5) != 0;
  for (auto _ : state) cpu::attention<T>(ctx.executor(), q, k, v, 0.0625f, causal, View<T, 3, Cpu>(out));
  double const pairs = causal ? double(tq) * (double(tk) - double(tq - 1) / 2) : double(tq) * double(tk);
  state.counters["GFLOP/s"] = Counter(4e-9 * pairs * double(h) * double(d) * double(state.iterations()), Counter::kIsRate);
}

void products(benchmark::internal::Benchmark* b) {
  b->Args({577, 3072, 1024})->Args({577, 4096, 1024})->Args({577, 1024, 4096})->Args({2304, 3072, 768})->Args({2304, 768, 3072})->Args({640, 32768, 2048});
  b->Unit(benchmark::kMillisecond)->UseRealTime();
}
BENCHMARK_CAPTURE(peak, bf16, true)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(peak, f32, false)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(gemm_nt<bf16>)->Name("gemm/bf16")->Apply(products);
BENCHMARK(gemm_nt<float>)->Name("gemm/f32")->Apply(products);
BENCHMARK(read_sum)->Arg(Size{16384} * 2048 * 2)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(gemv_nt<bf16>)->Name("gemv/bf16")->Args({1, 16384, 2048})->Args({1, 2048, 16384})->Args({4, 16384, 2048})->Args({16, 16384, 2048})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(gemv_nt<float>)->Name("gemv/f32")->Args({1, 16384, 2048})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(attention<bf16>)->Name("attention/bf16")->Args({577, 577, 16, 16, 64, 0})->Args({640, 640, 8, 1, 256, 1})->Args({1, 700, 8, 1, 256, 1})->Args({1, 3000, 32, 32, 128, 1})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(attention<float>)->Name("attention/f32")->Args({577, 577, 16, 16, 64, 0})->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
