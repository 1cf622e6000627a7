/// Element types: the 16-bit floats as types of their own, the names that files use, and dispatch from a run-time type to a template.
#pragma once
#include <bit>
#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <mgm/core/error.hpp>
#include <mgm/core/platform.hpp>

namespace mgm::inline v0 {

/// bfloat16: the upper half of a float. Rounds to nearest even; NaN stays NaN.
struct bf16 {
  std::uint16_t bits;
  bf16() = default;
  MGM_HD constexpr explicit bf16(float value) : bits(round(__builtin_bit_cast(std::uint32_t, value))) {}
  MGM_HD constexpr operator float() const {
    return __builtin_bit_cast(float, std::uint32_t{bits} << 16);
  }  // NOLINT: widening loses nothing

 private:
  MGM_HD static constexpr std::uint16_t round(std::uint32_t u) {
    if ((u & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>((u >> 16) | 0x40u);
    return static_cast<std::uint16_t>((u + 0x7FFFu + ((u >> 16) & 1u)) >> 16);
  }
};

/// IEEE binary16. Rounds to nearest even, overflows to infinity, keeps subnormals.
struct half {
  std::uint16_t bits;
  half() = default;
  MGM_HD constexpr explicit half(float value) : bits(round(__builtin_bit_cast(std::uint32_t, value))) {}
  MGM_HD constexpr operator float() const { return widen(bits); }  // NOLINT: widening loses nothing

 private:
  MGM_HD static constexpr std::uint16_t round(std::uint32_t u) {
    std::uint32_t const sign = (u >> 16) & 0x8000u, magnitude = u & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return static_cast<std::uint16_t>(sign | 0x7E00u);
    if (magnitude >= 0x477FF000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // 65520 and more
    if (magnitude < 0x33000001u) return static_cast<std::uint16_t>(sign);             // half of the least subnormal, and less
    int const exponent = static_cast<int>(magnitude >> 23) - 127;
    std::uint32_t const mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
    int const drop = exponent >= -14 ? 13 : -1 - exponent;                             // bits that do not fit
    std::uint32_t const kept = exponent >= -14 ? ((static_cast<std::uint32_t>(exponent + 14) << 10) + (mantissa >> 13)) : mantissa >> drop;
    std::uint32_t const rest = mantissa & ((1u << drop) - 1u), middle = 1u << (drop - 1);
    return static_cast<std::uint16_t>(sign | (kept + (rest > middle || (rest == middle && (kept & 1u)) ? 1u : 0u)));
  }
  MGM_HD static constexpr float widen(std::uint16_t h) {
    std::uint32_t const sign = std::uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31u;
    std::uint32_t mantissa = h & 0x3FFu;
    if (exponent == 31u) return __builtin_bit_cast(float, sign | 0x7F800000u | (mantissa << 13));
    if (exponent != 0u) return __builtin_bit_cast(float, sign | ((exponent + 112u) << 23) | (mantissa << 13));
    float const value = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -value : value;
  }
};

static_assert(sizeof(bf16) == 2 && sizeof(half) == 2 && std::is_trivially_copyable_v<bf16> && std::is_trivially_copyable_v<half>);

/// Types in which activations and weights are held. Sums are always float.
template <class T>
concept Real = std::same_as < std::remove_const_t<T>,
float > || std::same_as<std::remove_const_t<T>, bf16> || std::same_as<std::remove_const_t<T>, half>;

/// Element types of files, spelled as safetensors does (see `name`).
enum class Dtype : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

[[nodiscard]] constexpr std::string_view name(Dtype d) {
  constexpr std::string_view kNames[] = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"};
  return kNames[static_cast<int>(d)];
}
/// Bytes of one element.
[[nodiscard]] constexpr Size size_of(Dtype d) {
  constexpr Size kBytes[] = {8, 4, 2, 2, 8, 4, 2, 1, 1, 1};
  return kBytes[static_cast<int>(d)];
}

template <class T>
inline constexpr Dtype kDtypeOf = [] {
  using U = std::remove_const_t<T>;
  if constexpr (std::same_as<U, double>) return Dtype::f64;
  else if constexpr (std::same_as<U, float>) return Dtype::f32;
  else if constexpr (std::same_as<U, half>) return Dtype::f16;
  else if constexpr (std::same_as<U, bf16>) return Dtype::bf16;
  else if constexpr (std::same_as<U, std::int64_t>) return Dtype::i64;
  else if constexpr (std::same_as<U, std::int32_t>) return Dtype::i32;
  else if constexpr (std::same_as<U, std::int16_t>) return Dtype::i16;
  else if constexpr (std::same_as<U, std::int8_t>) return Dtype::i8;
  else if constexpr (std::same_as<U, std::uint8_t>) return Dtype::u8;
  else {
    static_assert(std::same_as<U, bool>, "no file format of ours stores this type");
    return Dtype::boolean;
  }
}();

/// Calls `visit(std::type_identity<T>{})` with the float type that `d` names. Throws DtypeError for integers.
template <class Visit>
decltype(auto) visit_real(Dtype d, Visit&& visit) {
  switch (d) {
    case Dtype::f64: return visit(std::type_identity<double>{});
    case Dtype::f32: return visit(std::type_identity<float>{});
    case Dtype::f16: return visit(std::type_identity<half>{});
    case Dtype::bf16: return visit(std::type_identity<bf16>{});
    default: throw DtypeError(text("weights: expected F64, F32, F16 or BF16, found ", name(d)));
  }
}

}  // namespace mgm::inline v0
