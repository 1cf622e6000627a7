/// The small files beside a vocabulary: tokenizer_config.json, special_tokens_map.json, added_tokens.json.
#pragma once
#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/json.hpp>
#include <mgm/io/vocab/utf8.hpp>

namespace mgm::inline v0::io::vocab {

/// A token that is cut out of the text before anything else happens to it.
struct AddedToken {
  std::string content;
  bool special = false;                 ///< a control token: left out when decoding skips them, never made from a user's text
  bool normalized = true;               ///< looked for in the normalised text
  bool lstrip = false, rstrip = false;  ///< takes the white space on its left, right
  bool single_word = false;             ///< not inside a word
  friend bool operator==(AddedToken const&, AddedToken const&) = default;
};

/// The names under which a folder may declare special tokens, in the order in which the original library adds them.
inline constexpr std::array<std::string_view, 7> kSpecialNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                                  "pad_token", "cls_token", "mask_token"};
inline constexpr int kMaxTokenId = 1 << 24;
inline constexpr Size kMaxVocabularyBytes = 256 << 20;  ///< of one vocabulary file

/// What the small files say. Without an `added_tokens_decoder` the two older files count, with it they do not, as in the original library.
struct Settings {
  std::string where;                                     ///< path of tokenizer_config.json, for messages
  std::string kind;                                      ///< tokenizer_class
  std::map<std::string, AddedToken, std::less<>> named;  ///< by kSpecialNames, those that are set
  std::map<std::string, bool, std::less<>> absent;       ///< names set to null
  std::vector<AddedToken> additional;                    ///< additional_special_tokens
  std::set<std::string, std::less<>> objects;            ///< texts of those that were declared with flags of their own
  std::map<int, AddedToken> added;                       ///< by id
  bool has_decoder = false;                              ///< tokenizer_config.json carries added_tokens_decoder
  std::optional<bool> legacy, add_bos, add_eos, lower_case, add_prefix_space;

  /// The token of a name; `fallback` where the folder says nothing, nothing where it says null.
  [[nodiscard]] std::optional<AddedToken> token(std::string_view name, std::string_view fallback = {}) const {
    if (auto const at = named.find(name); at != named.end()) return at->second;
    if (fallback.empty() || absent.contains(name)) return std::nullopt;
    return AddedToken{.content = std::string(fallback), .special = true, .normalized = false};
  }
};

/// The path of a file in a folder.
[[nodiscard]] inline std::string path_in(std::string const& folder, std::string_view name) {
  return (std::filesystem::path(folder) / name).string();
}
[[nodiscard]] inline bool has_file(std::string const& folder, std::string_view name) {
  std::error_code none;
  return std::filesystem::exists(path_in(folder, name), none);
}

namespace detail {
/// An added token of an object; `special` where the object does not say.
inline AddedToken read_added_token(Json const& object, std::string_view where, bool special) {
  AddedToken token;
  token.content = get<std::string>(object, "content", where);
  require<ConfigError>(first_invalid(token.content) == std::string_view::npos, where, ": added token ", mgm::quoted(token.content),
                       ": not UTF-8");
  token.special = get_or(object, "special", special, where);
  token.normalized = get_or(object, "normalized", !token.special, where);
  token.lstrip = get_or(object, "lstrip", false, where);
  token.rstrip = get_or(object, "rstrip", false, where);
  token.single_word = get_or(object, "single_word", false, where);
  return token;
}
inline AddedToken read_named_token(Json const& value, std::string_view where) {
  if (value.is_object()) {
    AddedToken token = read_added_token(value, where, true);
    token.special = true;
    return token;
  }
  require<ConfigError>(value.is_string(), where, ": a special token: expected a text or an object, found another kind of value");
  return {.content = value.get<std::string>(), .special = true, .normalized = false};
}
inline void read_named(Settings& out, Json const& object, std::string_view where) {
  for (std::string_view const name : kSpecialNames) {
    auto const at = object.find(std::string(name));
    if (at == object.end()) continue;
    out.named.erase(std::string(name));
    if (at->is_null()) {
      out.absent[std::string(name)] = true;
    } else {
      AddedToken const token = out.named[std::string(name)] = read_named_token(*at, text(where, ": ", name));
      if (at->is_object()) out.objects.insert(token.content);
    }
  }
  if (Json const* more = find_key(object, "additional_special_tokens", where)) {
    require<ConfigError>(more->is_array(), where, ": additional_special_tokens: expected an array");
    for (Json const& value : *more) {
      AddedToken const token = read_named_token(value, text(where, ": additional_special_tokens"));
      if (value.is_object()) out.objects.insert(token.content);
      if (std::ranges::none_of(out.additional, [&](AddedToken const& t) { return t.content == token.content; }))
        out.additional.push_back(token);
    }
  }
}
}  // namespace detail

