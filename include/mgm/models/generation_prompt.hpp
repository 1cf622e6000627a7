/// The protocol in which a language model asks for a picture: `<h>a prompt</h>` somewhere in its answer, all of it plain text.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <mgm/core/error.hpp>

namespace mgm::inline v0::models {

/// What the original forbids in every picture that an answer asks for.
inline constexpr std::string_view kNegativePrompt =
    "out of frame, lowres, text, error, cropped, worst quality, low quality, jpeg artifacts, ugly, duplicate, morbid, mutilated, "
    "out of frame, extra fingers, mutated hands, poorly drawn hands, poorly drawn face, mutation, deformed, blurry, dehydrated, bad "
    "anatomy, "
    "bad proportions, extra limbs, cloned face, disfigured, gross proportions, malformed limbs, missing arms, missing legs, extra arms, "
    "extra legs, fused fingers, too many fingers, long neck, username, watermark, signature";

/// What an answer says about a picture to be drawn.
struct GenerationPrompt {
  enum class State {
    none,      ///< no pair, nothing opened
    found,     ///< `prompt` is the content of the last complete pair, untrimmed
    unclosed,  ///< no pair, and an `<h>` that is never closed
  } state = State::none;
  std::string prompt{};
  int pairs = 0;          ///< complete pairs in the answer; the last one counts
  bool nested = false;    ///< the pair that counts stands inside an `<h>` that was open already
  bool unclosed = false;  ///< an `<h>` behind the last pair is never closed
  bool stray = false;     ///< a `</h>` closes nothing

  explicit operator bool() const { return state == State::found; }

  /// What is odd about the tags, a sentence each: they are reported, not mended.
  [[nodiscard]] std::vector<std::string> notes() const {
    std::vector<std::string> out;
    if (state == State::unclosed) out.emplace_back("the answer opens <h> and never closes it; there is no picture prompt");
    if (pairs > 1) out.push_back(text("the answer holds ", pairs, " picture prompts; the last one counts"));
    if (nested) out.emplace_back("the picture prompt stands in an <h> within an <h>; what follows the inner one counts");
    if (state == State::found && unclosed) out.emplace_back("the answer opens another <h> and never closes it; the last whole pair counts");
    if (stray) out.emplace_back("the answer holds a </h> that closes nothing");
    if (state == State::found && prompt.find_first_not_of(" \t\n\r") == prompt.npos) out.emplace_back("the picture prompt is empty");
    return out;
  }
};

/// Reads an answer, of which the last complete pair counts: the text between a `</h>` and the last `<h>` before it. The answer is all that
/// is read: what the person typed is never taken for a prompt.
[[nodiscard]] inline GenerationPrompt read_generation_prompt(std::string_view answer) {
  constexpr std::string_view kOpen = "<h>", kClose = "</h>";
  GenerationPrompt out;
  bool open = false, nested = false;
  std::size_t content = 0;  // where the text of the open pair begins
  for (std::size_t at = answer.find('<'); at != answer.npos; at = answer.find('<', at + 1)) {
    if (auto const rest = answer.substr(at); rest.starts_with(kOpen)) {
      nested = open, open = true, content = at + kOpen.size();
    } else if (rest.starts_with(kClose)) {
      if (open) ++out.pairs, out.prompt = answer.substr(content, at - content), out.nested = nested;
      out.stray = out.stray || !open;
      open = nested = false;
    }
  }
  out.unclosed = open;
  out.state = out.pairs > 0 ? GenerationPrompt::State::found : open ? GenerationPrompt::State::unclosed : GenerationPrompt::State::none;
  return out;
}

}  // namespace mgm::inline v0::models
