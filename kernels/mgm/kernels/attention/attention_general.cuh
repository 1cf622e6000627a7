/// Attention in its general form: every head width from 1 to 512, every stride and alignment, float throughout. The measure of all others.
///   out[i,h] = Σ_j softmax_j(scale · q[i,h]·k[j,g])·v[j,g],   g = h / (heads / kv_heads)     (Vaswani et al. 2017, arXiv:1706.03762)
/// A row is one query of one head; the rows of all heads that share a key/value head stand side by side, four to a warp. Keys come in
/// chunks of 32: each lane scores one, then the lanes part the channels among them. One pass, with a running maximum (Milakov and
/// Gimelshein 2018, arXiv:1805.02867). Which rows share a warp or a block changes no bit of a row.
#pragma once
#include <mgm/kernels/attention/attention_rows.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

/// `kSteps` channels a lane: heads of up to 32·kSteps.
template <int kSteps_>
struct AttentionGeneralTraits {
  static constexpr int kSteps = kSteps_, kWidth = 32 * kSteps, kSlice = 64;                         // channels of keys staged at a time
  static constexpr int kRows = 4, kWarps = 4, kThreads = 32 * kWarps;                               // not measured yet
  static constexpr int kRegisters = 168;                                                            // of a thread, at most: nvcc-gate
  struct Shared {
    alignas(16) float q[kWarps][kWidth][kRows];         // a warp's rows side by side: one access brings all
    alignas(16) float p[kWarps][simt::kWarp][kRows];
    float k[simt::kWarp][kSlice + 1];                   // + 1: lanes read 32 rows of one column, from as many banks
  };
  static_assert(sizeof(Shared) <= 48 * 1024, "what a block has without asking for more");
};

/// Scores of one warp's rows against the lane's key of the chunk at `first`: (kRows), unscaled. All threads of the block take part.
template <class Tr, class T, class Dev>
MGM_DEVICE void attention_scores(typename Tr::Shared& s, View<T const, 3, Dev> k, int first, int head, float (&score)[Tr::kRows]) {
  int const width = static_cast<int>(k.extent(2)), lane = simt::lane_idx(), warp = simt::warp_idx();
  for (int c0 = 0; c0 < width; c0 += Tr::kSlice) {
    int const count = width - c0 < Tr::kSlice ? width - c0 : Tr::kSlice;
    simt::sync_block();                                                               // the slice before this one has been read
    for (int j = warp; j < simt::kWarp; j += simt::block_dim() / simt::kWarp)
      for (int c = lane; c < count; c += simt::kWarp) s.k[j][c] = first + j < k.extent(0) ? simt::widen(k(first + j, head, c0 + c)) : 0.0f;
    simt::sync_block();
    for (int c = 0; c < count; ++c) {
      float const key = s.k[lane][c];
      MGM_UNROLL for (int a = 0; a < Tr::kRows; ++a) score[a] = simt::fma(s.q[warp][c0 + c][a], key, score[a]);
    }
  }
}

/// sum += p·v over `count` keys from `first`, the lane's channels of the warp's rows. What a row does not see may be anything, and is left
/// out unless `kAllSeen`.
template <bool kAllSeen, class Tr, class T, class Dev>
MGM_DEVICE void attention_values(float const (&p)[simt::kWarp][Tr::kRows], View<T const, 3, Dev> v, int first, int count, int head,
                                 int const (&seen)[Tr::kRows], float (&sum)[Tr::kSteps][Tr::kRows]) {
  int const width = static_cast<int>(v.extent(2));
  for (int j = 0; j < count; ++j) {
    T const* const value = v.row(first + j, head);
    MGM_UNROLL for (int i = 0; i < Tr::kSteps; ++i) {
      int const c = simt::lane_idx() + simt::kWarp * i;
      if (c >= width) continue;
      float const x = simt::widen(value[c * v.stride(2)]);
      MGM_UNROLL for (int a = 0; a < Tr::kRows; ++a)
        if (kAllSeen || first + j < seen[a]) sum[i][a] = simt::fma(p[j][a], x, sum[i][a]);
    }
  }
}

