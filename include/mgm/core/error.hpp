/// The one way in which mgm fails: an exception that says what, where, what was expected, what was found and what to do.
/// Nothing in these headers aborts, exits or prints. Messages carry no addresses and at most 80 characters of a user's text.
#pragma once
#include <charconv>
#include <concepts>
#include <stdexcept>
#include <string>
#include <string_view>

#include <mgm/core/platform.hpp>

namespace mgm::inline v0 {

/// The kind of failure, for programs; the text is for people.
enum class Code {
  shape,      ///< an argument's extents do not fit
  dtype,      ///< an element type that is not taken here
  device,     ///< memory or work on the wrong, or a missing, device
  file,       ///< a file that cannot be opened, read, written, or that lies about itself
  config,     ///< numbers of a model that contradict each other or its tensors
  argument,   ///< a value out of its range
  limit,      ///< a documented limit would be passed
  memory,     ///< memory that could not be had
  cancelled,  ///< the caller asked to stop
  numerical,  ///< NaN or infinity where a number is needed
  kernel,     ///< a kernel that breaks the rules of its device: our mistake, found by the Simt machine
};

/// Base of all failures. `what()` is one line: subject, expected, found, advice.
class Error : public std::runtime_error {
 public:
  Error(Code code, std::string const& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] Code code() const noexcept { return code_; }

 private:
  Code code_;
};

/// An Error whose type says its Code, so that `catch` can choose.
template <Code kCode>
class ErrorOf : public Error {
 public:
  explicit ErrorOf(std::string const& message) : Error(kCode, message) {}
};
using ShapeError = ErrorOf<Code::shape>;
using DtypeError = ErrorOf<Code::dtype>;
using DeviceError = ErrorOf<Code::device>;
using FileError = ErrorOf<Code::file>;
using ConfigError = ErrorOf<Code::config>;
using ArgumentError = ErrorOf<Code::argument>;
using LimitError = ErrorOf<Code::limit>;
using MemoryError = ErrorOf<Code::memory>;
using Cancelled = ErrorOf<Code::cancelled>;
using NumericalError = ErrorOf<Code::numerical>;
using KernelError = ErrorOf<Code::kernel>;

namespace detail {
inline void append(std::string& to, std::string_view text) { to += text; }
template <class Number>
  requires std::integral<Number> || std::floating_point<Number>
void append(std::string& to, Number value) {
  if constexpr (std::same_as<Number, bool>) {
    to += value ? "true" : "false";
  } else if constexpr (std::same_as<Number, char>) {
    to += value;
  } else {  // locale-free, unlike streams
    char buffer[64];
    to.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  }
}
}  // namespace detail

/// The arguments as one string: numbers in the C locale, text as it is.
template <class... Parts>
[[nodiscard]] std::string text(Parts const&... parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

/// `user` for a message: at most 80 bytes, cut at a UTF-8 boundary, control characters replaced.
[[nodiscard]] inline std::string quoted(std::string_view user) {
  bool const cut = user.size() > 80;
  if (cut) {
    std::size_t end = 77;
    while (end > 0 && (static_cast<unsigned char>(user[end]) & 0xC0) == 0x80) --end;
    user = user.substr(0, end);
  }
  std::string out = "'";
  for (char const c : user) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  return out + (cut ? "...'" : "'");
}

/// Throws `E` with the parts as its message unless `ok`.
template <class E, class... Parts>
void require(bool ok, Parts const&... parts) {
  if (!ok) [[unlikely]]
    throw E(text(parts...));
}

}  // namespace mgm::inline v0
