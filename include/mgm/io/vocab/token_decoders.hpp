/// Decoders of tokenizer.json, from tokens to text, each as a step that works while tokens still come.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/io/json.hpp>
#include <mgm/io/vocab/text_rules.hpp>

namespace mgm::inline v0::io::vocab {

/// One step of decoding. Tokens go in one by one; what comes out are tokens again, or parts of one long token behind a step that fuses.
class DecodeStep {
 public:
  using Sink = std::function<void(std::string_view)>;
  virtual ~DecodeStep() = default;
  virtual void push(std::string_view token, Sink const& out) = 0;
  virtual void finish(Sink const&) {}
};
/// Makes the step anew for each text.
using MakeStep = std::function<std::unique_ptr<DecodeStep>()>;

/// A chain of steps, as a file describes it.
struct DecoderChain {
  std::vector<MakeStep> steps;
  bool fused = false;  ///< what the last step gives are parts of one token
  bool spaces = true;  ///< no decoder at all: tokens are joined with spaces
};

namespace detail {
/// A step without memory: one token in, one out.
template <class Map>
class MapStep final : public DecodeStep {
 public:
  explicit MapStep(Map map) : map_(std::move(map)) {}
  void push(std::string_view token, Sink const& out) override { out(map_(token)); }

 private:
  Map map_;
};
/// Hands the whole of a fused text to a step that looks at whole tokens.
class WholeStep final : public DecodeStep {
 public:
  explicit WholeStep(std::unique_ptr<DecodeStep> inner) : inner_(std::move(inner)) {}
  void push(std::string_view token, Sink const&) override { all_ += token; }
  void finish(Sink const& out) override { inner_->push(all_, out), inner_->finish(out), all_.clear(); }

 private:
  std::unique_ptr<DecodeStep> inner_;
  std::string all_;
};
/// Runs of <0xXX> become text if the run is UTF-8, else one U+FFFD a byte.
class ByteFallbackStep final : public DecodeStep {
 public:
  void push(std::string_view token, Sink const& out) override {
    int const byte = value(token);
    if (byte >= 0) {
      bytes_ += static_cast<char>(byte);
    } else {
      finish(out), out(token);
    }
  }
  void finish(Sink const& out) override {
    if (bytes_.empty()) return;
    if (first_invalid(bytes_) == std::string_view::npos) {
      out(bytes_);
    } else {
      for (std::size_t i = 0; i < bytes_.size(); ++i) out(kReplacement);
    }
    bytes_.clear();
  }

