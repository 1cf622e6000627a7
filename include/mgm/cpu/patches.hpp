/// Non-overlapping patches of a channels-last image as rows, so that a convolution with stride = side is a matrix product.
#pragma once
#include <cstring>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/rows.hpp>

namespace mgm::inline v0::cpu {

/// out(r·(W/p) + c, (ky·p + kx)·C + k) = image(r·p + ky, c·p + kx, k). image (H, W, C), channels and pixels of a row dense;
/// out ((H/p)·(W/p), p·p·C); rows and columns beyond the last whole patch are not read.
template <Real T>
void patches(Executor const& ex, In<T, 3> image, Size p, Out<T, 2> out) {
  Size const rows = image.extent(0) / p, columns = image.extent(1) / p, run = p * image.extent(2);
  for_rows(ex, rows * columns, run * p, [&](Size n) {
    for (Size ky = 0; ky < p; ++ky)
      std::memcpy(out.row(n) + ky * run, image.row((n / columns) * p + ky, (n % columns) * p), std::size_t(run) * sizeof(T));
  });
}

}  // namespace mgm::inline v0::cpu
