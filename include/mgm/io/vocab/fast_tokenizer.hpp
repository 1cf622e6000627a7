/// The pipeline of tokenizer.json (Tokenizers 0.15 under Transformers 4.36 to 4.38): added tokens, normalizer, pre-tokenizer, merges,
/// post-processor; and back through the decoder.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/io/vocab/added_tokens.hpp>
#include <mgm/io/vocab/engine.hpp>
#include <mgm/io/vocab/merge_model.hpp>
#include <mgm/io/vocab/token_decoders.hpp>
#include <mgm/io/vocab/tokenizer_json.hpp>

namespace mgm::inline v0::io::vocab {

/// Ids put around a text.
struct Surround {
  std::vector<int> before, after;
};

/// The parts of a pipeline.
struct Pipeline {
  std::shared_ptr<MergeModel const> model;
  Normalizer normalizer;       ///< may be empty
  PreTokenizer pre_tokenizer;  ///< may be empty
  DecoderChain decoder;
  Surround surround;
  std::string_view kind;
};

class FastTokenizer final : public Engine {
 public:
  /// `declared` are the added tokens of the file, `defaults` the texts of special tokens that the tokenizer class supplies.
  FastTokenizer(Pipeline pipeline, std::vector<std::pair<int, AddedToken>> const& declared, Settings const& settings,
                std::map<std::string, std::string> const& defaults, std::string_view where)
      : pipeline_(std::move(pipeline)) {
    TokenMap const& vocabulary = pipeline_.model->vocabulary();
    for (auto const& [id, token] : declared) {
      added_.add(token, vocabulary);
      require<FileError>(token.content.empty() || added_.find(token.content) == id, where, ": added token ", mgm::quoted(token.content),
                         ": expected id ", added_.find(token.content), " (its place behind the vocabulary, or that of its piece), found ",
                         id);
    }
    std::vector<AddedToken> named;
    for (std::string_view const name : kSpecialNames) {
      auto const fallback = defaults.find(std::string(name));
      auto const token = settings.token(name, fallback == defaults.end() ? std::string_view() : std::string_view(fallback->second));
      if (!token) continue;
      names_[std::string(name)] = token->content;
      named.push_back(*token);
    }
    named.insert(named.end(), settings.additional.begin(), settings.additional.end());
    auto const is_named = [&](std::string_view content) {
      return std::ranges::any_of(named, [&](AddedToken const& t) { return t.content == content; });
    };
    for (auto const& [id, token] : settings.added) {
      AddedToken copy = token;
      copy.special = token.special || is_named(token.content);
      added_.add(copy, vocabulary);
      require<ConfigError>(copy.content.empty() || added_.find(copy.content) == id, settings.where, ": added token ",
                           mgm::quoted(copy.content), ": expected id ", added_.find(copy.content), " as in ", where, ", found ", id);
    }
    for (AddedToken const& token : named) {
      bool const known = std::ranges::any_of(settings.added, [&](auto const& a) { return a.second.content == token.content; });
      if (!known && (settings.objects.contains(token.content) || added_.find(token.content) < 0)) added_.add(token, vocabulary);
    }
    finish();
  }

