/// A convolution in double: plain loops over core/map_source.hpp and core/window.hpp.
#pragma once
#include <array>
#include <cmath>

#include <mgm/core/map_source.hpp>
#include <mgm/core/window.hpp>
#include "support/reference.hpp"

namespace support {

/// Maps and windows that networks use, and some that they do not: rows, columns, channels, channels of the second map (0: none), outputs.
inline constexpr std::array<mgm::Size, 5> kConvShapes[] = {{1, 1, 1, 0, 1},  {2, 3, 5, 0, 4},   {5, 4, 3, 2, 33},  {7, 7, 8, 8, 5},
                                                           {8, 6, 33, 0, 3}, {3, 13, 20, 7, 7}, {9, 25, 4, 0, 65}, {4, 8, 17, 19, 40}};
template <class Try>
void each_conv_window(mgm::Size h, mgm::Size w, Try&& attempt) {
  using mgm::Window;
  for (Window const& window :
       {Window::same(3, h, w), Window::same(1, h, w), Window::resampled(3, 2 * h, 2 * w), Window::resampled(3, 2 * h - 1, 2 * w + 1),
        Window::halved(h, w), Window::halved_below(h, w), Window::same(5, h, w)})
    if (window.out_rows * window.out_cols > 0) attempt(window);
}

/// What a convolution's parts are, on the host.
template <class T>
struct ConvCase {
  mgm::MapSource<T, mgm::Cpu> x;
  mgm::Window window;
  mgm::View<T const, 2, mgm::Cpu> w;
  [[nodiscard]] double value(mgm::Size row, mgm::Size col, mgm::Size c) const {
    mgm::Size const left = x.first.extent(2);
    double v = double(float(c < left ? x.first(row, col, c) : x.second(row, col, c - left)));
    if (x.scale.data() == nullptr) return v;
    v = v * double(x.scale(c)) + double(x.shift(c));
    return x.silu ? mgm::activate(mgm::Activation::silu, v) : v;
  }
  /// The sum at (pixel, n), and Σ|x||w|.
  [[nodiscard]] Sum sum(mgm::Size pixel, mgm::Size n) const {
    Sum s;
    mgm::Size const channels = x.channels();
    for (int ky = 0; ky < window.side; ++ky)
      for (int kx = 0; kx < window.side; ++kx) {
        mgm::Size const y = pixel / window.out_cols * window.stride + ky - window.top,
                        u = pixel % window.out_cols * window.stride + kx - window.left;
        if (y < 0 || u < 0 || y >= window.rows || u >= window.cols) continue;
        for (mgm::Size c = 0; c < channels; ++c) {
          double const term = value(y * x.rows() / window.rows, u * x.cols() / window.cols, c) *
                              double(float(w(n, (ky * window.side + kx) * channels + c)));
          s.value += term, s.size += std::abs(term);
        }
      }
    return s;
  }
};

}  // namespace support
