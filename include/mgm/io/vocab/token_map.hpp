/// Text to id and back, in two flat arrays: a vocabulary of 10^5 entries is read and looked up without an allocation an entry.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/core/error.hpp>

namespace mgm::inline v0::io::vocab {

/// A well-mixed 64-bit number of a text; the same within one run only.
[[nodiscard]] inline std::uint64_t text_hash(std::string_view text) noexcept {
  std::uint64_t hash = 0x9E3779B97F4A7C15U ^ text.size();
  char const* at = text.data();
  std::size_t left = text.size();
  auto const mix = [&](std::uint64_t word) {
    hash = (hash ^ word) * 0xD6E8FEB86659FD93U;
    hash ^= hash >> 32;
  };
  for (; left >= 8; left -= 8, at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    mix(word);
  }
  std::uint64_t word = 0;
  if (left) std::memcpy(&word, at, left);
  mix(word);
  return hash;
}

/// A growing set of (text, id). Texts are unique; ids are the caller's, not negative, and need not be in order.
class TokenMap {
 public:
  static constexpr int kNone = -1;

  /// Room for `entries` texts.
  void reserve(std::size_t entries) {
    entries_.reserve(entries);
    rehash(std::bit_ceil(entries * 2 + 16));
  }
  /// False, and nothing done, if `text` is there already.
  bool insert(std::string_view text, int id) {
    if ((entries_.size() + 1) * 2 > slots_.size()) rehash(slots_.empty() ? 64 : slots_.size() * 2);
    std::size_t const slot = find_slot(text, text_hash(text));
    if (slots_[slot].entry >= 0) return false;
    slots_[slot] = {static_cast<std::uint32_t>(text_hash(text) >> 32), static_cast<std::int32_t>(entries_.size())};
    entries_.push_back({static_cast<std::uint32_t>(letters_.size()), static_cast<std::uint32_t>(text.size()), id});
    letters_ += text;
    longest_ = std::max(longest_, text.size());
    if (static_cast<std::size_t>(id) >= by_id_.size()) by_id_.resize(static_cast<std::size_t>(id) + 1, -1);
    if (by_id_[static_cast<std::size_t>(id)] < 0) by_id_[static_cast<std::size_t>(id)] = static_cast<std::int32_t>(entries_.size()) - 1;
    return true;
  }
  /// The id of `text`, or kNone.
  [[nodiscard]] int find(std::string_view text) const noexcept {
    if (slots_.empty() || text.size() > longest_) return kNone;
    std::size_t const slot = find_slot(text, text_hash(text));
    return slots_[slot].entry < 0 ? kNone : entries_[static_cast<std::size_t>(slots_[slot].entry)].id;
  }
  /// True if some text has `id`.
  [[nodiscard]] bool has(int id) const noexcept {
    return id >= 0 && static_cast<std::size_t>(id) < by_id_.size() && by_id_[static_cast<std::size_t>(id)] >= 0;
  }
  /// The first text with `id`; empty if there is none. Lives until the next insert.
  [[nodiscard]] std::string_view text_of(int id) const noexcept {
    return has(id) ? text_at(static_cast<std::size_t>(by_id_[static_cast<std::size_t>(id)])) : std::string_view{};
  }
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] std::size_t longest() const noexcept { return longest_; }
  [[nodiscard]] int id_limit() const noexcept { return static_cast<int>(by_id_.size()); }  ///< one above the largest id

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::int32_t entry = -1;
  };
  struct Entry {
    std::uint32_t at, length;
    std::int32_t id;
  };
  [[nodiscard]] std::string_view text_at(std::size_t entry) const noexcept {
    return std::string_view(letters_).substr(entries_[entry].at, entries_[entry].length);
  }
  [[nodiscard]] std::size_t find_slot(std::string_view text, std::uint64_t hash) const noexcept {
    std::size_t const mask = slots_.size() - 1;
    auto const tag = static_cast<std::uint32_t>(hash >> 32);
    std::size_t slot = hash & mask;
    while (slots_[slot].entry >= 0 && (slots_[slot].tag != tag || text_at(static_cast<std::size_t>(slots_[slot].entry)) != text))
      slot = (slot + 1) & mask;
    return slot;
  }
  void rehash(std::size_t slots) {
    if (slots <= slots_.size()) return;
    slots_.assign(slots, Slot{});
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      std::uint64_t const hash = text_hash(text_at(i));
      slots_[find_slot(text_at(i), hash)] = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::int32_t>(i)};
    }
  }

  std::vector<Slot> slots_;  // open addressing, at most half full
  std::vector<Entry> entries_;
  std::vector<std::int32_t> by_id_;
  std::string letters_;
  std::size_t longest_ = 0;
};

}  // namespace mgm::inline v0::io::vocab
