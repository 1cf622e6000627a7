/// Repeatable weights and inputs that any language can make again (peers/model_peer.py does), so that two libraries do the same work on
/// the same numbers and their results can be compared.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include <mgm/mem/context.hpp>
#include <mgm/mem/parameter.hpp>

namespace bench {
using namespace mgm;

/// Near-normal numbers of deviation 1, the same for every tensor: number i is the sum of the 8 bytes of splitmix64(i), centred.
/// A prime many, so that no two rows of a matrix are equal.
inline std::vector<float> const& normals() {
  static std::vector<float> const block = [] {
    std::vector<float> v(4194301);
    for (std::size_t i = 0; i < v.size(); ++i) {
      std::uint64_t z = (i + 1) * 0x9E3779B97F4A7C15u;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
      z ^= z >> 31;
      int sum = 0;
      for (int b = 0; b < 64; b += 8) sum += static_cast<int>(z >> b & 255);
      v[i] = static_cast<float>(sum - 1020) * (1.0f / 209.0f);
    }
    return v;
  }();
  return block;
}

/// out[i] = bf16(normals[(hash(name) + i) mod n] · scale + shift), widened where T is wider.
template <class T>
void fill(Context<Cpu>& ctx, std::string const& name, T* out, Size count, float scale, float shift) {
  std::uint32_t hash = 2166136261u;  // FNV-1a
  for (char const c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  auto const& block = normals();
  Size const size = static_cast<Size>(block.size()), first = hash % block.size(), pieces = (count + 65535) / 65536;
  ctx.executor().parallel(pieces, [&](Size p) {
    Size at = (first + p * 65536) % size;
    for (Size i = p * 65536; i < std::min(count, (p + 1) * 65536); ++i) {
      out[i] = T(static_cast<float>(bf16(block[static_cast<std::size_t>(at)] * scale + shift)));
      if (++at == size) at = 0;
    }
  });
}

/// Every parameter of a module: matrices of deviation 1/√fan-in, gains around 1, other vectors around 0, both of deviation 0.1.
template <class T, class Module>
Size fill_parameters(Context<Cpu>& ctx, std::string const& path, Module& module) {
  Size bytes = 0;
  visit_parameters(module, path, [&]<class P>(std::string const& name, P& p) {
    auto value = ctx.lasting<T>(p.shape());
    float const fan = p.layout() == Layout::taps_outer ? 49 : P::kRank > 1 ? static_cast<float>(p.shape()[1]) : 100;
    fill(ctx, name, value.data(), value.count(), 1 / std::sqrt(fan), P::kRank == 1 && name.ends_with("weight") ? 1.0f : 0.0f);
    bytes += value.count() * Size{sizeof(T)};
    p.assign(std::move(value));
  });
  return bytes;
}

}  // namespace bench
