/// A small typeface, for the few words that we write into pictures: ASCII in cells of 5 × 7 dots.
#pragma once
#include <cstdint>
#include <string_view>

#include <mgm/core/platform.hpp>
#include <mgm/io/image.hpp>

namespace mgm::inline v0::io {

/// Dots of a character, seven rows of five from the top, each row a digit of base 32 with the leftmost dot highest: "EHHVHHH" is an A.
/// What is not printable ASCII is an empty box.
[[nodiscard]] constexpr std::string_view glyph(char32_t c) {
  // clang-format off
  constexpr std::string_view kRows =
      "0000000" "4444404" "AAA0000" "AAVAVAA" "4FKE5U4" "OP248J3" "CIK8LID" "4480000" "2488842" "8422248" "04LEL40" "044V440" "0000C48"
      "000V000" "00000CC" "01248G0" "EHJLPHE" "4C4444E" "EH1248V" "V2421HE" "26AIV22" "VGU11HE" "68GUHHE" "V124888" "EHHEHHE" "EHHF12C"
      "0CC0CC0" "0CC0C48" "248G842" "00V0V00" "8421248" "EH12404" "EHNLNGE" "EHHVHHH" "UHHUHHU" "EHGGGHE" "SIHHHIS" "VGGUGGV" "VGGUGGG"
      "EHGNHHF" "HHHVHHH" "E44444E" "72222IC" "HIKOKIH" "GGGGGGV" "HRLLHHH" "HHPLJHH" "EHHHHHE" "UHHUGGG" "EHHHLID" "UHHUKIH" "FGGE11U"
      "V444444" "HHHHHHE" "HHHHHA4" "HHHLLLA" "HHA4AHH" "HHHA444" "V1248GV" "E88888E" "0G84210" "E22222E" "4AH0000" "000000V" "8420000"
      "00E1FHF" "GGMPHHU" "00EGGHE" "11DJHHF" "00EHVGE" "698S888" "00FHF1E" "GGMPHHH" "40C444E" "20622IC" "GGIKOKI" "C44444E" "00QLLHH"
      "00MPHHH" "00EHHHE" "00UHUGG" "00DJF11" "00MPGGG" "00EGE1U" "88S8896" "00HHHJD" "00HHHA4" "00HHLLA" "00HA4AH" "00HHF1E" "00V248V"
      "2448442" "4444444" "8442448" "008L200";
  // clang-format on
  static_assert(kRows.size() == 7 * 95);
  return c >= 32 && c < 127 ? kRows.substr(7 * (c - 32), 7) : std::string_view("VHHHHHV");
}

/// Width in pixels of a character with the gap behind it, and height of a line with the gap beneath it, at a size of `dot` pixels a dot.
[[nodiscard]] constexpr int glyph_advance(int dot) { return 6 * dot; }
[[nodiscard]] constexpr int line_advance(int dot) { return 10 * dot; }

/// Writes UTF-8 `words` with the left upper corner at (x, y), `dot` pixels a dot; what falls outside of the picture is not drawn.
inline void draw_text(Image& picture, std::string_view words, int x, int y, int dot, std::uint8_t const (&colour)[3]) {
  for (char const c : words) {
    auto const byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) == 0x80) continue;  // the rest of a character that has its box
    std::string_view const rows = glyph(byte);
    for (int j = 0; j < 7 * dot; ++j)
      for (int i = 0; i < 5 * dot; ++i) {
        char const digit = rows[static_cast<std::size_t>(j / dot)];
        int const bits = digit <= '9' ? digit - '0' : digit - 'A' + 10;
        int const px = x + i, py = y + j;
        if ((bits >> (4 - i / dot) & 1) == 0 || px < 0 || py < 0 || px >= picture.width || py >= picture.height) continue;
        std::uint8_t* to = picture.rgb.data() + 3 * (Size{py} * picture.width + px);
        to[0] = colour[0], to[1] = colour[1], to[2] = colour[2];
      }
    x += glyph_advance(dot);
  }
}

}  // namespace mgm::inline v0::io
