// Stages of Stable Diffusion at their true shapes with random weights, in bf16 on two threads, for a picture of 512 px: a UNet step (batch
// 1, no guidance) of SD 1.5 and of SDXL, and the decoder of their autoencoder. peers/diffusion_peer.py does the same work, compare.py sets
// them side by side. The counter `peak_mb` is the most memory that the process held so far: run one stage a process for it to mean
// something. With MGM_BENCH_DUMP=folder each stage writes its result there as raw floats.
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include <mgm/models/diffusion/unet.hpp>
#include <mgm/models/diffusion/vae.hpp>
#include <support/weights.hpp>

namespace {
using namespace mgm;
using benchmark::Counter;

constexpr Size kSide = 64, kTokens = 77;  // 512 px, a prompt

models::UnetConfig sd15() {
  models::UnetConfig c;
  c.widths = {320, 640, 1280, 1280}, c.down_attends = {true, true, true, false}, c.up_attends = {false, true, true, true};
  c.layers = {2, 2, 2, 2}, c.heads = {8, 8, 8, 8}, c.transformer_layers = {1, 1, 1, 1}, c.text = 768;
  return c;
}
models::UnetConfig sdxl() {
  models::UnetConfig c;
  c.widths = {320, 640, 1280}, c.down_attends = {false, true, true}, c.up_attends = {true, true, false};
  c.layers = {2, 2, 2}, c.heads = {5, 10, 20}, c.transformer_layers = {1, 2, 10}, c.text = 2048, c.added = 2816, c.added_time = 256;
  return c;
}

void dump(std::string const& name, View<float const, 2, Cpu> rows) {
  char const* const folder = std::getenv("MGM_BENCH_DUMP");
  if (folder == nullptr) return;
  std::ofstream file(std::string(folder) + "/" + name + ".f32", std::ios::binary);
  for (Size r = 0; r < rows.extent(0); ++r)
    file.write(reinterpret_cast<char const*>(rows.row(r)), static_cast<std::streamsize>(rows.extent(1)) * 4);
}
double peak_mb() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_maxrss) / 1024;
}
template <class T, int R>
Tensor<T, R, Cpu> input(Context<Cpu>& ctx, std::string const& name, Extents<R> shape) {
  auto t = ctx.lasting<T>(shape);
  bench::fill(ctx, name, t.data(), t.count(), 1, 0);
  return t;
}

/// One denoising step: embedding of the time, and the whole network.
template <class T>
void unet(benchmark::State& state, std::string const& name, models::UnetConfig const& config) {
  Context<Cpu> ctx({.threads = 2});
  models::Unet<T> net(ctx, config);
  Size const bytes = bench::fill_parameters<T>(ctx, "unet", net);
  auto const x = input<T>(ctx, "latents", Extents{kSide, kSide, config.in});
  auto const words = input<T>(ctx, "text", Extents{kTokens, config.text});
  Tensor<T, 2> added;
  if (config.added > 0) {
    Size const pooled = config.added - 6 * config.added_time;
    added = input<T>(ctx, "pooled", Extents{Size{1}, config.added});  // (1, added): the sizes' waves overwrite the end
    for (Size i = 0; i < 6; ++i) {
      auto const wave = ops::sinusoid(i == 2 || i == 3 ? 0.0f : 512.0f, config.added_time);
      for (Size c = 0; c < config.added_time; ++c) added(0, pooled + i * config.added_time + c) = T(wave[static_cast<std::size_t>(c)]);
    }
  }
  Tensor<float, 2> out;
  auto const step = [&] { out = net(ctx, x, net.embed(ctx, 981, added), words); };
  step();  // warm: memory and threads
  for (auto _ : state) step();
  dump(name, out.view());
  state.counters["peak_mb"] = peak_mb(), state.counters["weights_mb"] = double(bytes) / (1 << 20);
  state.SetLabel(std::string(mgm::name(ctx.isa())));
}

template <class T>
void vae(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  models::VaeConfig config;
  config.widths = {128, 256, 512, 512};
  models::VaeDecoder<T> decoder(ctx, config);
  Size const bytes = bench::fill_parameters<T>(ctx, "vae", decoder);
  auto const x = input<T>(ctx, "latents", Extents{kSide, kSide, Size{4}});
  Tensor<float, 2> out;
  auto const decode = [&] { out = decoder(ctx, x); };
  decode();
  for (auto _ : state) decode();
  dump("vae", out.view());
  state.counters["peak_mb"] = peak_mb(), state.counters["weights_mb"] = double(bytes) / (1 << 20);
  state.SetLabel(std::string(mgm::name(ctx.isa())));
}

void once(benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime()->Iterations(1); }
[[maybe_unused]] int const registered = [] {
  once(benchmark::RegisterBenchmark("unet_sd15/bf16", [](benchmark::State& s) { unet<bf16>(s, "unet_sd15", sd15()); }));
  once(benchmark::RegisterBenchmark("unet_sdxl/bf16", [](benchmark::State& s) { unet<bf16>(s, "unet_sdxl", sdxl()); }));
  once(benchmark::RegisterBenchmark("vae/bf16", vae<bf16>));
  return 0;
}();

}  // namespace
