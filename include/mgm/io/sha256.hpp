/// SHA-256 (FIPS 180-4), to compare tensors and files by a line of text.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <mgm/core/platform.hpp>

namespace mgm::inline v0::io {

namespace detail {
/// The first 32 bits behind the point of the square (cube) roots of the first primes: largest x with x^kRoot <= p·2^(32·kRoot), mod 2^32.
template <std::size_t kCount, int kRoot>
[[nodiscard]] constexpr std::array<std::uint32_t, kCount> root_fractions() {
  std::array<std::uint32_t, kCount> out{};
  std::uint32_t p = 1;
  for (auto& fraction : out) {
    for (bool prime = false; !prime;) {
      ++p, prime = true;
      for (std::uint32_t d = 2; d * d <= p; ++d) prime = prime && p % d != 0;
    }
    using Wide = unsigned __int128;
    Wide const target = static_cast<Wide>(p) << (32 * kRoot);
    std::uint64_t low = 0, high = std::uint64_t{32} << 32;  // the 64th prime is 311, its roots are below 32
    while (high - low > 1) {
      Wide const x = low + (high - low) / 2;
      ((kRoot == 2 ? x * x : x * x * x) <= target ? low : high) = static_cast<std::uint64_t>(x);
    }
    fraction = static_cast<std::uint32_t>(low);
  }
  return out;
}
}  // namespace detail

/// Takes bytes in any pieces; `hex` gives the digest of all of them and ends the sum.
class Sha256 {
 public:
  Sha256& update(std::byte const* data, Size size) {
    total_ += static_cast<std::uint64_t>(size);
    while (size > 0) {
      if (filled_ == 0 && size >= 64) {
        block(data);
        data += 64, size -= 64;
        continue;
      }
      Size const step = std::min<Size>(64 - filled_, size);
      std::memcpy(buffer_.data() + filled_, data, static_cast<std::size_t>(step));
      data += step, size -= step, filled_ += step;
      if (filled_ == 64) block(buffer_.data()), filled_ = 0;
    }
    return *this;
  }
  Sha256& update(std::string_view text) { return update(reinterpret_cast<std::byte const*>(text.data()), static_cast<Size>(text.size())); }

  /// 64 lower-case hexadecimal digits.
  [[nodiscard]] std::string hex() {
    std::uint64_t const bits = total_ * 8;
    std::array<std::byte, 72> tail{std::byte{0x80}};  // 1, zeros up to 56 mod 64, then the length in bits, big-endian
    Size const zeros = (filled_ < 56 ? 56 : 120) - filled_;
    for (int i = 0; i < 8; ++i) tail[static_cast<std::size_t>(zeros + i)] = static_cast<std::byte>(bits >> (56 - 8 * i));
    update(tail.data(), zeros + 8);
    std::string out;
    for (std::uint32_t const word : state_)
      for (int shift = 28; shift >= 0; shift -= 4) out += "0123456789abcdef"[(word >> shift) & 15u];
    return out;
  }

 private:
  /// FIPS 180-4, 6.2.2: 64 rounds over one block.
  void block(std::byte const* data) {
    std::array<std::uint32_t, 64> w;
    for (std::size_t i = 0; i < 16; ++i) {
      std::uint32_t word;
      std::memcpy(&word, data + 4 * i, 4);
      w[i] = __builtin_bswap32(word);
    }
    for (std::size_t i = 16; i < 64; ++i) {
      std::uint32_t const a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3)) + (std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10));
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (std::size_t i = 0; i < 64; ++i) {
      std::uint32_t const t1 = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + kRound[i] + w[i];
      std::uint32_t const t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    std::array const sum{a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < 8; ++i) state_[i] += sum[i];
  }

  static constexpr auto kRound = detail::root_fractions<64, 3>();        // 4.2.2
  std::array<std::uint32_t, 8> state_ = detail::root_fractions<8, 2>();  // 5.3.3
  std::array<std::byte, 64> buffer_{};
  Size filled_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace mgm::inline v0::io
