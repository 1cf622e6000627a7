/// BPE over a list of merges, as in tokenizer.json and in vocab.json with merges.txt: the earlier a merge stands, the sooner it is done.
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/vocab/bpe.hpp>
#include <mgm/io/vocab/token_map.hpp>
#include <mgm/io/vocab/utf8.hpp>

namespace mgm::inline v0::io::vocab {

/// Merges as text, collected while a file is read: one string holds them all.
class MergeList {
 public:
  struct Entry {
    std::string_view left, right;
  };
  void add(std::string_view left, std::string_view right) {
    entries_.push_back({letters_.size(), static_cast<std::uint32_t>(left.size()), static_cast<std::uint32_t>(right.size())});
    letters_ += left, letters_ += right;
  }
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] Entry operator[](std::size_t i) const noexcept {
    Place const& e = entries_[i];
    std::string_view const all = letters_;
    return {all.substr(e.at, e.left), all.substr(e.at + e.left, e.right)};
  }

 private:
  struct Place {
    std::size_t at;
    std::uint32_t left, right;
  };
  std::string letters_;
  std::vector<Place> entries_;
};

/// What the `model` of a tokenizer.json says besides vocab and merges.
struct MergeRules {
  std::optional<std::string> unknown, prefix, suffix;  ///< unk_token, continuing_subword_prefix, end_of_word_suffix
  bool fuse_unknown = false, byte_fallback = false;
  bool ignore_merges = false;  ///< a word that is a token is taken whole
};

