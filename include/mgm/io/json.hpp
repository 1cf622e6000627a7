/// JSON files under limits: size, depth and number of values are bounded, errors say file and byte, settings are read by typed getters.
/// The only header of io that includes nlohmann-json.
#pragma once
#include <cmath>
#include <concepts>
#include <cstdint>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/file.hpp>
#include <mgm/io/sniff.hpp>

namespace mgm::inline v0::io {

using Json = nlohmann::json;

struct JsonLimits {
  Size bytes = 256 << 20;    ///< of the text
  Size values = 16'000'000;  ///< numbers, texts, containers
  int depth = 100;           ///< of nesting
  bool unique_keys = false;  ///< refuse an object that has a key twice; else the last one counts, as in Python
};

namespace detail {

/// Walks text and tells the handler how far the parser has come, which its events do not say.
class TrackedChar {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = char const*;
  using reference = char const&;
  TrackedChar(char const* at, char const** reached) : at_(at), reached_(reached) {}
  char const& operator*() const { return *at_; }
  TrackedChar& operator++() {
    *reached_ = ++at_;
    return *this;
  }
  TrackedChar operator++(int) {
    auto const old = *this;
    ++*this;
    return old;
  }
  friend bool operator==(TrackedChar const& a, TrackedChar const& b) { return a.at_ == b.at_; }
  friend bool operator!=(TrackedChar const& a, TrackedChar const& b) { return a.at_ != b.at_; }

 private:
  char const* at_;
  char const** reached_;
};

/// What all our handlers of JSON events share: where we are, and the depth.
class JsonHandler {
 public:
  JsonHandler(std::string_view text, std::string_view where, int depth)
      : begin_(text.data()), reached_(text.data()), where_(where), deepest_(depth) {}
  [[nodiscard]] Size position() const { return static_cast<Size>(reached_ - begin_); }
  [[noreturn]] void fail(std::string_view what) const { throw FileError(text(where_, ": byte ", position(), ": ", what)); }
  void descend() {
    if (++depth_ > deepest_) throw LimitError(text(where_, ": byte ", position(), ": JSON is nested deeper than ", deepest_, " levels"));
  }
  void ascend() { --depth_; }
  bool parse_error(std::size_t at, std::string const&, nlohmann::detail::exception const& error) const {
    std::string_view reason = error.what();  // "… syntax error while parsing X - reason; last read: '…'": the last part may be long
    if (auto const start = reason.find("syntax error"); start != reason.npos) reason.remove_prefix(start);
    reason = reason.substr(0, reason.find("; last read"));
    throw FileError(mgm::text(where_, ": byte ", at > 0 ? at - 1 : at, ": not JSON: ", reason.substr(0, 160)));
  }
  /// Runs the events of `text` through `handler`.
  template <class Handler>
  static void run(Handler& handler, std::string_view text) {
    if (auto const nul = text.find('\0'); nul != text.npos)  // the parser would take it for the end
      throw FileError(mgm::text(handler.where_, ": byte ", nul, ": not JSON: NUL character"));
    nlohmann::json::sax_parse(TrackedChar(text.data(), &handler.reached_), TrackedChar(text.data() + text.size(), &handler.reached_),
                              &handler);
  }

 protected:
  char const* begin_;
  char const* reached_;
  std::string_view where_;
  int deepest_, depth_ = 0;
};

/// Builds a Json value from events.
class JsonBuilder : public JsonHandler {
 public:
  JsonBuilder(std::string_view text, std::string_view where, JsonLimits const& limits)
      : JsonHandler(text, where, limits.depth), limits_(limits) {}
  bool null() { return put(nullptr) != nullptr; }
  bool boolean(bool v) { return put(v) != nullptr; }
  bool number_integer(std::int64_t v) { return put(v) != nullptr; }
  bool number_unsigned(std::uint64_t v) { return put(v) != nullptr; }
  bool number_float(double v, std::string const&) { return put(v) != nullptr; }
  bool string(std::string& v) { return put(std::move(v)) != nullptr; }
  bool binary(nlohmann::json::binary_t&) { fail("not JSON: binary value"); }
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& k) {
    auto& object = *open_.back();
    if (limits_.unique_keys && object.contains(k)) fail(text("key ", mgm::quoted(k), " occurs twice in one object"));
    slot_ = &object[k];
    return true;
  }
  Json root;

 private:
  template <class T>
  Json* put(T&& value) {
    if (++count_ > limits_.values) throw LimitError(text(where_, ": more than ", limits_.values, " JSON values"));
    if (open_.empty()) return &(root = std::forward<T>(value));
    if (open_.back()->is_array()) return &open_.back()->emplace_back(std::forward<T>(value));
    return &(*slot_ = std::forward<T>(value));
  }
  bool open(Json&& container) {
    descend();
    open_.push_back(put(std::move(container)));
    return true;
  }
  bool close() {
    ascend();
    open_.pop_back();
    return true;
  }
  JsonLimits limits_;
  std::vector<Json*> open_;  // a container does not move while it is open: its parents grow only after it is closed
  Json* slot_ = nullptr;
  Size count_ = 0;
};

}  // namespace detail

