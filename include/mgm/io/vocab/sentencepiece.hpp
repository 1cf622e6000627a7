/// SentencePiece BPE (Kudo and Richardson 2018, arXiv:1808.06226): text to ids and pieces to text, as the original library does it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <mgm/io/vocab/bpe.hpp>
#include <mgm/io/vocab/charsmap.hpp>
#include <mgm/io/vocab/prefix_trie.hpp>
#include <mgm/io/vocab/sentencepiece_file.hpp>
#include <mgm/io/vocab/token_map.hpp>

namespace mgm::inline v0::io::vocab {

/// One model, immutable. Texts are UTF-8.
class SentencePiece {
 public:
  using Type = SentencePieceFile::Type;

  /// Takes a checked file; `file` names it for messages. Throws FileError for texts that are there twice and for broken character rules.
  SentencePiece(SentencePieceFile model, std::string_view file) : model_(std::move(model)), rules_(model_.charsmap, file) {
    pieces_.reserve(model_.pieces.size());
    for (std::size_t i = 0; i < model_.pieces.size(); ++i) {
      SentencePieceFile::Piece const& piece = model_.pieces[i];
      bool const from_text = piece.type == Type::normal || piece.type == Type::user_defined || piece.type == Type::unused;
      require<FileError>((from_text ? pieces_ : reserved_).insert(piece.text, static_cast<int>(i)), file, ": piece ", i, " ",
                         mgm::quoted(piece.text), " is there twice");
      ranks_.push_back(rank_of_score(piece.score));
      if (piece.type == Type::user_defined) user_defined_.insert(piece.text, static_cast<int>(i));
      has_unused_ |= piece.type == Type::unused;
    }
  }

  [[nodiscard]] int size() const noexcept { return static_cast<int>(model_.pieces.size()); }
  [[nodiscard]] int unknown() const noexcept { return model_.unknown; }
  [[nodiscard]] std::string const& piece(int id) const { return model_.pieces[static_cast<std::size_t>(id)].text; }
  [[nodiscard]] Type type(int id) const { return model_.pieces[static_cast<std::size_t>(id)].type; }
  [[nodiscard]] SentencePieceFile const& model() const noexcept { return model_; }
  /// The id of a piece, that of the unknown piece when there is none.
  [[nodiscard]] int id_of(std::string_view piece) const noexcept {
    int const id = find(piece);
    return id < 0 ? model_.unknown : id;
  }
  /// The id of a piece, or -1.
  [[nodiscard]] int find(std::string_view piece) const noexcept {
    int const id = reserved_.find(piece);
    return id < 0 ? pieces_.find(piece) : id;
  }

  /// Appends the ids of `text`. `dummy_prefix` overrides the model's own flag. Pieces whose id is set in `forbidden` (may be empty) are
  /// never produced: their text is read as if they were not there.
  MergeWork encode(std::string_view text, bool dummy_prefix, std::vector<bool> const& forbidden, std::vector<int>& ids) const {
    auto const allowed = [&](int id) {
      return static_cast<std::size_t>(id) >= forbidden.size() || !forbidden[static_cast<std::size_t>(id)];
    };
    std::string const normal = normalize(text, dummy_prefix, allowed);
    std::vector<Symbol> chain;
    chain.reserve(normal.size());
    for (std::size_t at = 0; at < normal.size();) {
      auto const whole = user_defined_.longest(normal, at, [&](std::size_t, int id) { return allowed(id); });
      std::size_t const bytes = whole.bytes ? whole.bytes : char_bytes(normal, at);
      add_symbol(chain, at, bytes, whole.bytes ? whole.value : -1, whole.bytes != 0);
      at += bytes;
    }
    std::string_view const all = normal;
    // An unused piece may appear on the way but not at the end: what it was last made of is put back in its place.
    std::unordered_map<int, std::pair<std::string_view, std::string_view>> halves;
    MergeWork const work = merge_pairs(chain, [&](Symbol const& left, Symbol const& right, Merge& merge) {
      int const id = pieces_.find(all.substr(left.at, left.bytes + right.bytes));
      if (id < 0 || !allowed(id)) return false;
      merge = {ranks_[static_cast<std::size_t>(id)], id};
      if (has_unused_ && type(id) == Type::unused) halves[id] = {all.substr(left.at, left.bytes), all.substr(right.at, right.bytes)};
      return true;
    });
    bool after_unknown = false;
    std::vector<std::string_view> open;
    for (std::int32_t i = chain.empty() ? Symbol::kEnd : 0; i >= 0; i = chain[static_cast<std::size_t>(i)].next) {
      Symbol const& symbol = chain[static_cast<std::size_t>(i)];
      open.assign(1, all.substr(symbol.at, symbol.bytes));
      while (!open.empty()) {
        std::string_view const piece = open.back();
        open.pop_back();
        int id = symbol.id >= 0 && piece.size() == symbol.bytes ? symbol.id : id_of(piece);
        if (!allowed(id)) id = model_.unknown;
        if (auto const made = has_unused_ ? halves.find(id) : halves.end(); made != halves.end()) {
          open.push_back(made->second.second), open.push_back(made->second.first);
        } else {
          append_piece(piece, id, after_unknown, ids);
        }
      }
    }
    return work;
  }

