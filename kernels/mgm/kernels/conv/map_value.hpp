/// What kernels read of a convolution's input (core/map_source.hpp), and what their launchers ask of it.
#pragma once
#include <string>
#include <string_view>

#include <mgm/core/map_source.hpp>
#include <mgm/core/window.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>

namespace mgm::inline v0::kernels {

/// Channel c of the pixel at (row, col), joined and normalised as the source says; 0 where either is negative: outside.
template <class T, class Dev>
MGM_DEVICE float map_value(MapSource<T, Dev> const& x, Size row, Size col, Size c) {
  if (row < 0 || col < 0) return 0;
  Size const left = x.first.extent(2);
  float const v = simt::widen(c < left ? x.first(row, col, c) : x.second(row, col, c - left));
  if (x.scale.data() == nullptr) return v;
  float const y = simt::fma(v, x.scale(c), x.shift(c));
  return x.silu ? simt::activate(Activation::silu, y) : y;
}

/// The parts of a source fit each other. `what` is the operation's name.
template <Real T, KernelDevice Dev>
void check_map(std::string_view what, MapSource<T, Dev> const& x) {
  check_input(text(what, ": map"), x.first);
  if (x.second.data())
    check_input(text(what, ": second map"), x.second), check_shape(text(what, ": second map"), x.second, x.rows(), x.cols(), any);
  require<ArgumentError>((x.scale.data() == nullptr) == (x.shift.data() == nullptr) && (x.scale.data() || !x.silu), what,
                         ": scale and shift are given both or neither, and SiLU only behind them");
  if (!x.scale.data()) return;
  check_input(text(what, ": scale"), x.scale), check_shape(text(what, ": scale"), x.scale, x.channels());
  check_input(text(what, ": shift"), x.shift), check_shape(text(what, ": shift"), x.shift, x.channels());
}
/// `out` shares no byte with a source's parts.
template <Real T, class TOut, KernelDevice Dev>
void check_map_apart(std::string_view what, View<TOut, 2, Dev> out, MapSource<T, Dev> const& x) {
  std::string const name = text(what, ": out");
  check_apart(name, out, "map", x.first), check_apart(name, out, "second map", x.second);
  check_apart(name, out, "scale", x.scale), check_apart(name, out, "shift", x.shift);
}

}  // namespace mgm::inline v0::kernels