  void encode(std::span<Part const> parts, Additions additions, std::vector<int>& ids) const override {
    Prompt prompt;
    for (Part const& part : parts) prompt.append(part.text, part.plain);
    std::string_view const all = prompt.text();
    if (additions.before) ids.insert(ids.end(), pipeline_.surround.before.begin(), pipeline_.surround.before.end());

    struct Item {
      int id;      // of an added token, or -1
      bool plain;  // text that is plain, at least in part
    };
    std::vector<Item> items;
    std::vector<Segment> segments;
    auto const cut_normalized = [&](std::string text, bool plain, bool first) {
      if (pipeline_.normalizer) text = pipeline_.normalizer(std::move(text));
      added_.cut(
          added_.normalized(), text, [&](std::size_t, std::size_t, int id) { return !plain || !special(id); },
          [&](AddedTokens::Piece piece) {
            if (piece.id < 0)
              segments.push_back({text.substr(piece.begin, piece.end - piece.begin), first && piece.begin == 0, items.size()});
            items.push_back({piece.id, plain});
          });
    };
    // Normalised special tokens cannot be told from plain text once that is normalised: where there is plain text they are found as
    // written.
    added_.cut(
        prompt.plain(0, all.size()) ? added_.either() : added_.raw(), all,
        [&](std::size_t begin, std::size_t end, int id) { return !special(id) || !prompt.plain(begin, end); },
        [&](AddedTokens::Piece piece) {
          if (piece.id >= 0) {
            items.push_back({piece.id, false});
          } else {
            cut_normalized(std::string(all.substr(piece.begin, piece.end - piece.begin)), prompt.plain(piece.begin, piece.end),
                           piece.begin == 0);
          }
        });
    if (pipeline_.pre_tokenizer) pipeline_.pre_tokenizer(segments);

    std::vector<Symbol> chain;
    std::size_t next = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (items[i].id >= 0) ids.push_back(items[i].id);
      for (; next < segments.size() && segments[next].item == i; ++next)
        pipeline_.model->encode(segments[next].text, items[i].plain ? from_plain_ : nothing_, chain, ids);
    }
    if (additions.after) ids.insert(ids.end(), pipeline_.surround.after.begin(), pipeline_.surround.after.end());
  }

