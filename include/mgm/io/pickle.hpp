/// Reads the pickles of torch.save without being able to call anything: the stream is data, its "callables" are a fixed list of words, and
/// what they would build (tensors over storages) is written down as numbers. Opcodes and globals off the lists are refused by name.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <mgm/core/dtype.hpp>
#include <mgm/core/error.hpp>
#include <mgm/io/pickle_words.hpp>
#include <mgm/io/tensor_info.hpp>

namespace mgm::inline v0::io::detail {

/// A pickled value: small, copied freely. Containers, storages and tensors are positions in the reader's lists.
struct PickleValue {
  enum Kind : std::uint8_t { none, boolean, integer, real, text, tuple, list, dict, ordered_dict, word, storage, tensor, opaque };
  Kind kind = none;
  std::uint32_t size = 0;    ///< text: bytes
  std::int64_t payload = 0;  ///< the number, its bits, the position, or where the text begins in the stream
};

/// A storage that the stream refers to; `dtype` is empty for an untyped one, which counts bytes.
struct PickleStorage {
  std::string_view key;
  std::optional<Dtype> dtype;
  Size count = 0;
  std::string_view root{};  ///< older form: the storage of which this is a part, from element `first` on; empty where it is its own
  Size first = 0;
  [[nodiscard]] Size element() const { return dtype ? size_of(*dtype) : 1; }
  [[nodiscard]] Size bytes() const { return count * element(); }  // checked when it was made
};

/// A tensor over a storage: element (i…) is number first + Σ i·strides of the storage, seen as `dtype`.
struct PickleTensor {
  std::size_t storage = 0;
  Dtype dtype = Dtype::f32;
  Size first = 0;
  std::vector<Size> shape, strides;
};

/// One run over one pickle. The text must outlive the reader.
class PickleReader {
 public:
  /// `where` begins the messages, `base` is added to the bytes that they name.
  PickleReader(std::string_view stream, std::string_view where, Size base, Limits const& limits)
      : in_(stream), where_(where), base_(base), limits_(limits) {}

  /// Runs to STOP and returns the value there; `end` is then the number of bytes that were read.
  PickleValue run() {
    for (;;) {
      start_ = at_;
      auto const op = static_cast<unsigned char>(take(1)[0]);
      if (op == '.') return finish();
      step(op);
    }
  }
  [[nodiscard]] Size end() const { return at_; }

  [[nodiscard]] std::string_view text_of(PickleValue v) const { return in_.substr(static_cast<std::size_t>(v.payload), v.size); }
  [[nodiscard]] std::vector<PickleValue> const& items(PickleValue v) const { return containers_[static_cast<std::size_t>(v.payload)]; }
  [[nodiscard]] std::vector<PickleStorage> const& storages() const { return storages_; }
  [[nodiscard]] std::vector<PickleTensor> const& tensors() const { return tensors_; }
  /// Values that were made; the work of a caller who visits each once.
  [[nodiscard]] Size made() const { return made_; }

  template <class... Parts>
  [[noreturn]] void fail(Parts const&... parts) const {
    throw FileError(mgm::text(where_, ": pickle: byte ", base_ + start_, ": ", parts...));
  }

 private:
  using V = PickleValue;

