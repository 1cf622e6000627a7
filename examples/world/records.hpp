// Questions as records of the training-data format: {"id", "image", "kind", "conversations": [{"from": "human", "value": …}, …]}.
#pragma once
#include <mgm/io/json.hpp>

#include "talk.hpp"

namespace world {

/// What a question is counted under. What is right too often by chance is told apart: relations to nothing, and random print from words.
inline std::string counted_as(Turns const& turns, Scene const& s) {
  auto const& [kind, question, answer] = turns.back();
  if (kind == "relation") return answer.starts_with("Nothing") ? "relation-nothing" : "relation";
  if (kind != "sign") return kind;
  for (auto const& t : s.signs())
    if (answer.find(text('"', t.text, '"')) != answer.npos) return index_of(kWords, t.text) >= 0 ? "sign-word" : "sign";
  return "sign-none";
}

/// A conversation; with an image its first turn shows it.
inline mgm::io::Json record(std::string const& id, std::string const& image, std::string const& kind, Turns const& turns) {
  mgm::io::Json out{{"id", id}, {"conversations", mgm::io::Json::array()}};
  if (!image.empty()) out["image"] = image;
  if (!kind.empty()) out["kind"] = kind;
  for (auto const& t : turns) {
    bool const shows = !image.empty() && &t == turns.data();
    out["conversations"].push_back({{"from", "human"}, {"value", (shows ? "<image>\n" : "") + t.question}});
    out["conversations"].push_back({{"from", "gpt"}, {"value", t.answer}});
  }
  return out;
}

}  // namespace world
