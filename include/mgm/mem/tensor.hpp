/// Owned tensors: a View and a share in the memory beneath it. Memory is the arena's, the heap's, or a mapped file's.
#pragma once
#include <memory>
#include <utility>

#include <mgm/core/view.hpp>

namespace mgm::inline v0 {

/// A View that keeps its memory alive. A Tensor<T> is moved, not copied (`clone` is an operation); a Tensor<T const> is shared by copying.
template <class T, int R, Device Dev = DefaultDevice>
class Tensor : public View<T, R, Dev> {
 public:
  Tensor() = default;
  Tensor(View<T, R, Dev> view, std::shared_ptr<void const> owner) : View<T, R, Dev>(view), owner_(std::move(owner)) {}
  Tensor(Tensor&&) noexcept = default;
  Tensor& operator=(Tensor&&) noexcept = default;
  Tensor(Tensor const&)
    requires(std::is_const_v<T>)
  = default;
  Tensor& operator=(Tensor const&)
    requires(std::is_const_v<T>)
  = default;
  /// Writing ends here: a Tensor<T> becomes a Tensor<T const>.
  Tensor(Tensor<std::remove_const_t<T>, R, Dev>&& written)  // NOLINT: giving up the right to write is always right
    requires(std::is_const_v<T>)
      : View<T, R, Dev>(written.view()), owner_(std::move(written).release_owner()) {}
  /// What is borrowed from this tensor.
  [[nodiscard]] View<T, R, Dev> view() const { return *this; }
  [[nodiscard]] std::shared_ptr<void const> const& owner() const { return owner_; }
  [[nodiscard]] bool empty() const { return this->data() == nullptr; }
  [[nodiscard]] std::shared_ptr<void const> release_owner() && { return std::move(owner_); }
  /// The same memory under other extents (contiguous tensors).
  template <int Q>
  [[nodiscard]] Tensor<T, Q, Dev> reshaped(Extents<Q> to) && {
    return {this->reshape(to), std::move(owner_)};
  }

 private:
  std::shared_ptr<void const> owner_;
};

}  // namespace mgm::inline v0