  std::string_view take(Size n) {
    if (n > static_cast<Size>(in_.size()) - at_) fail("expected ", n, " more bytes, found ", static_cast<Size>(in_.size()) - at_);
    auto const out = in_.substr(static_cast<std::size_t>(at_), static_cast<std::size_t>(n));
    at_ += n;
    return out;
  }
  template <class T>
  T take_number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view take_line() {
    auto const end = in_.find('\n', static_cast<std::size_t>(at_));
    if (end == in_.npos || static_cast<Size>(end) - at_ > 256) fail("a name without end");
    auto const line = take(static_cast<Size>(end) - at_);
    take(1);
    return line;
  }
  void count_one() {
    if (++made_ > limits_.pickle_values) throw LimitError(mgm::text(where_, ": pickle: more than ", limits_.pickle_values, " values"));
  }
  void push(V v) {
    count_one();
    stack_.push_back(v);
  }
  /// How many values lie above the last mark.
  [[nodiscard]] std::size_t above() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  V& top(std::size_t below = 0) {
    if (above() <= below)
      fail("stack underflow in opcode ", opcode_name(static_cast<unsigned char>(in_[static_cast<std::size_t>(start_)])));
    return stack_[stack_.size() - 1 - below];
  }
  V pop() {
    V const v = top();
    stack_.pop_back();
    return v;
  }
  std::vector<V> pop_mark() {
    if (marks_.empty()) fail("opcode without a MARK");
    std::vector<V> out(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return out;
  }
  V container(V::Kind kind, std::vector<V> items = {}) {
    count_one();
    containers_.push_back(std::move(items));
    return {kind, 0, static_cast<std::int64_t>(containers_.size() - 1)};
  }
  std::vector<V>& inside(V v) { return containers_[static_cast<std::size_t>(v.payload)]; }
  V text_value(std::string_view s) { return {V::text, static_cast<std::uint32_t>(s.size()), s.data() - in_.data()}; }
  void push_tuple(std::size_t n) {
    top(n - 1);
    std::vector<V> items(stack_.end() - static_cast<std::ptrdiff_t>(n), stack_.end());
    stack_.resize(stack_.size() - n);
    push(container(V::tuple, std::move(items)));
  }
  void put(std::uint32_t slot) {
    V const v = top();
    count_one();
    memo_[slot] = v;
  }
  void get(std::uint32_t slot) {
    auto const found = memo_.find(slot);
    if (found == memo_.end()) fail("memo slot ", slot, " is empty");
    push(found->second);
  }
  void set_items(std::vector<V> const& pairs) {
    if (pairs.size() % 2 != 0) fail("a dictionary with a key but no value");
    V const target = top();
    if (target.kind != V::dict && target.kind != V::ordered_dict) fail("SETITEM on something that is no dictionary");
    auto& to = inside(target);
    to.insert(to.end(), pairs.begin(), pairs.end());
  }
  void append(std::vector<V> const& items) {
    V const target = top();
    if (target.kind != V::list) fail("APPEND on something that is no list");
    auto& to = inside(target);
    to.insert(to.end(), items.begin(), items.end());
  }

  void step(unsigned char op);
  V finish() {
    V const v = pop();
    if (!stack_.empty() || !marks_.empty()) fail("STOP with ", stack_.size(), " values left on the stack");
    return v;
  }
  void long_integer(std::string_view digits) {  // two's complement, little-endian
    if (digits.size() > 8) return push({V::opaque});
    std::uint64_t v = digits.empty() || !(digits.back() & '\x80') ? 0 : ~std::uint64_t{0};
    if (!digits.empty()) std::memcpy(&v, digits.data(), digits.size());
    push({V::integer, 0, static_cast<std::int64_t>(v)});
  }
  V persistent(V id);
  V declare(PickleStorage const& s);
  V reduce(PickleWord word, V args);
  V tensor(V args, bool with_dtype);
  Size whole(V v, std::string_view what) const {
    if (v.kind != V::integer || v.payload < 0 || v.payload > limits_.extent) fail(what, ": expected an integer from 0 to ", limits_.extent);
    return v.payload;
  }
  std::vector<Size> sizes(V v, std::string_view what) {
    if (v.kind != V::tuple && v.kind != V::list) fail(what, ": expected a tuple");
    if (static_cast<Size>(items(v).size()) > limits_.rank)
      throw LimitError(mgm::text(where_, ": pickle: more than ", limits_.rank, " dimensions"));
    std::vector<Size> out;
    for (V const item : items(v)) count_one(), out.push_back(whole(item, what));  // one tuple can serve many tensors
    return out;
  }

  std::string_view in_, where_;
  Size base_ = 0, at_ = 0, start_ = 0, made_ = 0;
  Limits const& limits_;
  std::vector<V> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint32_t, V> memo_;
  std::vector<std::vector<V>> containers_;
  std::vector<PickleStorage> storages_;
  std::map<std::string_view, std::size_t> storage_of_key_;
  std::vector<PickleTensor> tensors_;
};

inline void PickleReader::step(unsigned char op) {
  switch (op) {
    case 0x80:  // PROTO
      if (auto const version = static_cast<unsigned char>(take(1)[0]); version > 3)
        fail("pickle protocol ", int{version}, " is not supported; torch.save writes 2");
      return;
    case '(':  // MARK
      if (static_cast<int>(marks_.size()) >= 10 * limits_.depth) fail("more than ", 10 * limits_.depth, " open MARKs");
      return marks_.push_back(stack_.size());
    case 'N':
      return push({V::none});
    case 0x88:
      return push({V::boolean, 0, 1});
    case 0x89:
      return push({V::boolean, 0, 0});
    case 'J':
      return push({V::integer, 0, take_number<std::int32_t>()});
    case 'K':
      return push({V::integer, 0, take_number<std::uint8_t>()});
    case 'M':
      return push({V::integer, 0, take_number<std::uint16_t>()});
    case 0x8A:
      return long_integer(take(take_number<std::uint8_t>()));
    case 'G':
      return push({V::real, 0, static_cast<std::int64_t>(__builtin_bswap64(take_number<std::uint64_t>()))});
    case 'X':
      return push(text_value(take(take_number<std::uint32_t>())));
    case 'U':
      return push(text_value(take(take_number<std::uint8_t>())));
    case ')':
      return push(container(V::tuple));
    case ']':
      return push(container(V::list));
    case '}':
      return push(container(V::dict));
    case 0x8F:
      return push({V::opaque});  // EMPTY_SET
    case 0x85:
      return push_tuple(1);
    case 0x86:
      return push_tuple(2);
    case 0x87:
      return push_tuple(3);
    case 't': {
      auto items = pop_mark();
      return push(container(V::tuple, std::move(items)));
    }
    case 'a': {
      V const item = pop();
      return append({item});
    }
    case 'e':
      return append(pop_mark());
    case 's': {
      V const value = pop(), key = pop();
      return set_items({key, value});
    }
    case 'u':
      return set_items(pop_mark());
    case 'q':
      return put(take_number<std::uint8_t>());
    case 'r':
      return put(take_number<std::uint32_t>());
    case 'h':
      return get(take_number<std::uint8_t>());
    case 'j':
      return get(take_number<std::uint32_t>());
    case 'c': {
      auto const module = take_line(), member = take_line();
      auto const word = find_word(module, member);
      if (!word && module.starts_with("torch") && (member.ends_with("Storage") || module == "torch"))
        fail("global ", mgm::quoted(mgm::text(module, ".", member)), " is not supported; tensors of ", dtype_list(), " are");
      if (!word) fail("global ", mgm::quoted(mgm::text(module, ".", member)), " is not allowed; only what rebuilds tensors is read");
      return push({V::word, 0, static_cast<std::int64_t>(*word)});
    }
    case 'Q': {
      V const id = pop();
      return push(persistent(id));
    }
    case 'R': {
      V const args = pop(), callable = pop();
      if (callable.kind != V::word || args.kind != V::tuple) fail("REDUCE: expected an allowed global and a tuple");
      return push(reduce(static_cast<PickleWord>(callable.payload), args));
    }
    case 'b': {  // an OrderedDict keeps its attributes (`_metadata`), what does not matter its state; nothing else may have any
      V const state = pop();
      if (top().kind == V::opaque) return;
      if (top().kind != V::ordered_dict || (state.kind != V::dict && state.kind != V::ordered_dict))
        fail("BUILD: allowed only for an OrderedDict with a plain dictionary");
      return;
    }
    default:
      fail("opcode ", opcode_name(op), " is not allowed");
  }
}

/// ('storage', type, key, place, count) and, in the older form, a sixth: None or (view key, first, count).
inline PickleValue PickleReader::persistent(V id) {
  if (id.kind != V::tuple) fail("BINPERSID: expected a tuple that describes a storage");
  auto const& part = items(id);
  if (part.size() < 5 || part.size() > 6 || part[0].kind != V::text || text_of(part[0]) != "storage" || part[1].kind != V::word ||
      part[2].kind != V::text)
    fail("BINPERSID: expected ('storage', type, key, place, count)");
  PickleStorage s;
  auto const word = static_cast<PickleWord>(part[1].payload);
  s.dtype = storage_dtype(word);
  if (!s.dtype && word != PickleWord::untyped_storage) fail("BINPERSID: expected a type of storage");
  s.key = text_of(part[2]);
  s.count = whole(part[4], "storage: count");
  if (!checked_multiply(s.count, s.dtype ? size_of(*s.dtype) : 1)) fail("storage: ", s.count, " elements overflow 64 bits");
  if (part.size() == 6 && part[5].kind != V::none) {
    if (part[5].kind != V::tuple || items(part[5]).size() != 3 || items(part[5])[0].kind != V::text)
      fail("storage: expected (key, first, count) for a part of another storage");
    auto const& view = items(part[5]);
    Size const first = whole(view[1], "storage: first"), count = whole(view[2], "storage: count");
    if (first > s.count || count > s.count - first)
      fail("storage: elements ", first, " + ", count, " lie outside the ", s.count, " of storage ", mgm::quoted(s.key));
    PickleStorage part_of = s;
    part_of.key = text_of(items(part[5])[0]), part_of.root = s.key, part_of.first = first, part_of.count = count;
    declare(s);  // the bytes of the whole are looked for
    return declare(part_of);
  }
  return declare(s);
}

/// A storage may be named many times, always in the same way.
inline PickleValue PickleReader::declare(PickleStorage const& s) {
  auto const [at, added] = storage_of_key_.emplace(s.key, storages_.size());
  if (added) {
    count_one();
    storages_.push_back(s);
  } else if (auto const& known = storages_[at->second];
             known.dtype != s.dtype || known.count != s.count || known.root != s.root || known.first != s.first) {
    fail("storage ", mgm::quoted(s.key), " is described in two ways");
  }
  return {V::storage, 0, static_cast<std::int64_t>(at->second)};
}

/// What the allowed global `word` makes of `args`.
inline PickleValue PickleReader::reduce(PickleWord word, V args) {
  auto const& given = items(args);
  auto const want = [&](bool ok, std::string_view what) {
    if (!ok) fail("REDUCE: wrong arguments for ", what);
  };
  switch (word) {
    case PickleWord::rebuild_tensor:
      want(given.size() == 4, "_rebuild_tensor");
      return tensor(args, false);
    case PickleWord::rebuild_tensor_v2:
      want(given.size() >= 6 && given.size() <= 7, "_rebuild_tensor_v2");
      return tensor(args, false);
    case PickleWord::rebuild_tensor_v3:
      want(given.size() >= 7 && given.size() <= 8, "_rebuild_tensor_v3");
      return tensor(args, true);
    case PickleWord::rebuild_parameter:
      want(given.size() == 3 && given[0].kind == V::tensor, "_rebuild_parameter");
      return given[0];
    case PickleWord::rebuild_parameter_with_state:
      want(given.size() == 4 && given[0].kind == V::tensor, "_rebuild_parameter_with_state");
      return given[0];
    case PickleWord::rebuild_from_type: {  // (function, type, arguments, attributes): attributes are skipped
      want(given.size() == 4 && given[0].kind == V::word && given[1].kind == V::word && given[2].kind == V::tuple, "_rebuild_from_type_v2");
      auto const inner = static_cast<PickleWord>(given[0].payload);
      want(inner <= PickleWord::rebuild_parameter_with_state && static_cast<PickleWord>(given[1].payload) == PickleWord::tensor_type,
           "_rebuild_from_type_v2");
      return reduce(inner, given[2]);
    }
    case PickleWord::ordered_dict: {
      want(given.size() <= 1 && (given.empty() || given[0].kind == V::list || given[0].kind == V::tuple), "OrderedDict");
      std::vector<V> pairs;
      if (!given.empty())
        for (V const pair : items(given[0])) {
          want((pair.kind == V::list || pair.kind == V::tuple) && items(pair).size() == 2, "OrderedDict");
          count_one();  // a list can be given many times
          pairs.insert(pairs.end(), items(pair).begin(), items(pair).end());
        }
      return container(V::ordered_dict, std::move(pairs));
    }
    case PickleWord::size_type:
      want(given.size() == 1 && (given[0].kind == V::tuple || given[0].kind == V::list), "torch.Size");
      return given[0];
    case PickleWord::constant:
      return {V::opaque};
    default:
      fail("REDUCE: this global is not a function");
  }
}

/// (storage, first, shape, strides, …), with a dtype at place 6 in the third version.
inline PickleValue PickleReader::tensor(V args, bool with_dtype) {
  auto const& given = items(args);
  if (given[0].kind != V::storage) fail("tensor: expected a storage");
  PickleTensor t;
  t.storage = static_cast<std::size_t>(given[0].payload);
  PickleStorage const& s = storages_[t.storage];
  if (with_dtype) {
    auto const dtype = given[6].kind == V::word ? word_dtype(static_cast<PickleWord>(given[6].payload)) : std::nullopt;
    if (!dtype) fail("tensor: expected one of the types ", dtype_list());
    t.dtype = *dtype;
  } else {
    if (!s.dtype) fail("tensor: its storage ", mgm::quoted(s.key), " has no type");
    t.dtype = *s.dtype;
  }
  t.first = whole(given[1], "tensor: first element");
  t.shape = sizes(given[2], "tensor: shape");
  t.strides = sizes(given[3], "tensor: strides");
  if (t.shape.size() != t.strides.size()) fail("tensor: ", t.shape.size(), " extents but ", t.strides.size(), " strides");
  auto const bytes = tensor_bytes(t.shape, t.dtype);
  if (!bytes) fail("tensor: shape ", shape_text(t.shape), " overflows 64 bits");
  if (*bytes > 0) {
    std::optional<Size> last = t.first;
    std::vector<std::pair<Size, Size>> axes;  // (stride, extent) of the axes that move
    for (std::size_t i = 0; i < t.shape.size(); ++i) {
      if (t.shape[i] == 1) continue;
      axes.push_back({t.strides[i], t.shape[i]});
      auto const reach = checked_multiply(t.shape[i] - 1, t.strides[i]);
      last = last && reach ? checked_add(*last, *reach) : std::nullopt;
    }
    Size const there = s.bytes() / size_of(t.dtype);
    if (!last || *last >= there)
      fail("tensor: shape ", shape_text(t.shape), " with strides ", shape_text(t.strides), " from element ", t.first, " reaches past the ",
           there, " elements of storage ", mgm::quoted(s.key));
    std::sort(axes.begin(), axes.end());
    Size reach = 0;  // of the axes so far, at most `last`
    for (auto const& [stride, extent] : axes) {
      if (stride <= reach)
        fail("tensor: shape ", shape_text(t.shape), " with strides ", shape_text(t.strides), " uses elements more than once");
      reach += stride * (extent - 1);
    }
  }
  count_one();
  tensors_.push_back(std::move(t));
  return {V::tensor, 0, static_cast<std::int64_t>(tensors_.size() - 1)};
}

}  // namespace mgm::inline v0::io::detail
