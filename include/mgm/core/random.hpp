/// Random numbers that a counter gives: no state, the same on every device (Philox 4x32-10, Salmon et al. 2011, "Parallel random numbers:
/// as easy as 1, 2, 3").
#pragma once
#include <cstdint>

#include <mgm/core/platform.hpp>

namespace mgm::inline v0 {

/// Four words that follow from a key and a counter of four words.
struct PhiloxWords {
  std::uint32_t x, y, z, w;
};
[[nodiscard]] MGM_HD constexpr PhiloxWords philox(std::uint64_t key, PhiloxWords c) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    std::uint64_t const a = std::uint64_t{0xD2511F53u} * c.x, b = std::uint64_t{0xCD9E8D57u} * c.z;
    c = {static_cast<std::uint32_t>(b >> 32) ^ c.y ^ k0, static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(a >> 32) ^ c.w ^ k1,
         static_cast<std::uint32_t>(a)};
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return c;
}

/// A number in [0, 1) with 53 random bits for (seed, position): key = seed, counter = position.
[[nodiscard]] MGM_HD constexpr double philox_uniform(std::uint64_t seed, std::uint64_t position) {
  PhiloxWords const c = philox(seed, {static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32), 0, 0});
  return static_cast<double>(((std::uint64_t{c.y} << 32) | c.x) >> 11) * 0x1p-53;
}

}  // namespace mgm::inline v0
