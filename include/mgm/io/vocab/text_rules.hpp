/// Normalizers and pre-tokenizers of tokenizer.json: what happens to text before the vocabulary sees it.
#pragma once
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/io/json.hpp>
#include <mgm/io/vocab/regex.hpp>
#include <mgm/io/vocab/unicode.hpp>

namespace mgm::inline v0::io::vocab {

/// A step that turns text into text.
using Normalizer = std::function<std::string(std::string)>;

/// A piece of text on its way to the vocabulary.
struct Segment {
  std::string text;
  bool first = false;    ///< begins the whole text
  std::size_t item = 0;  ///< the caller's number, kept through cuts
};
/// A step that cuts segments, and may change their text. Pieces that are empty are left out by the caller.
using PreTokenizer = std::function<void(std::vector<Segment>&)>;

namespace detail {
[[noreturn]] inline void refuse_kind(std::string_view where, std::string_view what, std::string_view found, std::string_view supported) {
  throw FileError(text(where, ": ", what, " of type ", mgm::quoted(found), " is not supported; supported: ", supported));
}
inline std::string type_of(Json const& object, std::string_view where) { return get<std::string>(object, "type", where); }

/// The pattern of Replace and Split: {"String": …} or {"Regex": …}.
struct Pattern {
  std::string literal;
  std::shared_ptr<Regex const> regex;
  /// Calls found(begin, end) for each match.
  template <class Found>
  void each(std::string_view text, Found&& found) const {
    if (regex) {
      regex->each(text, [&](Regex::Match m) { found(m.begin, m.end); });
    } else {
      for (std::size_t at = text.find(literal); at != std::string_view::npos; at = text.find(literal, at + literal.size()))
        found(at, at + literal.size());
    }
  }
};
inline Pattern read_pattern(Json const& object, std::string_view where) {
  Json const* pattern = find_key(object, "pattern", where);
  require<FileError>(pattern != nullptr && pattern->is_object() && pattern->size() == 1, where,
                     ": pattern: expected {\"String\": …} or {\"Regex\": …}");
  Pattern out;
  if (find_key(*pattern, "String", where)) {
    out.literal = get<std::string>(*pattern, "String", where);
    require<FileError>(!out.literal.empty() && first_invalid(out.literal) == std::string_view::npos, where,
                       ": pattern: expected a text, found ", mgm::quoted(out.literal));
  } else if (find_key(*pattern, "Regex", where)) {
    out.regex = std::make_shared<Regex const>(get<std::string>(*pattern, "Regex", where), where);
  } else {
    refuse_kind(where, "a pattern", pattern->begin().key(), "String, Regex");
  }
  return out;
}
inline std::string replace_matches(Pattern const& pattern, std::string_view text, std::string_view with) {
  std::string out;
  out.reserve(text.size());
  std::size_t done = 0;
  pattern.each(text, [&](std::size_t begin, std::size_t end) {
    out += text.substr(done, begin - done), out += with;
    done = end;
  });
  return out += text.substr(done);
}
inline std::string read_text_key(Json const& object, std::string_view key, std::string_view where) {
  std::string value = get<std::string>(object, key, where);
  require<FileError>(first_invalid(value) == std::string_view::npos, where, ": ", key, ": expected UTF-8, found ", mgm::quoted(value));
  return value;
}
inline constexpr int kMaxNesting = 16;
}  // namespace detail

/// Reads a normalizer. Throws FileError for types that are not supported, by name.
[[nodiscard]] inline Normalizer read_normalizer(Json const& object, std::string_view where, int depth = 0) {
  std::string const type = detail::type_of(object, where);
  require<FileError>(depth < detail::kMaxNesting, where, ": normalizers nested deeper than ", detail::kMaxNesting);
  if (type == "Sequence") {
    Json const* list = find_key(object, "normalizers", where);
    require<FileError>(list != nullptr && list->is_array(), where, ": normalizers: expected an array");
    std::vector<Normalizer> steps;
    for (Json const& step : *list) steps.push_back(read_normalizer(step, where, depth + 1));
    return [steps](std::string text) {
      for (Normalizer const& step : steps) text = step(std::move(text));
      return text;
    };
  }
  if (type == "Prepend") {
    return [prefix = detail::read_text_key(object, "prepend", where)](std::string text) { return text.empty() ? text : prefix + text; };
  }
  if (type == "Replace") {
    return [pattern = detail::read_pattern(object, where), with = detail::read_text_key(object, "content", where)](
               std::string const& text) { return detail::replace_matches(pattern, text, with); };
  }
  if (type == "Lowercase") return [](std::string const& text) { return Unicode::get().lower(text); };
  if (type == "Strip") {
    bool const left = get<bool>(object, "strip_left", where), right = get<bool>(object, "strip_right", where);
    return [left, right](std::string text) {
      if (right) text.resize(text.size() - trailing(text, is_white_space));
      if (left) text.erase(0, leading(text, is_white_space));
      return text;
    };
  }
  constexpr std::pair<std::string_view, NormalForm> forms[] = {
      {"NFC", NormalForm::nfc}, {"NFD", NormalForm::nfd}, {"NFKC", NormalForm::nfkc}, {"NFKD", NormalForm::nfkd}};
  for (auto const& [name, form] : forms)
    if (type == name) return [form](std::string const& text) { return Unicode::get().normalize(text, form); };
  detail::refuse_kind(where, "a normalizer", type, "Sequence, Prepend, Replace, Lowercase, Strip, NFC, NFD, NFKC, NFKD");
}

/// The characters that stand for bytes in byte-level vocabularies (GPT-2): printable bytes for themselves, the others from U+0100 on.
class ByteLetters {
 public:
  [[nodiscard]] static ByteLetters const& get() {
    static ByteLetters const tables;
    return tables;
  }
  [[nodiscard]] std::string const& of(unsigned char byte) const noexcept { return letters_[byte]; }
  /// The byte of a character, or -1.
  [[nodiscard]] int byte_of(char32_t code) const noexcept { return code < 0x144 ? bytes_[code] : -1; }

