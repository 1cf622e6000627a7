/// The compiled character rules of a SentencePiece normalizer: a double-array trie from texts to their replacements (Aoe 1989; the
/// layout is that of Darts-clone, 32 bits a unit), followed by the replacements, each ended by a zero byte.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/core/error.hpp>

namespace mgm::inline v0::io::vocab {

/// Longest-match replacement rules. Empty: no rules.
class Charsmap {
 public:
  Charsmap() = default;
  /// Reads the blob: size of the trie in bytes (u32, little endian), the trie, the replacements. Throws FileError.
  Charsmap(std::string_view blob, std::string_view file) {
    if (blob.empty()) return;
    require<FileError>(blob.size() > 4, file, ": character rules: expected more than 4 bytes, found ", blob.size());
    std::uint32_t const size = u32(blob, 0);
    require<FileError>(size % 4 == 0 && size >= 1024 && size < blob.size() - 4, file, ": character rules: expected a trie of 1024 to ",
                       blob.size() - 5, " bytes, a multiple of 4, found ", size);
    units_.resize(size / 4);
    for (std::size_t i = 0; i < units_.size(); ++i) units_[i] = u32(blob, 4 + 4 * i);
    texts_ = blob.substr(4 + size);
    require<FileError>(texts_.back() == '\0', file, ": character rules: expected a zero byte behind the last replacement, found ",
                       static_cast<int>(static_cast<unsigned char>(texts_.back())));
    for (std::size_t i = 0; i < units_.size(); ++i) check_leaf(i, file);
  }
  struct Match {
    std::size_t bytes = 0;  ///< 0: no rule
    std::string_view with;
  };
  /// The longest rule for what begins at `text`.
  [[nodiscard]] Match longest(std::string_view text) const noexcept {
    Match best;
    if (units_.empty()) return best;
    std::size_t node = offset(units_[0]);
    for (std::size_t i = 0; i < text.size(); ++i) {
      auto const byte = static_cast<unsigned char>(text[i]);
      node ^= byte;
      if (node >= units_.size() || (units_[node] & 0x800000FFU) != byte) break;
      std::uint32_t const unit = units_[node];
      node ^= offset(unit);
      if ((unit >> 8) & 1) {
        if (node >= units_.size()) break;
        std::size_t const at = units_[node] & 0x7FFFFFFFU;
        if (at >= texts_.size()) break;  // only in a unit that no rule reaches
        best = {i + 1, std::string_view(texts_.c_str() + at)};
      }
    }
    return best;
  }
  [[nodiscard]] bool empty() const noexcept { return units_.empty(); }

 private:
  static std::uint32_t u32(std::string_view bytes, std::size_t at) noexcept {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value |= std::uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
    return value;
  }
  static std::size_t offset(std::uint32_t unit) noexcept { return std::size_t{unit >> 10} << ((unit & (1U << 9)) >> 6); }
  /// A unit with a value must point at a replacement.
  void check_leaf(std::size_t unit, std::string_view file) const {
    if (units_[unit] & 0x80000000U)
      require<FileError>((units_[unit] & 0x7FFFFFFFU) < texts_.size(), file, ": character rules: unit ", unit,
                         " points behind the replacements: expected less than ", texts_.size(), ", found ", units_[unit] & 0x7FFFFFFFU);
  }
  std::vector<std::uint32_t> units_;
  std::string texts_;
};

}  // namespace mgm::inline v0::io::vocab
