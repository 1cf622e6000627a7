/// Every CUDA kernel at the shapes of the published models, on a GPU: time, bytes and operations that it must move and do at least, and its
/// share of what this GPU does at best, measured in the same run. Cold: calls rotate over buffers of twice the L2 cache. bf16, random data.
///   cuda_bench [ROUNDS] > table.tsv      peers: cuBLASLt and cuDNN here, PyTorch's in peers/
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <mgm/core/random.hpp>
#include <mgm/nn/conv2d.hpp>
#include <mgm/nn/patch_info_mining.hpp>
#include <mgm/ops/attention.hpp>
#include <mgm/ops/conv.hpp>
#include <mgm/ops/elementwise.hpp>
#include <mgm/ops/linear.hpp>
#include <mgm/ops/mining.hpp>
#include <mgm/ops/norm.hpp>
#if defined(MGM_BENCH_CUBLASLT)
#include <mgm/vendor/cublaslt_gemm.cuh>
#endif
#if defined(MGM_BENCH_CUDNN)
#include <mgm/vendor/cudnn_conv.cuh>
#endif

using namespace mgm;
using T = bf16;

namespace {

/// Nearly normal: the sum of four uniform numbers, standard deviation `spread`.
template <class U>
__global__ void fill_random(U* to, Size n, std::uint64_t seed, float spread) {
  for (Size i = Size{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += Size{gridDim.x} * blockDim.x) {
    PhiloxWords const w = philox(seed, {static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32), 0, 0});
    float const sum = (static_cast<float>(w.x) + static_cast<float>(w.y) + static_cast<float>(w.z) + static_cast<float>(w.w)) * 0x1p-32f - 2.0f;
    to[i] = U(sum * spread * 1.7320508f);
  }
}
__global__ void read_sum(float4 const* from, Size n, float* out) {
  float sum = 0;
  for (Size i = Size{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += Size{gridDim.x} * blockDim.x) {
    float4 const v = from[i];
    sum += v.x + v.y + v.z + v.w;
  }
  if (sum == 12345.678f) *out = sum;  // never, but the compiler does not know
}

struct Timing {
  double median, p10, p90;  // µs
};
/// `launch(set)` for every set in turn, `rounds` times; one warm-up round.
Timing measure(cudaStream_t stream, int rounds, int sets, std::function<void(int)> const& launch) {
  cudaEvent_t begin, end;
  cudaEventCreate(&begin), cudaEventCreate(&end);
  std::vector<double> all;
  for (int round = -1; round < rounds; ++round) {
    cudaEventRecord(begin, stream);
    for (int set = 0; set < sets; ++set) launch(set);
    cudaEventRecord(end, stream);
    cudaEventSynchronize(end);
    float ms = 0;
    cudaEventElapsedTime(&ms, begin, end);
    if (round >= 0) all.push_back(1e3 * static_cast<double>(ms) / sets);
  }
  cudaEventDestroy(begin), cudaEventDestroy(end);
  std::sort(all.begin(), all.end());
  auto const at = [&](double p) { return all[static_cast<std::size_t>(p * static_cast<double>(all.size() - 1))]; };
  return {at(0.5), at(0.1), at(0.9)};
}

class Bench {
 public:
  explicit Bench(int rounds) : theirs_(libraries(ctx_)), rounds_(rounds) {}
  Context<Cuda>& ctx() { return ctx_; }
  /// On the same stream, with what libraries there are, which are preferred; and what they are called.
  Context<Cuda>& theirs() { return theirs_; }
  [[nodiscard]] char const* product_of() const { return theirs_.products() ? "cuBLASLt" : "ours"; }

  template <class U, int R>
  Tensor<U, R, Cuda> random(Extents<R> extents, float spread = 1) {
    auto t = ctx_.template empty<U>(extents);
    fill_random<<<1024, 256, 0, ctx_.stream().handle>>>(t.data(), t.count(), ++seed_, spread);
    return t;
  }
  /// How many sets of `bytes` together pass twice the L2 cache.
  int sets(Size bytes) const { return static_cast<int>(std::clamp<Size>((Size{128} << 20) / std::max<Size>(bytes, 1) + 1, 1, 64)); }

  void ceilings() {
    constexpr Size kSide = 8192;
    auto const x = random<T>(Extents{kSide, kSide}), w = random<T>(Extents{kSide, kSide}, 1.0f / 64);
    auto out = ctx_.empty<T>(Extents{kSide, kSide});
    auto const product = measure(ctx_.stream().handle, rounds_, 1, [&](int) { ops::linear<T, T, Cuda>(theirs_, x, w, {}, out.view()); });
    tflops_ = 2.0 * kSide * kSide * kSide / product.median * 1e-6;
    auto const large = random<float>(Extents{Size{1} << 29});
    auto one = ctx_.empty<float>(Extents{Size{1}});
    auto const read = measure(ctx_.stream().handle, rounds_, 1, [&](int) {
      read_sum<<<ctx_.runtime().info().multiprocessors * 8, 256, 0, ctx_.stream().handle>>>(reinterpret_cast<float4 const*>(large.data()), large.count() / 4, one.data());
    });
    gbs_ = static_cast<double>(large.count()) * 4 / read.median * 1e-3;
    std::printf("# ceilings: %.0f TFLOP/s (%s, bf16, 8192 cubed), %.0f GB/s (read-sum of 2 GiB)\n", tflops_, product_of(), gbs_);
  }
  void row(char const* kernel, std::string const& shape, Cost cost, int sets, std::function<void(int)> const& launch) {
    auto const t = measure(ctx_.stream().handle, rounds_, sets, launch);
    ctx_.synchronise();
    double const floor = std::max(static_cast<double>(cost.flops) / tflops_ * 1e-6, static_cast<double>(cost.bytes) / gbs_ * 1e-3);
    std::printf("%s\t%s\t%.2f\t%.2f\t%.2f\t%.1f\t%.0f\t%.2f\t%.0f%%\n", kernel, shape.c_str(), t.median, t.p10, t.p90,
                static_cast<double>(cost.flops) / t.median * 1e-6, static_cast<double>(cost.bytes) / t.median * 1e-3, floor, 100 * floor / t.median);
    std::fflush(stdout);
  }

 private:
  static Context<Cuda>::Config libraries(Context<Cuda> const& ctx) {
    Context<Cuda>::Config config{.stream = ctx.stream().handle, .prefer = Prefer::vendor};
#if defined(MGM_BENCH_CUBLASLT)
    config.products = std::make_shared<vendor::CublasLt>();
#endif
#if defined(MGM_BENCH_CUDNN)
    config.convolutions = std::make_shared<vendor::Cudnn>();
#endif
    return config;
  }

  Context<Cuda> ctx_{Context<Cuda>::Config{.prefer = Prefer::ours}}, theirs_;
  int rounds_;
  std::uint64_t seed_ = 0;
  double tflops_ = 1, gbs_ = 1;
};

void products(Bench& b) {
  for (auto const& [name, m, n, k] : std::vector<std::tuple<char const*, Size, Size, Size>>{
           {"ViT fc1", 577, 4096, 1024}, {"ViT fc2", 577, 1024, 4096}, {"ViT qkv", 577, 1024, 1024}, {"ConvNeXt s0 pw1", 36864, 768, 192},
           {"ConvNeXt s0 pw2", 36864, 192, 768}, {"ConvNeXt s2 pw1", 2304, 3072, 768}, {"ConvNeXt s2 pw2", 2304, 768, 3072},
           {"projector", 576, 4096, 1024}, {"2B up, 640", 640, 16384, 2048}, {"2B down, 640", 640, 2048, 16384}, {"7B up, 640", 640, 11008, 4096},
           {"2B up, 1", 1, 16384, 2048}, {"2B down, 1", 1, 2048, 16384}, {"7B up, 1", 1, 11008, 4096}, {"2B head, 1", 1, 256000, 2048}}) {
    Cost const cost = kernels::gemm_cost(m, n, k, 2, 2);
    int const sets = b.sets(cost.bytes);
    std::vector<Tensor<T, 2, Cuda>> x, w, out;
    for (int i = 0; i < sets; ++i)
      x.push_back(b.random<T>(Extents{m, k})), w.push_back(b.random<T>(Extents{n, k}, 1 / std::sqrt(float(k)))), out.push_back(b.ctx().empty<T>(Extents{m, n}));
    auto const bias = b.random<T>(Extents{n});
    std::string const shape = text(name, " ", m, "x", n, "x", k);
    Epilogue<T, Cuda> plain{}, gelu{};
    gelu.bias = bias.view(), gelu.activation = Activation::gelu;
    b.row("linear", shape, cost, sets, [&](int i) { ops::linear<T, T, Cuda>(b.ctx(), x[std::size_t(i)], w[std::size_t(i)], plain, out[std::size_t(i)].view()); });
    b.row("linear, bias, gelu", shape, cost, sets, [&](int i) { ops::linear<T, T, Cuda>(b.ctx(), x[std::size_t(i)], w[std::size_t(i)], gelu, out[std::size_t(i)].view()); });
    if (b.theirs().products())
      b.row("cuBLASLt", shape, cost, sets,
            [&](int i) { ops::linear<T, T, Cuda>(b.theirs(), x[std::size_t(i)], w[std::size_t(i)], plain, out[std::size_t(i)].view()); });
  }
}

void attentions(Bench& b) {
  for (auto const& [name, queries, keys, heads, kv, width, causal] : std::vector<std::tuple<char const*, Size, Size, Size, Size, Size, bool>>{
           {"ViT", 577, 577, 16, 16, 64, false}, {"7B prefill", 640, 640, 32, 32, 128, true}, {"2B prefill", 640, 640, 8, 1, 256, true},
           {"Mixtral prefill", 2048, 2048, 32, 8, 128, true}, {"7B decode", 1, 1024, 32, 32, 128, true}, {"2B decode", 1, 1024, 8, 1, 256, true},
           {"Mixtral decode", 1, 8192, 32, 8, 128, true}}) {
    Cost const cost = kernels::attention_cost(queries, keys, heads, kv, width, causal, 2);
    int const sets = b.sets(cost.bytes);
    std::vector<Tensor<T, 3, Cuda>> q, k, v, out;
    for (int i = 0; i < sets; ++i) {
      q.push_back(b.random<T>(Extents{queries, heads, width})), k.push_back(b.random<T>(Extents{keys, kv, width}));
      v.push_back(b.random<T>(Extents{keys, kv, width})), out.push_back(b.ctx().empty<T>(Extents{queries, heads, width}));
    }
    b.row("attention", text(name, " ", queries, "/", keys, " h", heads, "/", kv, " d", width), cost, sets, [&](int s) {
      auto const i = std::size_t(s);
      ops::attention<T, Cuda>(b.ctx(), q[i], k[i], v[i], 1 / std::sqrt(float(width)), causal, out[i].view());
    });
  }
}

void convolutions(Bench& b) {
  for (auto const& [side, width] : std::vector<std::pair<Size, Size>>{{192, 192}, {96, 384}, {48, 768}, {24, 1536}, {384, 192}}) {
    Cost const cost = kernels::depthwise_conv7_norm_cost(side, side, width, 2);
    int const sets = b.sets(cost.bytes);
    std::vector<Tensor<T, 3, Cuda>> x, out;
    for (int i = 0; i < sets; ++i) x.push_back(b.random<T>(Extents{side, side, width})), out.push_back(b.ctx().empty<T>(Extents{side, side, width}));
    auto const w = b.random<T>(Extents{Size{49}, width}, 1.0f / 7);
    auto const v = b.random<T>(Extents{width});
    b.row("depthwise 7x7, LayerNorm", text(side, "x", side, "x", width), cost, sets, [&](int i) {
      ops::depthwise_conv7_norm<T, Cuda>(b.ctx(), x[std::size_t(i)], w, v, v, v, 1e-6f, out[std::size_t(i)].view());
    });
  }
}

/// Of Stable Diffusion's UNet (64×64 latent) and decoder.
void windows(Bench& b) {
  for (auto const& [side, in, out_channels, window, stride] : std::vector<std::tuple<Size, Size, Size, int, int>>{{64, 320, 320, 3, 1},
                                                                                                                  {64, 320, 320, 3, 2},
                                                                                                                  {32, 640, 640, 3, 1},
                                                                                                                  {16, 1280, 1280, 3, 1},
                                                                                                                  {8, 2560, 1280, 3, 1},
                                                                                                                  {64, 640, 320, 1, 1},
                                                                                                                  {256, 512, 256, 3, 1},
                                                                                                                  {512, 128, 128, 3, 1}}) {
    Window const w = stride == 2 ? Window::halved(side, side) : Window::same(window, side, side);
    Size const pixels = w.out_rows * w.out_cols, k = Size{window} * window * in;
    Cost const cost{(side * side * in + out_channels * k + pixels * out_channels) * 2, 2 * pixels * out_channels * k};
    int const sets = b.sets(cost.bytes);
    nn::Conv2d<T, Cuda> layer(b.ctx(), {.in = in, .out = out_channels, .side = window});
    layer.parameters([&](auto&&, auto& p) {
      using P = std::remove_cvref_t<decltype(p)>;
      p.assign(b.random<T, P::kRank>(p.shape(), 0.02f));
    });
    std::vector<Tensor<T, 3, Cuda>> x;
    for (int i = 0; i < sets; ++i) x.push_back(b.random<T>(Extents{side, side, in}));
    std::string const shape = text(side, "x", side, "x", in, " -> ", out_channels, ", window ", window, ", stride ", stride);
    b.row("convolution", shape, cost, sets, [&](int i) { (void)layer(b.ctx(), x[std::size_t(i)], w); });
    if (b.theirs().convolutions()) b.row("cuDNN", shape, cost, sets, [&](int i) { (void)layer(b.theirs(), x[std::size_t(i)], w); });
  }
}

void mining(Bench& b) {
  for (auto const& [grid, global, cells] : std::vector<std::tuple<Size, bool, Size>>{{1, false, 192}, {2, true, 384}}) {
    nn::PatchInfoMining<T, Cuda> layer(b.ctx(), {.query = 1024, .detail = 2880});
    visit_parameters(layer, "", [&](std::string const&, auto& p) {
      using P = std::remove_cvref_t<decltype(p)>;
      p.assign(b.random<T, P::kRank>(p.shape(), 0.02f));
    });
    nn::MiningGeometry const geometry{.side = 24, .grid = grid, .global = global};
    std::vector<Tensor<T, 3, Cuda>> maps;
    Size elements = 0;
    for (int l = 0; l < 4; ++l) maps.push_back(b.random<T>(Extents{cells >> l, cells >> l, Size{192} << l})), elements += maps.back().count();
    std::vector<View<T const, 3, Cuda>> const views(maps.begin(), maps.end());
    auto const coarse = b.random<T>(Extents{geometry.tokens(), Size{1024}});
    Size const tokens = geometry.tokens();
    Cost const cost{elements * 2 + 2 * (2 * 1024 * 2880 + 1024 * 1024) * 1 + 2 * tokens * 1024 * 2, 2 * tokens * 1024 * (1024 + 2 * 2880)};
    b.row("mining, the whole layer", text(grid == 1 ? "768" : "1536 HD", ", ", tokens, " tokens"), cost, 1,
          [&](int) { (void)layer(b.ctx(), coarse, std::span<View<T const, 3, Cuda> const>(views), geometry); });
  }
}

void rows(Bench& b) {
  for (auto const& [n, width] : std::vector<std::pair<Size, Size>>{{577, 1024}, {36864, 192}, {640, 2048}, {1, 4096}}) {
    int const sets = b.sets(4 * n * width);
    std::vector<Tensor<T, 2, Cuda>> x, out;
    for (int i = 0; i < sets; ++i) x.push_back(b.random<T>(Extents{n, width})), out.push_back(b.ctx().empty<T>(Extents{n, width}));
    auto const gain = b.random<T>(Extents{width});
    std::string const shape = text(n, "x", width);
    b.row("layer_norm", shape, kernels::layer_norm_cost(n, width, 2), sets,
          [&](int i) { ops::layer_norm<T, Cuda>(b.ctx(), x[std::size_t(i)], gain, gain, 1e-5f, out[std::size_t(i)].view()); });
    b.row("rms_norm", shape, kernels::rms_norm_cost(n, width, 2), sets,
          [&](int i) { ops::rms_norm<T, Cuda>(b.ctx(), x[std::size_t(i)], gain, 1e-5f, 0, out[std::size_t(i)].view()); });
    b.row("add", shape, {6 * n * width, n * width}, sets,
          [&](int i) { ops::add<T, Cuda>(b.ctx(), x[std::size_t(i)], x[std::size_t(i)], out[std::size_t(i)].view()); });
  }
}

}  // namespace

int main(int argc, char** argv) try {
  std::string why;
  if (simt::device_count(&why) == 0) {
    std::fprintf(stderr, "cuda_bench: no CUDA device: %s\n", why.c_str());
    return 77;
  }
  Bench bench(argc > 1 ? std::max(1, std::atoi(argv[1])) : 30);
  auto const& info = bench.ctx().runtime().info();
  std::printf("# %s, %d multiprocessors, driver %d, toolkit %d; bf16; cold; µs median, p10, p90 per call\n", info.name.c_str(), info.multiprocessors,
              info.driver, info.toolkit);
  bench.ceilings();
  std::printf("kernel\tshape\tus\tp10\tp90\tTFLOP/s\tGB/s\tfloor_us\tshare\n");
  products(bench), attentions(bench), convolutions(bench), windows(bench), mining(bench), rows(bench);
  bench.ceilings();
  return 0;
} catch (std::exception const& error) {
  std::fprintf(stderr, "cuda_bench: %s\n", error.what());
  return 1;
}
