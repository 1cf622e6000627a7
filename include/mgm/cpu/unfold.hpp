/// The rows that turn a convolution into a matrix product.
#pragma once
#include <algorithm>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/core/window.hpp>
#include <mgm/cpu/rows.hpp>

namespace mgm::inline v0::cpu {

/// out[i] = the taps under output pixel first + i, in (ky, kx, c) order.   map (H, W, C), channels dense; out (n, side²·C), rows dense.
template <Real T>
void unfold(Executor const& ex, In<T, 3> map, Window const& window, Size first, Out<T, 2> out) {
  Size const channels = map.extent(2);
  for_rows(ex, out.extent(0), out.extent(1), [&](Size i) {
    Size const y = (first + i) / window.out_cols, x = (first + i) % window.out_cols;
    T* to = out.row(i);
    for (int ky = 0; ky < window.side; ++ky) {
      Size const row = window.source_row(y, ky, map.extent(0));
      for (int kx = 0; kx < window.side; ++kx, to += channels) {
        Size const col = window.source_col(x, kx, map.extent(1));
        if (row >= 0 && col >= 0) std::copy_n(map.row(row, col), channels, to);
        else std::fill_n(to, channels, T(0.0f));
      }
    }
  });
}

}  // namespace mgm::inline v0::cpu
