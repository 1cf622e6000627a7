/// Attention of few queries against a long cache: the keys are split among blocks, whose results are merged in a fixed order.
///   out[i,h] = Σ_j softmax_j(scale · q[i,h]·k[j,g])·v[j,g],   g = h / (heads / kv_heads)
/// Each warp takes 32 keys for all rows that share a key/value head (the queries of the heads of a group), so that the cache is read once.
/// Its keys and values are under way to shared memory at once; then each lane scores one key, and the lanes part the channels among them.
/// Warps are merged by the block, blocks by a second kernel (Dao et al. 2023, "Flash-Decoding"): a state is a maximum, a mass and a sum.
/// How keys are split depends on the type and the head width alone, never on the GPU; a row's bits do not depend on its neighbours, nor on
/// whether the host or the device says how many keys there are.
#pragma once
#include <mgm/kernels/attention/attention_rows.hpp>
#include <mgm/simt/async_copy.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

/// Heads of up to kWidth channels; kRows rows share the keys of a block.
template <class T, int kWidth, int kRows>
struct AttentionDecodeTraits {
  static constexpr int kVec = 16 / static_cast<int>(sizeof(T)), kBytes = kWidth * static_cast<int>(sizeof(T));  // of a key
  static constexpr int kKeys = simt::kWarp;
  static constexpr int kWarps = kBytes <= 256 ? 4 : kBytes <= 512 ? 2 : 1;            // 64 KB of keys and values a block; not measured yet
  static constexpr int kThreads = 32 * kWarps, kSplit = kKeys * kWarps, kPairs = kWidth / 64;
  static constexpr int kRegisters = 168;                                              // of a thread, at most: nvcc-gate
  static constexpr int kPitch = kWidth + kVec;                                        // an odd count of 16-byte columns: no bank conflicts
  struct Tiles {
    T k[kWarps][kKeys][kPitch], v[kWarps][kKeys][kPitch];
  };
  struct Shared {
    union {
      Tiles tiles;
      float sum[kWarps][kRows][kWidth];                                               // once keys and values have been read
    };
    float q[kRows][kWidth], p[kWarps][kRows][kKeys], peak[kWarps][kRows], mass[kWarps][kRows];
  };
  static_assert(2 * (sizeof(Shared) + 1024) <= 164 * 1024, "two blocks share an A100's shared memory");
};

/// Starts the copies of keys [first, first + 32) of one head to a warp's tile; zeros stand for those beyond the last.
template <class Tr, class T, class Dev>
MGM_DEVICE void attention_decode_stage(View<T const, 3, Dev> from, Size first, int head, T (&to)[Tr::kKeys][Tr::kPitch]) {
  constexpr int kChunks = Tr::kBytes / 16;
  int const chunks = static_cast<int>(from.extent(2)) / Tr::kVec;
  MGM_UNROLL for (int i = 0; i < Tr::kKeys * kChunks / simt::kWarp; ++i) {
    int const at = i * simt::kWarp + simt::lane_idx(), j = at / kChunks, chunk = at % kChunks;
    bool const inside = first + j < from.extent(0);
    if (chunk < chunks)
      simt::copy_async<16>(&to[j][chunk * Tr::kVec], from.row(inside ? first + j : 0, Size{head}) + chunk * Tr::kVec, inside ? 16 : 0);
  }
}

