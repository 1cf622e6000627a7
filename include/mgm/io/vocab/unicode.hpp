/// What the tokenizers need of Unicode: categories, normalisation forms (UAX #15), lower case. Tables are unpacked once, at first use.
#pragma once
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/io/vocab/unicode_tables.hpp>
#include <mgm/io/vocab/utf8.hpp>
#include <mgm/io/vocab/whitespace.hpp>

namespace mgm::inline v0::io::vocab {

/// General categories as far as patterns ask for them.
enum class Category : std::uint8_t { other, letter, mark, digit, letter_number, other_number, connector };

enum class NormalForm { nfc, nfd, nfkc, nfkd };

namespace detail {
/// A value below 256 for every code point, equal pages stored once.
class CodeTable {
 public:
  /// `fill(set)` calls set(first, length, value).
  template <class Fill>
  explicit CodeTable(Fill&& fill) {
    std::vector<std::uint8_t> all(0x110000, 0);
    fill([&](std::uint32_t first, std::uint32_t length, std::uint8_t value) {
      std::fill_n(all.begin() + static_cast<std::ptrdiff_t>(first), length, value);
    });
    for (std::size_t page = 0; page < page_.size(); ++page) {
      auto const begin = all.begin() + static_cast<std::ptrdiff_t>(page << 8);
      std::size_t same = 0;
      while (same << 8 < values_.size() && !std::equal(begin, begin + 256, values_.begin() + static_cast<std::ptrdiff_t>(same << 8)))
        ++same;
      if (same << 8 == values_.size()) values_.insert(values_.end(), begin, begin + 256);
      page_[page] = static_cast<std::uint16_t>(same);
    }
  }
  [[nodiscard]] std::uint8_t operator[](char32_t code) const noexcept {
    return code < 0x110000 ? values_[(std::size_t{page_[code >> 8]} << 8) | (code & 0xFF)] : 0;
  }

 private:
  std::array<std::uint16_t, 0x1100> page_{};
  std::vector<std::uint8_t> values_;
};

/// Code points to short texts.
class CodeMap {
 public:
  explicit CodeMap(std::string_view packed);
  [[nodiscard]] std::u32string_view find(char32_t code) const noexcept {
    auto const at = std::ranges::lower_bound(entries_, code, {}, &Entry::code);
    if (at == entries_.end() || at->code != code) return {};
    return std::u32string_view(letters_).substr(at->at, at->length);
  }
  template <class Visit>
  void each(Visit&& visit) const {
    for (Entry const& e : entries_) visit(e.code, std::u32string_view(letters_).substr(e.at, e.length));
  }

