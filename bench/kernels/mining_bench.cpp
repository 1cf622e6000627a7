// Patch info mining at the published shapes: 24×24 tokens of 8×8 cells, maps of 192, 384, 768 and 1536 channels, 1024-wide queries.
//   mining/tokens: statistics, scores and sums alone · mining/layer: the whole layer with its products, as the model runs it
#include <cstdint>

#include <benchmark/benchmark.h>
#include <mgm/nn/patch_info_mining.hpp>

namespace {

using namespace mgm;

template <class T>
struct Setup {
  Context<Cpu> ctx{{.threads = 2}};
  Size grid;
  nn::MiningGeometry geometry;
  std::vector<Tensor<T, 3>> maps;
  std::vector<View<T const, 3>> views;
  Tensor<T, 2> coarse;
  nn::PatchInfoMining<T> layer{ctx, {.query = 1024, .detail = 2880}};

  explicit Setup(Size g) : grid(g), geometry{.side = 24, .grid = g, .global = g > 1} {
    std::uint64_t random = 1;
    auto const fill = [&](auto view, float deviation, float mean) {  // sums of four bytes: near enough to normal
      for (Size i = 0; i < view.count(); ++i) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        auto const r = static_cast<std::uint32_t>(random >> 32);
        auto const bytes = (r & 255) + (r >> 8 & 255) + (r >> 16 & 255) + (r >> 24);
        view.data()[i] = T(mean + deviation * (static_cast<float>(bytes) - 510) / 148);
      }
    };
    for (Size l = 0, side = 192 * grid, channels = 192; l < 4; ++l, side /= 2, channels *= 2) {
      maps.push_back(ctx.lasting<T>(Extents{side, side, channels}));
      fill(maps.back().view(), 1, 0), views.push_back(maps.back().view());
    }
    coarse = ctx.lasting<T>(Extents{geometry.tokens(), Size{1024}}), fill(coarse.view(), 1, 0);
    visit_parameters(layer, "", [&](std::string const& name, auto& parameter) {
      auto tensor = ctx.lasting<T>(parameter.shape());
      bool const matrix = parameter.stored_shape().size() > 1, gain = !matrix && name.ends_with("0.weight");
      fill(tensor.view(), matrix ? 0.02f : 0.1f, gain ? 1 : 0), parameter.assign(std::move(tensor));
    });
  }
};

template <class T>
void layer(benchmark::State& state) {
  Setup<T> s(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(s.layer(s.ctx, s.coarse, s.views, s.geometry).data());
}

template <class T>
void tokens(benchmark::State& state) {
  Setup<T> s(1);
  std::vector<std::vector<Tap>> taps;
  std::vector<MiningStage<T>> stages;
  for (auto const& map : s.views) taps.push_back(resize_taps(map.extent(0), 192));
  for (std::size_t l = 0; l < 4; ++l) {
    View<Tap const, 1> const t(taps[l].data(), Extents{Size{192}});
    stages.push_back({s.views[l], t, t});
  }
  auto const u = s.ctx.template lasting<float>(Extents{Size{576}, Size{2880}});
  std::fill_n(u.data(), u.count(), 0.01f);
  auto const z = s.ctx.template lasting<T>(u.extents());
  auto const mean = s.ctx.template lasting<float>(Extents{Size{192}, Size{192}}), rstd = s.ctx.template lasting<float>(mean.extents());
  auto const& norm = s.layer.value_norm;
  for (auto _ : state) {
    if (state.range(0) & 1) ops::mining_statistics<T>(s.ctx, std::span(std::as_const(stages)), 1e-5f, mean.view(), rstd.view());
    if (state.range(0) & 2)
      ops::mining<T>(s.ctx, u.view(), {24, 24}, std::span(std::as_const(stages)), mean.view(), rstd.view(), 1 / 32.0f, norm.weight.view(),
                     norm.bias.view(), z.view());
  }
}

/// CPU time is that of all threads: halved, what two idle cores would take.
void in_milliseconds(benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime(); }

BENCHMARK(tokens<bf16>)->Name("mining/tokens/bf16/parts")->Arg(1)->Arg(2)->Arg(3)->Apply(in_milliseconds);
BENCHMARK(layer<bf16>)->Name("mining/layer/bf16/grid")->Arg(1)->Arg(2)->Apply(in_milliseconds);
BENCHMARK(layer<float>)->Name("mining/layer/f32/grid")->Arg(1)->Apply(in_milliseconds);

}  // namespace