/// Reads the small files of `folder`; missing ones say nothing. `tokenizer_json_added` are the added tokens of a tokenizer.json beside
/// them, which count where nothing else declares any. Throws ConfigError, FileError.
[[nodiscard]] inline Settings read_settings(std::string const& folder, std::map<int, AddedToken> const& tokenizer_json_added = {}) {
  Settings out;
  out.where = path_in(folder, "tokenizer_config.json");
  if (has_file(folder, "tokenizer_config.json")) {
    Json const config = read_json(out.where);
    require<ConfigError>(config.is_object(), out.where, ": expected an object");
    out.kind = get_or(config, "tokenizer_class", std::string(), out.where);
    auto const flag = [&](std::string_view name, std::optional<bool>& to) {
      if (find_key(config, name, out.where)) to = get<bool>(config, name, out.where);
    };
    flag("legacy", out.legacy), flag("add_bos_token", out.add_bos), flag("add_eos_token", out.add_eos);
    flag("do_lower_case", out.lower_case), flag("add_prefix_space", out.add_prefix_space);
    detail::read_named(out, config, out.where);
    if (Json const* decoder = find_key(config, "added_tokens_decoder", out.where)) {
      out.has_decoder = true;
      require<ConfigError>(decoder->is_object(), out.where, ": added_tokens_decoder: expected an object of ids");
      for (auto const& [key, value] : decoder->items()) {
        int id = -1;
        auto const [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        require<ConfigError>(error == std::errc() && end == key.data() + key.size() && id >= 0 && id < kMaxTokenId, out.where,
                             ": added_tokens_decoder: expected an id from 0 to ", kMaxTokenId - 1, " as key, found ", mgm::quoted(key));
        out.added[id] = detail::read_added_token(value, text(out.where, ": added_tokens_decoder: ", key), false);
      }
    }
  }
  if (out.has_decoder) return out;
  if (has_file(folder, "special_tokens_map.json")) {
    std::string const where = path_in(folder, "special_tokens_map.json");
    Json const map = read_json(where);
    require<ConfigError>(map.is_object(), where, ": expected an object");
    detail::read_named(out, map, where);
  }
  if (has_file(folder, "added_tokens.json")) {
    std::string const where = path_in(folder, "added_tokens.json");
    Json const map = read_json(where);
    require<ConfigError>(map.is_object(), where, ": expected an object of texts and ids");
    for (auto const& [content, value] : map.items()) {
      int const id = get<int>(map, content, where);
      require<ConfigError>(id >= 0 && id < kMaxTokenId, where, ": ", mgm::quoted(content), ": expected an id from 0 to ", kMaxTokenId - 1,
                           ", found ", id);
      bool const special = std::ranges::any_of(out.named, [&](auto const& n) { return n.second.content == content; }) ||
                           std::ranges::any_of(out.additional, [&](auto const& t) { return t.content == content; });
      out.added[id] = {.content = content, .special = special, .normalized = !special};
    }
  }
  for (auto const& [id, token] : tokenizer_json_added) out.added[id] = token;
  return out;
}

}  // namespace mgm::inline v0::io::vocab