 private:
  struct Entry {
    char32_t code;
    std::uint32_t at, length;
  };
  std::vector<Entry> entries_;
  std::u32string letters_;
};

/// Reads the numbers of the packed tables.
struct PackedReader {
  std::string_view text;
  [[nodiscard]] bool done() {
    while (text.starts_with(' ')) text.remove_prefix(1);
    return text.empty();
  }
  std::uint32_t number() {
    std::uint32_t value = 0;
    auto const end = std::from_chars(text.data(), text.data() + text.size(), value, 16).ptr;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
  }
  bool take(char c) {
    if (!text.starts_with(c)) return false;
    text.remove_prefix(1);
    return true;
  }
};

/// Calls set(first, length, value) for runs "distance[-length]:value"; a run of letters has its letter behind the numbers.
template <class Set>
void read_runs(std::string_view packed, bool letters, Set&& set) {
  std::uint32_t end = 0;
  PackedReader outer{packed};
  while (!outer.done()) {
    std::size_t const stop = std::min(outer.text.find(' '), outer.text.size());
    char const letter = outer.text[stop - 1];
    PackedReader in{outer.text.substr(0, letters ? stop - 1 : stop)};
    outer.text.remove_prefix(stop);
    std::uint32_t const first = end + in.number(), length = in.take('-') ? in.number() : 1;
    set(first, length, letters ? static_cast<std::uint32_t>(letter) : in.take(':') ? in.number() : 0);
    end = first + length;
  }
}

inline CodeMap::CodeMap(std::string_view packed) {
  std::uint32_t end = 0;
  PackedReader in{packed};
  while (!in.done()) {
    std::uint32_t const first = end + in.number(), length = in.take('-') ? in.number() : 1, step = in.take('/') ? in.number() : 1;
    std::u32string to;
    for (bool more = in.take(':'); more; more = in.take(',')) to += static_cast<char32_t>(in.number());
    for (std::uint32_t i = 0; i < length; ++i) {
      entries_.push_back({first + i * step, static_cast<std::uint32_t>(letters_.size()), static_cast<std::uint32_t>(to.size())});
      letters_ += to;
      letters_[letters_.size() - to.size()] += i * step;
    }
    end = first + (length - 1) * step + 1;
  }
  std::ranges::sort(entries_, {}, &Entry::code);
}

inline constexpr char32_t kHangul = 0xAC00, kHangulL = 0x1100, kHangulV = 0x1161, kHangulT = 0x11A7;
inline constexpr char32_t kCountL = 19, kCountV = 21, kCountT = 28;
}  // namespace detail

/// The tables. One object a process, made at first use, never changed.
class Unicode {
 public:
  [[nodiscard]] static Unicode const& get() {
    static Unicode const tables;
    return tables;
  }
  [[nodiscard]] Category category(char32_t code) const noexcept { return static_cast<Category>(categories_[code]); }
  [[nodiscard]] bool is_letter(char32_t code) const noexcept { return category(code) == Category::letter; }
  [[nodiscard]] bool is_number(char32_t code) const noexcept {
    Category const c = category(code);
    return c == Category::digit || c == Category::letter_number || c == Category::other_number;
  }
  /// UTS #18 \w: letters, marks, digits, letter numbers, connectors, joiners and circled letters.
  [[nodiscard]] bool is_word(char32_t code) const noexcept {
    Category const c = category(code);
    return (c != Category::other && c != Category::other_number) || code == 0x200C || code == 0x200D ||
           (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) || (code >= 0x1F150 && code <= 0x1F169) ||
           (code >= 0x1F170 && code <= 0x1F189);
  }
  [[nodiscard]] std::uint8_t combining_class(char32_t code) const noexcept { return combining_[code]; }

  /// Lower case of each character for itself: no rule looks at its neighbours.
  [[nodiscard]] std::string lower(std::string_view text) const {
    std::string out;
    out.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
      auto const byte = static_cast<unsigned char>(text[at]);
      if (byte < 0x80) {
        out += static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
        ++at;
        continue;
      }
      Utf8Char const c = char_at(text, at);
      auto const to = lower_.find(c.code);
      if (to.empty()) out += text.substr(at, c.bytes);
      for (char32_t const code : to) append_char(out, code);
      at += c.bytes;
    }
    return out;
  }

  /// A normalisation form of valid UTF-8.
  [[nodiscard]] std::string normalize(std::string_view text, NormalForm form) const {
    bool const composing = form == NormalForm::nfc || form == NormalForm::nfkc;
    unsigned char const plain = form == NormalForm::nfc ? 0xCC : 0x80;  // below U+0300 everything is NFC, below U+0080 every form
    if (std::ranges::all_of(text, [&](char c) { return static_cast<unsigned char>(c) < plain; })) return std::string(text);
    std::u32string codes;
    codes.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
      Utf8Char const c = char_at(text, at);
      decompose(c.code, form == NormalForm::nfkc || form == NormalForm::nfkd, codes, 0);
      at += c.bytes;
    }
    for (std::size_t i = 0; i < codes.size();) {  // canonical order of each run of marks
      if (combining_class(codes[i]) == 0) {
        ++i;
        continue;
      }
      std::size_t end = i;
      while (end < codes.size() && combining_class(codes[end]) != 0) ++end;
      std::stable_sort(codes.begin() + static_cast<std::ptrdiff_t>(i), codes.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
      i = end;
    }
    if (composing) compose(codes);
    std::string out;
    out.reserve(text.size());
    for (char32_t const code : codes) append_char(out, code);
    return out;
  }

