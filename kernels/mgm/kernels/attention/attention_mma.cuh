/// Attention of many queries by matrix instructions: 16-bit elements, sums in float.
///   out[i,h] = Σ_j softmax_j(scale · q[i,h]·k[j,g])·v[j,g],   g = h / (heads / kv_heads)
/// A warp holds 16 or 32 rows of queries of a key/value head (those of all heads of its group, side by side) with their sums in registers,
/// and walks over the keys with a running maximum (Dao 2023, arXiv:2307.08691): scores are the accumulators of one product and, rounded to
/// T, the left operand of the next. The copy of the keys to come runs beside the product with the values, that of the values beside the
/// scores. A row's bits depend neither on its neighbours nor on the form taken for a width.
#pragma once
#include <mgm/kernels/attention/attention_rows.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>
#include <mgm/tile/fragment.hpp>
#include <mgm/tile/shared_tile.hpp>

namespace mgm::inline v0::kernels {

/// Heads of up to kWidth channels, 16·kM rows a warp.
template <class T, int kWidth_, int kM_>
struct AttentionMmaTraits {
  static constexpr int kWidth = kWidth_, kM = kM_, kWarps = 4, kThreads = 32 * kWarps;  // not measured yet
  static constexpr int kRegisters = 255;                                                // of a thread, at most: nvcc-gate
  static constexpr int kRows = 16 * kM * kWarps, kKeys = kWidth <= 64 ? 64 : 32;        // kKeys: what the registers hold beside the sums
  static constexpr int kParts = kWidth / 64;  // of 64 channels, whose values are in registers at once
  static constexpr int kBlocks = kM > 1 || kWidth > 128 ? 1 : kWidth > 64 ? 2 : 3;      // on a multiprocessor, by registers
  using Queries = tile::SharedTile<T, kRows, kWidth>;
  using Keys = tile::SharedTile<T, kKeys, kWidth>;
  struct Shared {
    Queries q;  // and at last the result
    Keys k, v;
  };
  static_assert(kBlocks * (sizeof(Shared) + 1024) <= 164 * 1024, "an A100's shared memory");
};

/// Starts the copies of a block's rows of queries.
template <class Tr, class T, class Dev>
MGM_DEVICE void attention_mma_stage(View<T const, 3, Dev> q, AttentionRows const& all, int first, int head, typename Tr::Queries& to) {
  constexpr int kChunks = Tr::Queries::kChunks;
  MGM_UNROLL for (int i = 0; i < Tr::kRows * kChunks / Tr::kThreads; ++i) {
    int const at = i * Tr::kThreads + simt::thread_idx(), chunk = at % kChunks;
    int const row = first + at / kChunks;
    bool const inside = row < all.rows && 8 * chunk < q.extent(2);
    simt::copy_async<16>(to.chunk(at / kChunks, chunk), inside ? q.row(all.query(row), all.head(head, row)) + 8 * chunk : q.data(),
                         inside ? 16 : 0);
  }
}

/// A warp's rows of the online softmax: in accumulator order, lane l holds rows l / 4 and l / 4 + 8 of each 16, and columns 2·(l % 4) and
/// the next of each 8 (simt/mma_layout.hpp).
template <class Tr>
struct AttentionMmaState {
  float sum[Tr::kParts][Tr::kM][8][4] = {};   // (rows, d)
  float peak[Tr::kM][2], mass[Tr::kM][2];     // in units of log₂ e; mass: of the lane's columns

