/// Conversations under the templates of training: the text that ids and labels are made of, byte for byte.
#pragma once
#include <string>
#include <string_view>

#include <mgm/models/conversation.hpp>
#include <mgm/models/prompt.hpp>
#include <mgm/models/white_space.hpp>

namespace mgm::inline v0::models {

/// The templates that Mini-Gemini was trained under; `plain` is that of the first stage, a caption behind its picture.
enum class TrainingTemplate { vicuna_v1, gemma, llama_3, mistral_instruct, chatml_direct, plain };

inline constexpr std::string_view kTrainingTemplateNames[] = {"vicuna_v1",        "gemma",         "llama_3",
                                                              "mistral_instruct", "chatml_direct", "plain"};

[[nodiscard]] constexpr std::string_view name(TrainingTemplate t) { return kTrainingTemplateNames[static_cast<int>(t)]; }

/// The template called `wanted`; "v1" is vicuna_v1. Throws ArgumentError with the list of names.
[[nodiscard]] inline TrainingTemplate training_template_by_name(std::string_view wanted) {
  return wanted == "v1" ? TrainingTemplate::vicuna_v1 : by_name<TrainingTemplate>("template", wanted, kTrainingTemplateNames);
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