 private:
  ByteLetters() {
    bytes_.fill(-1);
    char32_t next = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      bool const itself = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      char32_t const code = itself ? b : next++;
      append_char(letters_[b], code);
      bytes_[code] = static_cast<std::int16_t>(b);
    }
  }
  std::array<std::string, 256> letters_;
  std::array<std::int16_t, 0x144> bytes_{};
};

namespace detail {
enum class Keep { isolated, removed, merged_with_previous, merged_with_next, contiguous };

/// Cuts a text at matches; `invert` swaps matches and the rest.
inline void split_text(Pattern const& pattern, Keep keep, bool invert, Segment const& segment, std::vector<Segment>& out) {
  struct Cut {
    std::size_t begin, end;
    bool match;
  };
  std::vector<Cut> cuts, merged;
  std::size_t done = 0;
  auto const add = [&](std::size_t begin, std::size_t end, bool match) {
    if (begin < end) cuts.push_back({begin, end, match != invert});
  };
  pattern.each(segment.text, [&](std::size_t begin, std::size_t end) {
    add(done, begin, false), add(begin, end, true);
    done = end;
  });
  add(done, segment.text.size(), false);
  bool before = false;
  switch (keep) {
    case Keep::isolated:
      merged = cuts;
      break;
    case Keep::removed:
      for (Cut const& cut : cuts)
        if (!cut.match) merged.push_back(cut);
      break;
    case Keep::contiguous:
      for (Cut const& cut : cuts) {
        if (!merged.empty() && merged.back().match == cut.match) {
          merged.back().end = cut.end;
        } else {
          merged.push_back(cut);
        }
      }
      break;
    case Keep::merged_with_previous:
      for (Cut const& cut : cuts) {
        if (cut.match && !before && !merged.empty()) {
          merged.back().end = cut.end;
        } else {
          merged.push_back(cut);
        }
        before = cut.match;
      }
      break;
    case Keep::merged_with_next:
      for (auto cut = cuts.rbegin(); cut != cuts.rend(); ++cut) {
        if (cut->match && !before && !merged.empty()) {
          merged.back().begin = cut->begin;
        } else {
          merged.push_back(*cut);
        }
        before = cut->match;
      }
      std::ranges::reverse(merged);
      break;
  }
  for (Cut const& cut : merged)
    out.push_back({segment.text.substr(cut.begin, cut.end - cut.begin), segment.first && cut.begin == 0, segment.item});
}

inline PreTokenizer byte_level(Json const& object, std::string_view where) {
  // Its own pattern, which the file does not spell out.
  constexpr std::string_view kWords = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
  bool const prefix = io::get<bool>(object, "add_prefix_space", where), words = get_or(object, "use_regex", true, where);
  std::optional<Pattern> pattern;
  if (words) pattern = Pattern{{}, std::make_shared<Regex const>(kWords, where)};
  return [prefix, pattern](std::vector<Segment>& segments) {
    std::vector<Segment> out;
    out.reserve(segments.size());
    for (Segment& segment : segments) {
      if (prefix && !segment.text.starts_with(' ')) segment.text.insert(0, " ");
      if (pattern) {
        split_text(*pattern, Keep::isolated, false, segment, out);
      } else {
        out.push_back(std::move(segment));
      }
    }
    ByteLetters const& letters = ByteLetters::get();
    std::string mapped;
    for (Segment& segment : out) {
      mapped.clear();
      for (char const c : segment.text) mapped += letters.of(static_cast<unsigned char>(c));
      segment.text = mapped;
    }
    segments = std::move(out);
  };
}

/// Metaspace, in the form of its files before 0.19 (add_prefix_space) and after (prepend_scheme alone, split).
inline PreTokenizer metaspace(Json const& object, std::string_view where) {
  std::string const letter = read_text_key(object, "replacement", where);
  require<FileError>(!letter.empty() && char_at(letter, 0).bytes == letter.size(), where, ": replacement: expected one character, found ",
                     mgm::quoted(letter));
  std::string const scheme = get_or(object, "prepend_scheme", std::string("always"), where);
  require<FileError>(scheme == "always" || scheme == "first" || scheme == "never", where,
                     ": prepend_scheme: expected always, first or never, found ", mgm::quoted(scheme));
  bool const old = find_key(object, "add_prefix_space", where) != nullptr && find_key(object, "split", where) == nullptr;
  bool const prefix = get_or(object, "add_prefix_space", true, where), cut = get_or(object, "split", true, where);
  return [=](std::vector<Segment>& segments) {
    std::vector<Segment> out;
    bool first = true;
    for (Segment& segment : segments) {
      segment.text = replace_all(segment.text, " ", letter);
      bool const open = prefix && !segment.text.starts_with(letter);
      bool const put = open && (scheme == "always" || (scheme == "first" && (old ? first : segment.first)));
      if (put) segment.text.insert(0, letter);
      if (!open || (put && scheme == "first")) first = false;
      if (cut) {
        split_text(Pattern{letter, nullptr}, Keep::merged_with_next, false, segment, out);
      } else {
        out.push_back(std::move(segment));
      }
    }
    segments = std::move(out);
  };
}
}  // namespace detail

