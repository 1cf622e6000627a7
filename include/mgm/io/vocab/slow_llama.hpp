/// The slow LLaMA tokenizer of Transformers 4.36 to 4.38 over a SentencePiece model: special tokens are cut out, every piece of text
/// between them is encoded on its own.
///   legacy:      each piece gets the model's dummy space.
///   not legacy:  one `▁` in front of the whole text (a literal `▁` is a space); a lone `▁` before a leading special token falls away.
#pragma once
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <mgm/io/vocab/engine.hpp>
#include <mgm/io/vocab/sentencepiece.hpp>
#include <mgm/io/vocab/tokenizer_json.hpp>
#include <mgm/io/vocab/whitespace.hpp>

namespace mgm::inline v0::io::vocab {

class SlowLlama final : public Engine {
 public:
  SlowLlama(std::shared_ptr<SentencePiece const> model, Settings settings, std::string_view file)
      : model_(std::move(model)), settings_(std::move(settings)) {
    legacy_ = settings_.legacy.value_or(true);
    prefix_space_ = settings_.add_prefix_space.value_or(true);
    for (auto const& [name, fallback] : {std::pair{"bos_token", "<s>"},
                                         {"eos_token", "</s>"},
                                         {"unk_token", "<unk>"},
                                         {"pad_token", ""},
                                         {"sep_token", ""},
                                         {"cls_token", ""},
                                         {"mask_token", ""}})
      if (auto const token = settings_.token(name, fallback)) names_[name] = declared(*token);
    for (AddedToken const& token : settings_.additional) additional_.push_back(declared(token));
    for (auto const& [name, needed] :
         {std::pair{"unk_token", true}, {"bos_token", settings_.add_bos.value_or(true)}, {"eos_token", settings_.add_eos.value_or(false)}})
      require<ConfigError>(!needed || names_.contains(name), settings_.where, ": ", name, ": expected a token, found null");
    for (auto const& [id, token] : settings_.added) {
      require<ConfigError>(!token.content.empty(), settings_.where, ": added token ", id, " has no text");
      require<ConfigError>(!ids_.contains(token.content), settings_.where, ": added token ", mgm::quoted(token.content), " is there twice");
      put(id, token);
    }
    for (std::string_view const name : kSpecialNames)
      if (auto const at = names_.find(name); at != names_.end()) add(at->second);
    for (AddedToken const& token : std::vector(additional_)) add(token);
    finish(file);
  }

  void encode(std::span<Part const> parts, Additions additions, std::vector<int>& ids) const override {
    Prompt prompt;
    if (!legacy_ && std::ranges::any_of(parts, [](Part const& p) { return !p.text.empty(); })) {
      if (prefix_space_) prompt.append(kMetaSpace, false);
      for (Part const& part : parts) prompt.append(replace_all(part.text, kMetaSpace, " "), part.plain);
    } else {
      for (Part const& part : parts) prompt.append(part.text, part.plain);
    }
    if (additions.before && settings_.add_bos.value_or(true)) ids.push_back(name_id("bos_token"));
    std::size_t const first = ids.size();
    bool lone_space = false, special_next = false;  // the first token is `▁` itself; the second is a special token
    for (Piece const& piece : cut(prompt)) {
      if (piece.text.empty()) continue;
      std::size_t const before = ids.size() - first;
      if (piece.id >= 0) {
        ids.push_back(piece.id);
      } else {
        encode_piece(piece, ids);
      }
      std::size_t const now = ids.size() - first;
      if (before == 0 && now > 0 && piece.id < 0) lone_space = token(ids[first]) == kMetaSpace || (now == 1 && piece.text == kMetaSpace);
      if (before <= 1 && now > 1)  // what no piece covers has the unknown token's id, but is not that token
        special_next = all_special_.contains(ids[first + 1]) && (piece.id >= 0 || ids[first + 1] != model_->unknown());
    }
    if (!legacy_ && lone_space && special_next) ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(first));
    if (additions.after && settings_.add_eos.value_or(false)) ids.push_back(name_id("eos_token"));
  }

