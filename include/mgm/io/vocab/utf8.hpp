/// UTF-8: one character at a time, and repair of what is not UTF-8.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <mgm/core/error.hpp>

namespace mgm::inline v0::io::vocab {

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  ///< U+FFFD
inline constexpr std::string_view kMetaSpace = "\xE2\x96\x81";    ///< U+2581, the visible space of SentencePiece

/// What stands at a place in a text.
struct Utf8Char {
  char32_t code = 0xFFFD;   ///< the character; U+FFFD when not valid
  std::uint32_t bytes = 1;  ///< its length; when not valid, that of the longest part that could begin a character (Unicode 3.9)
  bool valid = false;
  bool cut = false;  ///< not valid only because the text ends here
};

/// The character at `at` < text.size(). Surrogates, overlong forms and values above U+10FFFF are not valid.
[[nodiscard]] inline Utf8Char char_at(std::string_view text, std::size_t at) noexcept {
  auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned const lead = byte(at);
  if (lead < 0x80) return {lead, 1, true, false};
  if (lead < 0xC2 || lead > 0xF4) return {};
  std::uint32_t const length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code = lead & (0xFFU >> (length + 1));
  for (std::uint32_t i = 1; i < length; ++i) {
    if (at + i >= text.size()) return {0xFFFD, i, false, true};
    unsigned const next = byte(at + i);
    unsigned low = 0x80, high = 0xBF;
    if (i == 1) {  // the second byte carries the limits that exclude overlong forms, surrogates and values too large
      low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : low;
      high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : high;
    }
    if (next < low || next > high) return {0xFFFD, i, false, false};
    code = (code << 6) | (next & 0x3F);
  }
  return {code, length, true, false};
}

/// Appends `code` < 0x110000 in UTF-8.
inline void append_char(std::string& to, char32_t code) {
  auto const put = [&](char32_t byte) { to += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6)), put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12)), put(0x80 | ((code >> 6) & 0x3F)), put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18)), put(0x80 | ((code >> 12) & 0x3F)), put(0x80 | ((code >> 6) & 0x3F)), put(0x80 | (code & 0x3F));
  }
}

/// Byte position of the first thing that is not UTF-8, or npos.
[[nodiscard]] inline std::size_t first_invalid(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    Utf8Char const c = char_at(text, i);
    if (!c.valid) return i;
    i += c.bytes;
  }
  return std::string_view::npos;
}

/// Appends `text` with U+FFFD in place of each longest part that is not UTF-8, as Python and Rust do.
inline void append_repaired(std::string& to, std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    Utf8Char const c = char_at(text, i);
    to += c.valid ? text.substr(i, c.bytes) : kReplacement;
    i += c.bytes;
  }
}

/// Moves all whole characters (and repaired broken ones) from `pending` to `to`; an unfinished character stays unless `last`.
inline void drain_chars(std::string& pending, std::string& to, bool last) {
  std::size_t i = 0;
  while (i < pending.size()) {
    Utf8Char const c = char_at(pending, i);
    if (c.cut && !last) break;
    to += c.valid ? std::string_view(pending).substr(i, c.bytes) : kReplacement;
    i += c.bytes;
  }
  pending.erase(0, i);
}

/// Replaces every `from` (not empty) in `text`, left to right.
[[nodiscard]] inline std::string replace_all(std::string_view text, std::string_view from, std::string_view with) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0;;) {
    std::size_t const hit = text.find(from, at);
    out += text.substr(at, hit == std::string_view::npos ? hit : hit - at);
    if (hit == std::string_view::npos) return out;
    out += with;
    at = hit + from.size();
  }
}

}  // namespace mgm::inline v0::io::vocab
