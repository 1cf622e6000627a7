/// What config.json of an original folder says, with the defaults of the original's config classes and every value checked.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <mgm/io/json.hpp>
#include <mgm/models/decoder.hpp>
#include <mgm/models/mini_gemini.hpp>
#include <mgm/models/projector.hpp>

namespace mgm::inline v0::models {

/// config.json, sorted by who needs it. Tower shapes are not here: they come from tensors and the towers' own folders.
struct FolderConfig {
  bool has_family = false;  ///< whether model_type or architectures said it; else the tensors must
  DecoderConfig decoder{};
  bool untied = false;  ///< config.json says that the head is a tensor of its own; else a missing one is the embedding table
  TextConfig text{};
  bool has_vision = false;
  VisionConfig vision{};
  ProjectorConfig projector{};         ///< its `in` is 0 where mm_hidden_size is not said: the CLIP tower's width
  Size select_layer = -2, detail = 0;  ///< recorded state of CLIP that is taken; channels of all ConvNeXt maps (0: not said)
  std::string clip_folder{}, convnext_folder{};
  bool im_patch_token = true, im_start_end = false;  ///< vocabulary entries that the original adds
  std::vector<std::string> notes{};
};

namespace detail {

/// By model_type, or the name of a class in architectures.
[[nodiscard]] inline std::optional<Family> family_of(std::string_view type) {
  struct Name {
    std::string_view type, architecture;
    Family family;
  };
  using enum Family;
  constexpr Name kNames[] = {{"llama", "LlamaForCausalLM", llama},
                             {"llama", "LLaMAForCausalLM", llama},
                             {"mistral", "MistralForCausalLM", llama},
                             {"gemma", "GemmaForCausalLM", gemma},
                             {"mixtral", "MixtralForCausalLM", mixtral},
                             {"mgm", "MGMLlamaForCausalLM", llama},
                             {"mgm_mistral", "MGMMistralForCausalLM", llama},
                             {"mgm_gemma", "MGMGemmaForCausalLM", gemma},
                             {"mgm_mixtral", "MGMMixtralForCausalLM", mixtral},
                             {"mini_gemini", "MiniGeminiLlamaForCausalLM", llama},
                             {"mini_gemini_mistral", "MiniGeminiMistralForCausalLM", llama},
                             {"mini_gemini_gemma", "MiniGeminiGemmaForCausalLM", gemma},
                             {"mini_gemini_mixtral", "MiniGeminiMixtralForCausalLM", mixtral}};
  for (auto const& name : kNames)
    if (type == name.type || type == name.architecture) return name.family;
  return std::nullopt;
}

[[nodiscard]] inline Activation activation_by_name(std::string_view wanted, std::string_view where) {
  if (wanted == "silu" || wanted == "swish") return Activation::silu;
  if (wanted == "gelu") return Activation::gelu;
  if (wanted == "gelu_pytorch_tanh" || wanted == "gelu_new") return Activation::gelu_tanh;
  if (wanted == "quick_gelu") return Activation::quick_gelu;
  throw ConfigError(
      mgm::text(where, ": activation ", mgm::quoted(wanted), " is not known; there are silu, gelu, gelu_pytorch_tanh, quick_gelu"));
}

inline void read_decoder(io::Json const& json, std::string const& where, std::optional<Family> assumed, FolderConfig& out) {
  using io::get, io::get_or;
  DecoderConfig& d = out.decoder;
  std::string type = get_or<std::string>(json, "model_type", "", where);
  if (auto const* list = io::find_key(json, "architectures", where); type.empty() && list && list->is_array() && !list->empty())
    type = get<std::vector<std::string>>(json, "architectures", where).front();
  if (!type.empty()) {
    auto const family = family_of(type);
    require<ConfigError>(family.has_value(), where, ": model_type ", mgm::quoted(type),
                         " is not known; there are mgm, mgm_gemma, mgm_mixtral, mgm_mistral, the older "
                         "mini_gemini names, llama, mistral, gemma, mixtral");
    d.family = *family, out.has_family = true;
  } else {
    // only Gemma's config class has hidden_activation, and only its models gate by GELU
    bool const gelu = get_or<std::string>(json, "hidden_act", "silu", where).starts_with("gelu");
    d.family = assumed.value_or(gelu || io::find_key(json, "hidden_activation", where) ? Family::gemma : Family::llama);
  }
  // far beyond what any model has, and small enough that no product of them overflows
  constexpr Size kMostWide = Size{1} << 20, kMostDeep = 4096, kMostTokens = Size{1} << 24, kMostPositions = Size{1} << 31;
  auto const extent = [&](std::string_view key, Size most, Size fallback = -1) {
    Size const v = fallback < 0 ? get<Size>(json, key, where) : get_or<Size>(json, key, fallback, where);
    require<ConfigError>(v >= 1 && v <= most, where, ": key ", mgm::quoted(key), ": expected 1 to ", most, ", found ", v);
    return v;
  };
  bool const gemma = d.family == Family::gemma;
  d.vocab = extent("vocab_size", kMostTokens), d.width = extent("hidden_size", kMostWide), d.depth = extent("num_hidden_layers", kMostDeep),
  d.heads = extent("num_attention_heads", kMostWide);
  d.ffn = extent("intermediate_size", kMostWide);
  d.kv_heads = extent("num_key_value_heads", kMostWide, d.heads);
  // 256: the default of Gemma's config class
  if (gemma || io::find_key(json, "head_dim", where)) d.head_width = extent("head_dim", kMostWide, 256);
  d.rope_theta = get_or<float>(json, "rope_theta", 10000, where);
  d.eps = get_or<float>(json, "rms_norm_eps", 1e-6f, where);
  d.tied = get_or<bool>(json, "tie_word_embeddings", gemma, where);
  out.untied = !d.tied && io::find_key(json, "tie_word_embeddings", where) != nullptr;
  d.experts = d.family == Family::mixtral ? extent("num_local_experts", kMostWide, 8) : 0;
  require<ConfigError>(d.experts * d.depth <= Size{1} << 16, where, ": key 'num_local_experts': expected at most ", Size{1} << 16,
                       " experts in all layers, found ", d.experts, " in each of ", d.depth);
  d.experts_per_token = d.family == Family::mixtral ? extent("num_experts_per_tok", kMostWide, 2) : 2;
  // Gemma without an explicit hidden_activation means the tanh form, whatever hidden_act says
  d.activation = gemma ? activation_by_name(get_or<std::string>(json, "hidden_activation", "gelu_pytorch_tanh", where), where)
                       : activation_by_name(get_or<std::string>(json, "hidden_act", "silu", where), where);
  for (char const* unsupported : {"attention_bias", "mlp_bias"})
    require<ConfigError>(!get_or<bool>(json, unsupported, false, where), where, ": key '", unsupported,
                         "': expected false, found true; biases are not supported");
  require<ConfigError>(io::find_key(json, "rope_scaling", where) == nullptr, where,
                       ": key 'rope_scaling': expected null; scaled rotary positions are not supported");

  TextConfig& t = out.text;
  t.max_positions = extent("max_position_embeddings", kMostPositions, 4096);
  t.max_prompt = get_or<Size>(json, "tokenizer_model_max_length", 0, where);
  if (Size const window = get_or<Size>(json, "sliding_window", 0, where);
      window > 0 && window < t.max_positions && d.family != Family::gemma) {
    out.notes.push_back(
        mgm::text(where, ": sliding_window ", window, " is below max_position_embeddings; sessions are limited to the window"));
    t.max_positions = window;
  }
  t.prompt_template = d.family == Family::mixtral ? Template::mistral_instruct
                      : gemma                     ? Template::gemma
                      : d.vocab == 64000          ? Template::chatml_direct
                      : d.vocab == 128256         ? Template::llama_3
                                                  : Template::vicuna_v1;
}

inline void read_vision(io::Json const& json, std::string const& where, FolderConfig& out) {
  using io::get_or;
  out.has_vision = io::find_key(json, "mm_vision_tower", where) != nullptr;
  // the original adds the token where the key is missing; a folder that is no MGM folder has no such vocabulary
  out.im_patch_token = out.has_vision && get_or<bool>(json, "mm_use_im_patch_token", true, where);
  out.im_start_end = out.has_vision && get_or<bool>(json, "mm_use_im_start_end", false, where);
  if (!out.has_vision) return;
  VisionConfig& v = out.vision;
  out.clip_folder = get_or<std::string>(json, "mm_vision_tower", "", where);
  out.convnext_folder = get_or<std::string>(json, "mm_vision_tower_aux", "", where);
  out.select_layer = get_or<Size>(json, "mm_vision_select_layer", -2, where);
  out.detail = get_or<Size>(json, "mm_hidden_size_aux", 0, where);
  std::string const feature = get_or<std::string>(json, "mm_vision_select_feature", "patch", where);
  require<ConfigError>(feature == "patch", where, ": key 'mm_vision_select_feature': expected 'patch', found ", mgm::quoted(feature));
  v.image_size_aux = get_or<Size>(json, "image_size_aux", 320, where);
  v.grid = get_or<Size>(json, "image_grid", 1, where);
  v.global = get_or<bool>(json, "image_global", false, where);
  v.pad = get_or<std::string>(json, "image_aspect_ratio", "square", where) == "pad";
  require<ConfigError>(v.image_size_aux >= 4 && v.image_size_aux <= 16384, where, ": key 'image_size_aux': expected 4 to 16384, found ",
                       v.image_size_aux);
  require<ConfigError>(out.detail >= 0 && out.detail <= Size{1} << 20, where, ": key 'mm_hidden_size_aux': expected 0 to ", Size{1} << 20,
                       ", found ", out.detail);
  require<ConfigError>(v.grid >= 1 && v.grid <= 16, where, ": key 'image_grid': expected 1 to 16, found ", v.grid);

  std::string const kind = get_or<std::string>(json, "mm_projector_type", "linear", where);
  Size const in = get_or<Size>(json, "mm_hidden_size", 0, where);
  require<ConfigError>(in >= 0 && in <= Size{1} << 20, where, ": key 'mm_hidden_size': expected 0 to ", Size{1} << 20, ", found ", in);
  out.projector = {.in = in, .out = out.decoder.width, .depth = 1, .plain_name = true};
  if (kind == "identity") {
    out.projector.depth = 0, out.projector.plain_name = false;
  } else if (kind != "linear") {
    constexpr std::string_view kHead = "mlp", kTail = "x_gelu";
    int layers = 0;
    bool const ok = kind.size() > kHead.size() + kTail.size() && kind.starts_with(kHead) && kind.ends_with(kTail) &&
                    std::from_chars(kind.data() + kHead.size(), kind.data() + kind.size() - kTail.size(), layers).ptr ==
                        kind.data() + kind.size() - kTail.size();
    require<ConfigError>(ok && layers >= 1 && layers <= 64, where,
                         ": key 'mm_projector_type': expected linear, identity or mlpNx_gelu with N from 1 to 64, found ",
                         mgm::quoted(kind));
    out.projector.depth = layers, out.projector.plain_name = false;
  }
}

}  // namespace detail

/// Reads folder/config.json; `assumed` is the family where it names none, else its other keys tell. Throws FileError, ConfigError (naming
/// file and key).
[[nodiscard]] inline FolderConfig read_folder_config(std::filesystem::path const& folder, std::optional<Family> assumed = std::nullopt) {
  std::string const where = (folder / "config.json").string();
  io::Json const json = io::read_json(where);
  FolderConfig out;
  detail::read_decoder(json, where, assumed, out);
  detail::read_vision(json, where, out);
  return out;
}

}  // namespace mgm::inline v0::models
