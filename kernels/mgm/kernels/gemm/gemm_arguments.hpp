/// What all forms of the matrix product ask of their arguments.
#pragma once
#include <mgm/core/epilogue.hpp>
#include <mgm/kernels/arguments.hpp>

namespace mgm::inline v0::kernels {

/// x (M, K), w (N, K), out (M, N) and an epilogue that fits them; `out` overlaps neither x nor w, and of the epilogue's matrices only itself.
/// Throws ShapeError and ArgumentError naming the argument.
template <Real T, class TOut, KernelDevice Dev>
void check_gemm(In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  Size const m = out.extent(0), n = out.extent(1);
  check_input("gemm: x", x), check_input("gemm: w", w), check_output("gemm: out", out);
  check_shape("gemm: x", x, m, any), check_shape("gemm: w", w, n, x.extent(1));
  check_apart("gemm: out", out, "x", x), check_apart("gemm: out", out, "w", w);
  auto const vector = [&](std::string_view what, View<T const, 1, Dev> v) {
    if (v.data() == nullptr) return;
    check_input(what, v), check_shape(what, v, n), check_apart("gemm: out", out, what.substr(6), v);
  };
  auto const matrix = [&](std::string_view what, View<T const, 2, Dev> v) {
    if (v.data() == nullptr) return;
    check_input(what, v), check_shape(what, v, m, n), check_same_or_apart("gemm: out", out, what.substr(6), v);
  };
  vector("gemm: bias", e.bias), vector("gemm: scale", e.scale), matrix("gemm: factor", e.factor), matrix("gemm: residual", e.residual);
}

/// Whether `out` and all that the epilogue reads may move eight elements at once.
template <Real T, class TOut, KernelDevice Dev>
[[nodiscard]] bool is_wide(Epilogue<T, Dev> const& e, View<TOut, 2, Dev> out) {
  return is_aligned(out, 16) && is_aligned(e.bias, 16) && is_aligned(e.scale, 16) && is_aligned(e.factor, 16) && is_aligned(e.residual, 16);
}

}  // namespace mgm::inline v0::kernels
