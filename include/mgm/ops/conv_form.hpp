/// Which form an ordinary convolution takes, and the form that a library has of it.
#pragma once
#include <cstddef>
#include <string_view>

#include <mgm/core/prefer.hpp>
#include <mgm/core/window.hpp>
#include <mgm/kernels/gemm/gemm_arguments.hpp>
#include <mgm/mem/context.hpp>

namespace mgm::inline v0::ops {

/// How an ordinary convolution is computed.
enum class ConvForm {
  product,   ///< a product of the pixels as they lie
  unfolded,  ///< products of gathered taps, stretch by stretch
  implicit,  ///< one kernel that gathers as it multiplies
  vendor,    ///< a library's convolution
};
[[nodiscard]] constexpr std::string_view name(ConvForm form) {
  constexpr std::string_view kNames[] = {"product", "unfolded", "implicit", "vendor"};
  return kNames[static_cast<int>(form)];
}
/// What decides: the window and the map, whether the map has no gaps, whether there is a library that has such a convolution, what is
/// preferred, and whether the elements have 16 bits and tuned products are allowed.
struct ConvShape {
  Window window;
  Size rows, cols;
  bool contiguous = true, vendor_takes = false;
  Prefer prefer = Prefer::table;
  bool tuned_16 = true;
};
/// The form that a convolution takes. No GPU has measured this table; until one has, a library's convolution is taken only where it is
/// preferred.
[[nodiscard]] constexpr ConvForm choose_conv(ConvShape const& s) {
  if (s.vendor_takes && s.prefer == Prefer::vendor) return ConvForm::vendor;
  bool const every = s.window.stride == 1 && s.window.out_rows * s.window.out_cols == s.rows * s.cols;
  if (s.window.side == 1 && s.contiguous && every) return ConvForm::product;
  return s.tuned_16 ? ConvForm::unfolded : ConvForm::implicit;
}

/// Whether the Context's library made the convolution; false also where it has none, and on other devices.
/// map (H, W, C), w (outputs, side²·C) in (ky, kx, c) order, out (out_rows·out_cols, outputs). Throws ShapeError, ArgumentError,
/// DeviceError.
template <Real T, class TOut, Device Dev>
bool vendor_conv(Context<Dev>& ctx, In<T, 3, Dev> map, In<T, 2, Dev> w, Window const& window, Epilogue<T, Dev> const& e,
                 Out<TOut, 2, Dev> out) {
  if constexpr (std::same_as<Dev, Cuda>) {
    Convolutions* const library = ctx.convolutions();
    ConvShape const shape{
        .window = window, .rows = map.extent(0), .cols = map.extent(1), .vendor_takes = library != nullptr, .prefer = ctx.prefer()};
    if (choose_conv(shape) != ConvForm::vendor || out.count() == 0 || map.count() == 0) return false;
    check_shape("convolution: weight", w, out.extent(1), Size{window.side} * window.side * map.extent(2));
    check_shape("convolution: out", out, window.out_rows * window.out_cols, any);
    kernels::check_input("convolution: map", map), kernels::check_input("convolution: weight", w),
        kernels::check_output("convolution: out", out);
    kernels::check_apart("convolution: out", out, "map", map), kernels::check_apart("convolution: out", out, "weight", w);
    kernels::check_epilogue("convolution", e, out);
    auto const call = ConvolutionCall::of<T, TOut>(map, w, window, e, out);
    auto const bytes = call ? library->workspace(*call) : std::nullopt;
    if (!bytes) return false;
    auto work = ctx.template empty<std::byte>(Extents{*bytes});
    if (!simt::DryRun::under_way()) library->run(ctx.stream(), *call, work.data());
    return true;
  } else {
    return false;
  }
}

}  // namespace mgm::inline v0::ops
