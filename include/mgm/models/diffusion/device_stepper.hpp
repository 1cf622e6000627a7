/// The latents of a run where the network is: from the first step to the last nothing of them passes through the host.
#pragma once
#include <vector>

#include <mgm/models/diffusion/latents.hpp>
#include <mgm/models/diffusion/scheduler.hpp>
#include <mgm/ops/diffusion.hpp>

namespace mgm::inline v0::models {

/// Stepper's twin on a device: one launch a step makes guidance, the step, and the network's next input.
template <Real T, Device Dev = DefaultDevice>
class DeviceStepper {
 public:
  /// x: planes (C, rows·cols), at the first step's noise level; `input`: the first step's.
  DeviceStepper(Context<Dev>& ctx, std::vector<float> const& x, Size rows, Size cols, double input)
      : rows_(rows), cols_(cols), x_(channels_last<float, Dev>(ctx, x, rows, cols)), in_(channels_last<T, Dev>(ctx, x, rows, cols, input)) {
    Size const pixels = rows * cols, channels = x_.extent(2);
    remembered_ = ctx.template empty<float>(Extents{5 * pixels, channels});  // data, started, the last three outputs
    ops::fill<float, Dev>(ctx, 0, remembered_.view());
  }

  /// What the network reads: (h, w, C).
  [[nodiscard]] View<T const, 3, Dev> input() const { return in_; }
  /// The latents become those after step `s`. prediction (h·w, C), and `base`, that of the negative prompt, or null; noise: N(0, 1) in
  /// planes where the step draws; `input`: the next step's. Throws ShapeError.
  void advance(Context<Dev>& ctx, SchedulerStep const& s, float guidance, In<float, 2, Dev> prediction, In<float, 2, Dev> base,
               std::vector<float> const& noise, double input) {
    Extents const flat{rows_ * cols_, x_.extent(2)};
    DenoiseStep const step{.guidance = guidance,
                           .past = {s.past[0], s.past[1], s.past[2], s.past[3]},
                           .data_x = s.data_x,
                           .data_m = s.data_m,
                           .clip = s.clip,
                           .keep = s.keep,
                           .model = s.model,
                           .data = s.data,
                           .before = s.before,
                           .noise = s.draws ? s.noise : 0,
                           .stored = s.stored,
                           .restart = s.restart,
                           .input = input};
    Tensor<float, 3, Dev> drawn;
    if (s.draws) drawn = channels_last<float, Dev>(ctx, noise, rows_, cols_);  // (h, w, C)
    ops::scheduler_step<T, Dev>(ctx, step, prediction, base, s.draws ? drawn.reshape(flat) : View<float, 2, Dev>{}, memory(),
                                in_.reshape(flat));
  }
  /// The latents, and the clean ones that the last step saw behind the noise: planes (C, h·w), on the host.
  [[nodiscard]] std::vector<float> latents(Context<Dev>& ctx) const { return on_host(ctx, memory().x); }
  [[nodiscard]] std::vector<float> clean(Context<Dev>& ctx) const { return on_host(ctx, memory().data); }

 private:
  [[nodiscard]] DenoiseMemory<Dev> memory() const {
    Size const pixels = rows_ * cols_, channels = x_.extent(2);
    auto const part = [&](Size i) { return remembered_.view().slice(0, i * pixels, pixels); };
    View<float, 2, Dev> const past = remembered_.view().slice(0, 2 * pixels, 3 * pixels);
    return {x_.reshape(Extents{pixels, channels}), part(0), part(1), past.reshape(Extents{Size{3}, pixels, channels})};
  }
  [[nodiscard]] static std::vector<float> on_host(Context<Dev>& ctx, View<float, 2, Dev> rows) {
    auto const host = ctx.on_host(rows);
    return planes(host.view());
  }

  Size rows_, cols_;
  Tensor<float, 3, Dev> x_;           // (h, w, C)
  Tensor<T, 3, Dev> in_;              // (h, w, C)
  Tensor<float, 2, Dev> remembered_;  // (5·h·w, C)
};

}  // namespace mgm::inline v0::models
