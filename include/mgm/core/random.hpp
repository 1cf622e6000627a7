/// Random numbers that a counter gives: no state, the same on every device (Philox 4x32-10, Salmon et al. 2011, "Parallel random numbers:
/// as easy as 1, 2, 3").
#pragma once
#include <cstdint>

#include <mgm/core/platform.hpp>

namespace mgm::inline v0 {

/// A number in [0, 1) with 53 random bits for (seed, position): Philox 4x32-10, key = seed, counter = position.
[[nodiscard]] MGM_HD constexpr double philox_uniform(std::uint64_t seed, std::uint64_t position) {
  std::uint32_t c0 = static_cast<std::uint32_t>(position), c1 = static_cast<std::uint32_t>(position >> 32), c2 = 0, c3 = 0;
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    std::uint64_t const a = std::uint64_t{0xD2511F53u} * c0, b = std::uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0, c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(b), c3 = static_cast<std::uint32_t>(a);
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return static_cast<double>(((std::uint64_t{c1} << 32) | c0) >> 11) * 0x1p-53;
}

}  // namespace mgm::inline v0
