/// Sets of characters for patterns: ranges and Unicode classes, negated or not.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include <mgm/io/vocab/unicode.hpp>

namespace mgm::inline v0::io::vocab {

/// A set of characters.
class CharSet {
 public:
  enum class Kind : std::uint8_t { range, letter, number, mark, digit, letter_number, other_number, connector, space };
  void add(char32_t low, char32_t high) { items_.push_back({Kind::range, false, low, high}); }
  void add(Kind kind, bool negated) { items_.push_back({kind, negated, 0, 0}); }
  void finish(bool negated) {
    negated_ = negated;
    for (char32_t c = 0; c < 128; ++c) ascii_[c] = slow(c);
  }
  [[nodiscard]] bool has(char32_t c) const noexcept { return c < 128 ? ascii_[c] : slow(c); }
  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }

 private:
  struct Item {
    Kind kind;
    bool negated;
    char32_t low, high;
  };
  [[nodiscard]] bool slow(char32_t c) const noexcept {
    for (Item const& item : items_)
      if (in(item, c) != item.negated) return !negated_;
    return negated_;
  }
  [[nodiscard]] static bool in(Item const& item, char32_t c) noexcept {
    Unicode const& unicode = Unicode::get();
    switch (item.kind) {
      case Kind::range:
        return c >= item.low && c <= item.high;
      case Kind::letter:
        return unicode.is_letter(c);
      case Kind::number:
        return unicode.is_number(c);
      case Kind::mark:
        return unicode.category(c) == Category::mark;
      case Kind::digit:
        return unicode.category(c) == Category::digit;
      case Kind::letter_number:
        return unicode.category(c) == Category::letter_number;
      case Kind::other_number:
        return unicode.category(c) == Category::other_number;
      case Kind::connector:
        return unicode.category(c) == Category::connector;
      case Kind::space:
        return is_white_space(c);
    }
    return false;
  }
  std::vector<Item> items_;
  std::array<bool, 128> ascii_{};
  bool negated_ = false;
};

}  // namespace mgm::inline v0::io::vocab