  [[nodiscard]] std::unique_ptr<Decoding> decoding(bool skip_special) const override {
    return std::make_unique<Decoder>(*this, skip_special);
  }

  [[nodiscard]] std::shared_ptr<Engine const> with(AddedToken const& token) const override {
    auto copy = std::make_shared<SlowLlama>(*this);
    if (token.content.empty()) return copy;
    if (auto const at = copy->ids_.find(token.content); at == copy->ids_.end()) {
      copy->add(token);
    } else if (token.special) {
      copy->additional_.push_back(token), copy->added_[at->second].special = true;
    }
    copy->finish(settings_.where);
    return copy;
  }

  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] int id_of(std::string_view token) const override {
    auto const at = ids_.find(token);
    return at != ids_.end() ? at->second : model_->find(token);
  }
  [[nodiscard]] std::optional<std::string> token(int id) const override {
    if (auto const at = added_.find(id); at != added_.end()) return at->second.content;
    if (id >= 0 && id < model_->size()) return model_->piece(id);
    return std::nullopt;
  }
  [[nodiscard]] bool special(int id) const override {
    return id >= 0 && static_cast<std::size_t>(id) < special_.size() && special_[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] std::optional<int> named(std::string_view name) const override {
    auto const at = names_.find(name);
    if (at == names_.end()) return std::nullopt;
    return name_id(name);
  }
  [[nodiscard]] std::string_view kind() const override { return legacy_ ? "SentencePiece BPE, legacy" : "SentencePiece BPE"; }
  [[nodiscard]] bool legacy() const override { return legacy_; }

 private:
  struct Piece {
    std::string text;
    int id = -1;         // of an added token
    bool plain = false;  // text that is plain, at least in part
  };

  /// The entry of added_tokens_decoder for a declared token, where there is one: its flags count.
  [[nodiscard]] AddedToken declared(AddedToken const& token) const {
    for (auto const& [id, known] : settings_.added)
      if (known.content == token.content) return known;
    return token;
  }
  void put(int id, AddedToken const& token) { added_[id] = token, ids_[token.content] = id; }
  /// Adds a token behind the vocabulary, or marks the piece that it is.
  void add(AddedToken token) {
    if (token.content.empty() || ids_.contains(token.content)) return;
    int id = model_->find(token.content);
    if (id < 0) {
      id = model_->size();
      for (auto const& [used, other] : added_)
        if (model_->find(other.content) < 0) id += 1;
    }
    require<ConfigError>(!added_.contains(id), settings_.where, ": ", mgm::quoted(token.content), " would get id ", id, ", which ",
                         mgm::quoted(added_.contains(id) ? added_.at(id).content : std::string()),
                         " has; name its id in added_tokens_decoder");
    put(id, token);
    if (token.special && !is_named(token.content)) additional_.push_back(token);
  }
  [[nodiscard]] bool is_named(std::string_view content) const {
    return std::ranges::any_of(names_, [&](auto const& n) { return n.second.content == content; }) ||
           std::ranges::any_of(additional_, [&](AddedToken const& t) { return t.content == content; });
  }
  [[nodiscard]] int name_id(std::string_view name) const {
    auto const at = names_.find(name);
    require<ConfigError>(at != names_.end(), settings_.where, ": ", name, " is asked for but null");
    int const id = id_of(at->second.content);
    return id < 0 ? model_->unknown() : id;
  }
  /// Derived tables.
  void finish(std::string_view file) {
    matcher_ = {};
    all_special_.clear();
    std::size_t extra = 0;
    int limit = model_->size();
    for (auto const& [id, token] : added_) {
      matcher_.insert(token.content, id);
      extra += model_->find(token.content) < 0;
      limit = std::max(limit, id + 1);
      require<ConfigError>(id >= model_->size() || model_->piece(id) == token.content, settings_.where, ": added token ",
                           mgm::quoted(token.content), ": expected ", mgm::quoted(id < model_->size() ? model_->piece(id) : std::string()),
                           " at id ", id, " as in ", file);
    }
    size_ = model_->size() + static_cast<int>(extra);
    require<ConfigError>(limit == size_, settings_.where, ": added tokens: expected ids up to ", size_ - 1, " without a gap, found ",
                         limit - 1);
    for (auto const& [name, token] : names_) all_special_.insert(name_id(name));
    for (AddedToken const& token : additional_)
      if (int const id = id_of(token.content); id >= 0) all_special_.insert(id);
    special_.assign(static_cast<std::size_t>(size_), false);
    for (int const id : all_special_) special_[static_cast<std::size_t>(id)] = true;
    for (auto const& [id, token] : added_)
      if (token.special) special_[static_cast<std::size_t>(id)] = true;
    for (int id = 0; id < model_->size(); ++id)
      if (model_->type(id) == SentencePiece::Type::control) special_[static_cast<std::size_t>(id)] = true;
    // A user's text may hold what no piece covers, so the unknown piece and bytes stay open to it.
    from_plain_ = special_;
    from_plain_[static_cast<std::size_t>(model_->unknown())] = false;
    unknown_text_ = names_.at("unk_token").content;
    std::vector<int> ids;
    if (!legacy_) model_->encode(unknown_text_, false, {}, ids);
    unknown_tokens_ = ids.size();
  }

  /// Splits at added tokens, the longest of those that begin first.
  [[nodiscard]] std::vector<Piece> cut(Prompt const& prompt) const {
    std::string_view const all = prompt.text();
    std::vector<Piece> out;
    std::size_t begin = 0;
    auto const flush = [&](std::size_t end) {
      if (end > begin) out.push_back({std::string(all.substr(begin, end - begin)), -1, prompt.plain(begin, end)});
    };
    for (std::size_t at = 0; at < all.size();) {
      auto const hit = matcher_.longest(all, at, [&](std::size_t bytes, int id) { return !special(id) || !prompt.plain(at, at + bytes); });
      if (hit.bytes == 0) {
        ++at;
        continue;
      }
      flush(at);
      out.push_back({std::string(all.substr(at, hit.bytes)), hit.value, false});
      begin = at += hit.bytes;
    }
    flush(all.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (out[i].id < 0) continue;
      AddedToken const& token = added_.at(out[i].id);
      Piece* const left = i > 0 && !out[i - 1].text.empty() ? &out[i - 1] : nullptr;
      Piece* const right = i + 1 < out.size() && !out[i + 1].text.empty() ? &out[i + 1] : nullptr;
      if (token.rstrip && right) right->text.erase(0, leading(right->text, is_python_space));
      if (token.lstrip && left) left->text.resize(left->text.size() - trailing(left->text, is_python_space));
      if (!token.single_word) continue;
      if (left && (left->text.empty() || left->text.back() != ' ')) {
        left->text += out[i].text, left->id = -1, out[i].text.clear();
      } else if (right && (right->text.empty() || right->text.front() != ' ')) {
        right->text.insert(0, out[i].text), right->id = -1, out[i].text.clear();
      }
    }
    return out;
  }

  void encode_piece(Piece const& piece, std::vector<int>& ids) const {
    std::vector<bool> const& forbidden = piece.plain ? from_plain_ : nothing_;
    bool const dummy = legacy_ && model_->model().dummy_prefix;
    if (legacy_ || !(piece.text.starts_with(kMetaSpace) || piece.text.starts_with(' '))) {
      model_->encode(piece.text, dummy, forbidden, ids);
      return;
    }
    // The library would trim the space; behind the unknown token's text, which is taken off again, it stays.
    std::vector<int> whole;
    model_->encode(unknown_text_ + piece.text, false, forbidden, whole);
    std::size_t const drop = whole.size() >= unknown_tokens_ ? unknown_tokens_ : 0;
    ids.insert(ids.end(), whole.begin() + static_cast<std::ptrdiff_t>(drop), whole.end());
  }

  /// Text between plain added tokens is decoded on its own and joined with spaces. Within it, legacy puts a space in front of the text
  /// before each special token, so that such text waits until the token, or the end, has come.
  class Decoder final : public Decoding {
   public:
    Decoder(SlowLlama const& owner, bool skip) : owner_(owner), skip_(skip), pieces_(*owner.model_) { restart(); }
    void push(int id, std::string& out) override {
      bool const named = owner_.all_special_.contains(id);
      if (skip_ && named) return;
      auto const added = owner_.added_.find(id);
      std::string_view piece = added != owner_.added_.end() ? std::string_view(added->second.content) : owner_.model_->piece(id);
      bool const late = named && id >= owner_.model_->size() && owner_.is_additional(piece);
      if (added != owner_.added_.end() && (!named || late)) {
        close(out, false);
        separate(out), out += piece;
        return;
      }
      if (!inside_) inside_ = true, restart();
      if (count_ == 0 && owner_.prefix_space_ && piece.starts_with(kMetaSpace)) piece.remove_prefix(kMetaSpace.size());
      if (named) {
        std::string before;
        if (!after_special_ && count_ != 0 && owner_.legacy_) before = " ";
        pieces_.finish(waiting_);
        emit(before + waiting_ + std::string(piece), out);
        waiting_.clear(), pieces_ = fresh(), after_special_ = true;
      } else {
        pieces_.push(piece, waiting_);
        if (!owner_.legacy_ || skip_) emit(std::exchange(waiting_, {}), out);
        after_special_ = false;
      }
      ++count_;
    }
    void finish(std::string& out) override { close(out, true); }

   private:
    [[nodiscard]] SentencePiece::Decoder fresh() const {
      SentencePiece::Decoder decoder(*owner_.model_);
      if (!owner_.legacy_) decoder.without_dummy_prefix();
      return decoder;
    }
    void restart() { pieces_ = fresh(), count_ = 0, after_special_ = false, begun_ = false; }
    void separate(std::string& out) {
      if (std::exchange(any_, true)) out += ' ';
    }
    void emit(std::string const& piece, std::string& out) {
      if (piece.empty()) return;
      if (!std::exchange(begun_, true)) separate(out);
      out += piece;
    }
    void close(std::string& out, bool last) {
      if (!inside_) return;
      pieces_.finish(waiting_);
      emit(std::exchange(waiting_, {}), out);
      if (last && !begun_) separate(out);  // an empty text at the end is joined all the same
      inside_ = false;
    }
    SlowLlama const& owner_;
    bool skip_;
    SentencePiece::Decoder pieces_;
    std::string waiting_;
    int count_ = 0;
    bool after_special_ = false, begun_ = false, inside_ = false, any_ = false;
  };
  [[nodiscard]] bool is_additional(std::string_view content) const {
    return std::ranges::any_of(additional_, [&](AddedToken const& t) { return t.content == content; });
  }

  std::shared_ptr<SentencePiece const> model_;
  Settings settings_;
  bool legacy_ = true, prefix_space_ = true;
  std::map<std::string, AddedToken, std::less<>> names_;
  std::vector<AddedToken> additional_;
  std::map<int, AddedToken> added_;
  std::map<std::string, int, std::less<>> ids_;
  PrefixTrie matcher_;
  std::set<int> all_special_;
  std::vector<bool> special_, from_plain_, nothing_;
  std::string unknown_text_;
  std::size_t unknown_tokens_ = 0;
  int size_ = 0;
};

/// Reads `folder`/tokenizer.model and the small files beside it. Throws FileError, ConfigError, LimitError.
[[nodiscard]] inline std::shared_ptr<Engine const> open_sentencepiece(std::string const& folder) {
  std::string const file = path_in(folder, "tokenizer.model");
  auto model = std::make_shared<SentencePiece const>(read_sentencepiece_file(read_text(file, kMaxVocabularyBytes), file), file);
  Settings settings = read_settings(folder);
  if (!settings.has_decoder && has_file(folder, "tokenizer.json")) {  // then the original takes the added tokens from there
    std::string const beside = path_in(folder, "tokenizer.json");
    auto const added = read_added_tokens(read_tokenizer_json(read_text(beside, kMaxVocabularyBytes), beside).rest, beside);
    settings = read_settings(folder, {added.begin(), added.end()});
  }
  return std::make_shared<SlowLlama>(std::move(model), std::move(settings), file);
}

}  // namespace mgm::inline v0::io::vocab
