/// Weights of one element type into another, block by block, giving the source's pages back on the way.
#pragma once
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <mgm/core/dtype.hpp>
#include <mgm/core/error.hpp>
#include <mgm/io/tensor_file.hpp>

namespace mgm::inline v0::io {

namespace detail {
/// IEEE binary16 to float without branches, so that loops become vector code. Exact.
[[nodiscard]] inline float widen_half(std::uint16_t h) {
  std::uint32_t const sign = std::uint32_t(h & 0x8000u) << 16, magnitude = h & 0x7FFFu;
  std::uint32_t const normal = (magnitude << 13) + (112u << 23);
  std::uint32_t const special = (magnitude << 13) + (224u << 23);  // infinity and NaN
  auto const tiny = std::bit_cast<std::uint32_t>(static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24f);
  std::uint32_t const bits = magnitude < 0x400u ? tiny : magnitude >= 0x7C00u ? special : normal;
  return std::bit_cast<float>(sign | bits);
}
/// float to IEEE binary16 without branches, to nearest even (the rounding mode of the processor decides ties of subnormals).
[[nodiscard]] inline std::uint16_t narrow_half(float value) {
  auto const u = std::bit_cast<std::uint32_t>(value);
  std::uint32_t const sign = (u >> 16) & 0x8000u, magnitude = u & 0x7FFFFFFFu;
  std::uint32_t const normal = (magnitude - (112u << 23) + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  std::uint32_t const tiny = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;  // ulp of 0.5 = 2⁻²⁴
  std::uint32_t const special = magnitude > 0x7F800000u ? 0x7E00u : 0x7C00u;
  std::uint32_t const bits = magnitude >= 0x477FF000u ? special : magnitude < 0x38800000u ? tiny : normal;
  return static_cast<std::uint16_t>(sign | bits);
}

/// One element of a file as float (as double when `T` is double and the file holds doubles).
template <class T, class S>
[[nodiscard]] auto widen(S value) {
  if constexpr (std::same_as<S, half>)
    return widen_half(value.bits);
  else if constexpr (std::same_as<S, double> && std::same_as<T, double>)
    return value;
  else
    return static_cast<float>(value);
}
template <class T, class F>
[[nodiscard]] T narrow(F value) {
  if constexpr (std::same_as<T, half>) {
    T out;
    out.bits = narrow_half(value);
    return out;
  } else {
    return T(value);
  }
}

/// dst[i] = T(src[i]); `src` needs no alignment.
template <class S, class T>
void convert(std::byte const* __restrict src, T* __restrict dst, Size count) {
  if constexpr (std::same_as<S, T>) {
    if (count > 0) std::memcpy(static_cast<void*>(dst), src, static_cast<std::size_t>(count) * sizeof(T));
  } else {
    for (Size i = 0; i < count; ++i) {
      S value;
      std::memcpy(&value, src + i * static_cast<Size>(sizeof(S)), sizeof(S));
      dst[i] = narrow<T>(widen<T>(value));
    }
  }
}
}  // namespace detail

/// Writes the `count` elements of `tensor`, row-major, to `dst` as T = float, bf16, half or double.
/// Widening is exact, narrowing rounds to nearest even; F64 goes to 16 bits by way of float, as in PyTorch.
/// Throws ShapeError when the tensor has another number of elements, DtypeError when it holds integers, FileError as `bytes`.
template <class T>
requires Real<T> || std::same_as<T, double>
void copy_converted(TensorFile const& file, TensorInfo const& tensor, T* dst, Size count) {
  require<ShapeError>(count == tensor.count(), file.path(), ": tensor ", mgm::quoted(tensor.name), " of shape ", shape_text(tensor.shape),
                      ": expected ", count, " elements, found ", tensor.count());
  require<DtypeError>(tensor.dtype <= Dtype::bf16, file.path(), ": tensor ", mgm::quoted(tensor.name),
                      ": expected F64, F32, F16 or BF16, found ", name(tensor.dtype));
  visit_real(tensor.dtype, [&]<class S>(std::type_identity<S>) {
    file.visit_bytes(tensor, [&](std::byte const* source, Size bytes) {
      Size const n = bytes / static_cast<Size>(sizeof(S));
      detail::convert<S>(source, dst, n);
      dst += n;
    });
  });
}

}  // namespace mgm::inline v0::io