/// The value that `text` spells. `where` begins the messages. Throws FileError (with the byte) when it is not JSON, LimitError past a
/// limit.
[[nodiscard]] inline Json parse_json(std::string_view text, std::string_view where, JsonLimits const& limits = {}) {
  require<LimitError>(static_cast<Size>(text.size()) <= limits.bytes, where, ": expected at most ", limits.bytes, " bytes, found ",
                      text.size());
  if (auto const other = sniff(text.substr(0, 512)); other.kind == FileKind::foreign)
    throw FileError(mgm::text(where, ": expected JSON, found ", other.what));
  detail::JsonBuilder builder(text, where, limits);
  detail::JsonHandler::run(builder, text);
  return std::move(builder.root);
}

/// The value in the file at `path`. Throws as parse_json, and FileError when the file cannot be read.
[[nodiscard]] inline Json read_json(std::string const& path, JsonLimits const& limits = {}) {
  return parse_json(read_text(path, limits.bytes), path, limits);
}

namespace detail {
template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;

/// What was found, for messages: `"text"`, 12, an object.
[[nodiscard]] inline std::string describe(Json const& value) {
  if (value.is_string()) return text("the text ", mgm::quoted(value.get_ref<std::string const&>()));
  if (value.is_object()) return "an object";
  if (value.is_array()) return text("an array of ", value.size());
  if (value.is_number_unsigned()) return text(value.get<std::uint64_t>());
  if (value.is_number_integer()) return text(value.get<std::int64_t>());
  if (value.is_number_float()) return text(value.get<double>());
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  return "null";
}

template <class T>
[[nodiscard]] T json_as(Json const& value, std::string_view key, std::string_view where) {
  auto const wrong = [&](auto const&... expected) -> ConfigError {
    return ConfigError(text(where, ": key ", mgm::quoted(key), ": expected ", expected..., ", found ", describe(value)));
  };
  if constexpr (std::same_as<T, bool>) {
    if (!value.is_boolean()) throw wrong("true or false");
    return value.get<bool>();
  } else if constexpr (std::integral<T>) {
    constexpr auto kLeast = std::numeric_limits<T>::min();
    constexpr auto kMost = std::numeric_limits<T>::max();
    if (value.is_number_unsigned()) {
      if (auto const v = value.get<std::uint64_t>(); std::in_range<T>(v)) return static_cast<T>(v);
    } else if (value.is_number_integer()) {
      if (auto const v = value.get<std::int64_t>(); std::in_range<T>(v)) return static_cast<T>(v);
    }
    throw wrong("an integer from ", kLeast, " to ", kMost);
  } else if constexpr (std::floating_point<T>) {
    if (!value.is_number()) throw wrong("a number");
    T const v = static_cast<T>(value.get<double>());
    if (!std::isfinite(v)) throw wrong("a number within the range of ", sizeof(T) * 8, " bits");
    return v;
  } else if constexpr (std::same_as<T, std::string>) {
    if (!value.is_string()) throw wrong("a text");
    return value.get<std::string>();
  } else {
    static_assert(kIsVector<T>, "io::get reads bool, integers, floats, std::string and vectors of them");
    if (!value.is_array()) throw wrong("an array");
    T out;
    out.reserve(value.size());
    for (auto const& element : value) out.push_back(json_as<typename T::value_type>(element, key, where));
    return out;
  }
}
}  // namespace detail

/// The member `key` of `object` when it is there and not null, else nullptr. Throws ConfigError when `object` is no object.
[[nodiscard]] inline Json const* find_key(Json const& object, std::string_view key, std::string_view where) {
  require<ConfigError>(object.is_object(), where, ": expected an object with key ", mgm::quoted(key), ", found ",
                       object.is_object() ? std::string() : detail::describe(object));
  auto const at = object.find(std::string(key));
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

/// Member `key` of `object` as a T: bool, an integer, a float, std::string, or a vector of these. `where` begins the messages (a path).
/// Throws ConfigError when it is missing, null, of another type or out of T's range.
template <class T>
[[nodiscard]] T get(Json const& object, std::string_view key, std::string_view where) {
  auto const* value = find_key(object, key, where);
  require<ConfigError>(value != nullptr, where, ": key ", mgm::quoted(key), " is missing");
  return detail::json_as<T>(*value, key, where);
}

/// As `get`, but `fallback` where the key is missing or null.
template <class T>
[[nodiscard]] T get_or(Json const& object, std::string_view key, T fallback, std::string_view where) {
  auto const* value = find_key(object, key, where);
  return value ? detail::json_as<T>(*value, key, where) : fallback;
}

}  // namespace mgm::inline v0::io
