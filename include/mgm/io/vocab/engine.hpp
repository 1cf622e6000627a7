/// What every kind of vocabulary can do, behind one type.
#pragma once
#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/io/vocab/settings.hpp>

namespace mgm::inline v0::io::vocab {

/// A stretch of a prompt. Special tokens are looked for only where it is not plain.
struct Part {
  std::string_view text;
  bool plain = false;
};

/// The parts as one text that remembers which bytes are plain.
class Prompt {
 public:
  void append(std::string_view text, bool plain) {
    if (plain && !text.empty()) {
      if (!plain_.empty() && plain_.back().second == text_.size()) {
        plain_.back().second += text.size();
      } else {
        plain_.emplace_back(text_.size(), text_.size() + text.size());
      }
    }
    text_ += text;
  }
  [[nodiscard]] std::string const& text() const noexcept { return text_; }
  /// True if a byte of [begin, end) is plain.
  [[nodiscard]] bool plain(std::size_t begin, std::size_t end) const noexcept {
    auto const at = std::ranges::upper_bound(plain_, begin, {}, [](auto const& range) { return range.second; });
    return at != plain_.end() && at->first < end;
  }

 private:
  std::string text_;
  std::vector<std::pair<std::size_t, std::size_t>> plain_;  // sorted
};

/// Which of the tokenizer's own additions to make.
struct Additions {
  bool before = true, after = true;  ///< BOS and EOS, or whatever the post-processor puts around a text
};

/// Turns ids to text one by one. What `push` has appended to `out` stays; `finish` appends the rest.
class Decoding {
 public:
  virtual ~Decoding() = default;
  virtual void push(int id, std::string& out) = 0;
  virtual void finish(std::string& out) = 0;
};

/// One vocabulary with its rules. Immutable; const members may be called by several threads.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Appends the ids of the parts, which are valid UTF-8.
  virtual void encode(std::span<Part const> parts, Additions add, std::vector<int>& ids) const = 0;
  /// The result refers to this engine.
  [[nodiscard]] virtual std::unique_ptr<Decoding> decoding(bool skip_special) const = 0;
  /// The same vocabulary with one token more; an existing one becomes special if asked.
  [[nodiscard]] virtual std::shared_ptr<Engine const> with(AddedToken const& token) const = 0;
  [[nodiscard]] virtual int size() const = 0;                         ///< distinct tokens, added ones too
  [[nodiscard]] virtual int id_of(std::string_view token) const = 0;  ///< -1: none
  [[nodiscard]] virtual std::optional<std::string> token(int id) const = 0;
  [[nodiscard]] virtual bool special(int id) const = 0;
  [[nodiscard]] virtual std::optional<int> named(std::string_view name) const = 0;  ///< id of "bos_token", …
  [[nodiscard]] virtual std::string_view kind() const = 0;                          ///< what was read, for people
  [[nodiscard]] virtual bool legacy() const = 0;
};

}  // namespace mgm::inline v0::io::vocab
