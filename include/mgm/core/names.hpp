/// Enumerators by the names that files and command lines use.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include <mgm/core/error.hpp>

namespace mgm::inline v0 {

/// The enumerator called `wanted`; `names` stand in the order of the enumeration. Throws Failure: "SUBJECT 'wanted' is not known; there are …".
template <class Enum, class Failure = ArgumentError, std::size_t N>
[[nodiscard]] Enum by_name(std::string_view subject, std::string_view wanted, std::string_view const (&names)[N]) {
  std::string known;
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == wanted) return static_cast<Enum>(i);
    known += text(i ? ", " : "", names[i]);
  }
  throw Failure(text(subject, " ", mgm::quoted(wanted), " is not known; there are ", known));
}

}  // namespace mgm::inline v0
