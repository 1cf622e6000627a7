/// The matrix product on tensor cores: bf16 and f16, sums in float.
///   out = epilogue(x·wᵀ), w (N, K);  or epilogue(x·w), w (K, N)
/// A block makes kM×kN of `out`. Panels of kK along K come to shared memory by asynchronous copies, kStages − 1 of them under way while
/// one is multiplied; each warp keeps its part of the sums in registers. K runs upwards in steps of 16 whatever the tile, so that the
/// choice of tile, which depends on M, changes no bit. Written for sm_80 and up; sm_90's own instructions are not used. Not measured on any
/// GPU.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/gemm/gemm_arguments.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/tile/epilogue.hpp>
#include <mgm/tile/fragment.hpp>
#include <mgm/tile/shared_tile.hpp>

namespace mgm::inline v0::kernels {

/// Tile of a block, depth of a panel, panels in shared memory, warps along M and N, and blocks that shall fit a multiprocessor.
template <int kM_, int kN_, int kK_, int kStages_, int kWarpsM_, int kWarpsN_, int kBlocks_>
struct GemmMmaTraits {
  static constexpr int kM = kM_, kN = kN_, kK = kK_, kStages = kStages_, kWarpsM = kWarpsM_, kWarpsN = kWarpsN_, kBlocks = kBlocks_;
  static constexpr int kWarpM = kM / kWarpsM, kWarpN = kN / kWarpsN, kWarps = kWarpsM * kWarpsN, kThreads = 32 * kWarps;
  static constexpr int kRegisters = 128;                             // of a thread, at most: nvcc-gate
  static constexpr int kPartsM = kWarpM / 16, kPartsN = kWarpN / 8;  // instructions that a warp's part takes for 16 of K
  static constexpr int kShared = kStages * (kM + kN) * kK * 2;       // bytes
  static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0 && kK % 16 == 0 && kStages >= 2);
  static_assert(kBlocks * (kShared + 1024) <= 163 * 1024 && kWarps * 16 * (kWarpN + 8) * 4 <= kShared, "an A100's shared memory");
};
using GemmMmaLarge = GemmMmaTraits<128, 128, 32, 4, 2, 4, 2>;  // 64 KB; each warp 64×32: 64 registers of sums, 128 in all
using GemmMmaSmall = GemmMmaTraits<64, 64, 64, 3, 2, 2, 3>;    // 48 KB; where large tiles are too few for the multiprocessors

/// w's tile as it lies in memory: (N, K), or (K, N) when `kTurned`.
template <class Tr, class T, bool kTurned>
struct GemmMmaShared {
  using X = tile::SharedTile<T, Tr::kM, Tr::kK>;
  using W = std::conditional_t<kTurned, tile::SharedTile<T, Tr::kK, Tr::kN>, tile::SharedTile<T, Tr::kN, Tr::kK>>;
  struct Panel {
    X x;
    W w;
  };
  union {
    Panel panel[Tr::kStages];
    float part[Tr::kWarps][16][Tr::kWarpN + 8];  // a warp's sums on their way to rows; + 8: pairs of a half warp fall on different banks
  };
};

