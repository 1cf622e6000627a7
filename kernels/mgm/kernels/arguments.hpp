/// What every launcher asks of its arguments before anything is launched. `what` names the argument: "layer_norm: x".
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include <mgm/core/view.hpp>
#include <mgm/simt/runtime.hpp>

namespace mgm::inline v0::kernels {

namespace detail {
/// First byte and the byte behind the last, as numbers.
template <class T, int R, Device Dev>
std::pair<std::uintptr_t, std::uintptr_t> bytes_of(View<T, R, Dev> v) {
  Size last = 0;
  for (int i = 0; i < R; ++i) last += (v.extent(i) - 1) * v.stride(i);
  auto const begin = reinterpret_cast<std::uintptr_t>(v.data());
  return {begin, begin + static_cast<std::uintptr_t>(last + 1) * sizeof(T)};
}
}  // namespace detail

/// Not null unless empty, aligned to its elements, no extent or stride below zero, no more elements than 64 bits of bytes can count; on Cuda
/// in memory that CUDA knows.
template <class T, int R, Device Dev>
void check_input(std::string_view what, View<T, R, Dev> v) {
  constexpr Size kMost = std::numeric_limits<Size>::max() / 16;
  Size span = sizeof(T), count = 1;
  bool fits = true;
  for (int i = 0; i < R; ++i) {
    require<ShapeError>(v.extent(i) >= 0, what, ": extents must not be negative, found ", shape_text(v.extents()));
    require<ShapeError>(v.stride(i) >= 0 || v.extent(i) <= 1, what, ": strides must not be negative, found ", shape_text(v.strides()));
    Size const step = std::max<Size>(v.stride(i), 1);
    fits = fits && v.extent(i) <= (kMost - span) / step && count <= kMost / std::max<Size>(v.extent(i), 1);
    if (fits) span += v.extent(i) * step, count *= v.extent(i);
  }
  require<ShapeError>(fits, what, ": extents ", shape_text(v.extents()), " with strides ", shape_text(v.strides()), " reach too far");
  if (v.count() == 0) return;
  require<ArgumentError>(v.data() != nullptr, what, ": the pointer is null, the shape ", shape_text(v.extents()));
  require<ArgumentError>(reinterpret_cast<std::uintptr_t>(v.data()) % alignof(T) == 0, what, ": the pointer is not aligned to its ", alignof(T),
                         "-byte elements");
  if constexpr (std::same_as<Dev, Cuda>)
    require<DeviceError>(simt::is_device_memory(v.data()), what, ": the pointer is to the host's own memory; copy the data to the device, or pin it");
}
/// An axis that a kernel counts in int.
inline void check_int(std::string_view what, Size extent) {
  require<LimitError>(extent <= std::numeric_limits<int>::max(), what, ": at most 2147483647 elements a row, found ", extent);
}
/// The same as check_input, and no element lies twice in it.
template <class T, int R, Device Dev>
void check_output(std::string_view what, View<T, R, Dev> v) {
  check_input(what, v);
  if (v.count() == 0) return;
  int axes[R > 0 ? R : 1] = {}, count = 0;
  Size reach = 0;
  for (int i = 0; i < R; ++i) {  // by stride, inserted: g++ 12 sees std::sort leave so short an array
    if (v.extent(i) <= 1) continue;
    int at = count++;
    for (; at > 0 && v.stride(axes[at - 1]) > v.stride(i); --at) axes[at] = axes[at - 1];
    axes[at] = i;
  }
  for (int i = 0; i < count; ++i) {
    int const axis = axes[i];
    require<ShapeError>(v.stride(axis) > reach, what, ": strides ", shape_text(v.strides()), " make elements of ", shape_text(v.extents()),
                        " lie on each other; an output needs room for each");
    reach += (v.extent(axis) - 1) * v.stride(axis);
  }
}
/// `out` shares no byte with `in`.
template <class T, class U, int R, int Q, Device Dev>
void check_apart(std::string_view what, View<T, R, Dev> out, std::string_view from, View<U, Q, Dev> in) {
  if (out.count() == 0 || in.count() == 0 || in.data() == nullptr) return;
  auto const [a, a_end] = detail::bytes_of(out);
  auto const [b, b_end] = detail::bytes_of(in);
  require<ArgumentError>(a_end <= b || b_end <= a, what, ": overlaps ", from, "; this operation does not work in place");
}
/// `out` is `in`, element for element, or shares no byte with it.
template <class T, class U, int R, Device Dev>
void check_same_or_apart(std::string_view what, View<T, R, Dev> out, std::string_view from, View<U, R, Dev> in) {
  if (static_cast<void const*>(out.data()) == in.data() && out.strides() == in.strides() && sizeof(T) == sizeof(U)) return;
  check_apart(what, out, from, in);
}

/// Whether data and all strides but the last are multiples of `bytes`, and the last axis is dense: what wide accesses need.
template <class T, int R, Device Dev>
[[nodiscard]] bool is_aligned(View<T, R, Dev> v, int bytes) {
  bool ok = reinterpret_cast<std::uintptr_t>(v.data()) % static_cast<unsigned>(bytes) == 0 && (v.stride(R - 1) == 1 || v.extent(R - 1) <= 1);
  for (int i = 0; i + 1 < R; ++i) ok = ok && (v.extent(i) <= 1 || static_cast<std::size_t>(v.stride(i)) * sizeof(T) % static_cast<unsigned>(bytes) == 0);
  return ok;
}

}  // namespace mgm::inline v0::kernels
