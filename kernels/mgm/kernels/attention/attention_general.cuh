/// Attention in its general form: every head width from 1 to 512, every stride and alignment, float throughout. The measure of all others.
///   out[i,h] = Σ_j softmax_j(scale · q[i,h]·k[j,g])·v[j,g],   g = h / (heads / kv_heads)     (Vaswani et al. 2017, arXiv:1706.03762)
/// A row is one query of one head; the rows of all heads that share a key/value head stand side by side, four to a warp. Keys come in
/// chunks of 32: each lane scores one, then the lanes part the channels among them. One pass, with a running maximum (Milakov and
/// Gimelshein 2018, arXiv:1805.02867). Which rows share a warp or a block changes no bit of a row.
#pragma once
#include <mgm/kernels/attention/attention_arguments.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

/// `kSteps` channels a lane: heads of up to 32·kSteps.
template <int kSteps>
struct AttentionGeneralTraits {
  static constexpr int kRows = 4, kWarps = 4, kThreads = 32 * kWarps, kBlockRows = kRows * kWarps;  // not measured yet
  static constexpr int kWidth = 32 * kSteps, kSlice = 64;                                           // channels of keys staged at a time
  struct Shared {
    float q[kBlockRows][kWidth];
    float k[simt::kWarp][kSlice + 1];  // + 1: lanes read 32 rows of one column, from as many banks
    float p[kWarps][kRows][simt::kWarp];
  };
};

/// Scores of one warp's rows against the lane's key of the chunk at `first`: (kRows), unscaled. All threads of the block take part.
template <class Tr, class T, class Dev>
MGM_DEVICE void attention_scores(typename Tr::Shared& s, View<T const, 3, Dev> k, Size first, int head, int active,
                                 float (&score)[Tr::kRows]) {
  int const width = static_cast<int>(k.extent(2)), lane = simt::lane_idx(), row = simt::warp_idx() * Tr::kRows;
  for (int c0 = 0; c0 < width; c0 += Tr::kSlice) {
    int const count = width - c0 < Tr::kSlice ? width - c0 : Tr::kSlice;
    simt::sync_block();                                                               // the slice before this one has been read
    for (int i = simt::thread_idx(); i < simt::kWarp * Tr::kSlice; i += simt::block_dim()) {
      int const j = i / Tr::kSlice, c = i % Tr::kSlice;
      if (c < count) s.k[j][c] = first + j < k.extent(0) ? simt::widen(k(first + j, head, c0 + c)) : 0.0f;
    }
    simt::sync_block();
    for (int c = 0; c < count; ++c) {
      float const key = s.k[lane][c];
      MGM_UNROLL for (int a = 0; a < Tr::kRows; ++a)
        if (a < active) score[a] = simt::fma(s.q[row + a][c0 + c], key, score[a]);
    }
  }
}

