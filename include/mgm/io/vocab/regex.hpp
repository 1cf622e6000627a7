/// The regular expressions of tokenizer files: classes with \p{L} \p{N} \s and the like, alternation, groups, (?i:…) over ASCII, lookahead,
/// greedy, lazy and possessive repeats. Meaning as in Oniguruma's Ruby syntax over UTF-8. Alternatives are tried in order, as there.
/// The matcher backtracks on a heap stack under a limit of steps; the patterns of known vocabularies cost a few steps a character.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/vocab/char_set.hpp>

namespace mgm::inline v0::io::vocab {

/// A compiled pattern. Immutable; matching from several threads is fine.
class Regex {
 public:
  struct Match {
    std::size_t begin = 0, end = 0;
  };
  static constexpr std::size_t kMaxPattern = 4096, kMaxCode = 4096;
  static constexpr int kMaxDepth = 24;

  /// Throws FileError, naming `where`, for syntax that is not supported and for patterns that match the empty text.
  Regex(std::string_view pattern, std::string_view where) : pattern_(pattern), where_(where) {
    require<FileError>(pattern.size() <= kMaxPattern, where, ": pattern: expected at most ", kMaxPattern, " bytes, found ", pattern.size());
    if (std::size_t const bad = first_invalid(pattern); bad != std::string_view::npos) refuse("bytes that are not UTF-8", bad);
    Node const tree = parse_choice(0);
    if (at_ != pattern_.size()) refuse("an unbalanced ')'", at_);
    if (tree.nullable) refuse("a pattern that matches the empty text", 0);
    emit(tree);
    code_.push_back({Op::accept, 0, 0, 0, 0});
  }

  /// Calls found(Match) for each match in `text` from left to right, none overlapping. Throws LimitError when the pattern takes too many
  /// steps.
  template <class Found>
  void each(std::string_view text, Found&& found) const {
    std::vector<Frame> stack;
    std::uint64_t steps = 1'000'000 + 500 * static_cast<std::uint64_t>(text.size());
    for (std::size_t at = 0; at < text.size();) {
      std::size_t const end = run(text, at, 0, stack, steps);
      if (end == kNo) {
        at += char_at(text, at).bytes;
      } else {
        found(Match{at, end});
        at = end;
      }
    }
  }

 private:
  static constexpr std::size_t kNo = static_cast<std::size_t>(-1);
  static constexpr std::uint32_t kMany = 0xFFFFFFFF;
  enum class Op : std::uint8_t { set, repeat, split, jump, ahead, not_ahead, atomic, accept };
  enum class Mode : std::uint8_t { greedy, lazy, possessive };
  struct Code {
    Op op;
    std::uint32_t set;        // set, repeat: which set
    std::uint32_t low, high;  // repeat: counts. split: first and second choice. jump: target. ahead …: high is behind the inner program
    std::uint32_t mode;       // repeat
  };
  struct Node {
    enum class Kind { empty, set, sequence, choice, repeat, look } kind = Kind::empty;
    std::uint32_t set = 0, low = 0, high = 0;
    Mode mode = Mode::greedy;
    bool negative = false, nullable = true;
    std::vector<Node> children = {};
  };
  struct Frame {
    std::uint32_t code;
    bool lazy;
    std::size_t at, low;  // a greedy repeat may give back down to `low`; a lazy one may take `low` more characters
  };

  [[noreturn]] void refuse(std::string_view what, std::size_t at) const {
    throw FileError(
        text(where_, ": pattern ", mgm::quoted(pattern_), ": ", what, " at byte ", at,
             " is not supported; supported: classes, \\p{L|M|N|Nd|Nl|No|Pc}, \\s \\d, |, (?:), (?i:) over ASCII, (?=) (?!), * + ? {m,n}"));
  }

