// The stages of MGM-2B at its true shapes with random weights, in bf16 on two threads: seeing a picture of 768 (CLIP-L/14 at 336 px,
// ConvNeXt-L, mining, projector), mining alone, a prefill of 640 positions, a decoding step; beside the machine's ceilings.
// Weights of a step exceed all caches by far, so each read is cold. peers/model_peer.py does the same work, compare.py sets them side by side.
// With MGM_BENCH_DUMP=folder each stage writes its result there as raw floats.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <benchmark/benchmark.h>

#include <mgm/models/clip_vit.hpp>
#include <mgm/models/convnext.hpp>
#include <mgm/models/decoder.hpp>
#include <mgm/models/projector.hpp>
#include <mgm/nn/patch_info_mining.hpp>
#include <support/ceilings.hpp>
#include <support/weights.hpp>

namespace {
using namespace mgm;
using benchmark::Counter;

constexpr Size kPrompt = 640, kDepth = 18, kTokens = 16;

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <class T>
void dump(char const* name, View<T, 2, Cpu> rows) {
  char const* const folder = std::getenv("MGM_BENCH_DUMP");
  if (folder == nullptr) return;
  std::FILE* const file = std::fopen((std::string(folder) + "/" + name + ".f32").c_str(), "wb");
  if (file == nullptr) return;
  for (Size r = 0; r < rows.extent(0); ++r)
    for (Size c = 0; c < rows.extent(1); ++c) {
      float const value = static_cast<float>(rows(r, c));
      std::fwrite(&value, sizeof value, 1, file);
    }
  std::fclose(file);
}

template <class T, int R>
Tensor<T, R, Cpu> input(Context<Cpu>& ctx, std::string const& name, Extents<R> shape, float deviation = 1) {
  auto t = ctx.lasting<T>(shape);
  bench::fill(ctx, name, t.data(), t.count(), deviation, 0);
  return t;
}

void ceilings(benchmark::State& state, bool pairs) {
  Context<Cpu> ctx({.threads = 2});
  double flops = 0;
  for (auto _ : state) flops += bench::spin(ctx.executor(), pairs, 8'000'000);
  state.counters["GFLOP/s"] = Counter(flops * 1e-9, Counter::kIsRate);
  state.SetLabel(std::string(name(ctx.isa())));
}
/// Cold: 2 GiB in a row.
void read_sum(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  auto const block = ctx.lasting<float>(Extents{Size{512} << 20});
  bench::fill(ctx, "block", block.data(), block.count(), 1, 0);
  for (auto _ : state) benchmark::DoNotOptimize(bench::read_sum(ctx.executor(), block.data(), block.count() * 4));
  state.counters["GB/s"] = Counter(4e-9 * double(block.count()) * double(state.iterations()), Counter::kIsRate);
}

template <class T>
struct Eyes {
  Context<Cpu> ctx{{.threads = 2}};
  models::ClipVit<T> clip{ctx, {.image = 336, .patch = 14, .width = 1024, .depth = 23, .heads = 16}};
  models::ConvNeXt<T> convnext{ctx, {.depths = {3, 3, 27, 3}, .widths = {192, 384, 768, 1536}}};
  nn::PatchInfoMining<T> mining{ctx, {.query = 1024, .detail = 2880}};
  models::Projector<T> projector{ctx, {.in = 1024, .out = 2048}};
  Tensor<T, 4> low = input<T>(ctx, "low", Extents<4>{{1, 336, 336, 3}});
  Tensor<T, 3> high = input<T>(ctx, "high", Extents<3>{{768, 768, 3}});
  Eyes() {
    bench::fill_parameters<T>(ctx, "clip", clip), bench::fill_parameters<T>(ctx, "convnext", convnext);
    bench::fill_parameters<T>(ctx, "mining", mining), bench::fill_parameters<T>(ctx, "projector", projector);
  }
};

/// The whole way from normalised pixels to rows for the language model, and its parts.
template <class T>
void vision(benchmark::State& state) {
  Eyes<T> eyes;
  Context<Cpu>& ctx = eyes.ctx;
  double parts[4] = {};
  Tensor<T, 2> coarse, rows;
  auto const see = [&] {
    double const t0 = seconds();
    coarse = eyes.clip(ctx, eyes.low);                                                                      // (576, 1024)
    double const t1 = seconds();
    auto const maps = eyes.convnext(ctx, eyes.high);                                                        // (192, 192, 192), … (24, 24, 1536)
    double const t2 = seconds();
    std::vector<View<T const, 3>> const views(maps.begin(), maps.end());
    auto const mined = eyes.mining(ctx, coarse, std::span<View<T const, 3> const>(views), {.side = 24});    // (576, 1024)
    double const t3 = seconds();
    rows = eyes.projector(ctx, mined);                                                                      // (576, 2048)
    double const t4 = seconds();
    parts[0] += t1 - t0, parts[1] += t2 - t1, parts[2] += t3 - t2, parts[3] += t4 - t3;
  };
  see();  // warm: memory and threads
  for (double& p : parts) p = 0;
  for (auto _ : state) see();
  dump("clip", coarse.view()), dump("vision", rows.view());
  char const* const names[] = {"clip_ms", "convnext_ms", "mining_ms", "projector_ms"};
  for (int i = 0; i < 4; ++i) state.counters[names[i]] = Counter(1e3 * parts[i], Counter::kAvgIterations);
  state.SetLabel(std::string(name(ctx.isa())));
}

/// The mining layer with its products, on maps of their own.
template <class T>
void mining(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  nn::PatchInfoMining<T> layer{ctx, {.query = 1024, .detail = 2880}};
  bench::fill_parameters<T>(ctx, "mining", layer);
  auto const coarse = input<T>(ctx, "coarse", Extents{Size{576}, Size{1024}});
  std::vector<Tensor<T, 3>> maps;
  std::vector<View<T const, 3>> views;
  for (Size i = 0; i < 4; ++i) {
    maps.push_back(input<T>(ctx, text("map", i), Extents{192 >> i, 192 >> i, 192 << i}));
    views.push_back(maps.back().view());
  }
  Tensor<T, 2> out;
  for (auto _ : state) {
    out = layer(ctx, coarse, std::span<View<T const, 3> const>(views), {.side = 24});
    benchmark::DoNotOptimize(out.data());
  }
  dump("mining", out.view());
}

/// Made once in a process: 5 GB.
template <class T>
struct Speaker {
  Context<Cpu> ctx{{.threads = 2}};
  models::Decoder<T> lm{ctx, {.family = models::Family::gemma, .vocab = 256000, .width = 2048, .depth = kDepth, .heads = 8, .kv_heads = 1,
                              .head_width = 256, .ffn = 16384, .eps = 1e-6f, .activation = Activation::gelu_tanh, .tied = true}};
  nn::KvCache<T> cache{ctx, lm.cache_config(1024)};
  Size bytes = bench::fill_parameters<T>(ctx, "lm", lm);
  Tensor<T, 2> prompt = input<T>(ctx, "prompt", Extents{kPrompt, Size{2048}}, 1 / std::sqrt(2048.0f));  // as rows of the table

