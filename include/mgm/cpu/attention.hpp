/// Scaled dot-product attention on the CPU.
#pragma once
#include <vector>

#include <cmath>
#include <vector>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/simd/vec.hpp>

namespace mgm::inline v0::cpu {

/// out[i,h] = Σ_j softmax_j(scale·q[i,h]·k[j,g])·v[j,g],  g = h / (H / Hkv).
/// q, out (Tq, H, d); k, v (Tk, Hkv, d); any strides, last axis contiguous. Causal: query i stands at Tk − Tq + i and sees no later key.
/// Softmax in float. Shapes must fit (ops checks them). The same bits for any number of threads.
template <Real T>
void attention(Executor const& ex, View<T const, 3, Cpu> q, View<T const, 3, Cpu> k, View<T const, 3, Cpu> v, float scale, bool causal,
               View<T, 3, Cpu> out) {
  Size const tq = q.extent(0), heads = q.extent(1), d = q.extent(2), tk = k.extent(0);
  ex.parallel(tq * heads, [&](Size task) {
    Size const i = task / heads, h = task % heads, g = h / (heads / k.extent(1)), seen = causal ? tk - tq + i + 1 : tk;
    std::vector<float> p(static_cast<std::size_t>(seen)), sum(static_cast<std::size_t>(d));
    float top = -INFINITY, mass = 0;
    for (Size j = 0; j < seen; ++j) {
      float s = 0;
      for (Size c = 0; c < d; ++c) s += float(q(i, h, c)) * float(k(j, g, c));
      p[static_cast<std::size_t>(j)] = s * scale;
      top = s * scale > top ? s * scale : top;
    }
    for (Size j = 0; j < seen; ++j) {
      float const e = std::exp(p[static_cast<std::size_t>(j)] - top);
      mass += e;
      for (Size c = 0; c < d; ++c) sum[static_cast<std::size_t>(c)] += e * float(v(j, g, c));
    }
    for (Size c = 0; c < d; ++c) out(i, h, c) = T(sum[static_cast<std::size_t>(c)] / mass);
  });
}

}  // namespace mgm::inline v0::cpu
