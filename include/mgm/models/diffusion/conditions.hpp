/// What the network is told in every step of a run: the prompt's states, sizes, and the strength of the guidance.
#pragma once
#include <cmath>
#include <span>
#include <string_view>
#include <vector>

#include <mgm/models/diffusion/prompter.hpp>
#include <mgm/models/diffusion/unet.hpp>

namespace mgm::inline v0::models {

/// One prompt, as the UNet takes it.
template <Real T, Device Dev>
struct Condition {
  Tensor<T, 2, Dev> text;    ///< (77, D): the encoders' states side by side
  Tensor<T, 2, Dev> pooled;  ///< (1, P), or empty
  Tensor<T, 2, Dev> added;   ///< (1, config.added): [pooled, sinusoids of sizes], or empty; see `add_sizes`
  std::vector<nn::Sources<T, Dev>> pictures{};  ///< what pictures add to the prompt, as Unet::prompt takes it
};

/// A prompt through one encoder or SDXL's two. Throws ConfigError where encoders and UNet do not belong together.
template <Real T, Device Dev>
[[nodiscard]] Condition<T, Dev> encode_prompt(Context<Dev>& ctx, std::span<Prompter<T, Dev> const> prompters, UnetConfig const& net,
                                              std::string_view prompt, bool plain = false) {
  Condition<T, Dev> out;
  Size const positions = prompters.front().encoder.config().positions;
  out.text = ctx.template empty<T>(Extents{positions, net.text});  // (77, D)
  Size at = 0;
  for (auto const& p : prompters) {
    auto states = p.encoder(ctx, p.ids(prompt, plain), net.added == 0);  // (77, C) and (1, P)
    Size const own = states.sequence.extent(1);
    require<ConfigError>(at + own <= net.text && states.sequence.extent(0) == positions,
                         "generator: the text encoders' states do not fit the UNet's ", net.text, " channels");
    ops::copy<T, Dev>(ctx, states.sequence, out.text.slice(1, at, own));
    at += own;
    if (!states.pooled.empty()) out.pooled = std::move(states.pooled);
  }
  require<ConfigError>(at == net.text, "generator: the text encoders give ", at, " channels, the UNet takes ", net.text);
  return out;
}

/// The condition that stands for an absent negative prompt where the folder says force_zeros_for_empty_prompt: zeros, nothing is encoded.
template <Real T, Device Dev>
[[nodiscard]] Condition<T, Dev> zeros_like(Context<Dev>& ctx, Condition<T, Dev> const& c) {
  Condition<T, Dev> out;
  out.text = ctx.template empty<T>(c.text.extents());
  ops::fill<T, Dev>(ctx, 0, out.text.view());
  if (!c.pooled.empty()) out.pooled = ctx.template empty<T>(c.pooled.extents()), ops::fill<T, Dev>(ctx, 0, out.pooled.view());
  return out;
}

/// Sets c.added = [pooled, sinusoids of the sizes that the UNet was trained with], for UNets that take it: (height, width, 0, 0, height,
/// width) of the original, of where it was cut, and of the target; a refiner's end in an aesthetic score instead, 6, of a negative
/// prompt 2.5.
template <Real T, Device Dev>
void add_sizes(Context<Dev>& ctx, UnetConfig const& net, Size height, Size width, bool negative, Condition<T, Dev>& c) {
  if (net.added == 0) return;
  float const h = static_cast<float>(height), w = static_cast<float>(width);
  Size const pooled = c.pooled.extent(1), count = net.added_time > 0 ? (net.added - pooled) / net.added_time : 0;
  require<ConfigError>((count == 5 || count == 6) && net.added == pooled + count * net.added_time, "generator: the pooled text has ",
                       pooled, " channels and sizes take ", net.added_time, " each; 6 of these, or a refiner's 5, do not make the UNet's ",
                       net.added);
  std::vector<float> sizes{h, w, 0, 0};
  if (count == 6)
    sizes.insert(sizes.end(), {h, w});
  else
    sizes.push_back(negative ? 2.5f : 6.0f);
  c.added = ctx.template empty<T>(Extents{Size{1}, net.added});
  ops::copy<T, Dev>(ctx, c.pooled, c.added.slice(1, 0, pooled));
  ops::time_embedding<T, Dev>(ctx, sizes, c.added.slice(1, pooled, count * net.added_time).reshape(Extents{count, net.added_time}));
}

/// [sin(w·f), cos(w·f)], w = 1000·(guidance − 1): the sine first here, and half − 1 in the divisor.
[[nodiscard]] inline std::vector<float> guidance_wave(double guidance, Size width) {
  Size const half = width / 2;
  std::vector<float> out(static_cast<std::size_t>(width));
  for (Size i = 0; i < half; ++i) {
    double const angle = (guidance - 1) * 1000 * std::exp(-std::log(10000.0) * static_cast<double>(i) / static_cast<double>(half - 1));
    out[static_cast<std::size_t>(i)] = static_cast<float>(std::sin(angle)),
    out[static_cast<std::size_t>(half + i)] = static_cast<float>(std::cos(angle));
  }
  return out;
}

}  // namespace mgm::inline v0::models
