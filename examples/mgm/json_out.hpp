// JSON that is written, not read: a few values on one line.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <mgm/core/error.hpp>
#include <nlohmann/json.hpp>

namespace tool {

/// `s` as a JSON string; bytes that are no UTF-8 become U+FFFD.
inline std::string quote(std::string_view s) {
  return nlohmann::json(s).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}
template <class Numbers>
std::string array(Numbers const& numbers) {
  std::string out = "[";
  for (auto const n : numbers) out += mgm::text(out.size() > 1 ? ", " : "", n);
  return out + "]";
}

}  // namespace tool
