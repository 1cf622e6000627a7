/// Weights that are no numbers: the first NaN or infinity of a tensor, found in its bytes as stored.
#pragma once
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include <mgm/io/load_parameters.hpp>

namespace mgm::inline v0::io {

namespace detail {
/// Index of the first element whose exponent has all bits set: NaN or infinity, in every IEEE format and bf16.
template <class Bits>
std::optional<Size> first_with_exponent(std::byte const* data, Size bytes, Bits exponent) {
  for (Size i = 0; i < bytes / Size{sizeof(Bits)}; ++i) {
    Bits bits;
    std::memcpy(&bits, data + i * Size{sizeof(Bits)}, sizeof bits);
    if ((bits & exponent) == exponent) return i;
  }
  return std::nullopt;
}
}  // namespace detail

/// The index, row-major, of the first element of `tensor` that is NaN or infinite; nothing where all are numbers, as integers are. Reads
/// all of it, block by block. Throws FileError.
[[nodiscard]] inline std::optional<Size> first_not_finite(TensorFile const& file, TensorInfo const& tensor) {
  std::optional<Size> found;
  Size before = 0;
  file.visit_bytes(tensor, [&](std::byte const* data, Size bytes) {
    if (found) return;
    std::optional<Size> at;
    switch (tensor.dtype) {
      case Dtype::f64:
        at = detail::first_with_exponent<std::uint64_t>(data, bytes, 0x7FF0000000000000u);
        break;
      case Dtype::f32:
        at = detail::first_with_exponent<std::uint32_t>(data, bytes, 0x7F800000u);
        break;
      case Dtype::bf16:
        at = detail::first_with_exponent<std::uint16_t>(data, bytes, 0x7F80u);
        break;
      case Dtype::f16:
        at = detail::first_with_exponent<std::uint16_t>(data, bytes, 0x7C00u);
        break;
      default:
        break;
    }
    if (at) found = before + *at;
    before += bytes / size_of(tensor.dtype);
  });
  return found;
}

/// Reads every tensor that `module` takes from `source`. Throws NumericalError that names the first with an element that is no number, and
/// the element's index; FileError.
template <class Module>
void require_finite(Source const& source, Module& module) {
  visit_parameters(module, "", [&](std::string const& path, auto&) {
    auto const& entry = source.checkpoint.at(source.name(path));
    if (auto const at = first_not_finite(*entry.file, *entry.info))
      throw NumericalError(text(entry.file->path(), ": tensor ", mgm::quoted(entry.name), ": element ", *at, " is NaN or infinite"));
  });
}

}  // namespace mgm::inline v0::io
