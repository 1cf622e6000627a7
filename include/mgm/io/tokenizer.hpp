/// Text to token ids and back, equal to the original libraries' ids: SentencePiece `tokenizer.model`, `tokenizer.json`, and CLIP's
/// `vocab.json` with `merges.txt`, whichever the folder holds.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/file.hpp>
#include <mgm/io/vocab/engine.hpp>
#include <mgm/io/vocab/open_fast.hpp>
#include <mgm/io/vocab/slow_llama.hpp>

namespace mgm::inline v0::io {

using vocab::Part;

/// Which files to take where a folder holds several. The original reads Gemma and Mixtral by `fast`, the LLaMA decoders by `slow`.
enum class Prefer {
  automatic,  ///< slow for a LLaMA tokenizer with a tokenizer.model, else fast
  fast,       ///< tokenizer.json
  slow,       ///< tokenizer.model
};

/// What special tokens in a text become.
enum class Special {
  parse,  ///< control tokens, as the original tokenizer does
  plain,  ///< the characters they are written with: what a user types
};

struct EncodeOptions {
  Special special = Special::parse;
  bool bos = true;                               ///< what the tokenizer itself puts in front of a text; none where it puts none
  bool eos = true;                               ///< and behind
  bool strict = false;                           ///< refuse text that is not UTF-8 instead of reading its broken parts as U+FFFD
  std::size_t max_bytes = std::size_t{1} << 28;  ///< longer texts are refused before anything is done with them; at most 2^30
};

struct DecodeOptions {
  bool skip_special = false;
};

/// A vocabulary with its rules. A handle: copies share what is read, which never changes; const members may be called by several threads.
class Tokenizer {
 public:
  struct Options {
    Prefer prefer = Prefer::automatic;
  };

  /// Reads the tokenizer files of `folder`; what they are is decided by their content. Throws FileError, ConfigError, LimitError, naming
  /// the file, for what is missing, broken or not supported.
  [[nodiscard]] static Tokenizer open(std::string const& folder, Options options);
  [[nodiscard]] static Tokenizer open(std::string const& folder) { return open(folder, Options{}); }

  /// The ids of `text`, BOS, EOS and special tokens by the tokenizer's own rules. Throws LimitError past max_bytes, ArgumentError if
  /// strict.
  [[nodiscard]] std::vector<int> encode(std::string_view text, EncodeOptions const& options = {}) const {
    Part const part{text, false};
    return encode(std::span(&part, 1), options);
  }
  /// The ids of the parts as one continuous text. Special tokens are found only where a part is not plain, and never across into plain
  /// text. Parts are cut at whole characters.
  [[nodiscard]] std::vector<int> encode(std::span<Part const> parts, EncodeOptions const& options = {}) const {
    std::size_t bytes = 0;
    std::size_t const limit = std::min(options.max_bytes, std::size_t{1} << 30);
    for (Part const& part : parts) {
      require<LimitError>(part.text.size() <= limit - bytes, "text to encode: expected at most ", limit, " bytes, found more; cut it");
      bytes += part.text.size();
    }
    std::vector<std::string> repaired(parts.size());
    std::vector<Part> whole(parts.begin(), parts.end());
    for (std::size_t i = 0; i < whole.size(); ++i) {
      if (options.special == Special::plain) whole[i].plain = true;
      std::size_t const bad = vocab::first_invalid(whole[i].text);
      if (bad == std::string_view::npos) continue;
      require<ArgumentError>(!options.strict, "text to encode: part ", i, " is not UTF-8 at byte ", bad);
      vocab::append_repaired(repaired[i], whole[i].text);
      whole[i].text = repaired[i];
    }
    std::vector<int> ids;
    engine_->encode(whole, {.before = options.bos, .after = options.eos}, ids);
    return ids;
  }

  /// The text of `ids`. Throws ArgumentError for an id that the vocabulary does not have.
  [[nodiscard]] std::string decode(std::span<int const> ids, DecodeOptions const& options = {}) const {
    auto const decoding = engine_->decoding(options.skip_special);
    std::string out;
    for (int const id : ids) decoding->push(checked(id), out);
    decoding->finish(out);
    return out;
  }

