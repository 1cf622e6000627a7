/// The header of a safetensors file (https://github.com/huggingface/safetensors), believed only after every claim was checked:
///   8 bytes  N, little-endian · N bytes of JSON {"name": {"dtype", "shape", "data_offsets": [begin, end)}, …, "__metadata__": {text:
///   text}} · the tensors' bytes, row-major, end to end: no overlap, no hole, none left over.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/file.hpp>
#include <mgm/io/json.hpp>
#include <mgm/io/tensor_info.hpp>

namespace mgm::inline v0::io {

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  ///< in the order of their bytes; offsets count from the start of the file
  std::vector<std::pair<std::string, std::string>> metadata;
};

namespace detail {

/// Takes the header's JSON events. One entry is held at a time; names are compared after sorting, so that time stays n log n.
class SafetensorsHandler : public JsonHandler {
 public:
  SafetensorsHandler(std::string_view header, std::string_view where, Size data_begin, Size file_size, Limits const& limits)
      : JsonHandler(header, where, limits.depth), data_begin_(data_begin), data_size_(file_size - data_begin), limits_(limits) {}

  bool null() { return scalar("null"); }
  bool boolean(bool) { return scalar("true or false"); }
  bool number_integer(std::int64_t) { return number(false, 0, "a negative number"); }  // -0 too
  bool number_unsigned(std::uint64_t v) { return number(true, v, ""); }
  bool number_float(double, std::string const&) { return number(false, 0, "a number that is not an integer below 2^64"); }
  bool binary(nlohmann::json::binary_t&) { fail("not JSON: binary value"); }
  bool string(std::string& v) {
    if (at_ == At::metadata) {
      metadata_.push_back({std::move(key_), std::move(v)});
      return true;
    }
    if (at_ != At::entry || field_ != Field::dtype) return scalar("a text");
    auto const dtype = dtype_named(v);
    if (!dtype)
      throw DtypeError(
          text(where_, ": tensor ", mgm::quoted(key_), ": dtype ", mgm::quoted(v), " is not supported; supported are ", dtype_list()));
    entry_.dtype = *dtype;
    return true;
  }
  bool start_object(std::size_t) {
    descend();
    switch (at_) {
      case At::start:
        at_ = At::root;
        return true;
      case At::root:
        if (key_ == "__metadata__") {
          if (has_metadata_) fail("key '__metadata__' occurs twice");
          has_metadata_ = true, at_ = At::metadata;
        } else {
          at_ = At::entry, entry_ = {}, seen_ = 0;
        }
        return true;
      case At::entry:
        if (field_ != Field::other) fail(wrong("an object"));
        skip_from_ = depth_, at_ = At::skip;
        return true;
      case At::skip:
        return true;
      default:
        fail(wrong("an object"));
    }
  }
  bool start_array(std::size_t) {
    descend();
    if (at_ == At::skip) return true;
    if (at_ != At::entry || field_ == Field::dtype) fail(wrong("an array"));
    if (field_ == Field::shape)
      at_ = At::shape;
    else if (field_ == Field::offsets)
      at_ = At::offsets, offset_count_ = 0;
    else
      skip_from_ = depth_, at_ = At::skip;
    return true;
  }
  bool key(std::string& k) {
    if (at_ == At::root)
      key_ = std::move(k), key_end_ = position();
    else if (at_ == At::metadata)
      key_ = std::move(k);
    else if (at_ == At::entry) {
      field_ = k == "dtype" ? Field::dtype : k == "shape" ? Field::shape : k == "data_offsets" ? Field::offsets : Field::other;
      unsigned const bit = 1u << static_cast<unsigned>(field_);
      if (field_ != Field::other && (seen_ & bit)) fail(text("tensor ", mgm::quoted(key_), ": key ", mgm::quoted(k), " occurs twice"));
      seen_ |= bit;
    }
    return true;
  }
  bool end_array() {
    if (at_ == At::offsets && offset_count_ != 2)
      fail(text("tensor ", mgm::quoted(key_), ": data_offsets: expected 2 numbers, found ", offset_count_));
    if (at_ == At::shape || at_ == At::offsets || (at_ == At::skip && depth_ == skip_from_)) at_ = At::entry;
    ascend();
    return true;
  }
  bool end_object() {
    if (at_ == At::skip && depth_ == skip_from_)
      at_ = At::entry;
    else if (at_ == At::metadata)
      at_ = At::root;
    else if (at_ == At::entry)
      finish_entry(), at_ = At::root;
    ascend();
    return true;
  }