/// One block: a split of the keys, a key/value head and kRows rows. Writes `out` where there is one split, and a state otherwise.
template <int kWidth, int kRows, class T, class Dev>
MGM_GLOBAL(AttentionDecodeTraits<T, kWidth, kRows>::kThreads)
void attention_decode_kernel(View<T const, 3, Dev> q, View<T const, 3, Dev> k, View<T const, 3, Dev> v, float scale, AttentionRows rows,
                             View<std::int64_t const, 1, Dev> last, View<float, 3, Dev> states, View<T, 3, Dev> out) {
  using Tr = AttentionDecodeTraits<T, kWidth, kRows>;
  AttentionRows const all = rows.upto(last);
  auto& s = simt::shared<typename Tr::Shared>();
  int const lane = simt::lane_idx(), warp = simt::warp_idx(), width = static_cast<int>(q.extent(2));
  int const split = simt::block_idx().x, head = simt::block_idx().y;
  int const row = simt::block_idx().z * kRows, first = split * Tr::kSplit + warp * Tr::kKeys;
  int const active = all.rows - row < kRows ? all.rows - row : kRows;
  if (split * Tr::kSplit >= all.seen(row + active - 1)) return;                 // the whole block; nobody reads its state
  attention_decode_stage<Tr>(k, first, head, s.tiles.k[warp]);                        // (32, d)
  simt::copy_async_commit();
  attention_decode_stage<Tr>(v, first, head, s.tiles.v[warp]);                        // (32, d)
  simt::copy_async_commit();
  for (int a = 0; a < active; ++a)                                                    // (rows, d)
    for (int c = simt::thread_idx(); c < width; c += Tr::kThreads)
      s.q[a][c] = simt::widen(q(all.query(row + a), all.head(head, row + a), c));
  simt::copy_async_wait<1>();
  simt::sync_block();

  float score[kRows] = {};                                                            // of the lane's key
  for (int c = 0; c < width; c += Tr::kVec) {
    auto const key = simt::load<Tr::kVec>(&s.tiles.k[warp][lane][c]);
    MGM_UNROLL for (int a = 0; a < kRows; ++a) {
      if (a >= active) continue;
      MGM_UNROLL for (int e = 0; e < Tr::kVec; e += 4) {
        auto const query = simt::load<4>(&s.q[a][c + e]);
        MGM_UNROLL for (int b = 0; b < 4; ++b) score[a] = simt::fma(query[b], simt::widen(key[e + b]), score[a]);
      }
    }
  }
  int seen[kRows];
  MGM_UNROLL for (int a = 0; a < kRows; ++a) {
    seen[a] = all.seen(row + a);
    if (a >= active) continue;
    float const mine = first + lane < seen[a] ? score[a] * scale : -INFINITY, peak = simt::warp_max(mine);
    float const p = peak == -INFINITY ? 0.0f : simt::exp(mine - peak), mass = simt::warp_sum(p);
    s.p[warp][a][lane] = p;
    if (lane == 0) s.peak[warp][a] = peak, s.mass[warp][a] = mass;
  }
  simt::copy_async_wait<0>();
  simt::sync_warp();
  float sum[kRows][Tr::kPairs][2] = {};                                               // (rows, d)
  int const left = all.seen(row + active - 1) - first;
  for (int j = 0; j < Tr::kKeys && j < left; ++j)
    MGM_UNROLL for (int i = 0; i < Tr::kPairs; ++i) {
      int const c = 2 * (lane + simt::kWarp * i);
      if (c >= width) continue;
      auto const value = simt::load<2>(&s.tiles.v[warp][j][c]);
      float const x = simt::widen(value[0]), y = simt::widen(value[1]);
      MGM_UNROLL for (int a = 0; a < kRows; ++a) {
        if (first + j >= seen[a]) continue;                                           // what a row does not see may be anything
        float const p = s.p[warp][a][j];
        sum[a][i][0] = simt::fma(p, x, sum[a][i][0]), sum[a][i][1] = simt::fma(p, y, sum[a][i][1]);
      }
    }
  simt::sync_block();                                                                 // keys and values have been read by all
  MGM_UNROLL for (int a = 0; a < kRows; ++a)
    MGM_UNROLL for (int i = 0; i < Tr::kPairs; ++i) {
      int const c = 2 * (lane + simt::kWarp * i);
      if (a < active && c < width) simt::store<2>(&s.sum[warp][a][c], {{sum[a][i][0], sum[a][i][1]}});
    }
  simt::sync_block();

  for (int a = 0; a < active; ++a) {                                                  // warps in order; states (heads·Tq, splits, d + 2)
    float peak = -INFINITY, mass = 0, weight[Tr::kWarps];
    MGM_UNROLL for (int w = 0; w < Tr::kWarps; ++w) peak = simt::max(peak, s.peak[w][a]);
    MGM_UNROLL for (int w = 0; w < Tr::kWarps; ++w) {
      weight[w] = s.peak[w][a] == -INFINITY ? 0.0f : simt::exp(s.peak[w][a] - peak);
      mass = simt::fma(weight[w], s.mass[w][a], mass);
    }
    float* const state = states.data() ? states.row(Size{head} * all.rows + row + a, Size{split}) : nullptr;
    for (int c = simt::thread_idx(); c < width; c += Tr::kThreads) {
      float total = 0;
      MGM_UNROLL for (int w = 0; w < Tr::kWarps; ++w) total = simt::fma(weight[w], s.sum[w][a][c], total);
      if (state) state[c] = total;
      else out(all.query(row + a), all.head(head, row + a), c) = simt::narrow<T>(total / mass);
    }
    if (state && simt::thread_idx() == 0) state[width] = peak, state[width + 1] = mass;
  }
}