/// Reads a pre-tokenizer. Throws FileError for types that are not supported, by name.
[[nodiscard]] inline PreTokenizer read_pre_tokenizer(Json const& object, std::string_view where, int depth = 0) {
  std::string const type = detail::type_of(object, where);
  require<FileError>(depth < detail::kMaxNesting, where, ": pre-tokenizers nested deeper than ", detail::kMaxNesting);
  if (type == "Sequence") {
    Json const* list = find_key(object, "pretokenizers", where);
    require<FileError>(list != nullptr && list->is_array(), where, ": pretokenizers: expected an array");
    std::vector<PreTokenizer> steps;
    for (Json const& step : *list) steps.push_back(read_pre_tokenizer(step, where, depth + 1));
    return [steps](std::vector<Segment>& segments) {
      for (PreTokenizer const& step : steps) step(segments);
    };
  }
  if (type == "ByteLevel") return detail::byte_level(object, where);
  if (type == "Metaspace") return detail::metaspace(object, where);
  if (type == "Split") {
    using detail::Keep;
    constexpr std::pair<std::string_view, Keep> names[] = {{"Isolated", Keep::isolated},
                                                           {"Removed", Keep::removed},
                                                           {"MergedWithPrevious", Keep::merged_with_previous},
                                                           {"MergedWithNext", Keep::merged_with_next},
                                                           {"Contiguous", Keep::contiguous}};
    std::string const behavior = io::get<std::string>(object, "behavior", where);
    bool const invert = io::get<bool>(object, "invert", where);
    for (auto const& [name, keep] : names)
      if (behavior == name)
        return [pattern = detail::read_pattern(object, where), keep, invert](std::vector<Segment>& segments) {
          std::vector<Segment> out;
          for (Segment const& segment : segments) detail::split_text(pattern, keep, invert, segment, out);
          segments = std::move(out);
        };
    detail::refuse_kind(where, "a split behavior", behavior, "Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous");
  }
  detail::refuse_kind(where, "a pre-tokenizer", type, "Sequence, Split, ByteLevel, Metaspace");
}

}  // namespace mgm::inline v0::io::vocab
