/// White space in the sense of Python's str.strip and of Unicode's White_Space.
#pragma once
#include <cstddef>
#include <string_view>

#include <mgm/io/vocab/utf8.hpp>

namespace mgm::inline v0::io::vocab {

/// Unicode's White_Space property (stable since Unicode 6.3).
[[nodiscard]] constexpr bool is_white_space(char32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}
/// What Python's str.isspace says: White_Space and the four separators U+001C to U+001F.
[[nodiscard]] constexpr bool is_python_space(char32_t c) noexcept { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

/// Bytes of the run of characters at the start of valid UTF-8 for which `in` holds.
template <class In>
[[nodiscard]] std::size_t leading(std::string_view text, In&& in) {
  std::size_t at = 0;
  while (at < text.size()) {
    Utf8Char const c = char_at(text, at);
    if (!in(c.code)) break;
    at += c.bytes;
  }
  return at;
}
/// Bytes of the run at the end.
template <class In>
[[nodiscard]] std::size_t trailing(std::string_view text, In&& in) {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t at = end - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (!in(char_at(text, at).code)) break;
    end = at;
  }
  return text.size() - end;
}

}  // namespace mgm::inline v0::io::vocab