  [[nodiscard]] std::unique_ptr<Decoding> decoding(bool skip_special) const override {
    return std::make_unique<Decoder>(*this, skip_special);
  }
  [[nodiscard]] std::shared_ptr<Engine const> with(AddedToken const& token) const override {
    auto copy = std::make_shared<FastTokenizer>(*this);
    copy->added_.add(token, pipeline_.model->vocabulary());
    copy->finish();
    return copy;
  }
  [[nodiscard]] int size() const override { return static_cast<int>(pipeline_.model->vocabulary().size()) + added_.beyond(); }
  [[nodiscard]] int id_of(std::string_view token) const override {
    int const id = added_.find(token);
    return id >= 0 ? id : pipeline_.model->vocabulary().find(token);
  }
  [[nodiscard]] std::optional<std::string> token(int id) const override {
    if (AddedToken const* token = added_.token(id)) return token->content;
    if (!pipeline_.model->vocabulary().has(id)) return std::nullopt;
    return std::string(pipeline_.model->vocabulary().text_of(id));
  }
  [[nodiscard]] bool special(int id) const override {
    return id >= 0 && static_cast<std::size_t>(id) < special_.size() && special_[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] std::optional<int> named(std::string_view name) const override {
    auto const at = names_.find(name);
    if (at == names_.end()) return std::nullopt;
    int const id = id_of(at->second);
    return id < 0 ? std::nullopt : std::optional(id);
  }
  [[nodiscard]] std::string_view kind() const override { return pipeline_.kind; }
  [[nodiscard]] bool legacy() const override { return false; }

 private:
  void finish() {
    added_.finish(pipeline_.normalizer, pipeline_.model->vocabulary());
    special_.assign(static_cast<std::size_t>(size()), false);
    for (auto const& [id, token] : added_.all())
      if (static_cast<std::size_t>(id) < special_.size()) special_[static_cast<std::size_t>(id)] = added_.special(token.content);
    from_plain_ = special_;
    if (pipeline_.model->unknown() >= 0) from_plain_[static_cast<std::size_t>(pipeline_.model->unknown())] = false;
  }

  class Decoder final : public Decoding {
   public:
    Decoder(FastTokenizer const& owner, bool skip) : owner_(owner), skip_(skip) {
      for (MakeStep const& make : owner.pipeline_.decoder.steps) steps_.push_back(make());
    }
    void push(int id, std::string& out) override {
      AddedToken const* added = owner_.added_.token(id);
      std::string_view const token = added ? std::string_view(added->content) : owner_.pipeline_.model->vocabulary().text_of(id);
      if (skip_ && owner_.added_.special(token)) return;
      if (owner_.pipeline_.decoder.spaces && std::exchange(any_, true)) out += ' ';
      send(0, token, out);
    }
    void finish(std::string& out) override {
      for (std::size_t i = 0; i < steps_.size(); ++i) steps_[i]->finish([&, i](std::string_view token) { send(i + 1, token, out); });
    }

   private:
    /// Nested as deep as the file has steps.
    void send(std::size_t step, std::string_view token, std::string& out) {
      if (step == steps_.size()) {
        out += token;
      } else {
        steps_[step]->push(token, [&, step](std::string_view next) { send(step + 1, next, out); });
      }
    }
    FastTokenizer const& owner_;
    bool skip_, any_ = false;
    std::vector<std::unique_ptr<DecodeStep>> steps_;
  };

  Pipeline pipeline_;
  AddedTokens added_;
  std::map<std::string, std::string, std::less<>> names_;
  std::vector<bool> special_, from_plain_, nothing_;
};

/// Appends what a post-processor of a file puts around a text. Throws FileError for types that are not supported, by name.
inline void read_post_processor(Json const& object, std::string_view where, Surround& out, int depth = 0) {
  std::string const type = detail::type_of(object, where);
  require<FileError>(depth < detail::kMaxNesting, where, ": post-processors nested deeper than ", detail::kMaxNesting);
  auto const add = [&](std::vector<int> const& before, std::vector<int> const& after) {
    out.before.insert(out.before.begin(), before.begin(), before.end());
    out.after.insert(out.after.end(), after.begin(), after.end());
  };
  if (type == "Sequence") {
    Json const* list = find_key(object, "processors", where);
    require<FileError>(list != nullptr && list->is_array(), where, ": processors: expected an array");
    for (Json const& step : *list) read_post_processor(step, where, out, depth + 1);
  } else if (type == "ByteLevel") {
    return;  // it changes offsets only
  } else if (type == "TemplateProcessing") {
    Json const* single = find_key(object, "single", where);
    Json const* tokens = find_key(object, "special_tokens", where);
    require<FileError>(single != nullptr && single->is_array(), where, ": TemplateProcessing: single: expected an array");
    std::vector<int> before, after;
    bool text = false;
    for (Json const& piece : *single) {
      if (Json const* sequence = find_key(piece, "Sequence", where)) {
        require<FileError>(!std::exchange(text, true) && get<std::string>(*sequence, "id", where) == "A", where,
                           ": TemplateProcessing: single: expected the sequence A once");
      } else {
        Json const* special = find_key(piece, "SpecialToken", where);
        require<FileError>(special != nullptr, where, ": TemplateProcessing: single: expected SpecialToken or Sequence");
        std::string const id = get<std::string>(*special, "id", where);
        Json const* token = tokens ? find_key(*tokens, id, where) : nullptr;
        require<FileError>(token != nullptr, where, ": TemplateProcessing: special_tokens: ", mgm::quoted(id), " is missing");
        auto const ids = get<std::vector<int>>(*token, "ids", where);
        (text ? after : before).insert((text ? after : before).end(), ids.begin(), ids.end());
      }
    }
    require<FileError>(text, where, ": TemplateProcessing: single: expected the sequence A once");
    add(before, after);
  } else if (type == "RobertaProcessing" || type == "BertProcessing") {
    auto const id = [&](std::string_view key) {
      Json const* pair = find_key(object, key, where);
      require<FileError>(pair != nullptr && pair->is_array() && pair->size() == 2 && (*pair)[1].is_number_unsigned(), where, ": ", type,
                         ": ", key, ": expected a text and an id");
      return std::vector{io::detail::json_as<int>((*pair)[1], key, where)};
    };
    add(id("cls"), id("sep"));
  } else {
    detail::refuse_kind(where, "a post-processor", type, "Sequence, TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel");
  }
}

}  // namespace mgm::inline v0::io::vocab
