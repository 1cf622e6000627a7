/// What all forms of the matrix product ask of their arguments.
#pragma once
#include <string>
#include <string_view>

#include <mgm/core/epilogue.hpp>
#include <mgm/kernels/arguments.hpp>

namespace mgm::inline v0::kernels {

/// The epilogue's views fit `out` (M, N), or are null; `out` overlaps its vectors not at all, and of its matrices only itself. `what` is
/// the operation's name.
template <Real T, class TOut, KernelDevice Dev>
void check_epilogue(std::string_view what, Epilogue<T, Dev> const& e, View<TOut, 2, Dev> out) {
  auto const vector = [&](std::string_view part, View<T const, 1, Dev> v) {
    if (v.data() == nullptr) return;
    std::string const name = text(what, ": ", part);
    check_input(name, v), check_shape(name, v, out.extent(1)), check_apart(text(what, ": out"), out, part, v);
  };
  auto const matrix = [&](std::string_view part, View<T const, 2, Dev> v) {
    if (v.data() == nullptr) return;
    std::string const name = text(what, ": ", part);
    check_input(name, v), check_shape(name, v, out.extent(0), out.extent(1)), check_same_or_apart(text(what, ": out"), out, part, v);
  };
  vector("bias", e.bias), vector("scale", e.scale), matrix("factor", e.factor), matrix("residual", e.residual);
  auto const floats = [&](std::string_view part, View<float const, 2, Dev> v, Size rows, Size cols) {
    std::string const name = text(what, ": ", part);
    check_input(name, v), check_shape(name, v, rows, cols), check_apart(text(what, ": out"), out, part, v);
  };
  if (e.norm.rows.data() || e.norm.columns.data())
    floats("norm.rows", e.norm.rows, out.extent(0), 2), floats("norm.columns", e.norm.columns, 2, out.extent(1));
}
/// An epilogue without a folded norm, whose rows and columns are those of one plain product.
template <Real T, Device Dev>
void check_no_norm(std::string_view what, Epilogue<T, Dev> const& e) {
  require<ArgumentError>(e.norm.rows.data() == nullptr && e.norm.columns.data() == nullptr, what,
                         ": norm: a norm is folded into plain products alone");
}
/// x (M, K), w (N, K), out (M, N) and an epilogue that fits them; `out` overlaps neither x nor w.
/// Throws ShapeError and ArgumentError naming the argument.
template <Real T, class TOut, KernelDevice Dev>
void check_gemm(In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  check_input("gemm: x", x), check_input("gemm: w", w), check_output("gemm: out", out);
  check_shape("gemm: x", x, out.extent(0), any), check_shape("gemm: w", w, out.extent(1), x.extent(1));
  check_apart("gemm: out", out, "x", x), check_apart("gemm: out", out, "w", w);
  check_epilogue("gemm", e, out);
}

/// Whether `out` and all that the epilogue reads may move eight elements at once.
template <Real T, class TOut, KernelDevice Dev>
[[nodiscard]] bool is_wide(Epilogue<T, Dev> const& e, View<TOut, 2, Dev> out) {
  return is_aligned(out, 16) && is_aligned(e.bias, 16) && is_aligned(e.scale, 16) && is_aligned(e.factor, 16) && is_aligned(e.residual, 16) &&
         is_aligned(e.norm.columns, 16);
}

}  // namespace mgm::inline v0::kernels
