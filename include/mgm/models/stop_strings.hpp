/// Ends an answer at a string, without ever showing a part of it.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mgm::inline v0::models {

/// Holds back the end of a growing text as long as it may be the beginning of a stop string.
class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) { std::erase(stops_, std::string()); }

  /// Takes the next text and returns what may be shown. After a stop string was met, `stopped` is true and nothing more is shown.
  std::string push(std::string_view next) {
    if (stopped_) return {};
    held_ += next;
    auto first = std::string::npos;
    for (auto const& s : stops_) first = std::min(first, held_.find(s));
    if (first != std::string::npos) {
      stopped_ = true;
      held_.resize(first);
      return std::move(held_);
    }
    std::size_t keep = 0;  // the longest end of the text that begins a stop string
    for (auto const& s : stops_)
      for (std::size_t n = std::min(s.size() - 1, held_.size()); n > keep; --n)
        if (std::string_view(held_).substr(held_.size() - n) == std::string_view(s).substr(0, n)) keep = n;
    std::string shown = held_.substr(0, held_.size() - keep);
    held_.erase(0, held_.size() - keep);
    return shown;
  }
  /// What was held back, at the end of the answer.
  std::string flush() { return stopped_ ? std::string() : std::exchange(held_, {}); }
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace mgm::inline v0::models