 private:
  Unicode()
      : categories_([](auto set) {
          detail::read_runs(tables::kCategories, true, [&](std::uint32_t first, std::uint32_t length, std::uint32_t letter) {
            set(first, length, static_cast<std::uint8_t>(std::string_view("?lmdroc").find(static_cast<char>(letter))));
          });
        }),
        combining_([](auto set) {
          detail::read_runs(tables::kCombining, false, [&](std::uint32_t first, std::uint32_t length, std::uint32_t value) {
            set(first, length, static_cast<std::uint8_t>(value));
          });
        }),
        canonical_(tables::kCanonical),
        compatible_(tables::kCompatible),
        lower_(tables::kLower) {
    std::vector<std::uint32_t> excluded;
    detail::read_runs(tables::kNotComposed, false, [&](std::uint32_t first, std::uint32_t length, std::uint32_t) {
      for (std::uint32_t i = 0; i < length; ++i) excluded.push_back(first + i);
    });
    canonical_.each([&](char32_t code, std::u32string_view parts) {
      if (parts.size() == 2 && !std::ranges::binary_search(excluded, code)) pairs_.emplace_back(pair_key(parts[0], parts[1]), code);
    });
    std::ranges::sort(pairs_);
  }
  static std::uint64_t pair_key(char32_t a, char32_t b) noexcept { return (std::uint64_t{a} << 32) | b; }

  void decompose(char32_t code, bool compatible, std::u32string& out, int depth) const {
    if (code - detail::kHangul < detail::kCountL * detail::kCountV * detail::kCountT) {
      char32_t const index = code - detail::kHangul;
      out += detail::kHangulL + index / (detail::kCountV * detail::kCountT);
      out += detail::kHangulV + index % (detail::kCountV * detail::kCountT) / detail::kCountT;
      if (index % detail::kCountT) out += detail::kHangulT + index % detail::kCountT;
      return;
    }
    auto parts = code < 0xA0 ? std::u32string_view() : canonical_.find(code);
    if (parts.empty() && compatible && code >= 0xA0) parts = compatible_.find(code);
    if (parts.empty() || depth > 8) {  // no chain in Unicode is longer than 5
      out += code;
      return;
    }
    for (char32_t const part : parts) decompose(part, compatible, out, depth + 1);
  }
  /// The character that two make, or 0.
  [[nodiscard]] char32_t composed(char32_t a, char32_t b) const noexcept {
    using namespace detail;
    if (a - kHangulL < kCountL && b - kHangulV < kCountV) return kHangul + ((a - kHangulL) * kCountV + (b - kHangulV)) * kCountT;
    if (a - kHangul < kCountL * kCountV * kCountT && (a - kHangul) % kCountT == 0 && b > kHangulT && b - kHangulT < kCountT)
      return a + (b - kHangulT);
    auto const at = std::ranges::lower_bound(pairs_, pair_key(a, b), {}, [](auto const& p) { return p.first; });
    return at != pairs_.end() && at->first == pair_key(a, b) ? at->second : 0;
  }
  void compose(std::u32string& codes) const {
    constexpr std::size_t kNone = static_cast<std::size_t>(-1);
    std::size_t starter = kNone, size = 0;
    int before = -1;  // combining class of the character kept last behind the starter; -1: none
    for (char32_t const code : codes) {
      int const cc = combining_class(code);
      if (starter != kNone && before < cc) {
        if (char32_t const made = composed(codes[starter], code)) {
          codes[starter] = made;
          continue;
        }
      }
      if (cc == 0) {
        starter = size, before = -1;
      } else {
        before = cc;
      }
      codes[size++] = code;
    }
    codes.resize(size);
  }

  detail::CodeTable categories_, combining_;
  detail::CodeMap canonical_, compatible_, lower_;
  std::vector<std::pair<std::uint64_t, char32_t>> pairs_;
};

}  // namespace mgm::inline v0::io::vocab
