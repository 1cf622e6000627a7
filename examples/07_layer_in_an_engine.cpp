// One layer of the library inside an engine that has its own memory: the engine's allocator gives every byte that the layer's kernels touch.
// nvcc compiles this file for a GPU; g++ and clang compile the same lines for the Simt machine.
#include <cstdio>
#include <memory>

#include <mgm/nn/convnext_block.hpp>
#include <mgm/ops/elementwise.hpp>
#include <mgm/simt/platform.hpp>

using Dev = mgm::simt::KernelsFor;  // Cuda or Simt
using mgm::Extents, mgm::Size, mgm::View;

// Memory of the engine, counted: here it asks further down, an engine cuts from a block that it has already.
class EngineMemory final : public mgm::Allocator {
 public:
  explicit EngineMemory(std::shared_ptr<mgm::Allocator> below) : below_(std::move(below)) {}
  void* allocate(Size bytes) override {
    ++calls;
    return below_->allocate(bytes);
  }
  void release(void* block, Size bytes) noexcept override { below_->release(block, bytes); }
  int calls = 0;

 private:
  std::shared_ptr<mgm::Allocator> below_;
};

int main() {
#if defined(__CUDACC__)
  if (mgm::simt::device_count() == 0) return std::puts("skipped: no CUDA device"), 0;
  auto const memory = std::make_shared<EngineMemory>(std::make_shared<mgm::CudaAllocator>(std::make_shared<mgm::simt::Runtime>(0, nullptr)));
#else
  auto const memory = std::make_shared<EngineMemory>(std::make_shared<mgm::HeapAllocator>());
#endif
  mgm::Context<Dev>::Config config;
  config.allocator = memory;
  mgm::Context<Dev> ctx(config);

  mgm::nn::ConvNeXtBlock<mgm::bf16, Dev> block(ctx, {.width = 96});
  mgm::visit_parameters(block, "", [&](std::string const& name, auto& parameter) {  // weights from anywhere: here from a formula
    using Parameter = std::remove_cvref_t<decltype(parameter)>;
    Extents const shape = parameter.shape();
    std::vector<mgm::bf16> numbers(static_cast<std::size_t>(shape.count()));
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = mgm::bf16(name == "norm.weight" ? 1.0f : 0.01f * static_cast<float>(i % 7) - 0.03f);
    auto value = ctx.lasting<mgm::bf16>(shape);
    auto const there = ctx.on_device(View<mgm::bf16 const, Parameter::kRank, mgm::Cpu>(numbers.data(), shape));
    auto const flat = [](auto v) { return v.reshape(Extents{Size{1}, v.count()}); };
    mgm::ops::copy<mgm::bf16, Dev>(ctx, flat(there.view()), flat(value.view()));
    parameter.assign(std::move(value));
  });

  std::vector<float> picture(12 * 12 * 96, 0.25f);
  auto const pixels = ctx.on_device(View<float const, 2, mgm::Cpu>(picture.data(), Extents{Size{144}, Size{96}}));  // (144, 96)
  auto x = ctx.empty<mgm::bf16>(Extents{Size{12}, Size{12}, Size{96}});                                             // (12, 12, 96)
  mgm::ops::convert<mgm::bf16, float, Dev>(ctx, pixels, x.reshape(Extents{Size{144}, Size{96}}));
  block(ctx, x);
  int const warm = memory->calls;
  for (int i = 0; i < 5; ++i) block(ctx, x);
  auto const out = ctx.on_host(x.view());
  std::printf("x(0, 0, 0) = %.4f after six blocks; the engine gave memory %d times, %d of them after the first block\n",
              static_cast<double>(static_cast<float>(out(0, 0, 0))), memory->calls, memory->calls - warm);
  return memory->calls == warm ? 0 : 1;
}
