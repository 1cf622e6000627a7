/// Borrowed tensors. A View is a pointer, extents and strides (in elements); it owns nothing and is passed by value.
/// `In<T, R>` and `Out<T, R>` are how operations spell their arguments: Out deduces T and the device, In converts to it.
#pragma once
#include <concepts>
#include <cstddef>
#include <type_traits>

#include <mgm/core/device.hpp>
#include <mgm/core/dtype.hpp>
#include <mgm/core/platform.hpp>

namespace mgm::inline v0 {

/// R extents or strides. A plain struct, since nvcc refuses std::array in device code.
template <int R>
struct Extents {
  Size at[R > 0 ? R : 1] = {};
  MGM_HD constexpr Size& operator[](int i) { return at[i]; }
  MGM_HD constexpr Size operator[](int i) const { return at[i]; }
  MGM_HD constexpr Size count() const {
    Size n = 1;
    for (int i = 0; i < R; ++i) n *= at[i];
    return n;
  }
  /// Strides of row-major storage without gaps.
  MGM_HD constexpr Extents strides() const {
    Extents s{};
    Size step = 1;
    for (int i = R - 1; i >= 0; --i) s[i] = step, step *= at[i];
    return s;
  }
  friend MGM_HD constexpr bool operator==(Extents const& a, Extents const& b) {
    for (int i = 0; i < R; ++i)
      if (a.at[i] != b.at[i]) return false;
    return true;
  }
};
template <std::integral... I>
Extents(I...) -> Extents<int(sizeof...(I))>;

template <class T, int R, Device Dev = DefaultDevice>
class View {
 public:
  using Element = T;
  static constexpr int kRank = R;

  constexpr View() = default;
  MGM_HD constexpr View(T* data, Extents<R> extents) : data_(data), extents_(extents), strides_(extents.strides()) {}
  MGM_HD constexpr View(T* data, Extents<R> extents, Extents<R> strides) : data_(data), extents_(extents), strides_(strides) {}
  /// A View of T is a View of T const.
  template <std::same_as<T> U>  // a template, since nvcc warns of a conversion to the type itself
    requires(!std::is_const_v<U>)
  MGM_HD constexpr operator View<U const, R, Dev>() const {  // NOLINT: borrowing read-only is always right
    return {data_, extents_, strides_};
  }

  MGM_HD constexpr T* data() const { return data_; }
  MGM_HD constexpr Size extent(int i) const { return extents_[i]; }
  MGM_HD constexpr Size stride(int i) const { return strides_[i]; }
  MGM_HD constexpr Extents<R> extents() const { return extents_; }
  MGM_HD constexpr Extents<R> strides() const { return strides_; }
  MGM_HD constexpr Size count() const { return extents_.count(); }
  MGM_HD constexpr bool contiguous() const { return strides_ == extents_.strides() || count() == 0; }

  /// Element at the indices.
  template <std::integral... I>
    requires(sizeof...(I) == R)
  MGM_HD constexpr T& operator()(I... i) const {
    Size offset = 0;
    int axis = 0;
    ((offset += Size(i) * strides_[axis++]), ...);
    return data_[offset];
  }
  /// Pointer to the last axis at the leading indices.
  template <std::integral... I>
    requires(sizeof...(I) < R)
  MGM_HD constexpr T* row(I... i) const {
    Size offset = 0;
    int axis = 0;
    ((offset += Size(i) * strides_[axis++]), ...);
    return data_ + offset;
  }
  /// Index `i` of the first axis, one rank lower.
  MGM_HD constexpr View<T, R - 1, Dev> operator[](Size i) const
    requires(R > 1)
  {
    Extents<R - 1> e, s;
    for (int a = 1; a < R; ++a) e[a - 1] = extents_[a], s[a - 1] = strides_[a];
    return {data_ + i * strides_[0], e, s};
  }
  /// `count` entries of `axis` from `first`.
  MGM_HD constexpr View slice(int axis, Size first, Size count) const {
    View v = *this;
    v.data_ += first * strides_[axis];
    v.extents_[axis] = count;
    return v;
  }
  /// The same elements under other extents; the view must be contiguous.
  template <int Q>
  MGM_HD constexpr View<T, Q, Dev> reshape(Extents<Q> to) const {
    return {data_, to};
  }

 private:
  T* data_ = nullptr;
  Extents<R> extents_{};
  Extents<R> strides_{};
};

/// An argument that is read: converts from tensors and views, never deduced.
template <class T, int R, Device Dev = DefaultDevice>
using In = std::type_identity_t<View<T const, R, Dev>>;
/// An argument that is written: T and Dev are deduced here.
template <class T, int R, Device Dev = DefaultDevice>
using Out = View<T, R, Dev>;

/// "(2, 3, 4)", for messages.
template <int R>
[[nodiscard]] std::string shape_text(Extents<R> const& e) {
  std::string out = "(";
  for (int i = 0; i < R; ++i) out += text(i ? ", " : "", e[i]);
  return out + ")";
}

/// Any extent will do, in check_shape.
inline constexpr Size any = -1;

/// Throws ShapeError unless each extent of `v` is the one expected (`any` matches all). `what` names the argument: "mining: v".
template <class T, int R, Device Dev, std::convertible_to<Size>... E>
  requires(sizeof...(E) == R)
void check_shape(std::string_view what, View<T, R, Dev> v, E... expected) {
  Extents<R> const want{static_cast<Size>(expected)...};
  bool ok = true;
  for (int i = 0; i < R; ++i) ok = ok && (want[i] == any || want[i] == v.extent(i));
  if (!ok) [[unlikely]] {
    std::string shape = "(";
    for (int i = 0; i < R; ++i) shape += want[i] == any ? text(i ? ", " : "", "*") : text(i ? ", " : "", want[i]);
    throw ShapeError(text(what, ": expected shape ", shape, "), found ", shape_text(v.extents())));
  }
}

}  // namespace mgm::inline v0
