/// Small operations between the large ones: rows of a table, products with a number, sums, conversions.
#pragma once
#include <span>

#include <mgm/cpu/elementwise.hpp>
#include <mgm/mem/context.hpp>

namespace mgm::inline v0::ops {

/// out[i] = table[ids[i]].   table (V, C), out (ids, C). Throws ArgumentError for an id outside of the table.
template <Real T, Device Dev>
void gather(Context<Dev>& ctx, In<T, 2, Dev> table, std::span<int const> ids, Out<T, 2, Dev> out) {
  (void)ctx;
  check_shape("gather: out", out, static_cast<Size>(ids.size()), table.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      require<ArgumentError>(ids[i] >= 0 && ids[i] < table.extent(0), "gather: id ", ids[i], " at position ", i, ", but the table has ",
                             table.extent(0), " rows");
      T const* const row = table.row(ids[i]);
      std::copy(row, row + table.extent(1), out.row(static_cast<Size>(i)));
    }
  }
}

/// out = a + b, all (N, C); out may be a or b. Throws ShapeError.
template <Real T, Device Dev>
void add(Context<Dev>& ctx, In<T, 2, Dev> a, In<T, 2, Dev> b, Out<T, 2, Dev> out) {
  check_shape("add: a", a, out.extent(0), out.extent(1));
  check_shape("add: b", b, out.extent(0), out.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) cpu::add<T>(ctx.executor(), a, b, out);
}

/// out = factor · x, both (N, C); out may be x. Throws ShapeError.
template <Real T, Device Dev>
void scale(Context<Dev>& ctx, In<T, 2, Dev> x, float factor, Out<T, 2, Dev> out) {
  check_shape("scale: x", x, out.extent(0), out.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) cpu::scale<T>(ctx.executor(), x, factor, out);
}

/// out = To(x), both (N, C): widening is exact, narrowing rounds to nearest even. Throws ShapeError.
template <Real To, Real From, Device Dev>
void convert(Context<Dev>& ctx, View<From const, 2, Dev> x, Out<To, 2, Dev> out) {
  check_shape("convert: out", out, x.extent(0), x.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) cpu::convert<From, To>(ctx.executor(), x, out);
}

}  // namespace mgm::inline v0::ops
