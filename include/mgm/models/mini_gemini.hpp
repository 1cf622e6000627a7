/// Mini-Gemini: two towers, mining between them, a projector, a language model (Li et al. 2024, arXiv:2403.18814).
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <mgm/io/pixels.hpp>
#include <mgm/io/tokenizer.hpp>
#include <mgm/models/clip_vit.hpp>
#include <mgm/models/convnext.hpp>
#include <mgm/models/decoder.hpp>
#include <mgm/models/device_pixels.hpp>
#include <mgm/models/generation_defaults.hpp>
#include <mgm/models/part.hpp>
#include <mgm/models/projector.hpp>
#include <mgm/models/prompt.hpp>
#include <mgm/nn/patch_info_mining.hpp>

namespace mgm::inline v0::models {

template <class Model>
class Session;
struct SessionOptions;
struct AskOptions;
struct OpenOptions;

/// How pictures are prepared and cut.
struct VisionConfig {
  Size image_size_aux = 768;  ///< side of the high-resolution picture
  Size grid = 1;              ///< crops per side; 2: HD
  bool global = false;        ///< HD: a view of the whole picture too
  bool pad = true;            ///< pad to a square first; else the short edge is fitted and the centre cut out
};

/// What the original's text side knows about a folder.
struct TextConfig {
  Template prompt_template = Template::none;
  Size max_positions = 4096;      ///< positions that the decoder was made for
  Size max_prompt = 0;            ///< the original cuts prompts with images to their first so many rows; 0: never
  Size vocab = 0;                 ///< rows of the tables that may be used; 0: all
  GenerationDefaults generation{};  ///< for a Sampling that nobody said otherwise
};

/// What `see` can leave behind besides its result; each tensor is filled when `keep` is true.
template <Real T, Device Dev>
struct VisionTrace {
  io::Pixels pixels;                           ///< aux (S, S, 3) and views (V, s, s, 3), float
  Tensor<T, 2, Dev> vision_tower;              ///< (V·T, C)
  std::vector<Tensor<T, 3, Dev>> stages;       ///< (h, w, C_l) each
  Tensor<T, 2, Dev> mined;                     ///< (tokens, C)
  Tensor<float, 2, Dev> probabilities;         ///< (tokens, M): how each token's attention is spread over the cells beneath it
};

/// Switches that show what a part of the model is good for.
struct SeeOptions {
  bool no_mining = false;  ///< the mining term is zero
  bool blur_aux = false;   ///< the high-resolution picture is reduced to what the low-resolution one holds
};

/// The model as a struct of its parts. Users fill it with designated initialisers, open it from a folder, or mix in parts of their own:
/// any type with the same call operator, `config()` and `parameters(visit)`. Weights are immutable; a model may be shared by threads,
/// each with a Context and a Session of its own.
template <Real T, Device Dev = DefaultDevice, class Vit = ClipVit<T, Dev>, class ConvNet = ConvNeXt<T, Dev>,
          class Mining = nn::PatchInfoMining<T, Dev>, class Language = Decoder<T, Dev>>
struct MiniGemini {
  using Element = T;
  using DeviceType = Dev;

  Part<Vit, Dev> vision_tower{};
  Part<ConvNet, Dev> vision_tower_aux{};
  Part<Mining, Dev> mining{};
  Part<Projector<T, Dev>, Dev> projector{};
  Part<Language, Dev> language_model{};
  VisionConfig vision{};
  TextConfig language{};
  std::shared_ptr<io::Tokenizer const> vocabulary{};
  std::vector<std::string> notes{};  ///< what opening found worth saying

  /// Opens an original folder: MGM of any family, or a plain LLaMA, Gemma or Mixtral for text alone. No conversion; weights that are
  /// stored as T stay mapped. Throws FileError, ConfigError, Cancelled.
  [[nodiscard]] static MiniGemini open(Context<Dev>& ctx, std::filesystem::path const& folder, OpenOptions const& options);
  [[nodiscard]] static MiniGemini open(Context<Dev>& ctx, std::filesystem::path const& folder);

  /// Whether it has eyes.
  [[nodiscard]] bool sees() const { return vision_tower.has_value(); }
  /// Visual tokens per image: views · side².
  [[nodiscard]] Size image_tokens() const {
    if (!sees()) return 0;
    Size const views = vision.grid == 1 ? 1 : vision.grid * vision.grid + (vision.global ? 1 : 0), side = vision_tower->config().side();
    return views * side * side;
  }