/// sum += the product of `panels` panels that the copies bring, one tile of x and w each. Afterwards shared memory is free.
template <class Tr, class T, bool kTurned, class CopyX, class CopyW>
MGM_DEVICE void gemm_mma_sums(GemmMmaShared<Tr, T, kTurned>& s, CopyX& copy_x, CopyW& copy_w, int panels,
                              float (&sum)[Tr::kPartsM][Tr::kPartsN][4]) {
  int const warp = simt::warp_idx(), warp_m = warp / Tr::kWarpsN * Tr::kWarpM, warp_n = warp % Tr::kWarpsN * Tr::kWarpN;
  auto const fetch = [&](int p) {
    if (p < panels) {
      copy_x.read(s.panel[p % Tr::kStages].x), copy_w.read(s.panel[p % Tr::kStages].w);
      copy_x.go_right();
      if constexpr (kTurned) copy_w.go_down();
      else copy_w.go_right();
    }
    simt::copy_async_commit();                                                     // one group a panel, also behind the last
  };
  MGM_UNROLL for (int p = 0; p < Tr::kStages - 1; ++p) fetch(p);
  for (int p = 0; p < panels; ++p) {
    simt::copy_async_wait<Tr::kStages - 2>();
    simt::sync_block();                                                            // panel p is there for all; panel p − 1 is done with
    fetch(p + Tr::kStages - 1);
    auto const& panel = s.panel[p % Tr::kStages];
    MGM_UNROLL for (int k = 0; k < Tr::kK; k += 16) {
      unsigned a[Tr::kPartsM][4], b[Tr::kPartsN][2];                               // (kWarpM, 16), (16, kWarpN)
      MGM_UNROLL for (int i = 0; i < Tr::kPartsM; ++i) tile::load_left(a[i], panel.x, warp_m + 16 * i, k);
      MGM_UNROLL for (int j = 0; j < Tr::kPartsN; j += 2) {
        if constexpr (kTurned) tile::load_right_turned(b[j], b[j + 1], panel.w, warp_n + 8 * j, k);
        else tile::load_right(b[j], b[j + 1], panel.w, warp_n + 8 * j, k);
      }
      simt::mma_outer<T>(sum, a, b);
    }
  }
  simt::copy_async_wait<0>();
  simt::sync_block();
}
/// Calls finish(eight neighbouring sums, row, column) for each eight of the block's tile, from the lane that should store them.
template <class Tr, class T, bool kTurned, class Finish>
MGM_DEVICE void gemm_mma_finish(GemmMmaShared<Tr, T, kTurned>& s, float const (&sum)[Tr::kPartsM][Tr::kPartsN][4], Finish finish) {
  int const warp = simt::warp_idx(), warp_m = warp / Tr::kWarpsN * Tr::kWarpM, warp_n = warp % Tr::kWarpsN * Tr::kWarpN;
  auto& part = s.part[warp];                                                       // (16, kWarpN)
  MGM_ROLLED for (int i = 0; i < Tr::kPartsM; ++i) {  // one copy of the epilogue's code; sums stay in registers
    MGM_UNROLL for (int own = 0; own < Tr::kPartsM; ++own)
      if (own == i) tile::store_sums(sum[own], &part[0][0], Tr::kWarpN + 8);
    simt::sync_warp();
    MGM_ROLLED for (int e = simt::lane_idx(); e < 16 * Tr::kPartsN; e += simt::kWarp) {
      int const row = e / Tr::kPartsN, col = e % Tr::kPartsN * 8;
      finish(&part[row][col], warp_m + 16 * i + row, warp_n + col);
    }
    simt::sync_warp();                                                             // before the part is overwritten
  }
}

template <class Tr, class T, class TOut, bool kTurned, class Dev>
MGM_GLOBAL(Tr::kThreads, Tr::kBlocks)
void gemm_mma_kernel(View<T const, 2, Dev> x, View<T const, 2, Dev> w, Epilogue<T, Dev> epilogue, bool wide, int part_of_k,
                     View<TOut, 3, Dev> layers) {
  using Shared = GemmMmaShared<Tr, T, kTurned>;
  auto& s = simt::shared<Shared>();
  Size const m0 = Size{simt::block_idx().x} * Tr::kM, n0 = Size{simt::block_idx().y} * Tr::kN;  // neighbours share w's tile
  Size const k0 = Size{simt::block_idx().z} * part_of_k, k1 = k0 + part_of_k < x.extent(1) ? k0 + part_of_k : x.extent(1);
  View<TOut, 2, Dev> const out = layers[simt::block_idx().z];
  tile::TileCopy<T, typename Shared::X, Tr::kThreads> copy_x(x, m0, k0, simt::thread_idx());
  tile::TileCopy<T, typename Shared::W, Tr::kThreads> copy_w(w, kTurned ? k0 : n0, kTurned ? n0 : k0, simt::thread_idx());
  float sum[Tr::kPartsM][Tr::kPartsN][4] = {};                                     // (kM, kN) over the block
  gemm_mma_sums(s, copy_x, copy_w, static_cast<int>((k1 - k0 + Tr::kK - 1) / Tr::kK), sum);
  gemm_mma_finish(s, sum, [&](float const* eight, int row, int col) {
    if (m0 + row < out.extent(0) && n0 + col < out.extent(1)) tile::finish_eight(epilogue, eight, m0 + row, n0 + col, wide, out);
  });
}

