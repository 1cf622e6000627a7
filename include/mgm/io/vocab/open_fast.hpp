/// Opens the folders that the fast pipeline reads: tokenizer.json, and CLIP's vocab.json with merges.txt.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/io/file.hpp>
#include <mgm/io/vocab/fast_tokenizer.hpp>

namespace mgm::inline v0::io::vocab {

namespace detail {
inline std::optional<std::string> text_or_null(Json const& object, std::string_view key, std::string_view where) {
  if (!find_key(object, key, where)) return std::nullopt;
  return io::get<std::string>(object, key, where);
}

inline std::shared_ptr<MergeModel const> read_model(TokenizerJson& file, std::string_view where) {
  Json const* model = find_key(file.rest, "model", where);
  require<FileError>(model != nullptr && model->is_object(), where, ": expected a model, found none");
  std::string const type = get_or(*model, "type", std::string("BPE"), where);
  if (type != "BPE") refuse_kind(where, "a model", type, "BPE");
  require<FileError>(get_or(*model, "dropout", 0.0, where) == 0.0, where, ": model: dropout: expected null or 0, found another number");
  MergeRules rules;
  rules.unknown = text_or_null(*model, "unk_token", where);
  rules.prefix = text_or_null(*model, "continuing_subword_prefix", where);
  rules.suffix = text_or_null(*model, "end_of_word_suffix", where);
  rules.fuse_unknown = get_or(*model, "fuse_unk", false, where);
  rules.byte_fallback = get_or(*model, "byte_fallback", false, where);
  rules.ignore_merges = get_or(*model, "ignore_merges", false, where);
  return std::make_shared<MergeModel const>(std::move(file.vocabulary), file.merges, std::move(rules), where);
}

/// LlamaTokenizerFast and GemmaTokenizerFast build BOS and EOS themselves, from the flags of tokenizer_config.json.
inline bool class_adds_ends(std::string_view kind) { return kind == "LlamaTokenizer" || kind == "GemmaTokenizer"; }

inline std::map<std::string, std::string> class_defaults(std::string_view kind) {
  if (kind == "LlamaTokenizer") return {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
  if (kind == "GemmaTokenizer") return {{"bos_token", "<bos>"}, {"eos_token", "<eos>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}};
  if (kind == "CLIPTokenizer")
    return {
        {"bos_token", "<|startoftext|>"}, {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}, {"pad_token", "<|endoftext|>"}};
  return {};
}
inline std::string class_of(Settings const& settings) {
  std::string kind = settings.kind;
  if (kind.ends_with("Fast") && kind != "PreTrainedTokenizerFast") kind.resize(kind.size() - 4);
  return kind;
}
inline void add_clip_decoding(Pipeline& pipeline) {
  std::string const suffix = pipeline.model->rules().suffix.value_or(std::string());
  pipeline.decoder.steps.push_back([suffix] { return std::make_unique<EndOfWordStep>(suffix); });
}
}  // namespace detail

/// Reads `folder`/tokenizer.json and the small files beside it.
[[nodiscard]] inline std::shared_ptr<Engine const> open_tokenizer_json(std::string const& folder) {
  std::string const where = path_in(folder, "tokenizer.json");
  auto const mapped = MappedFile::open(where);
  require<LimitError>(mapped->size() <= kMaxVocabularyBytes, where, ": expected at most ", kMaxVocabularyBytes, " bytes, found ",
                      mapped->size());
  TokenizerJson file = read_tokenizer_json(mapped->view(0, mapped->size()).text(), where);

  Pipeline pipeline;
  pipeline.kind = "tokenizer.json BPE";
  pipeline.model = detail::read_model(file, where);
  if (Json const* object = find_key(file.rest, "normalizer", where))
    pipeline.normalizer = read_normalizer(*object, text(where, ": normalizer"));
  if (Json const* object = find_key(file.rest, "pre_tokenizer", where))
    pipeline.pre_tokenizer = read_pre_tokenizer(*object, text(where, ": pre_tokenizer"));
  if (Json const* object = find_key(file.rest, "decoder", where)) read_decoder(*object, text(where, ": decoder"), pipeline.decoder);
  if (Json const* object = find_key(file.rest, "post_processor", where))
    read_post_processor(*object, text(where, ": post_processor"), pipeline.surround);

  auto const added = read_added_tokens(file.rest, where);
  Settings const settings = read_settings(folder, {added.begin(), added.end()});
  std::string const kind = detail::class_of(settings);
  if (kind == "CLIPTokenizer" && pipeline.model->rules().suffix) detail::add_clip_decoding(pipeline);
  auto const defaults = detail::class_defaults(kind);
  if (!detail::class_adds_ends(kind)) {
    auto const engine = std::make_shared<FastTokenizer>(pipeline, added, settings, defaults, where);
    for (auto const* side : {&pipeline.surround.before, &pipeline.surround.after})
      for (int const id : *side)
        require<FileError>(engine->token(id).has_value(), where, ": post_processor: expected ids below ", engine->size(), ", found ", id);
    return engine;
  }
  pipeline.surround = {};
  FastTokenizer const bare(pipeline, added, settings, defaults, where);
  auto const end = [&](std::string_view name) {
    auto const id = bare.named(name);
    require<ConfigError>(id.has_value(), settings.where, ": ", name, " is to be added to every text, but is no token of ", where);
    return std::vector{*id};
  };
  if (settings.add_bos.value_or(true)) pipeline.surround.before = end("bos_token");
  if (settings.add_eos.value_or(false)) pipeline.surround.after = end("eos_token");
  return std::make_shared<FastTokenizer>(std::move(pipeline), added, settings, defaults, where);
}

/// Reads `folder`/vocab.json and `folder`/merges.txt with the rules of CLIP: NFC, white space as one space, lower case, words by pattern,
/// byte letters, `</w>` behind the last. The text is put between <|startoftext|> and <|endoftext|>; padding is the caller's.
[[nodiscard]] inline std::shared_ptr<Engine const> open_clip_vocabulary(std::string const& folder) {
  std::string const where = path_in(folder, "vocab.json"), merges_where = path_in(folder, "merges.txt");
  Json const vocabulary = read_json(where, {.unique_keys = true});
  require<FileError>(vocabulary.is_object(), where, ": expected an object of pieces and ids");
  TokenMap pieces;
  pieces.reserve(vocabulary.size());
  for (auto const& [piece, id] : vocabulary.items()) {
    require<FileError>(id.is_number_unsigned(), where, ": piece ", mgm::quoted(piece), ": expected an id of 0 or more");
    detail::add_piece(pieces, piece, id.get<std::uint64_t>(), where);
  }
  constexpr std::size_t kMerges = 49152 - 256 - 2;  // what CLIP's tokenizer reads of the file, behind its first line
  std::string const lines = read_text(merges_where, kMaxVocabularyBytes);
  require<FileError>(first_invalid(lines) == std::string_view::npos, merges_where, ": expected UTF-8, found other bytes at byte ",
                     first_invalid(lines));
  MergeList merges;
  std::string_view rest = std::string_view(lines).substr(0, lines.size() - trailing(lines, is_python_space));
  for (std::size_t line = 0; !rest.empty() && line <= kMerges; ++line) {
    std::size_t const end = std::min(rest.find('\n'), rest.size());
    std::string_view one = rest.substr(0, end);
    if (one.ends_with('\r')) one.remove_suffix(1);
    if (line > 0) detail::add_merge(merges, one, merges_where);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  require<FileError>(merges.size() > 0, merges_where, ": expected a line of comment and merges, found no merges");

  Settings const settings = read_settings(folder);
  auto const defaults = detail::class_defaults("CLIPTokenizer");
  auto const name = [&](std::string_view which) { return settings.token(which, defaults.at(std::string(which)))->content; };
  Pipeline pipeline;
  pipeline.kind = "CLIP BPE";
  MergeRules rules{.unknown = name("unk_token"), .prefix = std::nullopt, .suffix = "</w>"};
  pipeline.model = std::make_shared<MergeModel const>(std::move(pieces), merges, std::move(rules), where);
  Json const normalizer = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "NFC"}}, {{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", " "}}, {{"type", "Lowercase"}}}}};
  Json const words = {{"type", "Sequence"},
                      {"pretokenizers",
                       {{{"type", "Split"},
                         {"pattern", {{"Regex", "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"}}},
                         {"behavior", "Removed"},
                         {"invert", true}},
                        {{"type", "ByteLevel"}, {"add_prefix_space", false}}}}};
  pipeline.normalizer = read_normalizer(normalizer, where);
  pipeline.pre_tokenizer = read_pre_tokenizer(words, where);
  read_decoder({{"type", "ByteLevel"}}, where, pipeline.decoder);
  detail::add_clip_decoding(pipeline);
  FastTokenizer const bare(pipeline, {}, settings, defaults, where);
  for (auto const& [which, side] : {std::pair{"bos_token", &pipeline.surround.before}, {"eos_token", &pipeline.surround.after}}) {
    auto const id = bare.named(which);
    require<ConfigError>(id.has_value(), where, ": ", which, " is no piece");
    side->push_back(*id);
  }
  return std::make_shared<FastTokenizer>(std::move(pipeline), std::vector<std::pair<int, AddedToken>>{}, settings, defaults, where);
}

}  // namespace mgm::inline v0::io::vocab
