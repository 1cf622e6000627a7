/// `tokenizer.json`: the vocabulary and the merges go straight into their tables, the rest becomes a small Json value.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/io/json.hpp>
#include <mgm/io/vocab/merge_model.hpp>
#include <mgm/io/vocab/settings.hpp>
#include <mgm/io/vocab/token_map.hpp>

namespace mgm::inline v0::io::vocab {

/// What the file holds. `rest` is the file without model.vocab and model.merges.
struct TokenizerJson {
  Json rest;
  TokenMap vocabulary;
  MergeList merges;
};

namespace detail {
/// Splits "a b" at its one space.
inline void add_merge(MergeList& merges, std::string_view line, std::string_view where) {
  std::size_t const space = line.find(' ');
  require<FileError>(
      space != std::string_view::npos && space > 0 && space + 1 < line.size() && line.find(' ', space + 1) == std::string_view::npos, where,
      ": merge ", merges.size(), ": expected two pieces with a space between, found ", mgm::quoted(line));
  merges.add(line.substr(0, space), line.substr(space + 1));
}
inline void add_piece(TokenMap& vocabulary, std::string_view piece, std::uint64_t id, std::string_view where) {
  require<FileError>(id < static_cast<std::uint64_t>(kMaxTokenId), where, ": piece ", mgm::quoted(piece), ": expected an id below ",
                     kMaxTokenId, ", found ", id);
  require<FileError>(!vocabulary.has(static_cast<int>(id)), where, ": pieces ", mgm::quoted(vocabulary.text_of(static_cast<int>(id))),
                     " and ", mgm::quoted(piece), " have the same id ", id);
  require<FileError>(vocabulary.insert(piece, static_cast<int>(id)), where, ": piece ", mgm::quoted(piece), " is there twice");
}

/// Sends model.vocab and model.merges to their tables and everything else to the builder.
class TokenizerJsonHandler : public io::detail::JsonBuilder {
 public:
  TokenizerJsonHandler(std::string_view text, std::string_view where, JsonLimits const& limits, TokenizerJson& out)
      : JsonBuilder(text, where, limits), out_(out) {}
  bool key(std::string& k) {
    if (in_ == In::vocabulary) return piece_ = k, true;
    if (levels_ == 1) top_ = k;
    if (levels_ == 2) second_ = k;
    return JsonBuilder::key(k);
  }
  bool start_object(std::size_t n) {
    if (in_ != In::rest) fail("a number or a merge expected, found an object");
    if (levels_ == 2 && top_ == "model" && second_ == "vocab") {
      if (std::exchange(seen_vocabulary_, true)) fail("model.vocab is there twice");
      in_ = In::vocabulary;
      return JsonBuilder::null();
    }
    ++levels_;
    return JsonBuilder::start_object(n);
  }
  bool end_object() {
    if (in_ == In::vocabulary) return in_ = In::rest, true;
    --levels_;
    return JsonBuilder::end_object();
  }
  bool start_array(std::size_t n) {
    if (in_ == In::merges) {
      in_ = In::pair, left_.clear(), halves_ = 0;
      return true;
    }
    if (in_ != In::rest) fail("a number or a text expected, found an array");
    if (levels_ == 2 && top_ == "model" && second_ == "merges") {
      if (std::exchange(seen_merges_, true)) fail("model.merges is there twice");
      in_ = In::merges;
      return JsonBuilder::null();
    }
    ++levels_;
    return JsonBuilder::start_array(n);
  }
  bool end_array() {
    if (in_ == In::pair) {
      if (halves_ != 2) fail("a merge: expected two pieces");
      in_ = In::merges;
      return true;
    }
    if (in_ == In::merges) return in_ = In::rest, true;
    --levels_;
    return JsonBuilder::end_array();
  }
  bool string(std::string& v) {
    if (in_ == In::rest) return JsonBuilder::string(v);
    if (in_ == In::vocabulary) fail(text("piece ", mgm::quoted(piece_), ": expected an id, found a text"));
    if (in_ == In::merges) {
      if (!v.starts_with("#version")) add_merge(out_.merges, v, where_);
    } else if (++halves_ == 1) {
      left_ = v;
    } else if (halves_ == 2) {
      if (left_.empty() || v.empty()) fail("a merge of an empty piece");
      out_.merges.add(left_, v);
    }
    return true;
  }
  bool number_unsigned(std::uint64_t v) {
    if (in_ == In::rest) return JsonBuilder::number_unsigned(v);
    if (in_ != In::vocabulary) fail("a merge: expected a text, found a number");
    add_piece(out_.vocabulary, piece_, v, where_);
    return true;
  }
  bool number_integer(std::int64_t v) {
    return other(v, [&] { return JsonBuilder::number_integer(v); });
  }
  bool number_float(double v, std::string const& s) {
    return other(v, [&] { return JsonBuilder::number_float(v, s); });
  }
  bool boolean(bool v) {
    return other(v, [&] { return JsonBuilder::boolean(v); });
  }
  bool null() {
    return other(0, [&] { return JsonBuilder::null(); });
  }

 private:
  template <class Then>
  bool other(auto, Then&& then) {
    if (in_ != In::rest)
      fail(in_ == In::vocabulary ? text("piece ", mgm::quoted(piece_), ": expected an id of 0 or more")
                                 : std::string("a merge: expected a text"));
    return then();
  }
  enum class In { rest, vocabulary, merges, pair } in_ = In::rest;
  TokenizerJson& out_;
  std::string top_, second_, piece_, left_;
  int levels_ = 0, halves_ = 0;
  bool seen_vocabulary_ = false, seen_merges_ = false;
};
}  // namespace detail

/// Reads the text of a tokenizer.json. Throws FileError, LimitError with the byte.
[[nodiscard]] inline TokenizerJson read_tokenizer_json(std::string_view bytes, std::string_view where) {
  if (auto const other = sniff(bytes.substr(0, 512)); other.kind == FileKind::foreign)
    throw FileError(text(where, ": expected a tokenizer.json, found ", other.what));
  TokenizerJson out;
  JsonLimits const limits;
  detail::TokenizerJsonHandler handler(bytes, where, limits, out);
  io::detail::JsonHandler::run(handler, bytes);
  out.rest = std::move(handler.root);
  require<FileError>(out.rest.is_object(), where, ": expected an object");
  return out;
}

/// The added_tokens of the file, in its order.
[[nodiscard]] inline std::vector<std::pair<int, AddedToken>> read_added_tokens(Json const& rest, std::string_view where) {
  std::vector<std::pair<int, AddedToken>> out;
  Json const* list = find_key(rest, "added_tokens", where);
  if (!list) return out;
  require<FileError>(list->is_array(), where, ": added_tokens: expected an array");
  for (Json const& entry : *list) {
    int const id = get<int>(entry, "id", where);
    require<FileError>(id >= 0 && id < kMaxTokenId, where, ": added_tokens: expected an id from 0 to ", kMaxTokenId - 1, ", found ", id);
    out.emplace_back(id, detail::read_added_token(entry, text(where, ": added_tokens"), false));
  }
  return out;
}

}  // namespace mgm::inline v0::io::vocab
