/// The protocol in which a language model asks for a picture: `<h>a prompt</h>` somewhere in its answer, all of it plain text.
#pragma once
#include <string>
#include <string_view>

namespace mgm::inline v0::models {

/// What an answer says about a picture to be drawn.
struct GenerationPrompt {
  enum class State {
    none,      ///< no pair
    found,     ///< `prompt` is the content of the last complete pair, untrimmed
    unclosed,  ///< an `<h>` that is never closed, and no pair before it
  } state = State::none;
  std::string prompt{};
  int pairs = 0;  ///< complete pairs in the answer; the last one counts
};

/// Reads an answer: of the text before the last `</h>` (and after the `</h>` before that, if any) all that follows its last `<h>`.
[[nodiscard]] inline GenerationPrompt read_generation_prompt(std::string_view answer) {
  constexpr std::string_view kOpen = "<h>", kClose = "</h>";
  GenerationPrompt out;
  std::size_t from = 0;
  for (auto close = answer.find(kClose); close != answer.npos; close = answer.find(kClose, from)) {
    auto const part = answer.substr(from, close - from);  // between this `</h>` and the one before
    auto const open = part.rfind(kOpen);
    bool const pair = open != part.npos;
    out.pairs += pair;
    out.state = pair ? GenerationPrompt::State::found : GenerationPrompt::State::none;
    out.prompt = pair ? std::string(part.substr(open + kOpen.size())) : std::string();
    from = close + kClose.size();
  }
  if (out.state == GenerationPrompt::State::none && answer.find(kOpen, from) != answer.npos) out.state = GenerationPrompt::State::unclosed;
  return out;
}

}  // namespace mgm::inline v0::models
