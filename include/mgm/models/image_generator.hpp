/// Whatever turns text into pictures, as MiniGemini takes it: StableDiffusion, or a callable of one's own.
#pragma once
#include <concepts>
#include <string_view>
#include <utility>

#include <mgm/io/image.hpp>
#include <mgm/mem/context.hpp>
#include <mgm/models/diffusion/draw_options.hpp>
#include <mgm/models/generation_prompt.hpp>

namespace mgm::inline v0::models {

/// A prompt and options in, a picture out: `generator(ctx, prompt, options)`, a function, a lambda or an object. It may leave options
/// alone that mean nothing to it. It tells of its progress by `ctx.begin(Stage::denoise, steps)` and `ctx.step()`, which throw Cancelled
/// when the caller wants no more; who does neither is only not watched.
template <class G, class Dev>
concept ImageGenerator = requires(G& generator, Context<Dev>& ctx, std::string_view prompt, DrawOptions const& options) {
  { generator(ctx, prompt, options) } -> std::convertible_to<io::Image>;
};

/// The picture that an answer asks for, drawn as the original has it drawn: the prompt untrimmed, kNegativePrompt where `options` have no
/// negative prompt, everything else as `options` say. Throws ArgumentError when the answer asks for none or the generator's picture has
/// sizes that disagree, and what the generator throws.
template <Device Dev, ImageGenerator<Dev> G>
[[nodiscard]] io::Image draw(Context<Dev>& ctx, G&& generator, GenerationPrompt const& wish, DrawOptions options = {}) {
  require<ArgumentError>(static_cast<bool>(wish), "draw: the answer asks for no picture; expected <h>a prompt</h> in it");
  if (!options.negative) options.negative = kNegativePrompt;
  io::Image picture = generator(ctx, std::string_view(wish.prompt), options);
  static_cast<void>(io::PixelView(picture));  // refuses sizes that disagree
  return picture;
}

}  // namespace mgm::inline v0::models