  // ---- parsing
  [[nodiscard]] bool more() const { return at_ < pattern_.size(); }
  bool take(std::string_view what) {
    if (!std::string_view(pattern_).substr(at_).starts_with(what)) return false;
    at_ += what.size();
    return true;
  }
  char32_t next_char() {
    if (!more()) refuse("an end", at_);
    Utf8Char const c = char_at(pattern_, at_);
    at_ += c.bytes;
    return c.code;
  }
  /// Alternatives; nested as deep as the pattern, at most kMaxDepth.
  Node parse_choice(int depth) {
    if (depth > kMaxDepth) refuse("nesting this deep", at_);
    Node choice{.kind = Node::Kind::choice, .nullable = false};
    do {
      Node sequence{.kind = Node::Kind::sequence};
      while (more() && pattern_[at_] != '|' && pattern_[at_] != ')') {
        sequence.children.push_back(parse_repeat(depth));
        sequence.nullable &= sequence.children.back().nullable;
      }
      choice.nullable |= sequence.nullable;
      choice.children.push_back(std::move(sequence));
    } while (take("|"));
    if (choice.children.size() > 1) return choice;
    Node only = std::move(choice.children.front());
    return only;
  }
  Node parse_repeat(int depth) {
    Node node = parse_atom(depth);
    while (more()) {
      std::size_t const start = at_;
      std::uint32_t low, high;
      bool braces = false;
      if (take("*")) {
        low = 0, high = kMany;
      } else if (take("+")) {
        low = 1, high = kMany;
      } else if (take("?")) {
        low = 0, high = 1;
      } else if (take("{")) {
        braces = true;
        auto const number = [&](std::uint32_t missing) {
          if (!more() || pattern_[at_] < '0' || pattern_[at_] > '9') return missing;
          std::uint32_t value = 0;
          while (more() && pattern_[at_] >= '0' && pattern_[at_] <= '9' && value < 10000)
            value = value * 10 + static_cast<std::uint32_t>(pattern_[at_++] - '0');
          return value;
        };
        low = number(kMany);
        high = take(",") ? number(kMany) : low;
        if (!take("}") || low == kMany || low > 1000 || (high != kMany && (high < low || high > 1000))) refuse("this count", start);
      } else {
        break;
      }
      Mode const mode = take("?") ? Mode::lazy : !braces && take("+") ? Mode::possessive : Mode::greedy;
      if (braces && more() && pattern_[at_] == '+') refuse("a repeat of a count", at_);
      if (node.kind == Node::Kind::look || node.nullable) refuse("a repeat of what may be empty", start);
      Node repeat{.kind = Node::Kind::repeat, .low = low, .high = high, .mode = mode, .nullable = low == 0};
      repeat.children.push_back(std::move(node));
      node = std::move(repeat);
    }
    return node;
  }
  Node parse_atom(int depth) {
    std::size_t const start = at_;
    if (take("(")) {
      bool const was = fold_;
      bool look = false, negative = false;
      if (take("?:")) {
      } else if (take("?i:")) {
        fold_ = true;
      } else if (take("?=")) {
        look = true;
      } else if (take("?!")) {
        look = negative = true;
      } else if (more() && pattern_[at_] == '?') {
        refuse("a group of this kind", start);
      }
      Node inner = parse_choice(depth + 1);
      if (!take(")")) refuse("a missing ')'", at_);
      fold_ = was;
      if (!look) return inner;
      Node node{.kind = Node::Kind::look, .negative = negative};
      node.children.push_back(std::move(inner));
      return node;
    }
    CharSet set;
    bool negated = false;
    if (take("[")) {
      negated = take("^");
      bool first = true;
      while (first || !take("]")) {
        first = false;
        std::size_t const item = at_;
        if (std::string_view(pattern_).substr(at_).starts_with("&&") || (more() && pattern_[at_] == '['))
          refuse("a class within a class", at_);
        char32_t const low = parse_char(set, true);
        if (low == kClass) continue;
        if (more() && pattern_[at_] == '-' && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != ']') {
          ++at_;
          char32_t const high = parse_char(set, true);
          if (high == kClass || high < low) refuse("this range", item);
          if (fold_) refuse("a range in (?i:)", item);
          set.add(low, high);
        } else {
          add_char(set, low);
        }
      }
    } else if (take(".")) {
      set.add('\n', '\n'), negated = true;
    } else if (std::string_view("^$*+?{").find(pattern_[at_]) != std::string_view::npos) {
      refuse(text("'", pattern_[at_], "'"), at_);
    } else if (char32_t const c = parse_char(set, false); c != kClass) {
      add_char(set, c);
    }
    set.finish(negated);
    sets_.push_back(std::move(set));
    return {.kind = Node::Kind::set, .set = static_cast<std::uint32_t>(sets_.size() - 1), .nullable = false};
  }
  static constexpr char32_t kClass = 0xFFFFFFFF;
  /// A character, or kClass after adding a class to `set`.
  char32_t parse_char(CharSet& set, bool in_class) {
    std::size_t const start = at_;
    char32_t const c = next_char();
    if (c != '\\') return c;
    char32_t const e = next_char();
    switch (e) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case 's':
      case 'S':
        set.add(CharSet::Kind::space, e == 'S');
        return kClass;
      case 'd':
      case 'D':
        set.add(CharSet::Kind::digit, e == 'D');
        return kClass;
      case 'p':
      case 'P':
        parse_property(set, e == 'P', start);
        return kClass;
      case 'u':
        return parse_hex(4, start);
      case 'x': {
        if (!take("{")) return parse_hex(2, start);
        std::size_t const end = pattern_.find('}', at_);
        if (end == std::string::npos || end - at_ > 6) refuse("this number", start);
        char32_t const code = parse_hex(end - at_, start);
        ++at_;
        return code;
      }
      default:
        break;
    }
    if (e >= 0x80 || (e >= '0' && e <= '9') || (e >= 'a' && e <= 'z') || (e >= 'A' && e <= 'Z')) refuse("this escape", start);
    (void)in_class;
    return e;
  }
  char32_t parse_hex(std::size_t digits, std::size_t start) {
    char32_t value = 0;
    auto const [end, error] = std::from_chars(pattern_.data() + at_, pattern_.data() + std::min(at_ + digits, pattern_.size()),
                                              reinterpret_cast<std::uint32_t&>(value), 16);
    if (error != std::errc() || end != pattern_.data() + at_ + digits || value > 0x10FFFF) refuse("this number", start);
    at_ += digits;
    return value;
  }
  void parse_property(CharSet& set, bool negated, std::size_t start) {
    using Kind = CharSet::Kind;
    constexpr std::pair<std::string_view, Kind> names[] = {
        {"L", Kind::letter},  {"Letter", Kind::letter}, {"N", Kind::number},         {"Number", Kind::number},   {"M", Kind::mark},
        {"Mark", Kind::mark}, {"Nd", Kind::digit},      {"Nl", Kind::letter_number}, {"No", Kind::other_number}, {"Pc", Kind::connector}};
    std::size_t const end = pattern_.find('}', at_);
    if (!take("{") || end == std::string::npos) refuse("this property", start);
    if (take("^")) negated = !negated;
    std::string_view const name = std::string_view(pattern_).substr(at_, end - at_);
    for (auto const& [known, kind] : names)
      if (name == known) {
        set.add(kind, negated), at_ = end + 1;
        return;
      }
    refuse(text("the property ", mgm::quoted(name)), start);
  }
  void add_char(CharSet& set, char32_t c) const {
    set.add(c, c);
    if (!fold_) return;
    if (c >= 0x80) refuse("a character beyond ASCII in (?i:)", at_);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) set.add(c ^ 0x20, c ^ 0x20);
    if ((c | 0x20) == 's') set.add(0x17F, 0x17F);  // the long s and the Kelvin sign fold to s and k
    if ((c | 0x20) == 'k') set.add(0x212A, 0x212A);
  }

  // ---- code
  std::uint32_t here() const { return static_cast<std::uint32_t>(code_.size()); }
  std::uint32_t put(Code code) {
    if (code_.size() >= kMaxCode) refuse("a pattern this large", 0);
    code_.push_back(code);
    return here() - 1;
  }
  void emit(Node const& node) {
    switch (node.kind) {
      case Node::Kind::empty:
        return;
      case Node::Kind::set:
        put({Op::set, node.set, 0, 0, 0});
        return;
      case Node::Kind::sequence:
        for (Node const& child : node.children) emit(child);
        return;
      case Node::Kind::choice: {
        std::vector<std::uint32_t> ends;
        for (std::size_t i = 0; i + 1 < node.children.size(); ++i) {
          std::uint32_t const split = put({Op::split, 0, here() + 1, 0, 0});
          emit(node.children[i]);
          ends.push_back(put({Op::jump, 0, 0, 0, 0}));
          code_[split].high = here();
        }
        emit(node.children.back());
        for (std::uint32_t const end : ends) code_[end].low = here();
        return;
      }
      case Node::Kind::look: {
        std::uint32_t const look = put({node.negative ? Op::not_ahead : Op::ahead, 0, 0, 0, 0});
        emit(node.children[0]);
        put({Op::accept, 0, 0, 0, 0});
        code_[look].high = here();
        return;
      }
      case Node::Kind::repeat:
        emit_repeat(node);
        return;
    }
  }
  void emit_repeat(Node const& node) {
    Node const& child = node.children[0];
    if (child.kind == Node::Kind::set) {
      put({Op::repeat, child.set, node.low, node.high, static_cast<std::uint32_t>(node.mode)});
      return;
    }
    std::uint32_t const atomic = node.mode == Mode::possessive ? put({Op::atomic, 0, 0, 0, 0}) : kMany;
    auto const split = [&](std::uint32_t into) {
      std::uint32_t const at = put({Op::split, 0, into, into, 0});
      return at;
    };
    auto const behind = [&](std::uint32_t at) { (node.mode == Mode::lazy ? code_[at].low : code_[at].high) = here(); };
    for (std::uint32_t i = 0; i < node.low; ++i) emit(child);
    if (node.high == kMany) {
      std::uint32_t const loop = split(here() + 1);
      emit(child);
      put({Op::jump, 0, loop, 0, 0});
      behind(loop);
    } else {
      std::vector<std::uint32_t> splits;
      for (std::uint32_t i = node.low; i < node.high; ++i) splits.push_back(split(here() + 1)), emit(child);
      for (std::uint32_t const at : splits) behind(at);
    }
    if (atomic != kMany) put({Op::accept, 0, 0, 0, 0}), code_[atomic].high = here();
  }

  // ---- matching
  [[nodiscard]] bool step(std::string_view text, CharSet const& set, std::size_t& at) const {
    if (at == text.size()) return false;
    Utf8Char const c = char_at(text, at);
    if (!set.has(c.code)) return false;
    at += c.bytes;
    return true;
  }
  /// End of the match of the program at `code` from `at`, or kNo. Nested calls are as deep as lookaheads are nested.
  std::size_t run(std::string_view text, std::size_t at, std::uint32_t code, std::vector<Frame>& stack, std::uint64_t& steps) const {
    std::size_t const base = stack.size();
    for (;;) {
      bool ok = true;
      Code const& c = code_[code];
      if (steps-- == 0) throw LimitError(mgm::text(where_, ": pattern ", mgm::quoted(pattern_), " takes too many steps on this text"));
      switch (c.op) {
        case Op::accept:
          stack.resize(base);
          return at;
        case Op::set:
          ok = step(text, sets_[c.set], at), ++code;
          break;
        case Op::jump:
          code = c.low;
          break;
        case Op::split:
          stack.push_back({c.high, false, at, at});
          code = c.low;
          break;
        case Op::ahead:
        case Op::not_ahead:
          ok = (run(text, at, code + 1, stack, steps) != kNo) == (c.op == Op::ahead), code = c.high;
          break;
        case Op::atomic: {
          std::size_t const end = run(text, at, code + 1, stack, steps);
          ok = end != kNo;
          if (ok) at = end;
          code = c.high;
          break;
        }
        case Op::repeat: {
          CharSet const& set = sets_[c.set];
          std::uint32_t count = 0;
          while (ok && count < c.low) ok = step(text, set, at), ++count;
          if (!ok) break;
          std::size_t const low = at;
          auto const mode = static_cast<Mode>(c.mode);
          if (mode == Mode::lazy) {
            if (count < c.high) stack.push_back({code, true, at, c.high == kMany ? kNo : std::size_t{c.high - count}});
          } else {
            while (count < c.high && step(text, set, at)) ++count, steps -= steps > 1;
            if (mode == Mode::greedy && at > low) stack.push_back({code + 1, false, at, low});
          }
          ++code;
          break;
        }
      }
      if (ok) continue;
      // The last choice that is open.
      for (;;) {
        if (stack.size() == base) return kNo;
        Frame& frame = stack.back();
        if (frame.lazy) {
          std::size_t from = frame.at;
          std::uint32_t const again = frame.code;
          bool const took = step(text, sets_[code_[again].set], from);
          if (took && --frame.low > 0) {
            frame.at = from;
          } else {
            stack.pop_back();
          }
          if (!took) continue;
          at = from, code = again + 1;
        } else if (frame.at > frame.low) {
          do --frame.at;
          while ((static_cast<unsigned char>(text[frame.at]) & 0xC0) == 0x80);
          at = frame.at, code = frame.code;
          if (frame.at == frame.low) stack.pop_back();
        } else {
          at = frame.at, code = frame.code;
          stack.pop_back();
        }
        break;
      }
    }
  }

  std::string pattern_, where_;
  std::size_t at_ = 0;
  bool fold_ = false;
  std::vector<CharSet> sets_;
  std::vector<Code> code_;
};

}  // namespace mgm::inline v0::io::vocab
