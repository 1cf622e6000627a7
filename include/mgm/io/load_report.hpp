/// All that a model and its checkpoint disagree about, in one message instead of one failure at a time.
#pragma once
#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/tensor_info.hpp>

namespace mgm::inline v0::io {

/// Collects what loading finds; `require_ok` turns it into one FileError.
class LoadReport {
 public:
  struct Missing {
    std::string name;
    std::vector<Size> expected;  ///< empty: not known without the tensor
    std::string nearest;         ///< an unexpected tensor of like name, or empty; set by `suggest`
  };
  struct Misshaped {
    std::string name;
    std::vector<Size> expected, found;
  };

  struct Mistyped {
    std::string name;
    Dtype found;
  };

  void add_missing(std::string name, std::vector<Size> expected) { missing_.push_back({std::move(name), std::move(expected), {}}); }
  void add_unexpected(std::string name) { unexpected_.push_back(std::move(name)); }
  void add_misshaped(std::string name, std::vector<Size> expected, std::vector<Size> found) {
    misshaped_.push_back({std::move(name), std::move(expected), std::move(found)});
  }
  /// Notes a tensor of numbers that are no weights: integers, booleans.
  void add_mistyped(std::string name, Dtype found) { mistyped_.push_back({std::move(name), found}); }
  /// Notes that a tensor is stored as `stored`, and that `wanted` is made of it.
  void add_converted(Dtype stored, Dtype wanted) { ++converted_[{stored, wanted}]; }
  /// Notes a tensor that was found with shape `found`, if that is not `expected`.
  bool check_shape(std::string_view name, std::vector<Size> const& expected, std::vector<Size> const& found) {
    if (expected == found) return true;
    add_misshaped(std::string(name), expected, found);
    return false;
  }

  [[nodiscard]] std::vector<Missing> const& missing() const noexcept { return missing_; }
  [[nodiscard]] std::vector<std::string> const& unexpected() const noexcept { return unexpected_; }
  [[nodiscard]] std::vector<Misshaped> const& misshaped() const noexcept { return misshaped_; }
  [[nodiscard]] std::vector<Mistyped> const& mistyped() const noexcept { return mistyped_; }
  /// How many tensors are converted, by the type that they are stored in and the one that is made of it.
  [[nodiscard]] std::map<std::pair<Dtype, Dtype>, Size> const& converted() const noexcept { return converted_; }
  /// That in one line, to be said once; empty where all are used as they are stored.
  [[nodiscard]] std::string conversions() const {
    std::string out;
    for (auto const& [types, count] : converted_)
      out += text(out.empty() ? "converted while loading: " : ", ", count, count == 1 ? " tensor from " : " tensors from ",
                  name(types.first), " to ", name(types.second));
    return out;
  }
  /// Nothing is missing, misshaped or mistyped; unexpected tensors do no harm.
  [[nodiscard]] bool ok() const noexcept { return missing_.empty() && misshaped_.empty() && mistyped_.empty(); }

  /// Names, for the first 20 missing tensors, the unexpected one that differs by the fewest edits, if they are fewer than a third of it.
  void suggest() {
    for (std::size_t i = 0; i < missing_.size() && i < kShown; ++i) {
      std::string const& name = missing_[i].name;
      Size best = static_cast<Size>(name.size()) / 3 + 1;
      for (std::size_t j = 0; j < unexpected_.size() && j < kCandidates && best > 0; ++j)
        if (Size const d = distance(name, unexpected_[j], best); d < best) best = d, missing_[i].nearest = unexpected_[j];
    }
  }
  /// One line: what is missing, misshaped and unexpected, the first 20 of each and the counts. `where` is the checkpoint's path.
  [[nodiscard]] std::string message(std::string_view where) const {
    std::string out = text(where, ": ");
    auto const list = [&](std::string_view kind, auto const& items, auto const& describe) {
      if (items.empty()) return;
      if (!out.ends_with(": ")) out += "; ";
      out += text(items.size(), items.size() == 1 ? " tensor " : " tensors ", kind, " (");
      for (std::size_t i = 0; i < items.size() && i < kShown; ++i) out += (i ? ", " : "") + describe(items[i]);
      out += items.size() > kShown ? text(", and ", items.size() - kShown, " more)") : std::string(")");
    };
    list("missing", missing_, [](Missing const& m) {
      return text(shown(m.name), m.expected.empty() ? std::string() : " " + shape_text(m.expected),
                  m.nearest.empty() ? std::string() : text(", did you mean ", shown(m.nearest), "?"));
    });
    list("misshaped", misshaped_,
         [](Misshaped const& m) { return text(shown(m.name), ": expected ", shape_text(m.expected), ", found ", shape_text(m.found)); });
    list("mistyped", mistyped_,
         [](Mistyped const& m) { return text(shown(m.name), ": expected floating-point numbers, found ", mgm::name(m.found)); });
    list("unexpected", unexpected_, [](std::string const& name) { return shown(name); });
    return out.ends_with(": ") ? out + "all tensors fit" : out;
  }
  /// Throws FileError with `message` unless `ok`.
  void require_ok(std::string_view where) {
    if (ok()) return;
    suggest();
    throw FileError(message(where));
  }

 private:
  static constexpr std::size_t kShown = 20, kCandidates = 4096;
  static constexpr Size kLongest = 200;

  [[nodiscard]] static std::string shown(std::string_view name) {
    auto const q = mgm::quoted(name);
    return q.substr(1, q.size() - 2);
  }
  /// Edits (insert, delete, replace) that make `b` of `a`, or `limit` if they are that many or more (E. Ukkonen 1985: a band suffices).
  [[nodiscard]] static Size distance(std::string_view a, std::string_view b, Size limit) {
    Size const n = static_cast<Size>(a.size()), m = static_cast<Size>(b.size());
    if (n > kLongest || m > kLongest || std::max(n, m) - std::min(n, m) >= limit) return limit;
    std::vector<Size> row(static_cast<std::size_t>(m) + 1);
    for (Size j = 0; j <= m; ++j) row[static_cast<std::size_t>(j)] = j;
    for (Size i = 1; i <= n; ++i) {
      Size const from = std::max<Size>(1, i - limit), to = std::min(m, i + limit);
      Size diagonal = row[static_cast<std::size_t>(from - 1)], least = limit;
      row[static_cast<std::size_t>(from - 1)] = from == 1 ? i : limit;
      for (Size j = from; j <= to; ++j) {
        auto const at = static_cast<std::size_t>(j);
        Size const above = j == i + limit ? limit : row[at];
        Size const replaced = diagonal + (a[static_cast<std::size_t>(i - 1)] != b[at - 1]);
        diagonal = row[at];
        row[at] = std::min({above + 1, row[at - 1] + 1, replaced});
        least = std::min(least, row[at]);
      }
      if (least >= limit) return limit;
    }
    return std::min(row[static_cast<std::size_t>(m)], limit);
  }

  std::vector<Missing> missing_;
  std::vector<std::string> unexpected_;
  std::vector<Misshaped> misshaped_;
  std::vector<Mistyped> mistyped_;
  std::map<std::pair<Dtype, Dtype>, Size> converted_;
};

}  // namespace mgm::inline v0::io
