/// Writes safetensors files: the header first, so all shapes are given before any bytes; the tensors' bytes after it, one by one.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mgm/core/dtype.hpp>
#include <mgm/core/error.hpp>
#include <mgm/core/view.hpp>
#include <mgm/io/atomic_file.hpp>
#include <mgm/io/tensor_info.hpp>
#include <mgm/io/torch_file.hpp>

namespace mgm::inline v0::io {

/// A tensor to be written: row-major and without gaps, borrowed until `write_safetensors` returns.
struct TensorToWrite {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<Size> shape;
  void const* data = nullptr;

  TensorToWrite(std::string tensor, Dtype type, std::vector<Size> extents, void const* bytes)
      : name(std::move(tensor)), dtype(type), shape(std::move(extents)), data(bytes) {}
  /// A view in host memory; it must be contiguous.
  template <class T, int R, Device Dev>
  requires Dev::kHost TensorToWrite(std::string tensor, View<T, R, Dev> view)
      : name(std::move(tensor)), dtype(kDtypeOf<T>), data(view.data()) {
    require<ShapeError>(view.contiguous(), "write_safetensors: tensor ", mgm::quoted(name), " is not contiguous");
    for (int i = 0; i < R; ++i) shape.push_back(view.extent(i));
  }
};

namespace detail {
/// `s` as a JSON text. Throws ArgumentError when it is not UTF-8.
[[nodiscard]] inline std::string json_text(std::string_view s) {
  require<ArgumentError>(is_utf8(s), "JSON: ", mgm::quoted(s), " is not UTF-8");
  std::string out = "\"";
  for (char const c : s) {
    auto const byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (byte < 0x20)
      out += text("\\u00", "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]);
    else
      out += c;
  }
  return out + '"';
}
}  // namespace detail

/// Writes `tensors` to `path`, whole or not at all, wide types first so that every tensor is aligned for its type, else in the order given.
/// Throws ArgumentError (a name twice, negative or overflowing shapes, names that are not UTF-8) and FileError (the disk).
inline void write_safetensors(std::string const& path, std::vector<TensorToWrite> const& tensors,
                              std::vector<std::pair<std::string, std::string>> const& metadata = {}) {
  std::vector<TensorToWrite const*> order;
  std::set<std::string_view> names{"__metadata__"};
  for (auto const& t : tensors) {
    order.push_back(&t);
    require<ArgumentError>(names.insert(t.name).second, path, ": tensor ", mgm::quoted(t.name), " is there twice, or has a reserved name");
  }
  std::stable_sort(order.begin(), order.end(), [](auto const* a, auto const* b) { return size_of(a->dtype) > size_of(b->dtype); });
  std::string header = "{";
  if (!metadata.empty()) {
    std::set<std::string_view> keys;
    header += "\"__metadata__\":{";
    for (auto const& [key, value] : metadata) {
      require<ArgumentError>(keys.insert(key).second, path, ": metadata key ", mgm::quoted(key), " is there twice");
      header += text(keys.size() > 1 ? "," : "", detail::json_text(key), ":", detail::json_text(value));
    }
    header += '}';
  }
  Size end = 0;
  for (auto const* t : order) {
    auto const bytes = tensor_bytes(t->shape, t->dtype);
    auto const after = bytes ? checked_add(end, *bytes) : bytes;
    require<ArgumentError>(after.has_value(), path, ": tensor ", mgm::quoted(t->name), ": shape ", shape_text(t->shape), " cannot be");
    header += text(header.size() > 1 ? "," : "", detail::json_text(t->name), ":{\"dtype\":\"", name(t->dtype), "\",\"shape\":[");
    for (std::size_t i = 0; i < t->shape.size(); ++i) header += text(i ? "," : "", t->shape[i]);
    header += text("],\"data_offsets\":[", end, ",", *after, "]}");
    end = *after;
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  AtomicFile file(path);
  std::uint64_t const length = header.size();
  file.write(reinterpret_cast<std::byte const*>(&length), 8);
  file.write(header);
  for (auto const* t : order) file.write(static_cast<std::byte const*>(t->data), *tensor_bytes(t->shape, t->dtype));
  file.commit();
}

}  // namespace mgm::inline v0::io