template <int kSteps, class T, class Dev>
MGM_GLOBAL(AttentionGeneralTraits<kSteps>::kThreads)
void attention_general_kernel(View<T const, 3, Dev> q, View<T const, 3, Dev> k, View<T const, 3, Dev> v, float scale, bool causal,
                              View<T, 3, Dev> out) {
  using Tr = AttentionGeneralTraits<kSteps>;
  auto& s = simt::shared<typename Tr::Shared>();
  int const lane = simt::lane_idx(), warp = simt::warp_idx(), width = static_cast<int>(q.extent(2)), head = simt::block_idx().y;
  int const group = static_cast<int>(q.extent(1) / k.extent(1)), rows_here = simt::block_dim() / simt::kWarp * Tr::kRows;
  Size const rows = q.extent(0) * group, first_row = Size{simt::block_idx().x} * rows_here, keys = k.extent(0);
  auto const reach = [&](Size row) {  // keys that a row sees: never fewer than the row before
    return row >= rows ? 0 : causal ? keys - q.extent(0) + row / group + 1 : keys;
  };
  for (int r = 0; r < rows_here; ++r) {                                               // (rows, d)
    Size const row = first_row + r;
    if (row < rows)
      for (int c = simt::thread_idx(); c < width; c += simt::block_dim())
        s.q[r][c] = simt::widen(q(row / group, head * group + row % group, c));
  }
  Size const mine = first_row + warp * Tr::kRows;                                     // the warp's first row
  int const active = rows - mine <= 0 ? 0 : rows - mine < Tr::kRows ? static_cast<int>(rows - mine) : Tr::kRows;
  Size const last = first_row + rows_here < rows ? first_row + rows_here : rows, block_reach = reach(last - 1);
  Size seen[Tr::kRows];
  MGM_UNROLL for (int a = 0; a < Tr::kRows; ++a) seen[a] = reach(mine + a);
  float peak[Tr::kRows], mass[Tr::kRows] = {}, sum[Tr::kRows][kSteps] = {};           // mass: of the lane's keys; sum (rows, d)
  MGM_UNROLL for (int a = 0; a < Tr::kRows; ++a) peak[a] = -INFINITY;

  for (Size first = 0; first < block_reach; first += simt::kWarp) {
    float score[Tr::kRows] = {};
    attention_scores<Tr>(s, k, first, head, active, score);
    MGM_UNROLL for (int a = 0; a < Tr::kRows; ++a) {
      if (first >= seen[a]) continue;                                                 // the whole warp alike
      float const mine_now = first + lane < seen[a] ? score[a] * scale : -INFINITY;
      float const top = simt::max(peak[a], simt::warp_max(mine_now)), keep = simt::exp(peak[a] - top), p = simt::exp(mine_now - top);
      peak[a] = top, mass[a] = mass[a] * keep + p, s.p[warp][a][lane] = p;
      MGM_UNROLL for (int i = 0; i < kSteps; ++i) sum[a][i] *= keep;
    }
    simt::sync_warp();  // p is there; the next chunk's barriers keep it until read
    Size const left = (active > 0 ? reach(mine + active - 1) : 0) - first;
    for (int j = 0; j < simt::kWarp && j < left; ++j) {
      T const* const value = v.row(first + j, Size{head});
      MGM_UNROLL for (int i = 0; i < kSteps; ++i) {
        int const c = lane + simt::kWarp * i;
        if (c >= width) continue;
        float const x = simt::widen(value[c * v.stride(2)]);
        MGM_UNROLL for (int a = 0; a < Tr::kRows; ++a)
          if (first + j < seen[a]) sum[a][i] = simt::fma(s.p[warp][a][j], x, sum[a][i]);  // what a row does not see may be anything
      }
    }
  }
  MGM_UNROLL for (int a = 0; a < Tr::kRows; ++a) {
    if (a >= active) continue;
    float const total = simt::warp_sum(mass[a]);
    MGM_UNROLL for (int i = 0; i < kSteps; ++i) {
      int const c = lane + simt::kWarp * i;
      if (c < width) out((mine + a) / group, head * group + (mine + a) % group, c) = simt::narrow<T>(sum[a][i] / total);
    }
  }
}

/// q, out (Tq, heads, d), k, v (Tk, kv_heads, d), any strides. Causal: query i stands at position Tk − Tq + i and sees no later key, not
/// even where that holds NaN. Scores, softmax and sums in float. Enqueues and returns. Throws ShapeError and ArgumentError naming the
/// argument.
template <Real T, KernelDevice Dev>
void attention_general(simt::Stream<Dev> stream, In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, float scale, bool causal,
                       Out<T, 3, Dev> out) {
  check_attention<T, Dev>(q, k, v, causal, out);
  if (out.count() == 0) return;
  Size const rows = q.extent(0) * (q.extent(1) / k.extent(1));
  auto const run = [&]<int kSteps>(std::integral_constant<int, kSteps>) {
    using Tr = AttentionGeneralTraits<kSteps>;
    Size const warps = std::min<Size>(simt::ceil_div(rows, Tr::kRows), Tr::kWarps);
    simt::launch(stream,
                 {.name = "attention_general",
                  .grid = {simt::ceil_div(rows, warps * Tr::kRows), k.extent(1)},
                  .block = static_cast<int>(32 * warps),
                  .shared = sizeof(typename Tr::Shared)},
                 attention_general_kernel<kSteps, T, Dev>, q, k, v, scale, causal, out);
  };
  if (q.extent(2) <= AttentionGeneralTraits<4>::kWidth) run(std::integral_constant<int, 4>{});
  else run(std::integral_constant<int, 16>{});
}

}  // namespace mgm::inline v0::kernels
