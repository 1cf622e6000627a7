/// Small operations between the large ones: rows of a table, products with a number, sums, conversions.
#pragma once
#include <algorithm>
#include <span>

#include <mgm/cpu/elementwise.hpp>
#include <mgm/kernels/instances/elementwise.hpp>
#include <mgm/mem/context.hpp>

namespace mgm::inline v0::ops {

/// out[i] = table[ids[i]].   table (V, C), out (ids, C). Throws ArgumentError for an id outside of the table.
template <Real T, Device Dev>
void gather(Context<Dev>& ctx, In<T, 2, Dev> table, std::span<int const> ids, Out<T, 2, Dev> out) {
  check_shape("gather: out", out, static_cast<Size>(ids.size()), table.extent(1));
  for (std::size_t i = 0; i < ids.size(); ++i)
    require<ArgumentError>(ids[i] >= 0 && ids[i] < table.extent(0), "gather: id ", ids[i], " at position ", i, ", but the table has ",
                           table.extent(0), " rows");
  if constexpr (std::same_as<Dev, Cpu>) {
    for (std::size_t i = 0; i < ids.size(); ++i) std::copy_n(table.row(ids[i]), table.extent(1), out.row(static_cast<Size>(i)));
  } else {
    auto const list = ctx.on_device(View<int const, 1, Cpu>(ids.data(), Extents{static_cast<Size>(ids.size())}));
    kernels::gather<T, Dev>(ctx.stream(), table, list, out);
  }
}

/// The same for ids that only the device knows, (n) in its memory. A row whose id lies outside of the table becomes NaN.
template <Real T, KernelDevice Dev>
void gather(Context<Dev>& ctx, In<T, 2, Dev> table, View<int const, 1, Dev> ids, Out<T, 2, Dev> out) {
  kernels::gather<T, Dev>(ctx.stream(), table, ids, out);
}

/// sum[rows[i]] += weights[i] · x[i], in float.   x (n, C), sum (N, C); no row is named twice. Throws ShapeError, ArgumentError.
template <Real T, Device Dev>
void scatter_add(Context<Dev>& ctx, In<T, 2, Dev> x, std::span<int const> rows, std::span<float const> weights, Out<float, 2, Dev> sum) {
  check_shape("scatter_add: x", x, static_cast<Size>(rows.size()), sum.extent(1));
  require<ShapeError>(weights.size() == rows.size(), "scatter_add: ", weights.size(), " weights for ", rows.size(), " rows");
  for (int const row : rows)
    require<ArgumentError>(row >= 0 && row < sum.extent(0), "scatter_add: row ", row, ", but the sum has ", sum.extent(0));
  if constexpr (std::same_as<Dev, Cpu>) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      float* const to = sum.row(rows[i]);
      T const* const from = x.row(static_cast<Size>(i));
      for (Size c = 0; c < sum.extent(1); ++c) to[c] += weights[i] * static_cast<float>(from[c]);
    }
  } else {
    Extents const count{static_cast<Size>(rows.size())};
    kernels::scatter_add<T, Dev>(ctx.stream(), x, ctx.on_device(View<int const, 1, Cpu>(rows.data(), count)),
                                 ctx.on_device(View<float const, 1, Cpu>(weights.data(), count)), sum);
  }
}

/// out = a copy of x, both (N, C). Throws ShapeError.
template <Real T, Device Dev>
void copy(Context<Dev>& ctx, In<T, 2, Dev> x, Out<T, 2, Dev> out) {
  check_shape("copy: x", x, out.extent(0), out.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) {
    for (Size i = 0; i < out.extent(0); ++i) std::copy_n(x.row(i), out.extent(1), out.row(i));
  } else {
    kernels::convert<T, T, Dev>(ctx.stream(), x, out);
  }
}

/// All of out (N, C) becomes `value`.
template <Real T, Device Dev>
void fill(Context<Dev>& ctx, float value, Out<T, 2, Dev> out) {
  if constexpr (std::same_as<Dev, Cpu>) {
    for (Size i = 0; i < out.extent(0); ++i) std::fill_n(out.row(i), out.extent(1), T(value));
  } else {
    kernels::fill<T, Dev>(ctx.stream(), value, out);
  }
}

/// out = a + b, all (N, C); out may be a or b. Throws ShapeError.
template <Real T, Device Dev>
void add(Context<Dev>& ctx, In<T, 2, Dev> a, In<T, 2, Dev> b, Out<T, 2, Dev> out) {
  check_shape("add: a", a, out.extent(0), out.extent(1));
  check_shape("add: b", b, out.extent(0), out.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) cpu::add<T>(ctx.executor(), a, b, out);
  else kernels::add<T, T, Dev>(ctx.stream(), a, b, out);
}

/// x += T(sum): the sum (N, C) in float is rounded to T once, with x (N, C). Throws ShapeError.
template <Real T, Device Dev>
void add_sum(Context<Dev>& ctx, In<float, 2, Dev> sum, Out<T, 2, Dev> x) {
  check_shape("add_sum: sum", sum, x.extent(0), x.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) {
    for (Size i = 0; i < x.extent(0); ++i)
      for (Size c = 0; c < x.extent(1); ++c) x.row(i)[c] = T(static_cast<float>(x.row(i)[c]) + sum.row(i)[c]);
  } else {
    kernels::add<float, T, Dev>(ctx.stream(), sum, x, x);
  }
}

/// out = factor · x, both (N, C); out may be x. Throws ShapeError.
template <Real T, Device Dev>
void scale(Context<Dev>& ctx, In<T, 2, Dev> x, float factor, Out<T, 2, Dev> out) {
  check_shape("scale: x", x, out.extent(0), out.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) cpu::scale<T>(ctx.executor(), x, factor, out);
  else kernels::scale<T, Dev>(ctx.stream(), x, factor, out);
}

/// out = To(x), both (N, C): widening is exact, narrowing rounds to nearest even. Throws ShapeError.
template <Real To, Real From, Device Dev>
void convert(Context<Dev>& ctx, View<From const, 2, Dev> x, Out<To, 2, Dev> out) {
  check_shape("convert: out", out, x.extent(0), x.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) cpu::convert<From, To>(ctx.executor(), x, out);
  else kernels::convert<From, To, Dev>(ctx.stream(), x, out);
}

}  // namespace mgm::inline v0::ops
