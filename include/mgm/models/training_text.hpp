/// Conversations under the templates of training: the text that ids and labels are made of, byte for byte.
#pragma once
#include <string>
#include <string_view>

#include <mgm/models/conversation.hpp>
#include <mgm/models/prompt.hpp>

namespace mgm::inline v0::models {

/// The templates that Mini-Gemini was trained under; `plain` is that of the first stage, a caption behind its picture.
enum class TrainingTemplate { vicuna_v1, gemma, llama_3, mistral_instruct, chatml_direct, plain };

inline constexpr std::string_view kTrainingTemplateNames[] = {"vicuna_v1",        "gemma",         "llama_3",
                                                              "mistral_instruct", "chatml_direct", "plain"};

[[nodiscard]] constexpr std::string_view name(TrainingTemplate t) { return kTrainingTemplateNames[static_cast<int>(t)]; }

/// The template called `wanted`; "v1" is vicuna_v1. Throws ArgumentError with the list of names.
[[nodiscard]] inline TrainingTemplate training_template_by_name(std::string_view wanted) {
  if (wanted == "v1") return TrainingTemplate::vicuna_v1;
  std::string known;
  for (std::size_t i = 0; i < std::size(kTrainingTemplateNames); ++i) {
    if (kTrainingTemplateNames[i] == wanted) return static_cast<TrainingTemplate>(i);
    known += text(i ? ", " : "", kTrainingTemplateNames[i]);
  }
  throw ArgumentError(text("template ", mgm::quoted(wanted), " is not known; there are ", known));
}

namespace detail {

/// What stands before and after one side's words, and what an empty turn of it leaves.
struct Side {
  std::string_view before, after, empty;
};
struct TrainingFrame {
  std::string_view system;
  Side human, model;
};

[[nodiscard]] constexpr TrainingFrame training_frame(TrainingTemplate t) {
  switch (t) {
    case TrainingTemplate::vicuna_v1:
      return {frame(Template::vicuna_v1).system, {"USER: ", " ", "USER:"}, {"ASSISTANT: ", "</s>", "ASSISTANT:"}};
    case TrainingTemplate::gemma:
      return {"",
              {"<start_of_turn>user\n", "<end_of_turn>\n", "<start_of_turn>user\n"},
              {"<start_of_turn>model\n", "<end_of_turn>\n<eos>", "<start_of_turn>model\n"}};
    case TrainingTemplate::llama_3: {
      std::string_view const user = frame(Template::llama_3).user_begin, model = "<|start_header_id|>system<|end_header_id|>\n\n";
      return {frame(Template::llama_3).system, {user, "<|eot_id|>", user}, {model, "<|eot_id|>", model}};
    }
    case TrainingTemplate::mistral_instruct:
      return {"", {"<s>[INST] ", " [/INST]", ""}, {" ", " </s>", ""}};
    case TrainingTemplate::chatml_direct:
      return {frame(Template::chatml_direct).system,
              {"<|im_start|>user\n", "<|im_end|>", "<|im_start|>user\n"},
              {"<|im_start|>assistant\n", "<|im_end|>", "<|im_start|>assistant\n"}};
    case TrainingTemplate::plain:
      break;
  }
  return {};
}

/// Bytes of the white space character at the front of `s`, 0 when there is none: Python's str.strip().
[[nodiscard]] constexpr std::size_t leading_space(std::string_view s) {
  auto const byte = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  if ((byte(0) >= 0x09 && byte(0) <= 0x0D) || (byte(0) >= 0x1C && byte(0) <= 0x20)) return 1;
  if (byte(0) == 0xC2 && (byte(1) == 0x85 || byte(1) == 0xA0)) return 2;  // U+0085, U+00A0
  unsigned const point = (byte(0) & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
  if ((byte(0) & 0xF0u) != 0xE0u || s.size() < 3) return 0;
  bool const space = point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 || point == 0x202F ||
                     point == 0x205F || point == 0x3000;
  return space ? 3 : 0;
}
/// Without white space at both ends.
[[nodiscard]] inline std::string_view stripped(std::string_view s) {
  for (auto n = leading_space(s); n > 0; n = leading_space(s)) s.remove_prefix(n);
  for (bool more = true; more && !s.empty();) {
    more = false;
    for (std::size_t n = 1; n <= 3 && n <= s.size() && !more; ++n)
      if (leading_space(s.substr(s.size() - n)) == n) s.remove_suffix(n), more = true;
  }
  return s;
}

/// A turn of a record with a picture: any number of tags becomes one line in front.
[[nodiscard]] inline std::string one_tag_in_front(std::string_view value) {
  if (value.find(kImageTag) == value.npos) return std::string(value);
  std::string rest;
  for (auto at = value.find(kImageTag); at != value.npos; at = value.find(kImageTag)) {
    rest += value.substr(0, at);
    value.remove_prefix(at + kImageTag.size());
  }
  rest += value;
  return std::string(stripped(text(kImageTag, "\n", stripped(rest))));
}

}  // namespace detail

/// The record as one text. Throws ArgumentError, beginning with `where`, for what training cannot put into a template: no turns, an unknown
/// speaker, turns that do not alternate, an empty first turn (mistral_instruct), other than two turns or no picture in the first (plain).
[[nodiscard]] inline std::string training_text(Conversation const& record, TrainingTemplate kind, std::string_view where) {
  auto const words = [&](std::string const& value) { return record.has_image ? detail::one_tag_in_front(value) : value; };
  if (kind == TrainingTemplate::plain) {
    require<ArgumentError>(record.turns.size() == 2 && record.turns[0].value.find(kImageTag) != std::string::npos, where,
                           ": plain takes two turns, the first with <image>; found ", record.turns.size(), " turns");
    return text(kImageTag, words(record.turns[1].value), "\n");
  }
  require<ArgumentError>(!record.turns.empty(), where, ": the conversation has no turns");
  for (auto const& turn : record.turns)
    require<ArgumentError>(turn.from == "human" || turn.from == "gpt", where, ": \"from\" is ", mgm::quoted(turn.from),
                           ", expected \"human\" or \"gpt\"");
  auto const frame = detail::training_frame(kind);
  std::string out(frame.system);
  std::size_t const first = record.turns[0].from == "gpt" ? 1 : 0;  // an answer to nothing is left out
  for (std::size_t i = first; i < record.turns.size(); ++i) {
    bool const model = (i - first) % 2 == 1;
    require<ArgumentError>((record.turns[i].from == "gpt") == model, where, ": turns do not alternate; turn ", i, " is from ",
                           mgm::quoted(record.turns[i].from));
    std::string const value = words(record.turns[i].value);
    require<ArgumentError>(kind != TrainingTemplate::mistral_instruct || i > first || !value.empty(), where, ": the first turn is empty");
    auto const& side = model ? frame.model : frame.human;
    out += value.empty() ? std::string(side.empty) : text(side.before, value, side.after);
  }
  if (kind == TrainingTemplate::mistral_instruct) out.erase(0, out.find_first_not_of("<s>"));  // the tokenizer supplies the first
  return out;
}

}  // namespace mgm::inline v0::models
