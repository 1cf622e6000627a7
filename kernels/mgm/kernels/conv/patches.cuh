/// Non-overlapping patches of a channels-last image as rows, so that a convolution whose stride is its side becomes a matrix product.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/launch.hpp>

namespace mgm::inline v0::kernels {

struct PatchesTraits {
  static constexpr int kThreads = 256, kEach = 4;  // elements per thread, a block's width apart; not measured yet
  static constexpr int kRegisters = 64;            // of a thread, at most: nvcc-gate
};

template <class T, class Dev>
MGM_GLOBAL(PatchesTraits::kThreads)
void patches_kernel(View<T const, 3, Dev> image, int p, View<T, 2, Dev> out) {
  using Tr = PatchesTraits;
  Size const columns = image.extent(1) / p, channels = image.extent(2), width = out.extent(1), count = out.count();
  Size i = Size{simt::block_idx().x} * (Tr::kThreads * Tr::kEach) + simt::thread_idx();
  for (int e = 0; e < Tr::kEach && i < count; ++e, i += Tr::kThreads) {
    Size const n = i / width, k = i % width;                  // row of `out`, place in it: (ky·p + kx)·C + c
    Size const tap = k / channels, c = k % channels;
    out(n, k) = image(n / columns * p + tap / p, n % columns * p + tap % p, c);
  }
}

/// out(r·⌊W/p⌋ + s, (ky·p + kx)·C + c) = image(r·p + ky, s·p + kx, c).
/// image (H, W, C), out (⌊H/p⌋·⌊W/p⌋, p·p·C), any strides; rows and columns beyond the last whole patch are not read. Bits are copied.
/// Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void patches(simt::Stream<Dev> stream, In<T, 3, Dev> image, Size p, Out<T, 2, Dev> out) {
  using Tr = PatchesTraits;
  check_input("patches: image", image);
  require<ShapeError>(p >= 1 && p <= 32768, "patches: the side must be 1 to 32768, found ", p);
  check_shape("patches: out", out, (image.extent(0) / p) * (image.extent(1) / p), p * p * image.extent(2));
  check_output("patches: out", out), check_apart("patches: out", out, "image", image);
  if (out.count() == 0) return;
  simt::launch(stream, {.name = "patches", .grid = simt::ceil_div(out.count(), Tr::kThreads * Tr::kEach), .block = Tr::kThreads},
               patches_kernel<T, Dev>, image, static_cast<int>(p), out);
}

/// n rows of p·p·c elements.
constexpr Cost patches_cost(Size n, Size p, Size c, Size bytes) { return {2 * n * p * p * c * bytes, 0}; }

}  // namespace mgm::inline v0::kernels