struct AttentionMergeTraits {
  static constexpr int kThreads = 128;  // channels at a time; not measured yet
  static constexpr int kRegisters = 64;  // of a thread, at most: nvcc-gate
};

/// One block a row: the states of its splits, in order.
template <class T, class Dev>
MGM_GLOBAL(AttentionMergeTraits::kThreads)
void attention_merge_kernel(View<float const, 3, Dev> states, AttentionRows rows, View<std::int64_t const, 1, Dev> last, int split,
                            View<T, 3, Dev> out) {
  AttentionRows const all = rows.upto(last);
  int const row = simt::block_idx().x % all.rows, head = simt::block_idx().x / all.rows;
  int const width = static_cast<int>(out.extent(2)), splits = static_cast<int>(simt::ceil_div(all.seen(row), split));
  auto const state = [&](int i) { return states.row(Size{simt::block_idx().x}, Size{i}); };
  float peak = -INFINITY;
  for (int i = 0; i < splits; ++i) peak = simt::max(peak, state(i)[width]);
  for (int c = simt::thread_idx(); c < width; c += AttentionMergeTraits::kThreads) {
    float total = 0, mass = 0;
    for (int i = 0; i < splits; ++i) {
      float const* const at = state(i);
      float const weight = at[width] == -INFINITY ? 0.0f : simt::exp(at[width] - peak);
      total = simt::fma(weight, at[c], total), mass = simt::fma(weight, at[width + 1], mass);
    }
    out(all.query(row), all.head(head, row), c) = simt::narrow<T>(total / mass);
  }
}

/// How many keys a block takes of heads of `width` elements of `bytes` bytes.
constexpr int attention_decode_split(Size width, Size bytes) {
  Size const row = (width <= 64 ? 64 : width <= 128 ? 128 : 256) * bytes;
  return row <= 256 ? 128 : row <= 512 ? 64 : 32;
}
/// Floats that attention_decode needs for its states; 0 where one split holds all keys.
constexpr Size attention_decode_workspace(Size queries, Size keys, Size heads, Size width, Size bytes) {
  Size const splits = simt::ceil_div(keys, attention_decode_split(width, bytes));
  return splits <= 1 ? 0 : queries * heads * splits * (width + 2);
}
/// Whether attention_decode takes these: at most 16 queries; heads of at most 256 channels, whole 16 bytes; k and v aligned to 16 bytes.
template <class T, KernelDevice Dev>
[[nodiscard]] bool attention_decode_takes(In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v) {
  return q.extent(0) <= 16 && q.extent(2) <= 256 && q.extent(2) * Size{sizeof(T)} % 16 == 0 && is_aligned(k, 16) && is_aligned(v, 16);
}