  /// Joins pieces to text. What `push` has appended is final; `finish` gives the rest.
  class Decoder {
   public:
    explicit Decoder(SentencePiece const& model) : model_(&model) {}
    void push(std::string_view piece, std::string& out) {
      int const id = model_->id_of(piece);
      SentencePieceFile const& settings = model_->model_;
      if (model_->type(id) == Type::byte) {
        bytes_ += static_cast<char>(byte_of_piece(piece));
        drain(out, false);
        return;
      }
      drain(out, true);
      if (space_taken_ || written_) at_start_ = false;
      space_taken_ = false;
      if (model_->type(id) == Type::control) return;  // invisible
      if (id == model_->unknown()) {
        put(piece == model_->piece(id) ? std::string_view(settings.unknown_surface) : piece, out);
        return;
      }
      if (at_start_ && (dummy_prefix_or(settings.dummy_prefix) || settings.trim_spaces) && piece.starts_with(kMetaSpace)) {
        piece.remove_prefix(kMetaSpace.size());
        space_taken_ = !settings.trim_spaces;  // trimming takes the spaces of every piece until there is text
      }
      put(replace_all(piece, kMetaSpace, " "), out);
    }
    void finish(std::string& out) { drain(out, true); }
    /// Decodes as if the model's dummy prefix were off.
    Decoder& without_dummy_prefix() { return dummy_prefix_off_ = true, *this; }

   private:
    bool dummy_prefix_or(bool flag) const { return flag && !dummy_prefix_off_; }
    void put(std::string_view text, std::string& out) { out += text, written_ |= !text.empty(); }
    /// Bytes become characters one by one; a byte that begins none becomes U+FFFD and the next is tried.
    void drain(std::string& out, bool last) {
      std::size_t i = 0;
      while (i < bytes_.size()) {
        Utf8Char const c = char_at(bytes_, i);
        if (c.cut && !last) break;
        put(c.valid ? std::string_view(bytes_).substr(i, c.bytes) : kReplacement, out);
        i += c.valid ? c.bytes : 1;
      }
      bytes_.erase(0, i);
    }
    SentencePiece const* model_;
    std::string bytes_;
    bool at_start_ = true, space_taken_ = false, written_ = false, dummy_prefix_off_ = false;
  };

 private:
  static std::size_t char_bytes(std::string_view text, std::size_t at) noexcept {
    auto const lead = static_cast<unsigned char>(text[at]);
    std::size_t const bytes = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    return std::min(bytes, text.size() - at);
  }
  void append_piece(std::string_view piece, int id, bool& after_unknown, std::vector<int>& ids) const {
    bool const is_unknown = id == model_.unknown;
    if (is_unknown && model_.byte_fallback) {
      for (char const c : piece) ids.push_back(model_.byte_ids[static_cast<unsigned char>(c)]);
    } else if (!is_unknown || !after_unknown) {
      ids.push_back(id);  // a run of unknown pieces is one unknown piece
    }
    after_unknown = is_unknown;
  }

  /// The text that the merging sees: rules applied, spaces trimmed, dummy space added, spaces made visible, as the settings say.
  template <class Allowed>
  std::string normalize(std::string_view input, bool dummy_prefix, Allowed const& allowed) const {
    std::string out;
    if (input.empty()) return out;
    auto const next = [&](std::size_t at) -> std::pair<std::string_view, std::size_t> {
      if (auto const whole = user_defined_.longest(input, at, [&](std::size_t, int id) { return allowed(id); }); whole.bytes)
        return {input.substr(at, whole.bytes), whole.bytes};
      if (auto const rule = rules_.longest(input.substr(at)); rule.bytes) return {rule.with, rule.bytes};
      Utf8Char const c = char_at(input, at);
      return c.valid ? std::pair{input.substr(at, c.bytes), std::size_t{c.bytes}} : std::pair{kReplacement, std::size_t{1}};
    };
    std::size_t at = 0;
    if (model_.trim_spaces)
      for (; at < input.size(); at += next(at).second)
        if (next(at).first != " ") break;
    if (at == input.size()) return out;

    std::string_view const space = model_.escape_spaces ? kMetaSpace : std::string_view(" ");
    out.reserve(input.size() + input.size() / 2 + 8);
    if (dummy_prefix && !model_.space_as_suffix) out += space;
    bool after_space = model_.trim_spaces;
    while (at < input.size()) {
      auto [part, bytes] = next(at);
      while (after_space && part.starts_with(' ')) part.remove_prefix(1);
      for (char const c : part) c == ' ' ? out += space : out += c;
      if (!part.empty()) after_space = part.ends_with(' ');
      if (!model_.trim_spaces) after_space = false;
      at += bytes;
    }
    if (model_.trim_spaces)
      while (out.ends_with(space)) out.resize(out.size() - space.size());
    if (dummy_prefix && model_.space_as_suffix) out += space;
    return out;
  }

  SentencePieceFile model_;
  Charsmap rules_;
  TokenMap pieces_, reserved_;        // what text can become; unknown, control and byte pieces
  std::vector<std::uint32_t> ranks_;  // of the scores
  PrefixTrie user_defined_;
  bool has_unused_ = false;
};

}  // namespace mgm::inline v0::io::vocab
