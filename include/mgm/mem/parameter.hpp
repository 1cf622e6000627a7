/// A layer's weight: what the file must hold, how it is laid out in memory, and, once loaded, the tensor itself, immutable and shared.
#pragma once
#include <concepts>
#include <string>
#include <vector>

#include <mgm/mem/tensor.hpp>

namespace mgm::inline v0 {

/// How a stored tensor lies in memory. Everything here is channels-last, files are channels-first.
enum class Layout {
  as_stored,   ///< the same, so that a mapped file serves as it is
  taps_inner,  ///< convolution (out, in, kh, kw) -> (out, kh·kw·in): the order in which patches are gathered
  taps_outer,  ///< depthwise convolution (C, 1, kh, kw) -> (kh·kw, C)
};

template <Real T, int R, Device Dev = DefaultDevice>
class Parameter {
 public:
  using Element = T;
  static constexpr int kRank = R;

  Parameter() = default;
  /// Stored as it is used.
  explicit Parameter(Extents<R> shape) : stored_(shape.at, shape.at + R), shape_(shape) {}
  /// Stored under the extents `stored`, used under `shape`.
  Parameter(std::vector<Size> stored, Layout layout, Extents<R> shape) : stored_(std::move(stored)), shape_(shape), layout_(layout) {}

  [[nodiscard]] std::vector<Size> const& stored_shape() const { return stored_; }
  [[nodiscard]] Extents<R> shape() const { return shape_; }
  [[nodiscard]] Layout layout() const { return layout_; }
  [[nodiscard]] bool loaded() const { return !value_.empty(); }
  [[nodiscard]] View<T const, R, Dev> view() const { return value_.view(); }
  [[nodiscard]] Tensor<T const, R, Dev> const& tensor() const { return value_; }
  /// Takes a tensor of shape(), in memory order. Throws ShapeError.
  void assign(Tensor<T const, R, Dev> value) {
    require<ShapeError>(value.extents() == shape_, "parameter: expected shape ", shape_text(shape_), ", found ",
                        shape_text(value.extents()));
    value_ = std::move(value);
  }

 private:
  std::vector<Size> stored_;
  Extents<R> shape_{};
  Layout layout_ = Layout::as_stored;
  Tensor<T const, R, Dev> value_;
};

template <class P>
inline constexpr bool kIsParameter = false;
template <Real T, int R, Device Dev>
inline constexpr bool kIsParameter<Parameter<T, R, Dev>> = true;

/// Visits every parameter below `layer` with its full name: `visit(name, parameter)`. A layer is a parameter, a vector of layers, or
/// a type whose `parameters(visit)` names its parts. An empty part name adds nothing to the path.
template <class Module, class Visit>
void visit_parameters(Module& layer, std::string const& path, Visit&& visit) {
  if constexpr (kIsParameter<std::remove_cvref_t<Module>>) {
    visit(path, layer);
  } else if constexpr (requires { layer.begin(); layer.size(); }) {
    std::size_t i = 0;
    for (auto& part : layer) visit_parameters(part, text(path, path.empty() ? "" : ".", i++), visit);
  } else {
    layer.parameters([&](std::string_view name, auto& part) {
      visit_parameters(part, text(path, path.empty() || name.empty() ? "" : ".", name), visit);
    });
  }
}

}  // namespace mgm::inline v0