  /// A picture -> its rows for the language model, (tokens, H), global view first. `trace` keeps what lies between. A device of kernels
  /// makes the picture ready itself, unless the trace asks for the pixels: they are the same bits. Throws ConfigError without eyes,
  /// ArgumentError and LimitError for a picture that cannot be prepared, Cancelled.
  [[nodiscard]] Tensor<T, 2, Dev> see(Context<Dev>& ctx, io::PixelView image, SeeOptions const& options = {},
                                      VisionTrace<T, Dev>* trace = nullptr) const {
    require<ConfigError>(sees() && vision_tower_aux && mining && projector,
                         "see: this model has no vision towers; open an MGM folder to show it pictures");
    io::PixelsConfig config = pixels_config();
    config.blur_aux = options.blur_aux;
    auto const [low, aux] = inputs(ctx, image, config, trace ? &trace->pixels : nullptr);                        // (V, s, s, 3), (S, S, 3)
    ctx.begin(Stage::encode, vision_tower->config().depth + vision_tower_aux->config().blocks() + 2);

    auto coarse = (*vision_tower)(ctx, low);                                                                      // (V·T, C)
    auto maps = (*vision_tower_aux)(ctx, aux);                                                                    // (h, w, C_l) each
    auto tokens = mined(ctx, coarse, maps, options, trace ? &trace->probabilities : nullptr);                     // (tokens, C)
    ctx.step();
    auto rows = (*projector)(ctx, tokens);                                                                        // (tokens, H)
    ctx.step();
    if (trace) {
      trace->vision_tower = std::move(coarse);
      trace->stages = std::move(maps), trace->mined = std::move(tokens);
    }
    return rows;
  }

  /// A conversation. The model must outlive it.
  [[nodiscard]] Session<MiniGemini> session(Context<Dev>& ctx, SessionOptions const& options) const;
  [[nodiscard]] Session<MiniGemini> session(Context<Dev>& ctx) const;
  /// One question about pictures, one answer: a session of one turn.
  [[nodiscard]] std::string chat(Context<Dev>& ctx, std::vector<io::Image> const& images, std::string_view question,
                                 AskOptions const& options) const;
  [[nodiscard]] std::string chat(Context<Dev>& ctx, std::vector<io::Image> const& images, std::string_view question) const;

  /// All parameters under their names in an MGM checkpoint.
  template <class Visit>
  void parameters(Visit&& visit) {
    if (language_model) visit("", *language_model);
    if (vision_tower) visit("model.vision_tower.vision_tower.vision_model", *vision_tower);
    if (vision_tower_aux) {
      vision_tower_aux->parameters([&](std::string_view name, auto& part) { visit(text("model.vision_tower_aux.vision_", name), part); });
    }
    if (mining) visit("model", *mining);
    if (projector) visit("model.mm_projector", *projector);
  }

  [[nodiscard]] io::PixelsConfig pixels_config() const {
    return {.image_size_aux = static_cast<int>(vision.image_size_aux), .low_side = static_cast<int>(vision_tower->config().image),
            .grid = static_cast<int>(vision.grid), .global = vision.global, .aspect = vision.pad ? io::Aspect::pad : io::Aspect::square};
  }

 private:
  /// What the towers read.
  struct Inputs {
    Tensor<T, 4, Dev> low;  // (V, s, s, 3)
    Tensor<T, 3, Dev> aux;  // (S, S, 3)
  };
  Inputs inputs(Context<Dev>& ctx, io::PixelView image, io::PixelsConfig const& config, io::Pixels* kept) const {
    if constexpr (KernelDevice<Dev>) {
      if (!kept) {
        auto const pixels = models::preprocess(ctx, image, config);
        return {as_input<4>(ctx, pixels.low), as_input<3>(ctx, pixels.aux)};
      }
    }
    io::Pixels pixels = io::preprocess(image, config, ctx.host_executor());
    Inputs out{as_input<4>(ctx, ctx.on_device(pixels.low_view())), as_input<3>(ctx, ctx.on_device(pixels.aux_view()))};
    if (kept) *kept = std::move(pixels);
    return out;
  }
  template <int R>
  Tensor<T, R, Dev> as_input(Context<Dev>& ctx, View<float const, R, Dev> pixels) const {
    auto out = ctx.template empty<T>(pixels.extents());
    Extents const flat{pixels.count() / 3, Size{3}};
    ops::convert<T, float, Dev>(ctx, pixels.reshape(flat), out.reshape(flat));
    return out;
  }
  /// C + M in token order, or C alone.
  Tensor<T, 2, Dev> mined(Context<Dev>& ctx, Tensor<T, 2, Dev> const& coarse, std::vector<Tensor<T, 3, Dev>> const& maps,
                          SeeOptions const& options, Tensor<float, 2, Dev>* probabilities) const {
    nn::MiningGeometry const geometry{.side = vision_tower->config().side(), .grid = vision.grid, .global = vision.global};
    if (options.no_mining) {
      auto out = ctx.template empty<T>(coarse.extents());  // (tokens, C)
      Size const first = geometry.has_global() ? geometry.side * geometry.side : 0, rest = geometry.tokens() - first;
      ops::copy<T, Dev>(ctx, coarse.slice(0, rest, first), out.slice(0, 0, first));
      ops::copy<T, Dev>(ctx, coarse.slice(0, 0, rest), out.slice(0, first, rest));
      return out;
    }
    std::vector<View<T const, 3, Dev>> views(maps.begin(), maps.end());
    View<float, 2, Dev> p{};
    if (probabilities) {
      *probabilities = ctx.template empty<float>(Extents{geometry.tokens(), geometry.candidates(maps[0].extent(0))});  // (tokens, M)
      p = *probabilities;
    }
    return (*mining)(ctx, coarse, std::span<View<T const, 3, Dev> const>(views), geometry, p);
  }
};

}  // namespace mgm::inline v0::models
