/// Somebody else's library as a second backend of an operation on Cuda: what a Context carries and ops ask, for every compiler. No header
/// of the libraries' is read here; cuBLASLt's and cuDNN's backends are in kernels/mgm/vendor/.
#pragma once
#include <optional>

#include <mgm/core/epilogue.hpp>
#include <mgm/core/prefer.hpp>
#include <mgm/core/window.hpp>
#include <mgm/simt/stream.hpp>

namespace mgm::inline v0 {

/// A library's form of one operation, which `Call` describes. One thread at a time uses it.
template <class Call>
class SecondBackend {
 public:
  virtual ~SecondBackend() = default;
  /// The bytes of working memory that it takes for such a call; nothing where the library has no such form.
  [[nodiscard]] virtual std::optional<Size> workspace(Call const& call) = 0;
  /// Enqueues and returns. `work` begins on 256 bytes and has workspace(call) of them. Throws DeviceError.
  virtual void run(simt::Stream<Cuda> stream, Call const& call, void* work) = 0;
};

namespace detail {
template <class T, int R, Device Dev>
bool last_is_dense(View<T, R, Dev> v) {
  return v.stride(R - 1) == 1 || v.extent(R - 1) <= 1;
}
/// Whether nothing is applied to the sum but a bias and a residual of the output's type.
template <Real T, class TOut>
bool is_plain(Epilogue<T, Cuda> const& e) {
  return e.activation == Activation::none && !e.scale.data() && !e.factor.data() && !e.norm.rows.data() &&
         (!e.residual.data() || std::same_as<T, TOut>)&&last_is_dense(e.bias) && last_is_dense(e.residual);
}
}  // namespace detail

/// out = alpha·x·wᵀ + bias + residual, sums in float; x (M, K), w (N, K), out (M, N), bias (N) and residual (M, N) or null.
struct ProductCall {
  Dtype type, out_type;
  Size m, n, k, x_stride, w_stride, out_stride, residual_stride;  ///< strides: elements from row to row
  float alpha;
  void const *x, *w, *bias, *residual;
  void* out;

  /// Nothing for what libraries do not have: rows that are not dense, and other epilogues.
  template <Real T, class TOut>
  [[nodiscard]] static std::optional<ProductCall> of(In<T, 2, Cuda> x, In<T, 2, Cuda> w, Epilogue<T, Cuda> const& e,
                                                     Out<TOut, 2, Cuda> out) {
    if (!detail::is_plain<T, TOut>(e) || !detail::last_is_dense(x) || !detail::last_is_dense(w) || !detail::last_is_dense(out)) return {};
    return ProductCall{.type = kDtypeOf<T>,
                       .out_type = kDtypeOf<TOut>,
                       .m = out.extent(0),
                       .n = out.extent(1),
                       .k = x.extent(1),
                       .x_stride = x.stride(0),
                       .w_stride = w.stride(0),
                       .out_stride = out.stride(0),
                       .residual_stride = e.residual.stride(0),
                       .alpha = e.alpha,
                       .x = x.data(),
                       .w = w.data(),
                       .bias = e.bias.data(),
                       .residual = e.residual.data(),
                       .out = out.data()};
  }
};

/// out[(y, x), n] = Σ map under the window · w[n] + bias[n] + residual[(y, x), n], sums in float, all of one type.
/// map (rows, cols, channels), w (outputs, side²·channels) in (ky, kx, c) order, out and residual (out_rows·out_cols, outputs).
struct ConvolutionCall {
  Dtype type;
  Size rows, cols, channels, outputs, row_stride, col_stride, out_stride, residual_stride;  ///< strides: of the map; from pixel to pixel
  Window window;
  void const *map, *w, *bias, *residual;
  void* out;

  /// Nothing for what libraries do not have: windows over a resampled map, channels that are not dense, a residual that is the output, and
  /// other epilogues.
  template <Real T, class TOut>
  [[nodiscard]] static std::optional<ConvolutionCall> of(In<T, 3, Cuda> map, In<T, 2, Cuda> w, Window const& window,
                                                         Epilogue<T, Cuda> const& e, Out<TOut, 2, Cuda> out) {
    bool const dense = detail::last_is_dense(map) && w.contiguous() && detail::last_is_dense(out);
    if (!std::same_as<T, TOut> || !detail::is_plain<T, TOut>(e) || e.alpha != 1 || !dense ||
        (e.residual.data() && static_cast<void const*>(e.residual.data()) == out.data()) || window.rows != map.extent(0) ||
        window.cols != map.extent(1))
      return {};
    return ConvolutionCall{.type = kDtypeOf<T>,
                           .rows = map.extent(0),
                           .cols = map.extent(1),
                           .channels = map.extent(2),
                           .outputs = out.extent(1),
                           .row_stride = map.stride(0),
                           .col_stride = map.stride(1),
                           .out_stride = out.stride(0),
                           .residual_stride = e.residual.stride(0),
                           .window = window,
                           .map = map.data(),
                           .w = w.data(),
                           .bias = e.bias.data(),
                           .residual = e.residual.data(),
                           .out = out.data()};
  }
};

using Products = SecondBackend<ProductCall>;
using Convolutions = SecondBackend<ConvolutionCall>;

}  // namespace mgm::inline v0
