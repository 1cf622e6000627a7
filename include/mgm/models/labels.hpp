/// Label masks: which ids of a conversation training asks the model for, exactly as the original does, its rounding of counts included.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/models/prompt_ids.hpp>
#include <mgm/models/training_text.hpp>

namespace mgm::inline v0::models {

/// A position that is not asked for.
inline constexpr int kMasked = -100;

/// As long as each other; kImageId in `ids` once per picture, kMasked in `labels` where nothing is asked for.
struct LabelledIds {
  std::vector<int> ids, labels;
};

/// The files that training reads a vocabulary from: the fast ones for Gemma, else tokenizer.model where there is one.
[[nodiscard]] constexpr io::Prefer training_vocabulary(TrainingTemplate t) {
  return t == TrainingTemplate::gemma ? io::Prefer::fast : io::Prefer::slow;
}

namespace detail {

/// How the masks of a template walk through its text. A round ends with `end`; its prompt part with `cue`; `grouped`: the first round takes
/// three pieces, later ones two; `cursor` ids in front are masked; `less` ids of the prompt part belong to the answer's side.
struct LabelWalk {
  std::string_view end, cue;
  bool grouped;
  Size cursor, less;
};

[[nodiscard]] constexpr LabelWalk label_walk(TrainingTemplate t) {
  switch (t) {
    case TrainingTemplate::vicuna_v1:
      return {"</s>", " ASSISTANT: ", false, 1, 2};
    case TrainingTemplate::gemma:
      return {"<eos>", "<start_of_turn>model\n", false, 1, 1};
    case TrainingTemplate::mistral_instruct:
      return {"</s>", "[/INST] ", false, 1, 2};
    case TrainingTemplate::llama_3:
      return {"<|eot_id|>", "<|eot_id|><|start_header_id|>system<|end_header_id|>\n\n", true, 1, 1};
    case TrainingTemplate::chatml_direct:
      return {"<|im_end|>", "<|im_end|><|im_start|>assistant\n", true, 0, 1};
    case TrainingTemplate::plain:
      break;
  }
  return {};
}

[[nodiscard]] inline std::vector<std::string_view> split_at(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> out;
  for (auto at = text.find(separator); at != text.npos; at = text.find(separator))
    out.push_back(text.substr(0, at)), text.remove_prefix(at + separator.size());
  out.push_back(text);
  return out;
}

/// The rounds of a text: its pieces between ends, or groups of them, which are neighbours in the text.
[[nodiscard]] inline std::vector<std::string_view> label_rounds(std::string_view text, LabelWalk const& walk) {
  auto const pieces = split_at(text, walk.end);
  if (!walk.grouped) return pieces;
  std::vector<std::string_view> out;
  for (std::size_t i = 0; i < pieces.size(); i += out.size() == 1 ? 3 : 2) {
    std::size_t const last = std::min(pieces.size(), i + (i == 0 ? 3 : 2)) - 1;
    out.emplace_back(pieces[i].data(), static_cast<std::size_t>(pieces[last].data() + pieces[last].size() - pieces[i].data()));
  }
  return out;
}

/// The id that padding would have, which is not counted.
[[nodiscard]] inline std::optional<int> padding_id(io::Tokenizer const& vocabulary, TrainingTemplate kind) {
  if (kind == TrainingTemplate::gemma) return vocabulary.pad();
  if (kind == TrainingTemplate::llama_3 && !vocabulary.unk()) return vocabulary.id_of("<|reserved_special_token_0|>");
  return vocabulary.unk();
}

/// Ids of a text: the stretches between image tags each on their own where tags count, else by one call.
[[nodiscard]] inline std::vector<int> training_ids(io::Tokenizer const& vocabulary, std::string_view text, bool tags) {
  if (!tags) return vocabulary.encode(text);
  std::vector<Piece> pieces;
  for (auto const stretch : split_at(text, kImageTag)) {
    if (!pieces.empty()) pieces.push_back({Piece::Kind::image, ""});
    pieces.push_back({Piece::Kind::control, std::string(stretch)});
  }
  return prompt_ids(vocabulary, pieces, false);
}

}  // namespace detail

/// Ids and labels of a text made by `training_text`. `tags`: `<image>` in it stands for a picture (records that have one, and plain).
/// At most `max_length` ids, if given; a text alone is cut before its labels are made, one with pictures after.
[[nodiscard]] inline LabelledIds label_ids(io::Tokenizer const& vocabulary, TrainingTemplate kind, std::string_view text, bool tags,
                                           std::optional<Size> max_length = std::nullopt) {
  auto const count = [&](std::string_view part) { return static_cast<Size>(detail::training_ids(vocabulary, part, tags).size()); };
  auto const cut = [&](std::vector<int>& v) {
    if (max_length && static_cast<Size>(v.size()) > *max_length) v.resize(static_cast<std::size_t>(*max_length));
  };
  LabelledIds out{detail::training_ids(vocabulary, text, tags), {}};
  if (!tags) cut(out.ids);
  out.labels = out.ids;
  Size const all = static_cast<Size>(out.ids.size());
  auto const mask = [&](Size from, Size to) {
    for (Size i = std::max<Size>(from, 0); i < std::min(to, all); ++i) out.labels[static_cast<std::size_t>(i)] = kMasked;
  };
  if (kind == TrainingTemplate::plain) {
    mask(0, count(kImageTag));
  } else {
    auto const walk = detail::label_walk(kind);
    auto const rounds = detail::label_rounds(text, walk);
    Size cursor = walk.cursor;
    mask(0, cursor);
    for (std::size_t i = 0; i < rounds.size(); ++i) {
      auto const at = rounds[i].find(walk.cue);
      if (at == rounds[i].npos || rounds[i].find(walk.cue, at + walk.cue.size()) != rounds[i].npos) break;  // exactly one, or the walk ends
      Size const shift = kind == TrainingTemplate::vicuna_v1 && i > 0 && !vocabulary.legacy() ? -1
                         : kind == TrainingTemplate::chatml_direct && vocabulary.legacy()     ? 1
                                                                                              : 0;
      mask(cursor, cursor + count(rounds[i].substr(0, at + walk.cue.size())) - walk.less + shift);
      cursor += count(rounds[i]) + shift;
    }
    mask(cursor, all);
    auto const pad = detail::padding_id(vocabulary, kind);
    Size const real = all - (pad ? std::count(out.ids.begin(), out.ids.end(), *pad) : 0);
    if ((!max_length || cursor < *max_length) && cursor != real) mask(0, all);  // counts that do not agree: the sample teaches nothing
  }
  for (int& label : out.labels)
    if (label == kImageId) label = kMasked;
  cut(out.ids), cut(out.labels);
  return out;
}

/// Ids and labels of a record. `vocabulary` is the one that `training_vocabulary` names. Throws as `training_text` does.
[[nodiscard]] inline LabelledIds label_record(io::Tokenizer const& vocabulary, TrainingTemplate kind, Conversation const& record,
                                              std::string_view where, std::optional<Size> max_length = std::nullopt) {
  return label_ids(vocabulary, kind, training_text(record, kind, where), record.has_image || kind == TrainingTemplate::plain, max_length);
}

}  // namespace mgm::inline v0::models