  /// Scores (rows, keys) become probabilities against the running maximum; what came before is rescaled. The tile begins at key
  /// `first`, the lane's rows at `row`; `scale` carries log₂ e. How much a row sees is worked out where it is needed: kept, it would spill.
  MGM_DEVICE void probabilities(float (&score)[Tr::kM][Tr::kKeys / 8][4], float scale, int first, AttentionRows const& all, int row,
                                bool all_seen) {
    int const col = first + 2 * (simt::lane_idx() % 4);
    MGM_UNROLL for (int m = 0; m < Tr::kM; ++m)
      MGM_UNROLL for (int h = 0; h < 2; ++h) {
        int const seen = all_seen ? 0 : all.seen_or_all(row + 16 * m + 8 * h);
        float top = -INFINITY;
        MGM_UNROLL for (int n = 0; n < Tr::kKeys / 8; ++n)
          MGM_UNROLL for (int e = 0; e < 2; ++e) {
            float& x = score[m][n][2 * h + e];
            x = all_seen || 8 * n + col + e < seen ? x * scale : -INFINITY;
            top = simt::max(top, x);
          }
        top = simt::max(peak[m][h], simt::warp_max<4>(top));
        float const keep = simt::exp2(peak[m][h] - top);
        float gain = 0;
        MGM_UNROLL for (int n = 0; n < Tr::kKeys / 8; ++n)
          MGM_UNROLL for (int e = 0; e < 2; ++e) {
            float& x = score[m][n][2 * h + e];
            x = simt::exp2(x - top);
            gain += x;
          }
        peak[m][h] = top, mass[m][h] = simt::fma(mass[m][h], keep, gain);
        MGM_UNROLL for (int part = 0; part < Tr::kParts; ++part)
          MGM_UNROLL for (int n = 0; n < 8; ++n) sum[part][m][n][2 * h] *= keep, sum[part][m][n][2 * h + 1] *= keep;
      }
  }
  /// sum += p·v.
  template <class T>
  MGM_DEVICE void add(float const (&p)[Tr::kM][Tr::kKeys / 8][4], typename Tr::Keys const& v) {
    MGM_UNROLL for (int j = 0; j < Tr::kKeys / 16; ++j) {
      unsigned left[Tr::kM][4];                                                         // (rows, 16)
      MGM_UNROLL for (int m = 0; m < Tr::kM; ++m)
        MGM_UNROLL for (int i = 0; i < 4; ++i) {
          float const* const pair = &p[m][2 * j + i / 2][2 * (i % 2)];
          left[m][i] = simt::narrow_pair<T>(pair[0], pair[1]);
        }
      MGM_UNROLL for (int part = 0; part < Tr::kParts; ++part) {
        unsigned right[8][2];                                                           // (16, 64)
        MGM_UNROLL for (int n = 0; n < 8; n += 2) tile::load_right_turned(right[n], right[n + 1], v, 64 * part + 8 * n, 16 * j);
        simt::mma_outer<T>(sum[part], left, right);
      }
    }
  }
};

template <int kWidth, int kM, class T, class Dev>
MGM_GLOBAL(AttentionMmaTraits<T, kWidth, kM>::kThreads, AttentionMmaTraits<T, kWidth, kM>::kBlocks)
void attention_mma_kernel(View<T const, 3, Dev> q, View<T const, 3, Dev> k, View<T const, 3, Dev> v, float scale, AttentionRows all,
                          View<T, 3, Dev> out) {
  using Tr = AttentionMmaTraits<T, kWidth, kM>;
  auto& s = simt::shared<typename Tr::Shared>();
  int const lane = simt::lane_idx(), mine = simt::warp_idx() * 16 * kM, head = simt::block_idx().y, width = static_cast<int>(q.extent(2));
  int const first_row = (simt::grid_dim().x - 1 - simt::block_idx().x) * Tr::kRows;     // the blocks that see most begin
  auto const matrix = [&](View<T const, 3, Dev> of) {
    return View<T const, 2, Dev>(of.row(0, head), {of.extent(0), of.extent(2)}, {of.stride(0), 1});
  };
  tile::TileCopy<T, typename Tr::Keys, Tr::kThreads> keys(matrix(k), 0, 0, simt::thread_idx()), values(matrix(v), 0, 0, simt::thread_idx());
  attention_mma_stage<Tr>(q, all, first_row, head, s.q);                                // (rows, d)
  keys.read(s.k);                                                                       // (keys, d)
  simt::copy_async_commit();

  AttentionMmaState<Tr> state;
  MGM_UNROLL for (int m = 0; m < kM; ++m)
    MGM_UNROLL for (int h = 0; h < 2; ++h) state.peak[m][h] = -INFINITY, state.mass[m][h] = 0;
  int const least = all.seen(first_row + mine);                                         // of the warp's rows the first sees least
  int const last = first_row + Tr::kRows < all.rows ? first_row + Tr::kRows : all.rows, reach = all.seen(last - 1);

  for (int first = 0; first < reach; first += Tr::kKeys) {
    simt::copy_async_wait<0>();
    simt::sync_block();                                                                 // keys are there; the values before have been read
    values.read(s.v), values.go_down();                                                 // (keys, d)
    simt::copy_async_commit();
    float score[kM][Tr::kKeys / 8][4] = {};                                             // (rows, keys)
    MGM_UNROLL_BY(1) for (int part = 0; part < Tr::kParts; ++part)                      // not unrolled: all addresses would be held at once
      MGM_UNROLL_BY(2) for (int c = 0; c < 64; c += 16) {
        unsigned left[kM][4], right[Tr::kKeys / 8][2];                                  // (rows, 16), (16, keys)
        MGM_UNROLL for (int m = 0; m < kM; ++m) tile::load_left(left[m], s.q, mine + 16 * m, 64 * part + c);
        MGM_UNROLL for (int n = 0; n < Tr::kKeys / 8; n += 2) tile::load_right(right[n], right[n + 1], s.k, 8 * n, 64 * part + c);
        simt::mma_outer<T>(score, left, right);
      }
    simt::copy_async_wait<0>();
    simt::sync_block();                                                                 // values are there; the keys have been read
    if (first + Tr::kKeys < reach) {
      keys.go_down(), keys.read(s.k);
      simt::copy_async_commit();
    }
    state.probabilities(score, scale, first, all, first_row + mine + lane / 4, first + Tr::kKeys <= least);
    state.template add<T>(score, s.v);
  }

  MGM_UNROLL for (int m = 0; m < kM; ++m)
    MGM_UNROLL for (int h = 0; h < 2; ++h) {
      float const share = 1 / simt::warp_sum<4>(state.mass[m][h]);
      MGM_UNROLL for (int part = 0; part < Tr::kParts; ++part)
        MGM_UNROLL for (int n = 0; n < 8; ++n) {
          float const(&sum)[4] = state.sum[part][m][n];
          T* const to = s.q.chunk(mine + 16 * m + 8 * h + lane / 4, 8 * part + n) + 2 * (lane % 4);  // rows that this warp alone reads
          simt::store<2>(to, simt::Vec<T, 2>{simt::narrow<T>(sum[2 * h] * share), simt::narrow<T>(sum[2 * h + 1] * share)});
        }
    }
  simt::sync_warp();
  constexpr int kChunks = Tr::Queries::kChunks;
  for (int i = lane; i < 16 * kM * kChunks; i += simt::kWarp) {
    int const chunk = i % kChunks;
    int const row = first_row + mine + i / kChunks;
    if (row < all.rows && 8 * chunk < width)
      simt::store<8>(out.row(all.query(row), all.head(head, row)) + 8 * chunk, simt::load<8>(s.q.chunk(mine + i / kChunks, chunk)));
  }
}

/// Whether attention_mma takes these: heads of at most 256 channels, whole 16 bytes, all aligned to them, 16-bit elements.
template <class T, KernelDevice Dev>
[[nodiscard]] bool attention_mma_takes(In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, In<T, 3, Dev> out) {
  return sizeof(T) == 2 && q.extent(2) <= 256 && q.extent(2) % 8 == 0 && is_aligned(q, 16) && is_aligned(k, 16) && is_aligned(v, 16) &&
         is_aligned(out, 16);
}

/// As attention_general, for what attention_mma_takes, 16·kM rows a warp (kM = 1 or 2; the same bits); but values of later keys, though
/// they weigh nothing, must be finite. Probabilities are rounded to T before they meet v. Enqueues and returns. Throws ShapeError and
/// ArgumentError naming the argument.
template <int kM, Real T, KernelDevice Dev>
  requires(sizeof(T) == 2)
void attention_mma(simt::Stream<Dev> stream, In<T, 3, Dev> q, In<T, 3, Dev> k, In<T, 3, Dev> v, float scale, bool causal,
                   Out<T, 3, Dev> out) {
  check_attention<T, Dev>(q, k, v, causal, out);
  if (out.count() == 0) return;
  require<ShapeError>(attention_mma_takes<T, Dev>(q, k, v, out), "attention_mma: q ", shape_text(q.extents()), " with strides ",
                      shape_text(q.strides()),
                      ": heads of whole 16 bytes up to 256 channels, all aligned to 16 bytes; attention_general takes all");
  auto const all = AttentionRows::of(q.extents(), k.extents(), causal);
  auto const run = [&]<int kWidth, int kTall>(std::integral_constant<int, kWidth>, std::integral_constant<int, kTall>) {
    using Tr = AttentionMmaTraits<T, kWidth, kTall>;
    simt::launch(stream,
                 {.name = "attention_mma", .grid = {simt::ceil_div(all.rows, Tr::kRows), k.extent(1)}, .block = Tr::kThreads,
                  .shared = sizeof(typename Tr::Shared)},
                 attention_mma_kernel<kWidth, kTall, T, Dev>, q, k, v, scale * 1.44269504088896340736f, all, out);
  };
  std::integral_constant<int, kM> const tall;
  if (q.extent(2) <= 64) run(std::integral_constant<int, 64>{}, tall);
  else if (q.extent(2) <= 128) run(std::integral_constant<int, 128>{}, tall);
  else run(std::integral_constant<int, 256>{}, std::integral_constant<int, 1>{});       // registers hold no 32 rows of sums
}

}  // namespace mgm::inline v0::kernels