/// Whether x (M, K) and w (N, K) can take this form: K and, where w's rows run along N, N are dense, and rows begin on 16 bytes.
template <Real T, KernelDevice Dev>
[[nodiscard]] bool gemm_mma_fits(View<T const, 2, Dev> x, View<T const, 2, Dev> w) {
  View<T const, 2, Dev> const turned(w.data(), {w.extent(1), w.extent(0)}, {w.stride(1), w.stride(0)});
  return sizeof(T) == 2 && is_aligned(x, 16) && (is_aligned(w, 16) || is_aligned(turned, 16)) &&
         w.extent(0) <= Size{65535} * GemmMmaSmall::kN && x.extent(1) < (Size{1} << 28);
}

namespace detail {
/// Sends the kernel for `layers`, one for each part of K; all but the last have `part_of_k` of it, a whole number of panels.
template <class Tr, class T, class TOut, class Dev>
void send_gemm_mma(simt::Stream<Dev> stream, View<T const, 2, Dev> x, View<T const, 2, Dev> w, Epilogue<T, Dev> const& e, Size part_of_k,
                   View<TOut, 3, Dev> layers) {
  Size const m = x.extent(0), n = w.extent(0), k = x.extent(1);
  auto const send = [&](auto turned, View<T const, 2, Dev> weight) {
    constexpr bool kTurned = decltype(turned)::value;
    simt::launch(stream,
                 {.name = Tr::kM >= 128 ? "gemm_mma_large" : "gemm_mma_small",
                  .grid = {simt::ceil_div(m, Tr::kM), simt::ceil_div(n, Tr::kN), layers.extent(0)},
                  .block = Tr::kThreads,
                  .shared = sizeof(GemmMmaShared<Tr, T, kTurned>)},
                 gemm_mma_kernel<Tr, T, TOut, kTurned, Dev>, x, weight, e, is_wide(e, layers[0]) && is_aligned(layers, 16),
                 static_cast<int>(part_of_k), layers);
  };
  if (is_aligned<T const>(w, 16)) send(std::false_type{}, w);
  else send(std::true_type{}, {w.data(), {k, n}, {w.stride(1), w.stride(0)}});
}
}  // namespace detail

/// x (M, K), w (N, K) — swap the strides of a (K, N) matrix for x·w — and out (M, N) of T or float; rows of x and w begin on 16 bytes and
/// are dense along one axis, w along either. `out` and the epilogue may lie as they like; where all begin on 16 bytes they move in eights.
/// Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <class Tr, simt::HalfReal T, class TOut, KernelDevice Dev>
void gemm_mma(simt::Stream<Dev> stream, In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  check_gemm<T, TOut, Dev>(x, w, e, out);
  require<ArgumentError>(gemm_mma_fits<T, Dev>(x, w),
                         "gemm_mma: x and w need dense rows that begin on 16 bytes, and K below 2^28; take gemm_general for others");
  if (out.count() == 0) return;
  View<TOut, 3, Dev> const layer(out.data(), {1, out.extent(0), out.extent(1)}, {0, out.stride(0), out.stride(1)});
  detail::send_gemm_mma<Tr, T, TOut, Dev>(stream, x, w, e, x.extent(1), layer);
}

}  // namespace mgm::inline v0::kernels
