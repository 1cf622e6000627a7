// `mgm tokenize`: text to ids and back, as the original tokenizer does it.
#include <cstdio>
#include <filesystem>

#include <mgm/io/tokenizer.hpp>
#include <mgm/models/folder_config.hpp>
#include <mgm/models/labels.hpp>

#include "json_out.hpp"
#include "options.hpp"

namespace tool {

namespace {
using mgm::io::Json;

/// The files that the original would take: a model's config decides, else the files themselves.
mgm::io::Tokenizer open_vocabulary(std::string const& folder) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  mgm::require<mgm::FileError>(fs::is_directory(folder, ignored), folder, ": expected a folder with tokenizer files, found ",
                               fs::exists(folder, ignored) ? "a file" : "nothing");
  auto prefer = mgm::io::Prefer::automatic;
  if (fs::exists(fs::path(folder) / "config.json", ignored)) {
    auto const json = mgm::io::read_json(folder + "/config.json");
    auto const type = mgm::io::get_or<std::string>(json, "model_type", "", folder + "/config.json");
    auto const family = mgm::models::detail::family_of(type);
    if (family && *family != mgm::models::Family::llama) prefer = mgm::io::Prefer::fast;
  }
  return mgm::io::Tokenizer::open(folder, {.prefer = prefer});
}

std::string encoded(mgm::io::Tokenizer const& vocabulary, std::string const& text, Options const& o) {
  mgm::io::EncodeOptions options;
  options.bos = !o.no_bos;
  if (o.user_text) options.special = mgm::io::Special::plain;
  return array(vocabulary.encode(text, options));
}
std::string decoded(mgm::io::Tokenizer const& vocabulary, std::string_view json, std::string const& where, Options const& o) {
  auto const value = mgm::io::parse_json(json, where);
  mgm::require<mgm::FileError>(value.is_array(), where, ": expected a JSON array of ids, found ", mgm::io::detail::describe(value));
  std::vector<int> ids;
  for (auto const& id : value) ids.push_back(mgm::io::detail::json_as<int>(id, "id", where));
  return vocabulary.decode(ids, {.skip_special = o.skip_special});
}

/// Every line of a file through `convert`; all or nothing is printed.
template <class Convert>
void each_line(std::string const& path, Convert&& convert) {
  std::string const all = mgm::io::read_text(path, mgm::Size{1} << 32);
  std::string out;
  std::size_t number = 1;
  for (std::size_t at = 0; at < all.size(); ++number) {
    std::size_t end = all.find('\n', at);
    if (end == std::string::npos) end = all.size();
    std::string_view line(all.data() + at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    std::string const where = mgm::text(path, ": line ", number);
    try {
      out += convert(line, where);
    } catch (mgm::Error const& error) {
      std::string_view const what = error.what();
      throw mgm::FileError(what.starts_with(where) ? std::string(what) : mgm::text(where, ": ", what));
    }
    out += '\n';
    at = end + 1;
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
}

/// Training conversations as ids and labels, one object a record; all or nothing is printed.
int tokenize_conversations(Options const& o) {
  using namespace mgm::models;
  if (o.prompt_template.empty()) throw UsageError{"tokenize: --conversation needs --template"};
  auto const kind = training_template_by_name(o.prompt_template);
  auto const vocabulary = mgm::io::Tokenizer::open(o.model, {.prefer = training_vocabulary(kind)});
  std::optional<mgm::Size> const limit = o.max_length > 0 ? std::optional<mgm::Size>(o.max_length) : std::nullopt;
  std::string out;
  std::size_t number = 0;
  for (auto const& record : read_conversations(*o.conversation)) {
    auto const made = label_record(vocabulary, kind, record, mgm::text(*o.conversation, ": record ", number++), limit);
    out += mgm::text("{\"id\": ", record.id.dump(-1, ' ', true, Json::error_handler_t::replace), ", \"ids\": ", array(made.ids),
                     ", \"labels\": ", array(made.labels), "}\n");
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
  return 0;
}
}  // namespace

int tokenize(Options const& o) {
  int const ways = int(o.text.has_value()) + int(o.jsonl.has_value()) + int(o.decode.has_value()) + int(o.decode_jsonl.has_value()) +
                   int(o.conversation.has_value());
  if (ways != 1) throw UsageError{"tokenize: exactly one of --text, --jsonl, --decode, --decode-jsonl, --conversation is needed"};
  if (o.conversation) return tokenize_conversations(o);
  auto const vocabulary = open_vocabulary(o.model);
  if (o.text) std::printf("%s\n", encoded(vocabulary, *o.text, o).c_str());
  if (o.decode) {
    std::string const text = decoded(vocabulary, *o.decode, "--decode", o);
    std::printf("%s\n", o.json ? quote(text).c_str() : text.c_str());
  }
  if (o.jsonl) {
    each_line(*o.jsonl, [&](std::string_view line, std::string const& where) {
      auto const value = mgm::io::parse_json(line, where);
      mgm::require<mgm::FileError>(value.is_string(), where, ": expected a JSON string, found ", mgm::io::detail::describe(value));
      return encoded(vocabulary, value.get<std::string>(), o);
    });
  }
  if (o.decode_jsonl) {
    each_line(*o.decode_jsonl, [&](std::string_view line, std::string const& where) { return quote(decoded(vocabulary, line, where, o)); });
  }
  return 0;
}

}  // namespace tool