  [[nodiscard]] int size() const { return engine_->size(); }  ///< number of tokens, added ones included; ids are 0 … size() - 1
  [[nodiscard]] std::optional<int> bos() const { return engine_->named("bos_token"); }
  [[nodiscard]] std::optional<int> eos() const { return engine_->named("eos_token"); }
  [[nodiscard]] std::optional<int> unk() const { return engine_->named("unk_token"); }
  [[nodiscard]] std::optional<int> pad() const { return engine_->named("pad_token"); }
  /// The id of a token by its exact text, for instance "<|eot_id|>".
  [[nodiscard]] std::optional<int> id_of(std::string_view token) const {
    int const id = engine_->id_of(token);
    return id < 0 ? std::nullopt : std::optional(id);
  }
  /// The text of a token as the vocabulary spells it. Throws ArgumentError for an id out of range.
  [[nodiscard]] std::string token(int id) const { return *engine_->token(checked(id)); }
  /// True for control tokens: declared special, or control pieces of the model.
  [[nodiscard]] bool is_special(int id) const { return engine_->special(checked(id)); }
  /// What was read, in words.
  [[nodiscard]] std::string_view kind() const { return engine_->kind(); }
  /// The `legacy` of a tokenizer.model (missing means true); false for other files.
  [[nodiscard]] bool legacy() const { return engine_->legacy(); }
  /// Adds a token behind the vocabulary unless it is there, and returns its id. Other copies of this handle stay as they are.
  int add_token(std::string_view token, bool special) {
    require<ArgumentError>(!token.empty() && vocab::first_invalid(token) == std::string_view::npos,
                           "token to add: expected UTF-8 text, found ", mgm::quoted(token));
    engine_ = engine_->with({.content = std::string(token), .special = special, .normalized = !special});
    return engine_->id_of(token);
  }

 private:
  friend class StreamDecoder;
  explicit Tokenizer(std::shared_ptr<vocab::Engine const> engine) : engine_(std::move(engine)) {}
  int checked(int id) const {
    require<ArgumentError>(engine_->token(id).has_value(), "token id: expected 0 to ", engine_->size() - 1, ", found ", id);
    return id;
  }
  std::shared_ptr<vocab::Engine const> engine_;
};

/// Turns ids to text as they come; the pieces together are what Tokenizer::decode gives for all ids. A piece never ends inside a character,
/// and may be empty while one is unfinished.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, DecodeOptions const& options = {})
      : tokenizer_(std::move(tokenizer)), decoding_(tokenizer_.engine_->decoding(options.skip_special)) {}
  /// The text that is certain now. Throws ArgumentError for an id out of range, and goes on as if it had not come.
  [[nodiscard]] std::string push(int id) {
    std::string out;
    decoding_->push(tokenizer_.checked(id), out);
    return out;
  }
  /// What is left; unfinished characters are U+FFFD. The next push begins a new text.
  [[nodiscard]] std::string flush(DecodeOptions const& options = {}) {
    std::string out;
    decoding_->finish(out);
    decoding_ = tokenizer_.engine_->decoding(options.skip_special);
    return out;
  }

 private:
  Tokenizer tokenizer_;
  std::unique_ptr<vocab::Decoding> decoding_;
};

inline Tokenizer Tokenizer::open(std::string const& folder, Options options) {
  std::error_code none;
  require<FileError>(std::filesystem::is_directory(folder, none), "cannot open a tokenizer: expected a folder, found ", folder);
  bool const model = vocab::has_file(folder, "tokenizer.model"), json = vocab::has_file(folder, "tokenizer.json");
  bool const clip = vocab::has_file(folder, "vocab.json") && vocab::has_file(folder, "merges.txt");
  require<FileError>(model || json || clip, folder,
                     ": expected tokenizer files (tokenizer.json, tokenizer.model, or vocab.json with merges.txt), found none");
  bool slow = model && options.prefer != Prefer::fast;
  if (model && json && options.prefer == Prefer::automatic)
    slow = vocab::detail::class_of(vocab::read_settings(folder)) == "LlamaTokenizer";
  if (json && !slow) return Tokenizer(vocab::open_tokenizer_json(folder));
  if (!model) return Tokenizer(vocab::open_clip_vocabulary(folder));
  return Tokenizer(vocab::open_sentencepiece(folder));
}

}  // namespace mgm::inline v0::io