  SafetensorsHeader finish() {
    check_names();
    std::vector<std::uint32_t> order(tensors_.size());
    std::iota(order.begin(), order.end(), 0u);
    auto const range = [&](std::uint32_t i) { return std::pair{tensors_[i].offset, tensors_[i].bytes}; };
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return range(a) < range(b); });
    Size end = data_begin_;
    SafetensorsHeader out;
    out.tensors.reserve(tensors_.size());
    for (auto const i : order) {
      auto& tensor = tensors_[i];
      require<FileError>(tensor.offset >= end, where_, ": tensor ", mgm::quoted(tensor.name), " begins at byte ", tensor.offset,
                         ", inside the tensor before it, which ends at ", end);
      require<FileError>(tensor.offset == end, where_, ": hole of ", tensor.offset - end, " bytes before tensor ", mgm::quoted(tensor.name),
                         ": expected it at byte ", end, ", found ", tensor.offset);
      end = tensor.offset + tensor.bytes;
      out.tensors.push_back(std::move(tensor));
    }
    require<FileError>(end == data_begin_ + data_size_, where_, ": the last tensor ends at byte ", end, ", the file at ",
                       data_begin_ + data_size_, ": expected no bytes after it");
    out.metadata = std::move(metadata_);
    return out;
  }

 private:
  enum class At { start, root, metadata, entry, shape, offsets, skip };
  enum class Field : unsigned { dtype, shape, offsets, other };

  [[nodiscard]] std::string wrong(std::string_view found) const {
    switch (at_) {
      case At::metadata:
        return text("__metadata__: key ", mgm::quoted(key_), ": expected a text, found ", found);
      case At::shape:
        return text("tensor ", mgm::quoted(key_), ": shape: expected integers, found ", found);
      case At::offsets:
        return text("tensor ", mgm::quoted(key_), ": data_offsets: expected integers, found ", found);
      case At::entry: {
        auto const i = static_cast<unsigned>(field_);
        constexpr std::string_view kKeys[] = {"dtype", "shape", "data_offsets", ""},
                                   kWant[] = {"a text", "an array", "an array", "anything"};
        return text("tensor ", mgm::quoted(key_), ": ", kKeys[i], ": expected ", kWant[i], ", found ", found);
      }
      default:
        return text("entry ", mgm::quoted(key_), ": expected an object, found ", found);
    }
  }
  bool scalar(std::string_view found) {
    if (at_ == At::skip || (at_ == At::entry && field_ == Field::other)) return true;
    fail(wrong(found));
  }
  bool number(bool whole, std::uint64_t v, std::string_view fault) {
    if (at_ != At::shape && at_ != At::offsets) return scalar("a number");
    if (!whole) fail(wrong(fault));
    if (v > static_cast<std::uint64_t>(limits_.extent)) fail(wrong(text(v, ", more than ", limits_.extent)));
    if (at_ == At::offsets) {
      if (offset_count_ < 2) offsets_[static_cast<std::size_t>(offset_count_)] = static_cast<Size>(v);
      ++offset_count_;
    } else {
      if (static_cast<Size>(entry_.shape.size()) >= limits_.rank)
        throw LimitError(text(where_, ": tensor ", mgm::quoted(key_), ": more than ", limits_.rank, " dimensions"));
      entry_.shape.push_back(static_cast<Size>(v));
    }
    return true;
  }
  void finish_entry() {
    for (unsigned i = 0; i < 3; ++i)
      if (!(seen_ & (1u << i)))
        fail(text("tensor ", mgm::quoted(key_), ": key '", std::array{"dtype", "shape", "data_offsets"}[i], "' is missing"));
    auto const [begin, end] = offsets_;
    if (begin > end) fail(text("tensor ", mgm::quoted(key_), ": data_offsets begin at ", begin, ", after their end ", end));
    if (end > data_size_)
      fail(text("tensor ", mgm::quoted(key_), ": data_offsets end at ", end, ", but the file holds ", data_size_, " bytes of data"));
    auto const bytes = tensor_bytes(entry_.shape, entry_.dtype);
    if (!bytes) fail(text("tensor ", mgm::quoted(key_), ": shape ", shape_text(entry_.shape), " overflows 64 bits"));
    if (*bytes != end - begin)
      fail(text("tensor ", mgm::quoted(key_), ": shape ", shape_text(entry_.shape), " of ", name(entry_.dtype), " needs ", *bytes,
                " bytes, data_offsets hold ", end - begin));
    if (static_cast<Size>(tensors_.size()) >= limits_.tensors) throw LimitError(text(where_, ": more than ", limits_.tensors, " tensors"));
    entry_.name = std::move(key_), entry_.offset = data_begin_ + begin, entry_.bytes = *bytes;
    entry_.shape.shrink_to_fit();
    tensors_.push_back(std::move(entry_));
    key_ends_.push_back(key_end_);
  }
  void check_names() {
    std::vector<std::uint32_t> order(tensors_.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](auto a, auto b) {
      int const c = tensors_[a].name.compare(tensors_[b].name);
      return c != 0 ? c < 0 : a < b;
    });
    for (std::size_t i = 1; i < order.size(); ++i)
      require<FileError>(tensors_[order[i - 1]].name != tensors_[order[i]].name, where_, ": tensor ", mgm::quoted(tensors_[order[i]].name),
                         " occurs twice: its name ends at byte ", key_ends_[order[i - 1]], " and again at byte ", key_ends_[order[i]]);
    std::sort(metadata_.begin(), metadata_.end());
    for (std::size_t i = 1; i < metadata_.size(); ++i)
      require<FileError>(metadata_[i - 1].first != metadata_[i].first, where_, ": __metadata__: key ", mgm::quoted(metadata_[i].first),
                         " occurs twice");
  }

  Size data_begin_, data_size_;
  Limits limits_;
  At at_ = At::start;
  Field field_ = Field::other;
  unsigned seen_ = 0;
  bool has_metadata_ = false;
  int skip_from_ = 0;
  Size offset_count_ = 0, key_end_ = 0;
  std::array<Size, 2> offsets_{};
  std::string key_;
  TensorInfo entry_;
  std::vector<TensorInfo> tensors_;
  std::vector<Size> key_ends_;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

}  // namespace detail

