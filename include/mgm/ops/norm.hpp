/// Normalisations over the last axis.
#pragma once
#include <mgm/cpu/group_norm.hpp>
#include <mgm/cpu/norm.hpp>
#include <mgm/kernels/instances/norm.hpp>
#include <mgm/mem/context.hpp>

namespace mgm::inline v0::ops {

/// out = (x − mean) / sqrt(var + eps) · gain + bias over the channels, variance with divisor C.
/// x, out (N, C), gain, bias (C); `out` may be x. Statistics in float. Throws ShapeError.
template <Real T, Device Dev>
void layer_norm(Context<Dev>& ctx, In<T, 2, Dev> x, In<T, 1, Dev> gain, In<T, 1, Dev> bias, float eps, Out<T, 2, Dev> out) {
  check_shape("layer_norm: gain", gain, x.extent(1));
  check_shape("layer_norm: bias", bias, x.extent(1));
  check_shape("layer_norm: out", out, x.extent(0), x.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) cpu::layer_norm<T>(ctx.executor(), x, gain, bias, eps, out);
  else kernels::layer_norm<T, Dev>(ctx.stream(), x, gain, bias, eps, out);
}

/// out = x / sqrt(mean(x²) + eps) · (gain + offset); offset 1 is Gemma's.
/// x, out (N, C), gain (C); `out` may be x. Statistics in float. Throws ShapeError.
template <Real T, Device Dev>
void rms_norm(Context<Dev>& ctx, In<T, 2, Dev> x, In<T, 1, Dev> gain, float eps, float offset, Out<T, 2, Dev> out) {
  check_shape("rms_norm: gain", gain, x.extent(1));
  check_shape("rms_norm: out", out, x.extent(0), x.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) cpu::rms_norm<T>(ctx.executor(), x, gain, eps, offset, out);
  else kernels::rms_norm<T, Dev>(ctx.stream(), x, gain, eps, offset, out);
}

/// out = act((x − mean_g) / sqrt(var_g + eps) · gain + bias), mean and variance over all rows and the C/groups channels of each group; act
/// is SiLU or nothing.   x, out (N, C), gain, bias (C); `out` may be x. Throws ShapeError.
template <Real T, Device Dev>
void group_norm(Context<Dev>& ctx, In<T, 2, Dev> x, Size groups, In<T, 1, Dev> gain, In<T, 1, Dev> bias, float eps, bool silu,
                Out<T, 2, Dev> out) {
  require<ShapeError>(groups >= 1 && x.extent(1) % groups == 0, "group_norm: ", x.extent(1), " channels do not divide into ", groups,
                      " groups");
  check_shape("group_norm: gain", gain, x.extent(1));
  check_shape("group_norm: bias", bias, x.extent(1));
  check_shape("group_norm: out", out, x.extent(0), x.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) {
    cpu::group_norm<T>(ctx.executor(), x, groups, gain, bias, eps, silu, out);
  } else {
    auto const scratch = ctx.template empty<kernels::Moments>(kernels::group_norm_scratch(x.extent(0), groups));
    kernels::group_norm<T, Dev>(ctx.stream(), x, groups, gain, bias, eps, silu, scratch.view(), out);
  }
}

/// The same norm as one multiply-add a channel, for whoever reads x next: scale = gain/sqrt(var_g + eps), shift = bias − mean_g·scale.
/// x (N, Ca) and behind it `more` (N, Cb) or null; gain, bias (C = Ca + Cb); affine (2, C): scale, shift. Throws ShapeError.
template <Real T, Device Dev>
void group_affine(Context<Dev>& ctx, In<T, 2, Dev> x, In<T, 2, Dev> more, Size groups, In<T, 1, Dev> gain, In<T, 1, Dev> bias,
                  float eps, Out<float, 2, Dev> affine) {
  Size const channels = x.extent(1) + (more.data() ? more.extent(1) : 0);
  require<ShapeError>(groups >= 1 && channels % groups == 0, "group_affine: ", channels, " channels do not divide into ", groups,
                      " groups");
  if (more.data()) check_shape("group_affine: more", more, x.extent(0), any);
  check_shape("group_affine: gain", gain, channels), check_shape("group_affine: bias", bias, channels);
  check_shape("group_affine: affine", affine, 2, channels);
  if constexpr (std::same_as<Dev, Cpu>) {
    cpu::group_affine<T>(ctx.executor(), x, more, groups, gain, bias, eps, affine[0], affine[1]);
  } else {
    auto const scratch = ctx.template empty<kernels::Moments>(kernels::group_norm_scratch(x.extent(0), groups));
    kernels::group_affine<T, Dev>(ctx.stream(), x, more, groups, gain, bias, eps, scratch.view(), affine);
  }
}

}  // namespace mgm::inline v0::ops
