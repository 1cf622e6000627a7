/// White space as Python's str.strip() knows it, in UTF-8: what the originals take off the ends of turns and answers.
#pragma once
#include <cstddef>
#include <string_view>

namespace mgm::inline v0::models {

namespace detail {
/// Bytes of the white space character at the front of `s`, 0 when there is none: Python's str.strip().
[[nodiscard]] constexpr std::size_t leading_space(std::string_view s) {
  auto const byte = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  if ((byte(0) >= 0x09 && byte(0) <= 0x0D) || (byte(0) >= 0x1C && byte(0) <= 0x20)) return 1;
  if (byte(0) == 0xC2 && (byte(1) == 0x85 || byte(1) == 0xA0)) return 2;  // U+0085, U+00A0
  unsigned const point = (byte(0) & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
  if ((byte(0) & 0xF0u) != 0xE0u || s.size() < 3) return 0;
  bool const space = point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 || point == 0x202F ||
                     point == 0x205F || point == 0x3000;
  return space ? 3 : 0;
}
}  // namespace detail

/// Without white space at both ends.
[[nodiscard]] inline std::string_view stripped(std::string_view s) {
  for (auto n = detail::leading_space(s); n > 0; n = detail::leading_space(s)) s.remove_prefix(n);
  for (bool more = true; more && !s.empty();) {
    more = false;
    for (std::size_t n = 1; n <= 3 && n <= s.size() && !more; ++n)
      if (detail::leading_space(s.substr(s.size() - n)) == n) s.remove_suffix(n), more = true;
  }
  return s;
}

}  // namespace mgm::inline v0::models
