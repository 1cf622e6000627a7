/// Convolutions whose stride is their kernel: CLIP's patch embedding, ConvNeXt's stem and downsampling. A gather and one product.
#pragma once
#include <mgm/mem/parameter.hpp>
#include <mgm/nn/norm.hpp>
#include <mgm/ops/conv.hpp>
#include <mgm/ops/linear.hpp>

namespace mgm::inline v0::nn {

/// Non-overlapping p×p convolution: (H, W, in) -> (⌊H/p⌋·⌊W/p⌋, out), rows in reading order. Sums in float.
template <Real T, Device Dev = DefaultDevice>
struct PatchConv {
  struct Config {
    Size in, out, patch;
    bool has_bias = true;
  };
  PatchConv(Context<Dev>&, Config c)
      : weight({c.out, c.in, c.patch, c.patch}, Layout::taps_inner, Extents{c.out, c.patch * c.patch * c.in}),
        patch(c.patch),
        has_bias(c.has_bias) {
    if (has_bias) bias = Parameter<T, 1, Dev>(Extents{c.out});
  }

  [[nodiscard]] Tensor<T, 2, Dev> operator()(Context<Dev>& ctx, In<T, 3, Dev> image) const {
    auto out = ctx.template empty<T>(Extents{(image.extent(0) / patch) * (image.extent(1) / patch), weight.shape()[0]});
    into(ctx, image, out);
    return out;
  }
  void into(Context<Dev>& ctx, In<T, 3, Dev> image, Out<T, 2, Dev> out) const {
    auto rows = ctx.template empty<T>(Extents{(image.extent(0) / patch) * (image.extent(1) / patch), weight.shape()[1]});  // (N, p·p·in)
    ops::patches(ctx, image, patch, rows.view());
    ops::linear(ctx, rows, weight.view(), Epilogue<T, Dev>{.bias = bias.view()}, out);  // (N, out)
  }
  /// The same of the norm over channels of a dense map, as ConvNeXt downsamples.
  void into(Context<Dev>& ctx, LayerNorm<T, Dev> const& norm, In<T, 3, Dev> map, Out<T, 2, Dev> out) const {
    if constexpr (std::same_as<Dev, Cpu>) {
      auto const n = norm(ctx, map.reshape(Extents{map.extent(0) * map.extent(1), map.extent(2)}));  // (H·W, in)
      into(ctx, n.reshape(map.extents()), out);
    } else {
      auto rows = ctx.template empty<T>(Extents{(map.extent(0) / patch) * (map.extent(1) / patch), weight.shape()[1]});  // (N, p·p·in)
      ops::norm_patches<T>(ctx, map, norm.weight.view(), norm.bias.view(), norm.eps, patch, rows.view());
      ops::linear(ctx, rows, weight.view(), Epilogue<T, Dev>{.bias = bias.view()}, out);                                 // (N, out)
    }
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("weight", weight);
    if (has_bias) visit("bias", bias);
  }

  Parameter<T, 2, Dev> weight;  // (out, p·p·in)
  Parameter<T, 1, Dev> bias{};  // (out)
  Size patch;
  bool has_bias;
};

}  // namespace mgm::inline v0::nn