template <int kSteps, class T, class Dev>
MGM_GLOBAL(AttentionGeneralTraits<kSteps>::kThreads)
void attention_general_kernel(View<T const, 3, Dev> q, View<T const, 3, Dev> k, View<T const, 3, Dev> v, float scale, AttentionRows rows,
                              View<std::int64_t const, 1, Dev> last_position, View<T, 3, Dev> out) {
  using Tr = AttentionGeneralTraits<kSteps>;
  AttentionRows const all = rows.upto(last_position);
  auto& s = simt::shared<typename Tr::Shared>();
  int const lane = simt::lane_idx(), warp = simt::warp_idx(), width = static_cast<int>(q.extent(2)), head = simt::block_idx().y;
  int const rows_here = simt::block_dim() / simt::kWarp * Tr::kRows, first_row = simt::block_idx().x * rows_here;
  int const mine = first_row + warp * Tr::kRows, last = first_row + rows_here < all.rows ? first_row + rows_here : all.rows;
  float peak[Tr::kRows], mass[Tr::kRows] = {}, sum[kSteps][Tr::kRows] = {};           // mass: of the lane's keys; sum (d, rows)
  int seen[Tr::kRows], most = 0;                                                      // none beyond the last row
  for (int a = 0; a < Tr::kRows; ++a) {
    bool const there = mine + a < all.rows;
    seen[a] = all.seen(mine + a), most = seen[a] > most ? seen[a] : most, peak[a] = -INFINITY;
    for (int c = lane; c < width; c += simt::kWarp)                                   // (d, rows)
      s.q[warp][c][a] = there ? simt::widen(q(all.query(mine + a), all.head(head, mine + a), c)) : 0.0f;
  }
  for (int first = 0, reach = all.seen(last - 1); first < reach; first += simt::kWarp) {
    float score[Tr::kRows] = {};
    attention_scores<Tr>(s, k, first, head, score);
    if (first >= most) continue;                                                      // the whole warp; others still need its keys
    simt::Vec<float, Tr::kRows> p{};
    MGM_UNROLL for (int a = 0; a < Tr::kRows; ++a) {
      if (first >= seen[a]) continue;
      float const x = first + lane < seen[a] ? score[a] * scale : -INFINITY, top = simt::max(peak[a], simt::warp_max(x));
      float const keep = simt::exp(peak[a] - top);
      p[a] = simt::exp(x - top), peak[a] = top, mass[a] = mass[a] * keep + p[a];
      MGM_UNROLL for (int i = 0; i < kSteps; ++i) sum[i][a] *= keep;
    }
    simt::store<Tr::kRows>(s.p[warp][lane], p);
    simt::sync_warp();  // the next chunk's barriers keep p until all have read it
    if (first + simt::kWarp <= seen[0]) attention_values<true, Tr>(s.p[warp], v, first, simt::kWarp, head, seen, sum);
    else attention_values<false, Tr>(s.p[warp], v, first, most - first < simt::kWarp ? most - first : simt::kWarp, head, seen, sum);
  }
  MGM_UNROLL for (int a = 0; a < Tr::kRows; ++a) {
    if (seen[a] == 0) continue;
    float const total = simt::warp_sum(mass[a]);
    MGM_UNROLL for (int i = 0; i < kSteps; ++i) {
      int const c = lane + simt::kWarp * i;
      if (c < width) out(all.query(mine + a), all.head(head, mine + a), c) = simt::narrow<T>(sum[i][a] / total);
    }
  }
}

/// q, out (Tq, heads, d), k, v (Tk, kv_heads, d), any strides. Causal: query i stands at position Tk − Tq + i and sees no later key, not
/// even where that holds NaN. With `last`, one number in the device's memory, the last query stands at that position instead, and the bits
/// are those of k and v cut behind it. Scores, softmax and sums in float. Enqueues and returns. Throws ShapeError and ArgumentError naming
/// the argument.
template <Real T, KernelDevice Dev>
void attention_general(simt::Stream<Dev> stream, In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, float scale, bool causal,
                       Out<T, 3, Dev> out, std::type_identity_t<View<std::int64_t const, 1, Dev>> last = {}) {
  check_attention<T, Dev>(q, k, v, causal, out), check_last<T, Dev>(last, causal, out);
  if (out.count() == 0) return;
  auto const all = AttentionRows::of(q.extents(), k.extents(), causal);
  auto const run = [&]<int kSteps>(std::integral_constant<int, kSteps>) {
    using Tr = AttentionGeneralTraits<kSteps>;
    Size const warps = std::min<Size>(simt::ceil_div(all.rows, Tr::kRows), Tr::kWarps);
    simt::launch(stream,
                 {.name = "attention_general",
                  .grid = {simt::ceil_div(all.rows, warps * Tr::kRows), k.extent(1)},
                  .block = static_cast<int>(32 * warps),
                  .shared = sizeof(typename Tr::Shared)},
                 attention_general_kernel<kSteps, T, Dev>, q, k, v, scale, all, last, out);
  };
  if (q.extent(2) <= AttentionGeneralTraits<4>::kWidth) run(std::integral_constant<int, 4>{});
  else run(std::integral_constant<int, 16>{});
}

}  // namespace mgm::inline v0::kernels
