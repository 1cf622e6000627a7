/// The added tokens of a tokenizer.json, kept as the original library keeps them.
#pragma once
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/io/vocab/prefix_trie.hpp>
#include <mgm/io/vocab/settings.hpp>
#include <mgm/io/vocab/text_rules.hpp>
#include <mgm/io/vocab/token_map.hpp>

namespace mgm::inline v0::io::vocab {

class AddedTokens {
 public:
  /// What was found in a text: an added token, or text between (id -1).
  struct Piece {
    std::size_t begin, end;
    int id;
  };

  /// Adds a token: with the id of the vocabulary's piece of that text, else behind everything. One that is there with other flags gets
  /// these.
  void add(AddedToken const& token, TokenMap const& vocabulary) {
    if (token.content.empty()) return;
    if (token.special && special_texts_.insert(token.content).second) special_list_.push_back(token);
    auto const known = ids_.find(token.content);
    if (known != ids_.end() && tokens_.at(known->second) == token) return;
    int id = known != ids_.end() ? known->second : vocabulary.find(token.content);
    if (id < 0) {
      id = static_cast<int>(vocabulary.size());
      if (!tokens_.empty()) id = std::max(id, tokens_.rbegin()->first + 1);
    }
    ids_[token.content] = id;
    tokens_[id] = token;
    if (!special_texts_.contains(token.content)) plain_list_.push_back(token);
  }
  /// Builds what searching needs.
  void finish(Normalizer const& normalizer, TokenMap const& vocabulary) {
    raw_ = {}, normalized_ = {}, either_ = {};
    beyond_ = 0;
    for (auto const* list : {&special_list_, &plain_list_})
      for (AddedToken const& token : *list) {
        int const id = ids_.at(token.content);
        if (token.normalized) {
          std::string const text = normalizer ? normalizer(token.content) : token.content;
          if (!text.empty()) normalized_.insert(text, id);
        } else {
          raw_.insert(token.content, id);
        }
        if (!token.normalized || token.special) either_.insert(token.content, id);
      }
    for (auto const& [id, token] : tokens_) beyond_ += vocabulary.find(token.content) < 0;
  }

  /// Calls found(Piece) for text and tokens in turn. `accept(begin, end, id)` may turn a token down.
  template <class Accept, class Found>
  void cut(PrefixTrie const& trie, std::string_view text, Accept&& accept, Found&& found) const {
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size() && !trie.empty();) {
      auto const hit = trie.longest(text, at, [&](std::size_t bytes, int id) { return accept(at, at + bytes, id); });
      if (hit.bytes == 0) {
        ++at;
        continue;
      }
      std::size_t begin = at, end = at + hit.bytes;
      at = end;
      AddedToken const& token = tokens_.at(hit.value);
      if (token.single_word && (word_before(text, begin) || word_behind(text, end))) continue;
      if (token.lstrip) begin = std::max(begin - trailing(text.substr(0, begin), is_white_space), done);
      if (token.rstrip) end += leading(text.substr(end), is_white_space);
      if (done < begin) found(Piece{done, begin, -1});
      found(Piece{begin, end, hit.value});
      done = end, at = std::max(at, end);
    }
    if (done < text.size()) found(Piece{done, text.size(), -1});
  }
  [[nodiscard]] PrefixTrie const& raw() const noexcept { return raw_; }                ///< looked for before normalising
  [[nodiscard]] PrefixTrie const& normalized() const noexcept { return normalized_; }  ///< looked for after it
  [[nodiscard]] PrefixTrie const& either() const noexcept { return either_; }  ///< raw ones, and all special ones as they are written
  [[nodiscard]] int find(std::string_view content) const {
    auto const at = ids_.find(content);
    return at == ids_.end() ? -1 : at->second;
  }
  [[nodiscard]] AddedToken const* token(int id) const {
    auto const at = tokens_.find(id);
    return at == tokens_.end() ? nullptr : &at->second;
  }
  [[nodiscard]] bool special(std::string_view content) const { return special_texts_.contains(content); }
  [[nodiscard]] int beyond() const noexcept { return beyond_; }  ///< how many are no pieces of the vocabulary
  [[nodiscard]] std::map<int, AddedToken> const& all() const noexcept { return tokens_; }

 private:
  static bool word_before(std::string_view text, std::size_t at) {
    return trailing(text.substr(0, at),
                    [first = true](char32_t c) mutable { return std::exchange(first, false) && Unicode::get().is_word(c); }) > 0;
  }
  static bool word_behind(std::string_view text, std::size_t at) {
    return at < text.size() && Unicode::get().is_word(char_at(text, at).code);
  }
  std::vector<AddedToken> special_list_, plain_list_;  // in the order of adding, with the flags of that time
  std::map<std::string, int, std::less<>> ids_;
  std::map<int, AddedToken> tokens_;
  std::set<std::string, std::less<>> special_texts_;
  PrefixTrie raw_, normalized_, either_;
  int beyond_ = 0;
};

}  // namespace mgm::inline v0::io::vocab