/// As attention_general, for what attention_decode_takes. `workspace` has attention_decode_workspace(…) floats, which are overwritten.
/// With `last` the splits of all keys are launched, and those behind it return at once. Enqueues two kernels, or one, and returns. Throws
/// ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void attention_decode(simt::Stream<Dev> stream, In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, float scale, bool causal,
                      Out<float, 1, Dev> workspace, Out<T, 3, Dev> out, std::type_identity_t<View<std::int64_t const, 1, Dev>> last = {}) {
  check_attention<T, Dev>(q, k, v, causal, out), check_last<T, Dev>(last, causal, out);
  if (out.count() == 0) return;
  Size const queries = q.extent(0), heads = q.extent(1), kv_heads = k.extent(1), width = q.extent(2);
  require<ShapeError>(
      attention_decode_takes<T, Dev>(q, k, v), "attention_decode: q ", shape_text(q.extents()), ", k ", shape_text(k.extents()),
      ": at most 16 queries, heads of whole 16 bytes up to 256 channels, k and v aligned to 16 bytes; attention_general takes all");
  int const split = attention_decode_split(width, sizeof(T));
  Size const splits = simt::ceil_div(k.extent(0), split),
             needed = attention_decode_workspace(queries, k.extent(0), heads, width, sizeof(T));
  check_output("attention_decode: workspace", workspace), check_apart("attention_decode: workspace", workspace, "q", q);
  check_apart("attention_decode: workspace", workspace, "k", k), check_apart("attention_decode: workspace", workspace, "v", v);
  check_apart("attention_decode: workspace", workspace, "out", out);
  require<ShapeError>(workspace.extent(0) >= needed && workspace.stride(0) == 1, "attention_decode: workspace: ", needed,
                      " dense floats are needed, found ", workspace.extent(0));
  auto const all = AttentionRows::of(q.extents(), k.extents(), causal);
  View<float, 3, Dev> const states =
      splits > 1 ? View<float, 3, Dev>(workspace.data(), {queries * heads, splits, width + 2}) : View<float, 3, Dev>();
  auto const run = [&]<int kWidth, int kRows>(std::integral_constant<int, kWidth>, std::integral_constant<int, kRows>) {
    using Tr = AttentionDecodeTraits<T, kWidth, kRows>;
    simt::launch(stream,
                 {.name = "attention_decode", .grid = {splits, kv_heads, simt::ceil_div(all.rows, kRows)}, .block = Tr::kThreads,
                  .shared = sizeof(typename Tr::Shared)},
                 attention_decode_kernel<kWidth, kRows, T, Dev>, q, k, v, scale, all, last, states, out);
  };
  auto const run_rows = [&](auto row_width) {
    if (all.rows == 1) run(row_width, std::integral_constant<int, 1>{});
    else run(row_width, std::integral_constant<int, 8>{});
  };
  if (width <= 64) run_rows(std::integral_constant<int, 64>{});
  else if (width <= 128) run_rows(std::integral_constant<int, 128>{});
  else run_rows(std::integral_constant<int, 256>{});
  if (splits > 1)
    simt::launch(stream, {.name = "attention_merge", .grid = queries * heads, .block = AttentionMergeTraits::kThreads},
                 attention_merge_kernel<T, Dev>, states, all, last, split, out);
}

/// That of attention_cost, and the states written and read.
constexpr Cost attention_decode_cost(Size queries, Size keys, Size heads, Size kv_heads, Size width, bool causal, Size bytes) {
  Cost const c = attention_cost(queries, keys, heads, kv_heads, width, causal, bytes);
  return {c.bytes + 8 * attention_decode_workspace(queries, keys, heads, width, bytes), c.flops};
}

}  // namespace mgm::inline v0::kernels
