/// A UNet with what it is told in a run: from latents to the guided prediction (Ho & Salimans 2022, arXiv:2207.12598).
#pragma once
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <mgm/core/denoise_step.hpp>
#include <mgm/models/diffusion/conditions.hpp>
#include <mgm/models/diffusion/latents.hpp>
#include <mgm/models/diffusion/scheduler.hpp>

namespace mgm::inline v0::models {

/// What a whole run is told.
template <Real T, Device Dev>
struct Conditions {
  Condition<T, Dev> positive;
  std::optional<Condition<T, Dev>> negative{};  ///< absent: the prompt alone is predicted for
  double guidance = 1;
  Tensor<T, 2, Dev> strength{};  ///< (1, guidance_width): the guidance as an embedding, for UNets distilled with it

  /// Hands the prompt's embeddings to `tensor(name, values, shape)`, under diffusers' names.
  template <class Show>
  void show(Context<Dev>& ctx, Show const& tensor, std::string const& prefix) const {
    auto const one = [&](std::string_view name, Tensor<T, 2, Dev> const& t, std::vector<Size> const& shape) {
      auto const host = ctx.on_host(t.view());
      std::vector<float> out;
      for (Size i = 0; i < t.extent(0); ++i)
        for (Size c = 0; c < t.extent(1); ++c) out.push_back(static_cast<float>(host(i, c)));
      tensor(text(prefix, name), out, shape);
    };
    std::vector<Size> const states{1, positive.text.extent(0), positive.text.extent(1)};
    one("prompt_embeds", positive.text, states);
    if (negative) one("negative_prompt_embeds", negative->text, states);
    if (!positive.added.empty()) one("pooled_prompt_embeds", positive.pooled, {1, positive.pooled.extent(1)});
  }
};

/// A UNet ready for the steps of one run: what no step changes is made once, the keys and values of the text and of pictures in every
/// cross-attention, and the embeddings of all timesteps. Borrows the UNet. Memory: for each prompt 2·77·C elements a cross-attention of
/// width C (SDXL: 51 MB in f32), until it dies.
template <Real T, Device Dev>
class Denoiser {
 public:
  /// Throws ShapeError.
  Denoiser(Context<Dev>& ctx, Unet<T, Dev> const& unet, Conditions<T, Dev> const& told, std::span<double const> timesteps)
      : unet_(&unet), guidance_(static_cast<float>(told.guidance)) {
    auto const add = [&](Condition<T, Dev> const& c) {
      told_.push_back({unet.prompt(ctx, c.text, c.pictures), unet.embed(ctx, timesteps, c.added, told.strength)});
    };
    add(told.positive);
    if (told.negative) add(*told.negative);
  }

  struct Predictions {
    Tensor<float, 2, Dev> positive, negative{};  ///< (h·w, C); negative empty where the prompt alone is predicted for
  };
  [[nodiscard]] float guidance() const { return guidance_; }
  /// What the UNet predicts at the timestep of that number, on the device. `in` (h, w, config.in): latents as the UNet takes them. Throws
  /// ShapeError, Cancelled.
  [[nodiscard]] Predictions operator()(Context<Dev>& ctx, std::size_t step, In<T, 3, Dev> in) const {
    auto const one = [&](Told const& t) { return (*unet_)(ctx, in, t.times.slice(0, static_cast<Size>(step), 1), t.prompt); };
    Predictions out{one(told_[0])};
    if (told_.size() > 1) out.negative = one(told_[1]);
    return out;
  }
  /// negative + guidance·(positive − negative) on the host, planes (C, h·w).
  [[nodiscard]] std::vector<float> guided(Context<Dev>& ctx, Predictions const& p) const {
    auto m = channels_first(ctx, p.positive);
    if (p.negative.empty()) return m;
    auto const base = channels_first(ctx, p.negative);
    for (std::size_t i = 0; i < m.size(); ++i) m[i] = mgm::guided(m[i], base[i], guidance_);
    return m;
  }

 private:
  struct Told {
    typename Unet<T, Dev>::Prompt prompt;
    Tensor<T, 2, Dev> times;  // (S, time)
  };
  Unet<T, Dev> const* unet_;
  std::vector<Told> told_;  // positive, then negative where there is one
  float guidance_;
};

}  // namespace mgm::inline v0::models
