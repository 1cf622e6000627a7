/// ConvNeXt's downsampling up to its product (Liu et al. 2022, arXiv:2201.03545): LayerNorm over channels, written as rows of patches, so
/// that no normalised map exists beside the product's operand.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

struct NormPatchesTraits {
  static constexpr int kWarps = 4, kThreads = 32 * kWarps;  // pixels per block, one warp each; not measured yet
  static constexpr int kRegisters = 128;                    // of a thread, at most: nvcc-gate
};

/// One warp a pixel, kVec channels a lane at a time; the pixel is read from memory once and twice more from the cache.
template <int kVec, class T, class Dev>
MGM_GLOBAL(NormPatchesTraits::kThreads)
void norm_patches_kernel(View<T const, 3, Dev> x, View<T const, 1, Dev> gain, View<T const, 1, Dev> bias, float eps, int p,
                         View<T, 2, Dev> out) {
  int const cols = static_cast<int>(x.extent(1)) / p * p, channels = static_cast<int>(x.extent(2));  // of whole patches
  Size const n = Size{simt::block_idx().x} * NormPatchesTraits::kWarps + simt::warp_idx();
  if (n >= x.extent(0) / p * p * cols) return;                                 // whole warps leave together
  int const row = static_cast<int>(n / cols), col = static_cast<int>(n % cols), step = kVec * simt::kWarp;
  T const* const from = x.row(row, col);
  Size const to = Size{row % p * p + col % p} * channels;                      // the pixel's place in its patch's row
  auto const each = [&](auto&& use) {                                          // use(channel, value) for this lane's channels
    for (int c = kVec * simt::lane_idx(); c < channels; c += step) {
      auto const v = simt::load_readonly<kVec>(from + c);
      MGM_UNROLL for (int i = 0; i < kVec; ++i) use(c + i, simt::widen(v[i]));
    }
  };
  float sum = 0, squares = 0;
  each([&](int, float v) { sum += v; });
  float const mean = simt::warp_sum(sum) / float(channels);
  each([&](int, float v) { squares = simt::fma(v - mean, v - mean, squares); });
  float const rstd = 1 / simt::sqrt(simt::warp_sum(squares) / float(channels) + eps);
  T* const row_out = out.row(Size{row / p} * (cols / p) + col / p) + to;
  for (int c = kVec * simt::lane_idx(); c < channels; c += step) {
    auto const v = simt::load_readonly<kVec>(from + c);
    auto const g = simt::load_readonly<kVec>(gain.data() + c), b = simt::load_readonly<kVec>(bias.data() + c);
    simt::Vec<T, kVec> y;
    MGM_UNROLL for (int i = 0; i < kVec; ++i)
      y[i] = simt::narrow<T>(simt::fma((simt::widen(v[i]) - mean) * rstd, simt::widen(g[i]), simt::widen(b[i])));
    simt::store<kVec>(row_out + c, y);
  }
}

/// out(r·⌊W/p⌋ + s, (ky·p + kx)·C + c) = LN(x(r·p + ky, s·p + kx))_c: the operand of a convolution with stride and side p.
/// x (H, W, C), out (⌊H/p⌋·⌊W/p⌋, p·p·C), gain, bias (C), all dense along the last axis, other strides any; statistics in float. Rows and
/// columns beyond the last whole patch are not read. Moves 16 bytes at once where all rows begin on them.
/// Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void norm_patches(simt::Stream<Dev> stream, In<T, 3, Dev> x, In<T, 1, Dev> gain, In<T, 1, Dev> bias, float eps, Size p,
                  Out<T, 2, Dev> out) {
  using Tr = NormPatchesTraits;
  Size const channels = x.extent(2);
  check_input("norm_patches: x", x), check_input("norm_patches: gain", gain), check_input("norm_patches: bias", bias);
  require<ShapeError>(p >= 1 && p <= 32768, "norm_patches: the side must be 1 to 32768, found ", p);
  check_shape("norm_patches: gain", gain, channels), check_shape("norm_patches: bias", bias, channels);
  check_shape("norm_patches: out", out, (x.extent(0) / p) * (x.extent(1) / p), p * p * channels);
  check_output("norm_patches: out", out), check_apart("norm_patches: out", out, "x", x);
  check_apart("norm_patches: out", out, "gain", gain), check_apart("norm_patches: out", out, "bias", bias);
  auto const dense = [](auto const& v) { return v.stride(v.kRank - 1) == 1 || v.extent(v.kRank - 1) <= 1; };
  require<ShapeError>(dense(x) && dense(gain) && dense(bias) && dense(out),
                      "norm_patches: the last axis of x, gain, bias and out must be dense");
  if (out.count() == 0) return;
  constexpr Size kMost = Size{1} << 31;
  require<LimitError>(x.extent(0) < kMost && x.extent(1) < kMost && p * p * channels < kMost,
                      "norm_patches: extents must be below 2³¹, found ", shape_text(x.extents()), " and patches of ", p);
  constexpr int kVec = 16 / static_cast<int>(sizeof(T));
  bool const wide = channels % kVec == 0 && is_aligned(x, 16) && is_aligned(gain, 16) && is_aligned(bias, 16) && is_aligned(out, 16);
  Size const pixels = x.extent(0) / p * p * (x.extent(1) / p * p);
  simt::LaunchShape const shape{.name = "norm_patches", .grid = simt::ceil_div(pixels, Tr::kWarps), .block = Tr::kThreads};
  if (wide) simt::launch(stream, shape, norm_patches_kernel<kVec, T, Dev>, x, gain, bias, eps, static_cast<int>(p), out);
  else simt::launch(stream, shape, norm_patches_kernel<1, T, Dev>, x, gain, bias, eps, static_cast<int>(p), out);
}

/// n rows of p·p·c elements.
constexpr Cost norm_patches_cost(Size n, Size p, Size c, Size bytes) { return {(2 * n * p * p + 2) * c * bytes, 8 * n * p * p * c}; }

}  // namespace mgm::inline v0::kernels
