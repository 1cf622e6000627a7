/// Conversations as training data holds them: JSON records of pictures and alternating turns, read and written.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <mgm/io/atomic_file.hpp>
#include <mgm/io/json.hpp>

namespace mgm::inline v0::models {

/// What one side said, as recorded: image tags and special tokens stand in the text.
struct Said {
  std::string from;  ///< "human" or "gpt"; others are kept, and refused where a template needs to know
  std::string value;
};

/// One record: `{"id": …, "image": path or [paths], "conversations": [{"from", "value"}…]}`, and `kind` in ours.
struct Conversation {
  io::Json id = nullptr;            ///< as in the record, or null
  bool has_image = false;           ///< whether the key is there: a record without it is text alone, and `<image>` in it is text
  std::vector<std::string> images;  ///< paths
  std::vector<Said> turns;
  std::string kind{};  ///< of question, for counting answers; empty: none given
};

/// One record; `where` names it in messages ("data.json: record 3"). Throws FileError for what is not a record: no list of turns, a turn
/// without `value`, an `image` that is neither a path nor a list of paths.
[[nodiscard]] inline Conversation conversation_from(io::Json const& json, std::string_view where) {
  require<FileError>(json.is_object(), where, ": expected an object, found ", io::detail::describe(json));
  Conversation out;
  if (auto const it = json.find("id"); it != json.end()) out.id = *it;
  out.kind = io::get_or<std::string>(json, "kind", "", where);
  if (auto const it = json.find("image"); it != json.end()) {
    out.has_image = true;
    if (it->is_string())
      out.images = {it->get<std::string>()};
    else if (!it->is_null())
      out.images = io::get<std::vector<std::string>>(json, "image", where);
  }
  auto const turns = json.find("conversations");
  require<FileError>(turns != json.end() && turns->is_array(), where,
                     ": \"conversations\" is not a list of objects with a string \"value\"");
  for (auto const& turn : *turns) {
    require<FileError>(turn.is_object() && turn.contains("value") && turn.at("value").is_string(), where,
                       ": \"conversations\" is not a list of objects with a string \"value\"");
    auto const from = turn.find("from");
    out.turns.push_back({from != turn.end() && from->is_string() ? from->get<std::string>() : "", turn.at("value").get<std::string>()});
  }
  return out;
}

/// All records of a file. Throws FileError, naming the record, when one is none, or the file is no list.
[[nodiscard]] inline std::vector<Conversation> read_conversations(std::string const& path) {
  auto const json = io::read_json(path, {.bytes = Size{1} << 32});
  require<FileError>(json.is_array(), path, ": expected a list of records, found ", io::detail::describe(json));
  std::vector<Conversation> out;
  for (auto const& record : json) out.push_back(conversation_from(record, text(path, ": record ", out.size())));
  return out;
}

/// The record as JSON.
[[nodiscard]] inline io::Json to_json(Conversation const& c) {
  io::Json json = io::Json::object();
  if (!c.id.is_null()) json["id"] = c.id;
  if (c.has_image) json["image"] = c.images.size() == 1 ? io::Json(c.images[0]) : io::Json(c.images);
  if (!c.kind.empty()) json["kind"] = c.kind;
  auto& turns = json["conversations"] = io::Json::array();
  for (auto const& turn : c.turns) turns.push_back({{"from", turn.from}, {"value", turn.value}});
  return json;
}

/// Writes a list of records, one a line; the file is whole or not there. Throws FileError.
inline void write_conversations(std::string const& path, std::vector<Conversation> const& all) {
  std::string out = "[";
  for (std::size_t i = 0; i < all.size(); ++i)
    out += (i ? ",\n " : "\n ") + to_json(all[i]).dump(-1, ' ', false, io::Json::error_handler_t::replace);
  out += "\n]\n";
  io::write_file(path, out);
}

/// A captioner's output as a record of simple instruction re-captioning: a wish in a few words, answered by the full caption to draw from.
[[nodiscard]] inline Conversation recaption_record(io::Json id, std::string_view wish, std::string_view caption) {
  return {.id = std::move(id), .images = {}, .turns = {{"human", text(wish, " <GEN>")}, {"gpt", text("<h>", caption, "</h>")}}};
}

/// A chat model's output as a record of in-context prompt generation: the talk so far, a last request, an answer in words, and the prompt
/// to draw what fits. `before` holds whole exchanges, human first.
[[nodiscard]] inline Conversation in_context_record(io::Json id, std::vector<Said> before, std::string_view request,
                                                    std::string_view answer, std::string_view prompt) {
  require<ArgumentError>(before.size() % 2 == 0, "in-context record: ", before.size(),
                         " turns before the request; whole exchanges are needed");
  before.push_back({"human", text(request, " <GEN>")});
  before.push_back({"gpt", text(answer, answer.empty() ? "" : " ", "<h>", prompt, "</h>")});
  return {.id = std::move(id), .images = {}, .turns = std::move(before)};
}

}  // namespace mgm::inline v0::models
