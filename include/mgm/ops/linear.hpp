/// Matrix products with fused epilogues.
#pragma once
#include <cstddef>

#include <mgm/core/epilogue.hpp>
#include <mgm/cpu/gemm.hpp>
#include <mgm/kernels/instances/gemm.hpp>
#include <mgm/mem/context.hpp>

namespace mgm::inline v0::ops {

namespace detail {
/// The epilogue's views fit an output of (m, n), or are absent.
template <Real T, Device Dev>
void check_epilogue(std::string_view what, Epilogue<T, Dev> const& e, Size m, Size n) {
  auto const vector = [&](std::string_view part, View<T const, 1, Dev> v) {
    if (v.data()) check_shape(text(what, ": ", part), v, n);
  };
  auto const matrix = [&](std::string_view part, View<T const, 2, Dev> v) {
    if (v.data()) check_shape(text(what, ": ", part), v, m, n);
  };
  vector("bias", e.bias), vector("scale", e.scale), matrix("factor", e.factor), matrix("residual", e.residual);
  if (!e.norm.rows.data() && !e.norm.columns.data()) return;
  check_shape(text(what, ": norm.rows"), e.norm.rows, m, 2), check_shape(text(what, ": norm.columns"), e.norm.columns, 2, n);
}
/// Whether the Context's library made the product.
template <Real T, class TOut>
bool vendor_gemm(Context<Cuda>& ctx, In<T, 2, Cuda> x, In<T, 2, Cuda> w, Epilogue<T, Cuda> const& e, Out<TOut, 2, Cuda> out) {
  Products* const library = ctx.products();
  kernels::GemmShape const shape{.m = out.extent(0),
                                 .n = out.extent(1),
                                 .k = x.extent(1),
                                 .bytes = sizeof(T),
                                 .vendor_takes = library != nullptr,
                                 .prefer = ctx.prefer()};
  if (kernels::choose_gemm(shape) != kernels::GemmForm::vendor || out.count() == 0 || shape.k == 0) return false;
  kernels::check_gemm<T, TOut, Cuda>(x, w, e, out);
  auto const call = ProductCall::of<T, TOut>(x, w, e, out);
  auto const bytes = call ? library->workspace(*call) : std::nullopt;
  if (!bytes) return false;
  auto work = ctx.empty<std::byte>(Extents{*bytes});
  if (!simt::DryRun::under_way()) library->run(ctx.stream(), *call, work.data());
  return true;
}
/// The kernels' product, with the scratch that it takes.
template <Real T, class TOut, KernelDevice Dev>
void gemm(Context<Dev>& ctx, In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  if constexpr (std::same_as<Dev, Cuda>)
    if (vendor_gemm<T, TOut>(ctx, x, w, e, out)) return;
  Extents<3> const parts = kernels::gemm_scratch<T, Dev>(ctx.tuned(), x, w);
  if (parts.count() == 0) return kernels::gemm<T, TOut, Dev>(ctx.stream(), ctx.tuned(), x, w, e, out);
  auto scratch = ctx.template empty<float>(parts);  // (parts of K, M, N)
  kernels::gemm<T, TOut, Dev>(ctx.stream(), ctx.tuned(), x, w, e, out, scratch.view());
}
}  // namespace detail

/// out = epilogue(x·wᵀ).   x (M, K), w (N, K) as checkpoints store it, out (M, N) of T or float; sums in float. Throws ShapeError.
/// 2·M·N·K flops; reads w once.
template <Real T, class TOut, Device Dev>
void linear(Context<Dev>& ctx, In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  check_shape("linear: weight", w, out.extent(1), x.extent(1));
  check_shape("linear: out", out, x.extent(0), w.extent(0));
  detail::check_epilogue("linear", e, out.extent(0), out.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) cpu::gemm_nt<T>(ctx.executor(), x, w, e, out);
  else detail::gemm<T, TOut, Dev>(ctx, x, w, e, out);
}

/// out = epilogue(x·w).   x (M, K), w (K, N), out (M, N) of T or float; sums in float. Throws ShapeError.
template <Real T, class TOut, Device Dev>
void matmul(Context<Dev>& ctx, In<T, 2, Dev> x, In<T, 2, Dev> w, Epilogue<T, Dev> const& e, Out<TOut, 2, Dev> out) {
  check_shape("matmul: w", w, x.extent(1), out.extent(1));
  check_shape("matmul: out", out, x.extent(0), w.extent(1));
  detail::check_epilogue("matmul", e, out.extent(0), out.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) cpu::gemm_nn<T>(ctx.executor(), x, w, e, out);
  else detail::gemm<T, TOut, Dev>(ctx, x, {w.data(), {w.extent(1), w.extent(0)}, {w.stride(1), w.stride(0)}}, e, out);
}

/// w += scale·left·right on the host, for weights while they are loaded.   w (N, K), left (N, R), right (R, K). Sums in float; the same bits
/// for any number of threads.
inline void add_product(Executor const& host, In<float, 2, Cpu> left, In<float, 2, Cpu> right, float scale, View<float, 2, Cpu> w) {
  cpu::gemm_nn<float, float>(host, left, right, Epilogue<float, Cpu>{.residual = w, .alpha = scale}, w);
}

/// Three products of the same rows, as a decoder's queries, keys and values: each out = x·wᵀ + bias.   x (M, K), w (N, K), out (M, N). A
/// kernel device makes those of at most 16 rows in one launch, to the same bits. Throws ShapeError.
template <Real T, Device Dev>
void project(Context<Dev>& ctx, In<T, 2, Dev> x, Projection<T, Dev> const& q, std::type_identity_t<Projection<T, Dev>> const& k,
             std::type_identity_t<Projection<T, Dev>> const& v) {
  if constexpr (KernelDevice<Dev>) {
    bool ours = ctx.tuned();
    if constexpr (std::same_as<Dev, Cuda>) ours = ours && ctx.prefer() != Prefer::vendor;
    if (ours && kernels::qkv_fits<T, Dev>(x, q, k, v)) return kernels::qkv<T, Dev>(ctx.stream(), x, q, k, v);
  }
  for (Projection<T, Dev> const* p : {&q, &k, &v}) linear<T, T, Dev>(ctx, x, p->w, {.bias = p->bias}, p->out);
}

}  // namespace mgm::inline v0::ops
