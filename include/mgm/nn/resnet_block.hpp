/// The residual block of Stable Diffusion's UNet and VAE (Rombach et al. 2022, arXiv:2112.10752), channels-last.
#pragma once
#include <optional>

#include <mgm/nn/conv2d.hpp>
#include <mgm/nn/linear.hpp>
#include <mgm/nn/norm.hpp>
#include <mgm/ops/elementwise.hpp>

namespace mgm::inline v0::nn {

/// y = conv1(silu(GroupNorm(x))) + time·1ᵀ;   out = shortcut(x) + conv2(silu(GroupNorm(y))).   x (H, W, in) -> (H, W, out)
/// The time term, Linear(silu(emb)) per channel, is absent in the VAE (`time` 0); the shortcut is a 1×1 convolution where in ≠ out.
template <Real T, Device Dev = DefaultDevice>
struct ResnetBlock {
  struct Config {
    Size in, out, time = 0, groups = 32;
    float eps = 1e-5f;
  };
  ResnetBlock(Context<Dev>& ctx, Config c)
      : norm1(ctx, {c.in, c.groups, c.eps}),
        norm2(ctx, {c.out, c.groups, c.eps}),
        conv1(ctx, {c.in, c.out, 3}),
        conv2(ctx, {c.out, c.out, 3}) {
    if (c.time > 0) time.emplace(ctx, typename Linear<T, Dev>::Config{c.time, c.out});
    if (c.in != c.out) shortcut.emplace(ctx, typename Conv2d<T, Dev>::Config{c.in, c.out, 1});
  }

  /// `silu_emb` (1, time), already activated; empty where the block has no time term.
  [[nodiscard]] Tensor<T, 3, Dev> operator()(Context<Dev>& ctx, In<T, 3, Dev> x, In<T, 2, Dev> silu_emb = {}) const {
    return (*this)(ctx, x, {}, silu_emb);
  }
  /// x has the channels of `skip` (H, W, in − its own) behind its own; they are read where they lie. No skip: null.
  [[nodiscard]] Tensor<T, 3, Dev> operator()(Context<Dev>& ctx, In<T, 3, Dev> x, In<T, 3, Dev> skip, In<T, 2, Dev> silu_emb) const {
    Size const h = x.extent(0), w = x.extent(1), out = conv1.weight.shape()[0], pixels = h * w;
    auto const around = Window::same(3, h, w);
    Epilogue<T, Dev> with_time{};
    Tensor<T, 2, Dev> shift;                                                                     // (1, out): conv1's bias and the time's
    if (time) {
      shift = (*time)(ctx, silu_emb, {.residual = conv1.bias.view().reshape(Extents{Size{1}, out})});
      with_time.bias = shift.reshape(Extents{out});
    }
    auto const first = norm1.then_silu(ctx, x, skip);                                            // read as (H, W, in)
    auto const y = conv1(ctx, first.map, around, with_time);                                     // (H, W, out)
    auto const second = norm2.then_silu(ctx, y);                                                 // read as (H, W, out)
    if (!shortcut) return conv2(ctx, second.map, around, {.residual = x.reshape(Extents{pixels, out})});
    MapSource<T, Dev> const all{.first = x, .second = skip};                                     // (H, W, in)
    auto const straight = (*shortcut)(ctx, all, Window::same(1, h, w));                          // (H, W, out)
    return conv2(ctx, second.map, around, {.residual = straight.reshape(Extents{pixels, out})});
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("norm1", norm1);
    visit("conv1", conv1);
    if (time) visit("time_emb_proj", *time);
    visit("norm2", norm2);
    visit("conv2", conv2);
    if (shortcut) visit("conv_shortcut", *shortcut);
  }

  GroupNorm<T, Dev> norm1, norm2;
  Conv2d<T, Dev> conv1, conv2;
  std::optional<Linear<T, Dev>> time;
  std::optional<Conv2d<T, Dev>> shortcut;
};

}  // namespace mgm::inline v0::nn
