/// A UNet with what it is told in a run: from latents to the guided prediction (Ho & Salimans 2022, arXiv:2207.12598).
#pragma once
#include <optional>
#include <string>
#include <vector>

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

/// negative + guidance·(positive − negative) of the UNet's predictions for latents x, both float on the host, (C, h·w).
/// `in` (h, w, config.in): x as the UNet takes it. Throws ShapeError, Cancelled.
template <Real T, Device Dev>
[[nodiscard]] std::vector<float> predict(Context<Dev>& ctx, Unet<T, Dev> const& unet, Conditions<T, Dev> const& told, double timestep,
                                         In<T, 3, Dev> in) {
  auto const one = [&](Condition<T, Dev> const& c) {
    return channels_first(ctx, unet(ctx, in, unet.embed(ctx, timestep, c.added, told.strength), c.text));  // (C, h·w)
  };
  auto m = one(told.positive);
  if (!told.negative) return m;
  auto const base = one(*told.negative);
  for (std::size_t i = 0; i < m.size(); ++i) m[i] = base[i] + static_cast<float>(told.guidance) * (m[i] - base[i]);
  return m;
}

}  // namespace mgm::inline v0::models
