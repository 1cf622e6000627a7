/// Matrices laid out in every way that a kernel must take: off any alignment, aligned with gaps, without gaps, turned.
#pragma once
#include "support/device.hpp"

namespace support {

enum class Layout { odd, aligned, dense, turned };
inline constexpr Layout kLayouts[] = {Layout::odd, Layout::aligned, Layout::dense, Layout::turned};

/// (rows, columns) on the device as `layout` says, filled by `make` or poisoned; `host` has the same elements.
template <class T>
class Matrix {
 public:
  Matrix(mgm::Context<Dev>& ctx, Layout layout, mgm::Size rows, mgm::Size columns)
      : Matrix(ctx, layout, rows, columns, [] { return std::nan(""); }) {}
  template <class Make>
  Matrix(mgm::Context<Dev>& ctx, Layout layout, mgm::Size rows, mgm::Size columns, Make make)
      : turned_(layout == Layout::turned), host_(filled(layout, rows, columns, make)), device_(ctx, host_) {}

  [[nodiscard]] mgm::View<T, 2, Dev> view() const { return oriented(device_.view()); }
  [[nodiscard]] T operator()(mgm::Size n, mgm::Size c) const { return turned_ ? host_.view()(c, n) : host_.view()(n, c); }
  /// Reads back what the device holds now.
  void fetch() { host_ = device_.back(); }
  [[nodiscard]] bool intact() const { return host_.intact(); }

 private:
  template <class Make>
  Guarded<T, 2> filled(Layout layout, mgm::Size rows, mgm::Size columns, Make make) const {
    mgm::Extents<2> const extents = turned_ ? mgm::Extents{columns, rows} : mgm::Extents{rows, columns};
    mgm::Size const whole = (8 - extents[1] % 8) % 8;
    bool const wide = layout == Layout::aligned || layout == Layout::dense;
    Guarded<T, 2> out(extents, layout == Layout::dense ? 0 : wide ? 8 + whole : 3, wide ? 8 : 1);
    for (mgm::Size i = 0; i < extents[0]; ++i)
      for (mgm::Size j = 0; j < extents[1]; ++j) out.view()(i, j) = T(static_cast<float>(make()));
    return out;
  }
  [[nodiscard]] mgm::View<T, 2, Dev> oriented(mgm::View<T, 2, Dev> v) const {
    return turned_ ? mgm::View<T, 2, Dev>(v.data(), {v.extent(1), v.extent(0)}, {v.stride(1), v.stride(0)}) : v;
  }
  bool turned_;
  Guarded<T, 2> host_;
  OnDevice<T, 2> device_;
};

/// Calls `call` and expects an Error whose text holds `part`.
template <class Call>
void expect_refused(std::string_view part, Call call) {
  try {
    call();
    ADD_FAILURE() << "accepted; expected a refusal that says " << part;
  } catch (mgm::Error const& e) {
    EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
  }
}

}  // namespace support
