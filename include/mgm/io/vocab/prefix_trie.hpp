/// A small set of texts and the longest of them that begins at a place.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace mgm::inline v0::io::vocab {

/// Texts with values >= 0. One step of a search costs as many comparisons as a node has children; most searches end at the first byte.
class PrefixTrie {
 public:
  struct Match {
    std::size_t bytes = 0;  ///< 0: nothing begins here
    int value = -1;
  };

  /// Adds a text that is not empty; a text that is there keeps its value.
  void insert(std::string_view text, int value) {
    if (nodes_.empty()) nodes_.emplace_back();
    std::int32_t node = 0;
    for (char const c : text) {
      std::int32_t child = child_of(node, c);
      if (child < 0) {
        child = static_cast<std::int32_t>(nodes_.size());
        nodes_.push_back({-1, -1, nodes_[static_cast<std::size_t>(node)].child, c});
        nodes_[static_cast<std::size_t>(node)].child = child;
        if (node == 0) first_[static_cast<unsigned char>(c)] = child;
      }
      node = child;
    }
    Node& end = nodes_[static_cast<std::size_t>(node)];
    if (end.value < 0) end.value = value;
  }
  [[nodiscard]] bool empty() const noexcept { return nodes_.empty(); }
  /// The longest text at byte `at` for which `accept(bytes, value)` holds.
  template <class Accept>
  [[nodiscard]] Match longest(std::string_view text, std::size_t at, Accept&& accept) const {
    Match best;
    if (nodes_.empty()) return best;
    std::int32_t node = first_[static_cast<unsigned char>(text[at])];
    for (std::size_t i = at + 1; node >= 0; ++i) {
      int const value = nodes_[static_cast<std::size_t>(node)].value;
      if (value >= 0 && accept(i - at, value)) best = {i - at, value};
      if (i == text.size()) break;
      node = child_of(node, text[i]);
    }
    return best;
  }
  [[nodiscard]] Match longest(std::string_view text, std::size_t at) const {
    return longest(text, at, [](std::size_t, int) { return true; });
  }

 private:
  struct Node {
    std::int32_t value = -1, child = -1, sibling = -1;
    char byte = 0;
  };
  static constexpr std::array<std::int32_t, 256> nothing() {
    std::array<std::int32_t, 256> none{};
    none.fill(-1);
    return none;
  }
  [[nodiscard]] std::int32_t child_of(std::int32_t node, char c) const noexcept {
    if (node == 0) return first_[static_cast<unsigned char>(c)];
    std::int32_t child = nodes_[static_cast<std::size_t>(node)].child;
    while (child >= 0 && nodes_[static_cast<std::size_t>(child)].byte != c) child = nodes_[static_cast<std::size_t>(child)].sibling;
    return child;
  }
  std::array<std::int32_t, 256> first_ = nothing();
  std::vector<Node> nodes_;
};

}  // namespace mgm::inline v0::io::vocab
