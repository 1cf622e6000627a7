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
    unclosed,  ///< an `<h>` that is never closed, and no complete pair
  } state = State::none;
  std::string prompt{};
  int pairs = 0;  ///< complete pairs in the answer; the last one counts
};

/// Reads an answer: of the text before the last `</h>` (and after the `</h>` before that, if any) all that follows its last `<h>`.
[[nodiscard]] inline GenerationPrompt read_generation_prompt(std::string_view answer) {
  constexpr std::string_view kOpen = "<h>", kClose = "</h>";
  GenerationPrompt out;
  for (std::size_t from = 0;;) {  // counts the pairs; each `</h>` closes the last `<h>` since the `</h>` before
    auto const close = answer.find(kClose, from);
    if (close == answer.npos) break;
    auto const part = answer.substr(from, close - from);
    auto const open = part.rfind(kOpen);
    if (open != part.npos) {
      ++out.pairs;
      out.state = GenerationPrompt::State::found;
      out.prompt = part.substr(open + kOpen.size());
    } else {
      out.state = GenerationPrompt::State::none;  // the original looks at the last `</h>` alone
    }
    from = close + kClose.size();
    if (answer.find(kClose, from) == answer.npos && out.state == GenerationPrompt::State::none && answer.find(kOpen, from) != answer.npos)
      out.state = GenerationPrompt::State::unclosed;
  }
  if (out.pairs == 0 && answer.rfind(kOpen) != answer.npos) out.state = GenerationPrompt::State::unclosed;
  if (out.state != GenerationPrompt::State::found) out.prompt.clear();
  return out;
}

}  // namespace mgm::inline v0::models