class MergeModel {
 public:
  /// Throws FileError, naming `where`, for merges of absent pieces, ids with gaps or used twice, and an unknown token that is not there.
  MergeModel(TokenMap vocabulary, MergeList const& merges, MergeRules rules, std::string_view where)
      : vocabulary_(std::move(vocabulary)), rules_(std::move(rules)) {
    require<FileError>(vocabulary_.size() > 0, where, ": expected a vocabulary, found an empty one");
    for (int id = 0; id < vocabulary_.id_limit(); ++id)
      require<FileError>(vocabulary_.has(id), where, ": vocabulary: ids 0 to ", vocabulary_.id_limit() - 1, " expected, ", id,
                         " is missing");
    require<FileError>(static_cast<std::size_t>(vocabulary_.id_limit()) == vocabulary_.size(), where,
                       ": vocabulary: expected one piece an id, found ", vocabulary_.size(), " pieces for ", vocabulary_.id_limit(),
                       " ids");
    std::size_t const cut = rules_.prefix ? rules_.prefix->size() : 0;
    slots_.resize(std::bit_ceil(merges.size() * 2 + 16));
    std::string joined;
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
      auto const [left, right] = merges[rank];
      auto const find = [&](std::string_view piece) {
        int const id = vocabulary_.find(piece);
        require<FileError>(id >= 0, where, ": merge ", rank, " (", mgm::quoted(left), " ", mgm::quoted(right),
                           "): expected pieces of the vocabulary, found ", mgm::quoted(piece));
        return static_cast<std::uint32_t>(id);
      };
      std::uint32_t const a = find(left), b = find(right);
      require<FileError>(right.size() >= cut, where, ": merge ", rank, ": ", mgm::quoted(right), " does not begin with the subword prefix");
      joined.assign(left) += right.substr(cut);
      Slot& slot = slots_[find_slot((std::uint64_t{a} << 32) | b)];
      slot = {(std::uint64_t{a} << 32) | b, static_cast<std::uint32_t>(rank), static_cast<std::int32_t>(find(joined))};
    }
    if (rules_.unknown) {
      unknown_ = vocabulary_.find(*rules_.unknown);
      require<FileError>(unknown_ >= 0, where, ": unk_token: expected a piece of the vocabulary, found ", mgm::quoted(*rules_.unknown));
    }
    constexpr char kHex[] = "0123456789ABCDEF";
    for (unsigned byte = 0; byte < 256; ++byte) {
      byte_ids_[byte] = rules_.byte_fallback ? vocabulary_.find(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">") : -1;
      if (byte < 128) ascii_[byte] = vocabulary_.find(std::string(1, static_cast<char>(byte)));
    }
  }

  [[nodiscard]] TokenMap const& vocabulary() const noexcept { return vocabulary_; }
  [[nodiscard]] MergeRules const& rules() const noexcept { return rules_; }
  [[nodiscard]] int unknown() const noexcept { return unknown_; }

  /// Appends the ids of one word. Pieces whose id is set in `forbidden` are never produced. `chain` is scratch.
  MergeWork encode(std::string_view word, std::vector<bool> const& forbidden, std::vector<Symbol>& chain, std::vector<int>& ids) const {
    if (word.empty()) return {};
    auto const allowed = [&](int id) {
      return static_cast<std::size_t>(id) >= forbidden.size() || !forbidden[static_cast<std::size_t>(id)];
    };
    if (rules_.ignore_merges)
      if (int const whole = vocabulary_.find(word); whole >= 0 && allowed(whole)) {
        ids.push_back(whole);
        return {};
      }
    chain.clear();
    fill(word, chain, allowed);
    MergeWork const work = merge_pairs(chain, [&](Symbol const& left, Symbol const& right, Merge& merge) {
      Slot const& slot =
          slots_[find_slot((std::uint64_t{static_cast<std::uint32_t>(left.id)} << 32) | static_cast<std::uint32_t>(right.id))];
      if (slot.id < 0 || !allowed(slot.id)) return false;
      merge = {slot.rank, slot.id};
      return true;
    });
    for (std::int32_t i = chain.empty() ? Symbol::kEnd : 0; i >= 0; i = chain[static_cast<std::size_t>(i)].next)
      ids.push_back(chain[static_cast<std::size_t>(i)].id);
    return work;
  }

 private:
  struct Slot {
    std::uint64_t key = ~std::uint64_t{0};
    std::uint32_t rank = 0;
    std::int32_t id = -1;
  };
  [[nodiscard]] std::size_t find_slot(std::uint64_t key) const noexcept {
    std::uint64_t hash = key * 0x9E3779B97F4A7C15U;
    hash ^= hash >> 29;
    std::size_t const mask = slots_.size() - 1;
    std::size_t slot = hash & mask;
    while (slots_[slot].id >= 0 && slots_[slot].key != key) slot = (slot + 1) & mask;
    return slot;
  }
  /// One symbol a character; characters without a piece become bytes or the unknown token.
  template <class Allowed>
  void fill(std::string_view word, std::vector<Symbol>& chain, Allowed const& allowed) const {
    std::size_t unknown_at = 0, unknown_bytes = 0;
    auto const flush = [&] {
      if (unknown_bytes) add_symbol(chain, unknown_at, unknown_bytes, unknown_);
      unknown_bytes = 0;
    };
    std::string decorated;
    for (std::size_t at = 0; at < word.size();) {
      std::size_t const bytes = char_at(word, at).bytes;
      std::string_view piece = word.substr(at, bytes);
      bool const first = at == 0, last = at + bytes == word.size();
      int id;
      if ((!first && rules_.prefix && !rules_.prefix->empty()) || (last && rules_.suffix)) {
        decorated.clear();
        if (!first && rules_.prefix) decorated = *rules_.prefix;
        decorated += piece;
        if (last && rules_.suffix) decorated += *rules_.suffix;
        piece = decorated;
        id = vocabulary_.find(piece);
      } else {
        id = bytes == 1 ? ascii_[static_cast<unsigned char>(piece[0])] : vocabulary_.find(piece);
      }
      if (id >= 0 && allowed(id)) {
        flush();
        add_symbol(chain, at, bytes, id);
      } else if (rules_.byte_fallback &&
                 std::ranges::all_of(piece, [&](char c) { return byte_ids_[static_cast<unsigned char>(c)] >= 0; })) {
        // An unknown token that is still open stays open, as in the library.
        for (std::size_t i = 0; i < piece.size(); ++i)
          add_symbol(chain, at + std::min(i, bytes - 1), 1, byte_ids_[static_cast<unsigned char>(piece[i])]);
      } else if (unknown_ >= 0) {
        if (unknown_bytes && !rules_.fuse_unknown) flush();
        if (!unknown_bytes) unknown_at = at;
        unknown_bytes += bytes;
      }
      at += bytes;
    }
    flush();
  }

  TokenMap vocabulary_;
  MergeRules rules_;
  int unknown_ = -1;
  std::array<int, 256> byte_ids_{};
  std::array<int, 128> ascii_{};
  std::vector<Slot> slots_;  // pairs of ids, at most half full
};

}  // namespace mgm::inline v0::io::vocab
