/// What the tensors of LoRA files are called: by kohya's trainers, by diffusers of several years, and by PEFT.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include <mgm/core/error.hpp>

namespace mgm::inline v0::models {

/// A file of low-rank changes, and how strongly it acts.
struct LoraFile {
  std::string path;
  double scale = 1;
};

/// The networks of a generator that low-rank changes are for.
enum class LoraNetwork { unet, text_encoder, text_encoder_2 };
/// What a tensor of a LoRA file is to its layer.
enum class LoraRole { down, up, alpha };

struct LoraName {
  LoraNetwork network;
  std::string layer;  ///< the layer's path with '_' for '.', without `text_model`: what all spellings have in common
  LoraRole role;
};

/// A layer's path as LoraName::layer spells it.
[[nodiscard]] inline std::string flat_layer(LoraNetwork network, std::string_view path) {
  std::string out(path);
  std::replace(out.begin(), out.end(), '.', '_');
  constexpr std::string_view kBody = "text_model_";
  return network != LoraNetwork::unet && out.starts_with(kBody) ? out.substr(kBody.size()) : out;
}

/// What the tensor `name` is, or nothing where no trainer that is known here writes such a name.
///   kohya      lora_unet_down_blocks_0_…_to_q.lora_down.weight, .lora_up.weight, .alpha; lora_te_…, lora_te1_…, lora_te2_…
///   PEFT       unet.down_blocks.0.….to_q.lora_A.weight, .lora_B.weight; text_encoder.…, text_encoder_2.…
///   diffusers  unet.….to_q.lora.down.weight, ….attn1.processor.to_q_lora.down.weight, text_encoder.….q_proj.lora_linear_layer.down.weight
/// A name without a network is the UNet's.
[[nodiscard]] inline std::optional<LoraName> lora_name(std::string_view name) {
  struct Ending {
    std::string_view text;
    LoraRole role;
    bool old = false;  // to_q_lora: the projection is named by what it does, in the text encoders too
  };
  constexpr Ending kEndings[] = {{"_lora.down.weight", LoraRole::down, true},
                                 {"_lora.up.weight", LoraRole::up, true},
                                 {".lora.down.weight", LoraRole::down},
                                 {".lora.up.weight", LoraRole::up},
                                 {".lora_linear_layer.down.weight", LoraRole::down},
                                 {".lora_linear_layer.up.weight", LoraRole::up},
                                 {".lora_down.weight", LoraRole::down},
                                 {".lora_up.weight", LoraRole::up},
                                 {".lora_A.weight", LoraRole::down},
                                 {".lora_B.weight", LoraRole::up},
                                 {".lora_A.default.weight", LoraRole::down},
                                 {".lora_B.default.weight", LoraRole::up},
                                 {".alpha", LoraRole::alpha}};
  auto const* const ending =
      std::find_if(std::begin(kEndings), std::end(kEndings), [&](Ending const& e) { return name.ends_with(e.text); });
  if (ending == std::end(kEndings)) return std::nullopt;
  name.remove_suffix(ending->text.size());

  struct Start {
    std::string_view text;
    LoraNetwork network;
  };
  constexpr Start kStarts[] = {{"lora_unet_", LoraNetwork::unet},
                               {"unet.", LoraNetwork::unet},
                               {"lora_te_", LoraNetwork::text_encoder},
                               {"lora_te1_", LoraNetwork::text_encoder},
                               {"text_encoder.", LoraNetwork::text_encoder},
                               {"lora_te2_", LoraNetwork::text_encoder_2},
                               {"text_encoder_2.", LoraNetwork::text_encoder_2},
                               {"base_model.model.", LoraNetwork::unet}};
  LoraNetwork network = LoraNetwork::unet;
  for (auto const& start : kStarts)
    if (name.starts_with(start.text)) {
      network = start.network;
      name.remove_prefix(start.text.size());
      break;
    }
  std::string path(name);
  if (auto const at = path.find(".processor."); at != path.npos) path.erase(at, std::string_view(".processor").size());
  if (ending->old) {
    auto const dot = path.rfind('.') + 1;
    std::string const projection = path.substr(dot);
    bool const is_text = network != LoraNetwork::unet;
    for (std::string const which : {"q", "k", "v", "out"})
      if (projection == "to_" + which) path = path.substr(0, dot) + (is_text ? which + "_proj" : which == "out" ? "to_out.0" : projection);
  }
  return LoraName{network, flat_layer(network, path), ending->role};
}

}  // namespace mgm::inline v0::models
