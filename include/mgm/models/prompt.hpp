/// Conversation templates: from turns to the pieces of a prompt, byte for byte as the models were trained.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/core/names.hpp>

namespace mgm::inline v0::models {

/// The templates of the published models; `none` is the text as it is.
enum class Template { none, vicuna_v1, gemma, llama_3, mistral_instruct, chatml_direct };

inline constexpr std::string_view kTemplateNames[] = {"none", "vicuna_v1", "gemma", "llama_3", "mistral_instruct", "chatml_direct"};

[[nodiscard]] constexpr std::string_view name(Template t) { return kTemplateNames[static_cast<int>(t)]; }

/// The template called `wanted`. Throws ArgumentError with the list of names.
[[nodiscard]] inline Template template_by_name(std::string_view wanted) { return by_name<Template>("template", wanted, kTemplateNames); }

/// One exchange. The answer of the last one is what the model is asked for.
struct Turn {
  std::string user;                     ///< what the person says, without image tags
  int images = 0;                       ///< pictures shown with it
  std::optional<std::string> answer{};  ///< absent: to be generated
};

/// A stretch of a prompt: text whose special tokens count, text of people in which they are letters, or the place of an image.
struct Piece {
  enum class Kind { control, plain, image } kind;
  std::string text{};
};

inline constexpr std::string_view kImageTag = "<image>";

/// What a turn's text gains, in this order: recognised text in the picture, then the wish for a drawn answer.
[[nodiscard]] inline std::string user_text(std::string_view said, std::string_view ocr, bool draw) {
  std::string t(said);
  if (!ocr.empty()) t += text("\nReference OCR Token: ", ocr, "\n");
  if (draw) t += " <GEN>";
  return t;
}

namespace detail {

/// What stands around the turns of a template.
struct Frame {
  std::string_view system, user_begin, user_end, answer_begin, answer_end, next;
};

[[nodiscard]] constexpr Frame frame(Template t) {
  switch (t) {
    case Template::vicuna_v1:
      return {"A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite "
              "answers to the user's questions. ",
              "USER: ", " ASSISTANT:", " ", "</s>", ""};
    case Template::gemma:
      return {"", "<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n", "", "<end_of_turn>\n<eos>", ""};
    case Template::llama_3:  // the assistant's header does say "system"
      return {
          "<|start_header_id|>system<|end_header_id|>\n\nYou are a helpful language and vision assistant. You are able to understand "
          "the visual content that the user provides, and assist the user with a variety of tasks using natural language.<|eot_id|>",
          "<|start_header_id|>user<|end_header_id|>\n\n",
          "<|eot_id|><|start_header_id|>system<|end_header_id|>\n\n",
          "",
          "<|eot_id|>",
          ""};
    case Template::mistral_instruct:  // the first <s> is the tokenizer's, later ones are written out
      return {"", "[INST] ", " [/INST]", " ", " </s>", "<s>"};
    case Template::chatml_direct:
      return {"<|im_start|>system\nAnswer the questions.<|im_end|>",
              "<|im_start|>user\n",
              "<|im_end|><|im_start|>assistant\n",
              "",
              "<|im_end|>",
              ""};
    case Template::none: break;
  }
  return {"", "", "", "", "", ""};
}

/// Adds `t`, joining it to the piece before when both are of one kind.
inline void append(std::vector<Piece>& pieces, Piece::Kind kind, std::string_view t) {
  if (t.empty() && kind != Piece::Kind::image) return;
  if (!pieces.empty() && pieces.back().kind == kind && kind != Piece::Kind::image) {
    pieces.back().text += t;
  } else {
    pieces.push_back({kind, std::string(t)});
  }
}

}  // namespace detail

/// The pieces of a whole conversation. People's words are plain unless `special` says that special tokens and image tags in them count,
/// as they do for the original. Two or more images are numbered: "Image k:" stands directly before the k-th.
[[nodiscard]] inline std::vector<Piece> build_prompt(Template kind, std::span<Turn const> turns, bool special = false) {
  using enum Piece::Kind;
  detail::Frame const f = detail::frame(kind);
  auto const words = special ? control : plain;
  std::vector<Piece> pieces;
  detail::append(pieces, control, f.system);
  for (std::size_t i = 0; i < turns.size(); ++i) {
    detail::append(pieces, control, i > 0 ? f.next : "");
    detail::append(pieces, control, f.user_begin);
    for (int n = 0; n < turns[i].images; ++n) {
      detail::append(pieces, image, "");
      detail::append(pieces, control, "\n");
    }
    detail::append(pieces, words, turns[i].user);
    detail::append(pieces, control, f.user_end);
    if (!turns[i].answer) continue;
    detail::append(pieces, control, f.answer_begin);
    detail::append(pieces, words, *turns[i].answer);
    detail::append(pieces, control, f.answer_end);
  }
  std::vector<Piece> split;  // image tags that the text itself holds, where they count
  int images = 0;
  for (Piece const& p : pieces) {
    std::string_view rest = p.text;
    if (p.kind == control) {
      for (auto at = rest.find(kImageTag); at != rest.npos; at = rest.find(kImageTag)) {
        detail::append(split, control, rest.substr(0, at));
        detail::append(split, image, ""), ++images;
        rest.remove_prefix(at + kImageTag.size());
      }
    }
    if (p.kind == image) ++images;
    detail::append(split, p.kind, rest);
  }
  if (images < 2) return split;
  std::vector<Piece> numbered;
  int k = 0;
  for (Piece const& p : split) {
    if (p.kind == image) detail::append(numbered, control, text("Image ", ++k, ":"));
    detail::append(numbered, p.kind, p.text);
  }
  return numbered;
}

}  // namespace mgm::inline v0::models
