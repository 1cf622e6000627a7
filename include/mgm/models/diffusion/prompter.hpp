/// A tokenizer with its text encoder: from a prompt to ids as the encoder was trained on them.
#pragma once
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <mgm/io/tokenizer.hpp>
#include <mgm/models/diffusion/text_encoder.hpp>

namespace mgm::inline v0::models {

/// A tokenizer with its encoder.
template <Real T, Device Dev>
struct Prompter {
  std::shared_ptr<io::Tokenizer const> vocabulary;
  TextEncoder<T, Dev> encoder;
  std::optional<int> pad{};  ///< what fills a prompt up; absent: the vocabulary's own

  static constexpr std::size_t kLongest = std::size_t{1} << 20;  ///< bytes of a prompt; some hundred are read

  /// How many ids of a text there are beyond what the encoder reads.
  [[nodiscard]] std::size_t cut(std::string_view text) const {
    std::size_t const all = vocabulary->encode(text).size(), most = static_cast<std::size_t>(encoder.config().positions);
    return all > most ? all - most : 0;
  }
  /// The ids of a text as the encoders were trained: begin, at most 75 of content, end, padding to the encoder's positions.
  /// Special tokens that are written out in the text are such, as in diffusers, unless it is `plain`. Throws
  /// LimitError for texts longer than kLongest, ConfigError where tokenizer and encoder do not belong together.
  [[nodiscard]] std::vector<int> ids(std::string_view text, bool plain = false) const {
    require<LimitError>(text.size() <= kLongest, "prompt: ", text.size(), " bytes, at most ", kLongest, " are taken");
    auto out = vocabulary->encode(text, {.special = plain ? io::Special::plain : io::Special::parse});
    std::size_t const most = static_cast<std::size_t>(encoder.config().positions);
    auto const end = vocabulary->eos(), filler = pad ? pad : vocabulary->pad();
    require<ConfigError>(end.has_value(), "generator: the tokenizer names no end token");
    if (out.size() > most) out.resize(most), out.back() = *end;
    out.resize(most, filler.value_or(*end));
    for (int const id : out)
      require<ConfigError>(id < encoder.config().vocab, "generator: id ", id, " of the tokenizer is beyond the ", encoder.config().vocab,
                           " rows of the text encoder; they do not belong together");
    return out;
  }
};

}  // namespace mgm::inline v0::models