/// The tensors of a safetensors file. Throws FileError (DtypeError, LimitError) naming the tensor, the byte and both numbers; nothing is
/// allocated on the word of the file alone.
[[nodiscard]] inline SafetensorsHeader read_safetensors(MappedFile const& file, Limits const& limits = {}) {
  std::string const& where = file.path();
  require<FileError>(file.size() >= 8, where, ": file has ", file.size(), " bytes, header length needs 8");
  std::uint64_t length;
  std::memcpy(&length, file.view(0, 8).data, 8);
  require<LimitError>(length <= static_cast<std::uint64_t>(limits.header_bytes), where, ": header length ", length,
                      " is over the limit of ", limits.header_bytes);
  Size const end = 8 + static_cast<Size>(length);
  require<FileError>(end <= file.size(), where, ": header ends at byte ", end, ", file at ", file.size(), " (a download cut short?)");
  require<FileError>(length >= 2, where, ": header length ", length, " is too short, expected at least 2 for {}");
  Bytes const bytes = file.view(8, end - 8);
  std::string_view json = bytes.text();
  require<FileError>(json.front() == '{', where, ": header begins with byte ", hex_head(json.substr(0, 1)), ", expected '{'");
  auto const last = json.find_last_not_of(' ');
  require<FileError>(json[last] == '}', where, ": header ends with byte ", hex_head(json.substr(last, 1)), " at byte ", 8 + last,
                     ", expected '}' and spaces");
  detail::SafetensorsHandler handler(json, where, end, file.size(), limits);
  detail::JsonHandler::run(handler, json);
  auto header = handler.finish();
  file.check_size();
  return header;
}

}  // namespace mgm::inline v0::io