 private:
  /// Two hexadecimal digits of either case, or a plus and one, which the library reads as a number too.
  static int value(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    auto const digit = [](char c) {
      return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    };
    int const high = token[3] == '+' ? 0 : digit(token[3]), low = digit(token[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
  }
  std::string bytes_;
};
/// Byte letters become bytes, and those text; broken UTF-8 becomes U+FFFD.
class ByteLevelStep final : public DecodeStep {
 public:
  void push(std::string_view token, Sink const& out) override {
    std::string bytes;
    ByteLetters const& letters = ByteLetters::get();
    bool mapped = true;
    for (std::size_t at = 0; at < token.size() && mapped;) {
      Utf8Char const c = char_at(token, at);
      int const byte = letters.byte_of(c.code);
      mapped = byte >= 0;
      bytes += static_cast<char>(byte);
      at += c.bytes;
    }
    if (mapped) {
      pending_ += bytes;
    } else {
      pending_ += token;
    }
    drain(out, false);
  }
  void finish(Sink const& out) override { drain(out, true); }

 private:
  void drain(Sink const& out, bool last) {
    std::string done;
    drain_chars(pending_, done, last);
    if (!done.empty()) out(done);
  }
  std::string pending_;
};
/// Takes up to `start` copies of a character off the front of each token, up to `stop` off its end.
class StripStep final : public DecodeStep {
 public:
  StripStep(std::string letter, std::size_t start, std::size_t stop, bool fused)
      : letter_(std::move(letter)), start_(start), stop_(stop), left_(start), fused_(fused) {}
  void push(std::string_view token, Sink const& out) override {
    if (!fused_) left_ = start_;
    while (left_ > 0 && !token.empty()) {
      if (!token.starts_with(letter_)) {
        left_ = 0;
        break;
      }
      token.remove_prefix(letter_.size()), --left_;
    }
    for (std::size_t i = 0; i < stop_ && token.ends_with(letter_); ++i) token.remove_suffix(letter_.size());
    out(token);
  }

 private:
  std::string letter_;
  std::size_t start_, stop_, left_;
  bool fused_;
};
/// The meta character becomes a space, in the first token nothing where a prefix was added.
class MetaspaceStep final : public DecodeStep {
 public:
  MetaspaceStep(std::string letter, bool drop_first, bool fused) : letter_(std::move(letter)), drop_(drop_first), fused_(fused) {}
  void push(std::string_view token, Sink const& out) override {
    out(replace_all(token, letter_, drop_ && (first_ || fused_) ? "" : " "));
    first_ = false;
  }

 private:
  std::string letter_;
  bool drop_, fused_, first_ = true;
};
/// The end-of-word suffix becomes a space, in the last token nothing.
class SuffixStep final : public DecodeStep {
 public:
  explicit SuffixStep(std::string suffix) : suffix_(std::move(suffix)) {}
  void push(std::string_view token, Sink const& out) override {
    if (any_) out(replace_all(held_, suffix_, " "));
    held_ = token, any_ = true;
  }
  void finish(Sink const& out) override {
    if (any_) out(replace_all(held_, suffix_, ""));
    any_ = false;
  }

 private:
  std::string suffix_, held_;
  bool any_ = false;
};

template <class Step, class... Args>
MakeStep step_maker(bool whole, Args... args) {
  return [whole, args...]() -> std::unique_ptr<DecodeStep> {
    auto step = std::make_unique<Step>(args...);
    if (whole) return std::make_unique<WholeStep>(std::move(step));
    return step;
  };
}
}  // namespace detail

/// Appends what a decoder of a file does to `chain`. Throws FileError for types that are not supported, by name.
inline void read_decoder(Json const& object, std::string_view where, DecoderChain& chain, int depth = 0) {
  std::string const type = detail::type_of(object, where);
  require<FileError>(depth < detail::kMaxNesting, where, ": decoders nested deeper than ", detail::kMaxNesting);
  chain.spaces = false;
  bool const fused = chain.fused;
  if (type == "Sequence") {
    Json const* list = find_key(object, "decoders", where);
    require<FileError>(list != nullptr && list->is_array(), where, ": decoders: expected an array");
    for (Json const& step : *list) read_decoder(step, where, chain, depth + 1);
  } else if (type == "Fuse") {
    chain.fused = true;
  } else if (type == "ByteLevel") {
    chain.steps.push_back(detail::step_maker<detail::ByteLevelStep>(fused));
    chain.fused = true;
  } else if (type == "ByteFallback") {
    chain.steps.push_back(detail::step_maker<detail::ByteFallbackStep>(fused));
  } else if (type == "Replace") {
    auto const pattern = detail::read_pattern(object, where);
    bool const whole =
        fused && (pattern.regex || char_at(pattern.literal, 0).bytes != pattern.literal.size());  // else no match spans parts
    auto const map = [pattern, with = detail::read_text_key(object, "content", where)](std::string_view token) {
      return detail::replace_matches(pattern, token, with);
    };
    chain.steps.push_back(detail::step_maker<detail::MapStep<decltype(map)>>(whole, map));
  } else if (type == "Strip") {
    std::string const letter = detail::read_text_key(object, "content", where);
    require<FileError>(!letter.empty() && char_at(letter, 0).bytes == letter.size(), where, ": content: expected one character, found ",
                       mgm::quoted(letter));
    auto const start = get<std::uint32_t>(object, "start", where), stop = get<std::uint32_t>(object, "stop", where);
    bool const whole = fused && stop > 0;
    chain.steps.push_back(detail::step_maker<detail::StripStep>(whole, letter, std::size_t{start}, std::size_t{stop}, fused && !whole));
  } else if (type == "Metaspace") {
    std::string const letter = detail::read_text_key(object, "replacement", where);
    require<FileError>(!letter.empty() && char_at(letter, 0).bytes == letter.size(), where, ": replacement: expected one character, found ",
                       mgm::quoted(letter));
    bool const drop = find_key(object, "add_prefix_space", where)
                          ? get<bool>(object, "add_prefix_space", where)
                          : get_or(object, "prepend_scheme", std::string("always"), where) != "never";
    chain.steps.push_back(detail::step_maker<detail::MetaspaceStep>(false, letter, drop, fused));
  } else if (type == "BPEDecoder") {
    chain.steps.push_back(detail::step_maker<detail::SuffixStep>(fused, detail::read_text_key(object, "suffix", where)));
  } else {
    detail::refuse_kind(where, "a decoder", type, "Sequence, Replace, ByteFallback, Fuse, Strip, ByteLevel, Metaspace, BPEDecoder");
  }
}

/// What CLIP's tokenizer does to a decoded text: the suffix becomes a space, and the ends are stripped.
class EndOfWordStep final : public DecodeStep {
 public:
  explicit EndOfWordStep(std::string suffix) : suffix_(std::move(suffix)) {}
  void push(std::string_view token, Sink const&) override { all_ += token; }
  void finish(Sink const& out) override {
    std::string text = suffix_.empty() ? all_ : replace_all(all_, suffix_, " ");
    text.resize(text.size() - trailing(text, is_python_space));
    text.erase(0, leading(text, is_python_space));
    out(text), all_.clear();
  }

 private:
  std::string suffix_, all_;
};

}  // namespace mgm::inline v0::io::vocab