  /// x becomes the last state; the logits behind its last row.
  Tensor<float, 2> run(Out<T, 2> x) {
    lm(ctx, x, cache);
    return lm.logits(ctx, lm.normed(ctx, x.slice(0, x.extent(0) - 1, 1)), 256000);  // (1, V)
  }
  static Speaker& the() {
    static auto const one = std::make_unique<Speaker>();
    return *one;
  }
};

template <class T>
void prefill(benchmark::State& state) {
  auto& s = Speaker<T>::the();
  auto const x = s.ctx.template empty<T>(s.prompt.extents());  // (640, 2048)
  Tensor<float, 2> logits;
  for (auto _ : state) {
    s.cache.truncate(0);
    std::copy_n(s.prompt.data(), x.count(), x.data());
    logits = s.run(x);
    benchmark::DoNotOptimize(logits.data());
  }
  dump("prefill", logits.view());
  state.counters["tokens"] = double(kPrompt);
  state.SetLabel(std::string(name(s.ctx.isa())));
}

/// One iteration is kTokens steps behind 640 positions; each step reads all layers and the table.
template <class T>
void decode(benchmark::State& state) {
  auto& s = Speaker<T>::the();
  if (s.cache.size() < kPrompt) s.cache.advance(kPrompt - s.cache.size());
  auto const x = s.ctx.template empty<T>(Extents{Size{1}, Size{2048}});
  Tensor<float, 2> logits;
  for (auto _ : state) {
    s.cache.truncate(kPrompt);
    for (Size t = 0; t < kTokens; ++t) {
      int const id = static_cast<int>(1000 + 997 * t);
      s.lm.embed(s.ctx, std::span(&id, 1), x);
      logits = s.run(x);
      benchmark::DoNotOptimize(logits.data());
    }
  }
  dump("decode", logits.view());
  double const steps = double(kTokens) * double(state.iterations());
  state.counters["tok/s"] = Counter(steps, Counter::kIsRate);
  state.counters["GB/s"] = Counter(1e-9 * double(s.bytes) * steps, Counter::kIsRate);
  state.counters["GB"] = 1e-9 * double(s.bytes);
}
/// The ceiling of decoding: the very bytes that a step reads, summed, tensor after tensor.
template <class T>
void read_weights(benchmark::State& state) {
  auto& s = Speaker<T>::the();
  double bytes = 0;
  for (auto _ : state)
    visit_parameters(s.lm, "", [&](std::string const&, auto& p) {
      Size const here = p.view().count() * Size{sizeof(T)} >> 20 << 20;  // norms are less than a MiB, and left out
      benchmark::DoNotOptimize(bench::read_sum(s.ctx.executor(), p.view().data(), here));
      bytes += double(here);
    });
  state.counters["GB/s"] = Counter(1e-9 * bytes, Counter::kIsRate);
}

void once(benchmark::internal::Benchmark* b, int iterations) { b->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime()->Iterations(iterations); }
[[maybe_unused]] int const registered = [] {
  once(benchmark::RegisterBenchmark("peak/bf16", ceilings, true), 10);
  once(benchmark::RegisterBenchmark("peak/f32", ceilings, false), 10);
  once(benchmark::RegisterBenchmark("read_sum", read_sum), 8);
  once(benchmark::RegisterBenchmark("vision/bf16", vision<bf16>), 1);
  once(benchmark::RegisterBenchmark("mining/bf16", mining<bf16>), 20);
  once(benchmark::RegisterBenchmark("prefill/bf16", prefill<bf16>), 1);
  once(benchmark::RegisterBenchmark("decode/bf16", decode<bf16>), 1);
  once(benchmark::RegisterBenchmark("read_weights/bf16", read_weights<bf16>), 2);
  return 0;
}();

}  // namespace
