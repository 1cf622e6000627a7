// The least program that runs a layer on Cuda and is compiled by the host's compiler. Prints what it got; 0 also where there is no device.
#include <cstdio>
#include <vector>

#include <mgm/nn/linear.hpp>

int main() {
  using namespace mgm;
  try {
    Context<Cuda> ctx;
    nn::Linear<bf16, Cuda> layer(ctx, {.in = 3, .out = 4, .has_bias = false});
    std::vector<bf16> const ones(12, bf16(1));
    layer.weight.assign(ctx.on_device(View<bf16 const, 2, Cpu>(ones.data(), {4, 3})));
    auto const y = ctx.on_host(layer(ctx, ctx.on_device(View<bf16 const, 2, Cpu>(ones.data(), {1, 3}))).view());  // (1, 4)
    std::printf("%s: 1 + 1 + 1 = %g\n", ctx.path().c_str(), double(float(y.view()(0, 3))));
    return float(y.view()(0, 3)) == 3 ? 0 : 1;
  } catch (DeviceError const& error) {
    std::printf("%s\n", error.what());
  }
}
