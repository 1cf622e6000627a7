/// What diffusion models have of their own: the gated product of their transformers, sinusoids of times, and a scheduler's step.
#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <mgm/core/denoise_step.hpp>
#include <mgm/kernels/instances/diffusion.hpp>
#include <mgm/ops/linear.hpp>

namespace mgm::inline v0::ops {

/// out = (x·wᵀ + b)[:, :N] ⊙ gelu((x·wᵀ + b)[:, N:]), gelu the exact one (Shazeer 2020, arXiv:2002.05202).
/// x (M, K), w (2N, K), bias (2N) or null, out (M, N). Sums in float; where two products make it the gate is rounded to T between them.
/// Throws ShapeError. 4·M·N·K flops.
template <Real T, Device Dev>
void geglu(Context<Dev>& ctx, In<T, 2, Dev> x, In<T, 2, Dev> w, In<T, 1, Dev> bias, Out<T, 2, Dev> out) {
  Size const n = out.extent(1);
  check_shape("geglu: weight", w, 2 * n, x.extent(1)), check_shape("geglu: out", out, x.extent(0), n);
  if (bias.data()) check_shape("geglu: bias", bias, 2 * n);
  if constexpr (KernelDevice<Dev>) {
    if (!ctx.tuned() || sizeof(T) != 2) return kernels::geglu<T, Dev>(ctx.stream(), x, w, bias, out);
  }
  auto const half = [&](Size first) { return bias.data() ? bias.slice(0, first, n) : bias; };
  linear(ctx, x, w.slice(0, n, n), Epilogue<T, Dev>{.bias = half(n), .activation = Activation::gelu}, out);
  linear(ctx, x, w.slice(0, 0, n), Epilogue<T, Dev>{.bias = half(0), .factor = out}, out);
}

/// [cos(s·f_i), sin(s·f_i)], f_i = 10000^(−i/half), half = width / 2: in float, as the networks were trained.
[[nodiscard]] inline std::vector<float> sinusoid(float s, Size width) {
  Size const half = width / 2;
  std::vector<float> out(static_cast<std::size_t>(width));
  for (Size i = 0; i < half; ++i) {
    float const angle = s * std::exp(-std::log(10000.0f) * static_cast<float>(i) / static_cast<float>(half));
    out[static_cast<std::size_t>(i)] = std::cos(angle), out[static_cast<std::size_t>(half + i)] = std::sin(angle);
  }
  return out;
}

/// out[n] = the sinusoid of s[n], rounded to T.   out (s, width), width even. Throws ShapeError.
template <Real T, Device Dev>
void time_embedding(Context<Dev>& ctx, std::span<float const> s, Out<T, 2, Dev> out) {
  Size const count = static_cast<Size>(s.size()), width = out.extent(1);
  check_shape("time_embedding: out", out, count, any);
  require<ShapeError>(width % 2 == 0, "time_embedding: the width must be even, found ", width);
  if constexpr (std::same_as<Dev, Cpu>) {
    for (Size n = 0; n < count; ++n) {
      auto const row = sinusoid(s[static_cast<std::size_t>(n)], width);
      for (Size c = 0; c < width; ++c) out(n, c) = T(row[static_cast<std::size_t>(c)]);
    }
  } else {
    kernels::time_embedding<T, Dev>(ctx.stream(), ctx.on_device(View<float const, 1, Cpu>(s.data(), Extents{count})), out);
  }
}

/// One step of all latents (core/denoise_step.hpp): the memory's views become those after the step, `in` the network's next input in T.
/// prediction, base (null: no guidance), noise (null: none) (P, C); in (P, C), rows at any stride. One launch on a GPU. Throws ShapeError.
template <Real T, Device Dev>
void scheduler_step(Context<Dev>& ctx, DenoiseStep const& step, In<float, 2, Dev> prediction, In<float, 2, Dev> base,
                    In<float, 2, Dev> noise, DenoiseMemory<Dev> const& memory, Out<T, 2, Dev> in) {
  Size const rows = in.extent(0), cols = in.extent(1);
  check_shape("scheduler_step: prediction", prediction, rows, cols), check_shape("scheduler_step: x", memory.x, rows, cols);
  check_shape("scheduler_step: data", memory.data, rows, cols), check_shape("scheduler_step: started", memory.started, rows, cols);
  check_shape("scheduler_step: past", memory.past, 3, rows, cols);
  if (base.data()) check_shape("scheduler_step: base", base, rows, cols);
  if (noise.data()) check_shape("scheduler_step: noise", noise, rows, cols);
  if constexpr (std::same_as<Dev, Cpu>) {
    for (Size p = 0; p < rows; ++p)
      for (Size c = 0; c < cols; ++c) {
        float const m = base.data() ? guided(prediction(p, c), base(p, c), step.guidance) : prediction(p, c);
        auto const& [x, data, started, past] = memory;
        DenoiseState at{x(p, c), data(p, c), started(p, c), {past(0, p, c), past(1, p, c), past(2, p, c)}};
        advance(step, m, noise.data() ? noise(p, c) : 0.0f, at);
        x(p, c) = at.x, data(p, c) = at.data, started(p, c) = at.started;
        for (Size k = 0; k < 3; ++k) past(k, p, c) = at.past[k];
        in(p, c) = T(static_cast<float>(static_cast<double>(at.x) * step.input));
      }
  } else {
    kernels::scheduler_step<T, Dev>(ctx.stream(), step, prediction, base, noise, memory, in);
  }
}

}  // namespace mgm::inline v0::ops
