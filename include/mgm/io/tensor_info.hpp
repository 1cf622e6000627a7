/// What a file says about one tensor, after it was proved to lie inside the file, and the limits under which files are believed.
#pragma once
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <mgm/core/dtype.hpp>
#include <mgm/core/error.hpp>

namespace mgm::inline v0::io {

/// Bounds on what a file may ask for, checked before memory is taken. A value may be raised by who trusts the file.
struct Limits {
  Size header_bytes = 100'000'000;  ///< safetensors: length of the header, as in the reference reader
  Size tensors = 4'000'000;         ///< tensors in one file
  Size rank = 64;                   ///< dimensions of one tensor
  Size extent = Size{1} << 53;      ///< one dimension: what every JSON reader holds exactly
  Size pickle_bytes = 64 << 20;     ///< PyTorch: the object description, without the numbers
  Size pickle_values = 2'000'000;   ///< PyTorch: containers, stack slots and memo slots of that description
  Size steps = 16'000'000;          ///< PyTorch: values visited when tensors are looked for in shared containers
  Size name_bytes = 128 << 20;      ///< PyTorch: all tensor names together (a short file can repeat a long key)
  int depth = 100;                  ///< nesting of containers
  Size entries = 4'000'000;         ///< zip: entries of the directory
};

/// One tensor of a file. `strides` (elements) is empty when the bytes are row-major without gaps, as they are in safetensors.
struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<Size> shape;
  Size offset = 0;  ///< of element (0, …, 0), from the start of the file
  Size bytes = 0;   ///< of all elements: Π shape · size_of(dtype)
  std::vector<Size> strides;

  [[nodiscard]] Size count() const { return bytes / size_of(dtype); }
};

/// a·b, or nothing where it would pass 2⁶³ − 1. Both ≥ 0.
[[nodiscard]] constexpr std::optional<Size> checked_multiply(Size a, Size b) {
  Size out = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}
/// a + b, or nothing where it would pass 2⁶³ − 1. Both ≥ 0.
[[nodiscard]] constexpr std::optional<Size> checked_add(Size a, Size b) {
  Size out = 0;
  if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}
/// Π shape · size_of(dtype), or nothing where a step of the product, from the left, overflows.
[[nodiscard]] inline std::optional<Size> tensor_bytes(std::vector<Size> const& shape, Dtype dtype) {
  std::optional<Size> n = 1;
  for (Size const extent : shape)
    if (!(n = checked_multiply(*n, extent))) return n;
  return checked_multiply(*n, size_of(dtype));
}

/// The Dtype that safetensors spells `spelled`, if it is one of ours.
[[nodiscard]] constexpr std::optional<Dtype> dtype_named(std::string_view spelled) {
  for (int i = 0; i <= static_cast<int>(Dtype::boolean); ++i)
    if (name(static_cast<Dtype>(i)) == spelled) return static_cast<Dtype>(i);
  return std::nullopt;
}
/// "F64, F32, …", for messages.
[[nodiscard]] inline std::string dtype_list() {
  std::string out;
  for (int i = 0; i <= static_cast<int>(Dtype::boolean); ++i) out += text(i ? ", " : "", name(static_cast<Dtype>(i)));
  return out;
}

/// "(2, 3, 4)", for messages; at most 16 extents.
[[nodiscard]] inline std::string shape_text(std::vector<Size> const& shape) {
  std::string out = "(";
  for (std::size_t i = 0; i < shape.size() && i < 16; ++i) out += text(i ? ", " : "", shape[i]);
  return out + (shape.size() > 16 ? ", ...)" : ")");
}

/// A hash that a file cannot foresee, so that no choice of names makes look-ups slow.
class SeededHash {
 public:
  SeededHash()
      : seed_(static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) * 0x9E3779B97F4A7C15u ^
              reinterpret_cast<std::uintptr_t>(this)) {}
  [[nodiscard]] std::size_t operator()(std::string_view s) const noexcept {
    std::uint64_t h = seed_ ^ s.size();
    char const* at = s.data();
    std::size_t left = s.size();
    for (; left >= 8; at += 8, left -= 8) {
      std::uint64_t word;
      std::memcpy(&word, at, 8);
      h = mix(h ^ word);
    }
    std::uint64_t tail = 0;
    if (left) std::memcpy(&tail, at, left);
    return static_cast<std::size_t>(mix(mix(h ^ tail)));
  }

 private:
  static constexpr std::uint64_t mix(std::uint64_t x) {  // multiply and xor-shift rounds, as in splitmix64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  }
  std::uint64_t seed_;
};

/// Names to positions. The names are borrowed and must outlive the index.
using NameIndex = std::unordered_map<std::string_view, std::uint32_t, SeededHash>;

}  // namespace mgm::inline v0::io
