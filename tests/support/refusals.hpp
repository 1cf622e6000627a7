/// What every launcher must refuse, argument by argument.
#pragma once
#include <string>

#include "support/layouts.hpp"

namespace support {

/// `call(view)` launches with `good` in its place, and must refuse a null pointer, one that is not aligned to its elements, a negative
/// stride and one that reaches beyond all memory, naming the argument: "gemm: x". An output also with elements that lie on each other.
template <class T, int R, class Call>
void expect_bad_views_refused(std::string const& name, mgm::View<T, R, Dev> good, Call call) {
  using View = mgm::View<T, R, Dev>;
  auto const refused = [&](View bad, char const* why) { expect_refused(name + why, [&] { call(bad); }); };
  refused({nullptr, good.extents(), good.strides()}, ": the pointer is null");
  if constexpr (alignof(T) > 1) {
    auto const odd = reinterpret_cast<std::uintptr_t>(good.data()) + 1;
    refused({reinterpret_cast<T*>(odd), good.extents(), good.strides()}, ": the pointer is not aligned to its");
  }
  ASSERT_GT(good.extent(0), 1) << name << ": a case with one row shows nothing of strides";
  auto back = good.strides(), far = good.strides(), flat = good.strides();
  back[0] = -1, far[0] = mgm::Size{1} << 61, flat[0] = 0;
  refused({good.data(), good.extents(), back}, ": strides must not be negative");
  refused({good.data(), good.extents(), far}, ": extents (");
  if constexpr (!std::is_const_v<T>) refused({good.data(), good.extents(), flat}, ": strides (0");
}
/// The same of an input.
template <class T, int R>
mgm::View<T const, R, Dev> input(mgm::View<T, R, Dev> v) {
  return v;
}
template <class T, int R>
mgm::View<T const, R, Dev> input(mgm::Tensor<T, R, Dev> const& t) {
  return t.view();
}

}  // namespace support
