/// Depthwise 7×7 convolution with LayerNorm (see depthwise_norm.cuh) for even channel counts up to 3072, channels dense.
/// A group of warps owns all channels of a tile of pixels, each lane one or more pairs of neighbouring channels: nothing passes between
/// lanes until the norm's sums. Sums stay in registers from the first tap to the store; a row of inputs is read once for all outputs that
/// it touches; groups of a block stand side by side, so that their halos meet in the multiprocessor's cache.
#pragma once
#include <string>

#include <mgm/kernels/conv/depthwise_norm.cuh>
#include <mgm/simt/barrier.hpp>
#include <mgm/tile/warp_sums.hpp>

namespace mgm::inline v0::kernels {

/// Tiles of kRows × kCols pixels; a lane owns kPairs pairs of channels. 32 sums a lane are what registers hold beside inputs and weights.
template <int kRows_, int kCols_, int kPairs_>
struct DepthwiseTileTraits {
  static constexpr int kRows = kRows_, kCols = kCols_, kPairs = kPairs_, kPixels = kRows * kCols;
  static constexpr int kWarps = 12, kThreads = 32 * kWarps;  // the most of a block; not measured yet
  static constexpr int kRegisters = 168;                     // of a thread, at most: nvcc-gate
  static constexpr Size kChannels = Size{2} * kPairs * kThreads;
  static_assert(kPixels * kPairs <= 16 && kPixels % 4 == 0);
  struct Shared {
    float part[kWarps][kPixels], total[kWarps][kPixels];     // of each warp; of each group
  };
};

/// The threads that share a tile.
struct DepthwiseGroup {
  int warps, index, first_warp, thread;
  MGM_DEVICE explicit DepthwiseGroup(int threads)
      : warps(threads / simt::kWarp), index(simt::thread_idx() / threads), first_warp(index * warps),
        thread(simt::thread_idx() % threads) {}
};

/// values[i] = Σ over the group of values[i], in every thread: lanes, then warps in order. All threads of the block meet.
template <class Tr>
MGM_DEVICE void group_sums(DepthwiseGroup const& group, typename Tr::Shared& s, float (&values)[Tr::kPixels]) {
  MGM_UNROLL for (int first = 0; first < Tr::kPixels; first += 8) {
    float eight[8];
    MGM_UNROLL for (int i = 0; i < 8; ++i) eight[i] = first + i < Tr::kPixels ? values[(first + i) % Tr::kPixels] : 0;
    float const sum = tile::warp_sums(eight);
    int const i = first + simt::lane_idx() / 4;
    if (simt::lane_idx() % 4 == 0 && i < Tr::kPixels) s.part[simt::warp_idx()][i] = sum;
  }
  simt::sync_block();
  if (group.thread < Tr::kPixels) {
    float sum = 0;
    for (int w = 0; w < group.warps; ++w) sum += s.part[group.first_warp + w][group.thread];
    s.total[group.index][group.thread] = sum;
  }
  simt::sync_block();
  MGM_UNROLL for (int i = 0; i < Tr::kPixels; ++i) values[i] = s.total[group.index][i];
}

/// sums[y][x] of channels c and c + 1 += Σ_{i,j<7} weight(7i + j) · in(top + y + i − 3, left + x + j − 3), row by row of the input.
template <class Tr, class T, class Dev>
MGM_DEVICE void conv7_tile(View<T const, 3, Dev> in, View<T const, 2, Dev> weight, int top, int left, int c,
                           float (&sums)[Tr::kRows][Tr::kCols][2]) {
  constexpr int kReach = Tr::kCols + 6;
  for (int r = 0; r < Tr::kRows + 6; ++r) {
    int const y = top + r - 3;
    if (y < 0 || y >= in.extent(0)) continue;
    float x[kReach][2];                                                       // (kCols + 6, 2)
    MGM_UNROLL for (int k = 0; k < kReach; ++k) {
      int const col = left + k - 3;
      bool const inside = col >= 0 && col < in.extent(1);
      auto const pair = inside ? simt::load_readonly<2>(in.row(y, col) + c) : simt::Vec<T, 2>{T(0.0f), T(0.0f)};
      MGM_UNROLL for (int e = 0; e < 2; ++e) x[k][e] = simt::widen(pair[e]);
    }
    MGM_UNROLL for (int out = 0; out < Tr::kRows; ++out) {
      int const i = r - out;                                                  // the tap's row that joins this input to that output
      if (i < 0 || i >= 7) continue;
      MGM_UNROLL for (int j = 0; j < 7; ++j) {
        auto const w = simt::load_readonly<2>(weight.row(7 * i + j) + c);
        MGM_UNROLL for (int e = 0; e < 2; ++e) {
          float const tap = simt::widen(w[e]);
          MGM_UNROLL for (int k = 0; k < Tr::kCols; ++k) sums[out][k][e] = simt::fma(tap, x[k + j][e], sums[out][k][e]);
        }
      }
    }
  }
}

template <class Tr, class T, class Dev>
MGM_GLOBAL(Tr::kThreads)
void depthwise_tile_kernel(View<T const, 3, Dev> in, View<T const, 2, Dev> weight, View<T const, 1, Dev> bias, View<T const, 1, Dev> gain,
                           View<T const, 1, Dev> norm_bias, float eps, int group_threads, View<T, 3, Dev> out) {
  auto& s = simt::shared<typename Tr::Shared>();
  DepthwiseGroup const group(group_threads);
  int const channels = static_cast<int>(in.extent(2)), groups = simt::block_dim() / group_threads;
  int const top = simt::block_idx().y * Tr::kRows, left = (simt::block_idx().x * groups + group.index) * Tr::kCols;
  auto const channel = [&](int p) { return 2 * (p * group_threads + group.thread); };
  float sums[Tr::kPairs][Tr::kRows][Tr::kCols][2] = {};
  MGM_UNROLL for (int p = 0; p < Tr::kPairs; ++p) {
    int const c = channel(p);
    if (c >= channels || left >= in.extent(1)) continue;
    auto const b = simt::load_readonly<2>(bias.data() + c);
    MGM_UNROLL for (int y = 0; y < Tr::kRows; ++y)
      MGM_UNROLL for (int x = 0; x < Tr::kCols; ++x)
        MGM_UNROLL for (int e = 0; e < 2; ++e) sums[p][y][x][e] = simt::widen(b[e]);
    conv7_tile<Tr>(in, weight, top, left, c, sums[p]);
  }

  float mean[Tr::kPixels], rstd[Tr::kPixels];
  MGM_UNROLL for (int n = 0; n < Tr::kPixels; ++n) {
    mean[n] = 0;
    MGM_UNROLL for (int p = 0; p < Tr::kPairs; ++p)
      MGM_UNROLL for (int e = 0; e < 2; ++e) mean[n] += sums[p][n / Tr::kCols][n % Tr::kCols][e];
  }
  group_sums<Tr>(group, s, mean);
  MGM_UNROLL for (int n = 0; n < Tr::kPixels; ++n) {
    mean[n] /= float(channels), rstd[n] = 0;
    MGM_UNROLL for (int p = 0; p < Tr::kPairs; ++p)
      MGM_UNROLL for (int e = 0; e < 2; ++e) {
        float const d = sums[p][n / Tr::kCols][n % Tr::kCols][e] - mean[n];
        if (channel(p) < channels) rstd[n] = simt::fma(d, d, rstd[n]);
      }
  }
  group_sums<Tr>(group, s, rstd);
  MGM_UNROLL for (int n = 0; n < Tr::kPixels; ++n) rstd[n] = 1 / simt::sqrt(rstd[n] / float(channels) + eps);

  MGM_UNROLL for (int p = 0; p < Tr::kPairs; ++p) {
    int const c = channel(p);
    if (c >= channels) continue;
    auto const g = simt::load_readonly<2>(gain.data() + c), b = simt::load_readonly<2>(norm_bias.data() + c);
    MGM_UNROLL for (int n = 0; n < Tr::kPixels; ++n) {
      int const y = top + n / Tr::kCols, x = left + n % Tr::kCols;
      if (y >= in.extent(0) || x >= in.extent(1)) continue;
      simt::Vec<T, 2> v;
      MGM_UNROLL for (int e = 0; e < 2; ++e) {
        float const d = (sums[p][n / Tr::kCols][n % Tr::kCols][e] - mean[n]) * rstd[n];
        v[e] = simt::narrow<T>(simt::fma(d, simt::widen(g[e]), simt::widen(b[e])));
      }
      simt::store<2>(out.row(y, x) + c, v);
    }
  }
}

enum class DepthwiseForm { general, tile_4x4, tile_2x4, tile_2x2 };

/// The form for `channels` channels: the largest tile whose sums fit in registers.
[[nodiscard]] constexpr DepthwiseForm depthwise_form(Size channels) {
  using enum DepthwiseForm;
  if (channels % 2 != 0 || channels > DepthwiseTileTraits<2, 2, 4>::kChannels) return general;
  if (channels <= DepthwiseTileTraits<4, 4, 1>::kChannels) return tile_4x4;
  return channels <= DepthwiseTileTraits<2, 4, 2>::kChannels ? tile_2x4 : tile_2x2;
}
/// The table of choices, for people.
[[nodiscard]] inline std::string depthwise_table() {
  constexpr char const* kNames[] = {"general", "tile 4x4", "tile 2x4", "tile 2x2"};
  std::string out = "depthwise 7x7 with norm, channels: form (pairs of elements aligned; else general)\n";
  for (Size const c : {96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 3074})
    out += text(c, ": ", kNames[static_cast<int>(depthwise_form(c))], "\n");
  return out;
}

namespace detail {
template <class Tr, Real T, KernelDevice Dev>
void launch_depthwise_tile(simt::Stream<Dev> stream, View<T const, 3, Dev> x, View<T const, 2, Dev> weight, View<T const, 1, Dev> bias,
                           View<T const, 1, Dev> gain, View<T const, 1, Dev> norm_bias, float eps, View<T, 3, Dev> out) {
  Size const threads = simt::ceil_div(x.extent(2), 2 * Tr::kPairs * simt::kWarp) * simt::kWarp;
  Size const tiles = simt::ceil_div(x.extent(1), Tr::kCols), groups = std::min<Size>(tiles, Tr::kThreads / threads);
  Size const rows = simt::ceil_div(x.extent(0), Tr::kRows);
  simt::launch(stream,
               {.name = "depthwise_tile", .grid = {simt::ceil_div(tiles, groups), rows}, .block = static_cast<int>(groups * threads),
                .shared = sizeof(typename Tr::Shared)},
               depthwise_tile_kernel<Tr, T, Dev>, x, weight, bias, gain, norm_bias, eps, static_cast<int>(threads), out);
}
}  // namespace detail

/// As `depthwise_conv7_norm`, by the form that the shape calls for: pairs of channels need x, out, the weights and the vectors dense along
/// them and aligned to two elements, and at most 65 535 rows of tiles; anything else takes the general form.
template <Real T, KernelDevice Dev>
void depthwise_conv7_norm_tuned(simt::Stream<Dev> stream, In<T, 3, Dev> x, In<T, 2, Dev> weight, In<T, 1, Dev> bias, In<T, 1, Dev> gain,
                                In<T, 1, Dev> norm_bias, float eps, Out<T, 3, Dev> out) {
  constexpr int kPair = 2 * static_cast<int>(sizeof(T));
  bool const aligned = is_aligned(x, kPair) && is_aligned(weight, kPair) && is_aligned(bias, kPair) && is_aligned(gain, kPair) &&
                       is_aligned(norm_bias, kPair) && is_aligned(out, kPair);
  bool const fits = aligned && x.extent(0) <= 2 * 65535 && x.extent(1) < (Size{1} << 31) - 64;
  auto const form = fits ? depthwise_form(x.extent(2)) : DepthwiseForm::general;
  if (form == DepthwiseForm::general) return depthwise_conv7_norm<T, Dev>(stream, x, weight, bias, gain, norm_bias, eps, out);
  detail::check_depthwise<T, Dev>(x, weight, bias, gain, norm_bias, out);
  if (out.count() == 0) return;
  switch (form) {
    case DepthwiseForm::tile_4x4:
      return detail::launch_depthwise_tile<DepthwiseTileTraits<4, 4, 1>, T, Dev>(stream, x, weight, bias, gain, norm_bias, eps, out);
    case DepthwiseForm::tile_2x4:
      return detail::launch_depthwise_tile<DepthwiseTileTraits<2, 4, 2>, T, Dev>(stream, x, weight, bias, gain, norm_bias, eps, out);
    default: return detail::launch_depthwise_tile<DepthwiseTileTraits<2, 2, 4>, T, Dev>(stream, x, weight, bias, gain, norm_bias, eps, out);
  }
}

}  // namespace mgm::inline v0::kernels
