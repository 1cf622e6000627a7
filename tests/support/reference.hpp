/// What products and attention should give: plain loops in double, and inputs to try them on.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <mgm/core/epilogue.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>

namespace support {

/// The instruction sets of this machine.
inline std::vector<mgm::Isa> machine_isas() {
  std::vector<mgm::Isa> out;
  for (int i = 0; i <= static_cast<int>(mgm::best_isa()); ++i) out.push_back(static_cast<mgm::Isa>(i));
  return out;
}

/// Unit roundoff of a type that is stored: half the distance from 1 to the next number.
template <class T>
inline constexpr double kRoundoff = sizeof(T) == 4 ? 0x1p-24 : std::is_same_v<T, mgm::half> ? 0x1p-11 : 0x1p-8;

/// Repeatable numbers.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed * 2654435761u + 88172645463325252u) {}
  /// Uniform in [-1, 1).
  double uniform() { return static_cast<double>(static_cast<std::int64_t>(next()) >> 10) * 0x1p-53; }
  /// Whole, in [low, high].
  int whole(int low, int high) { return low + static_cast<int>((next() >> 33) % static_cast<std::uint64_t>(high - low + 1)); }

 private:
  std::uint64_t next() {
    state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
    return state_ * 2685821657736338717u;
  }
  std::uint64_t state_;
};

/// A tensor within a larger block: `guard` elements behind each last axis and `offset` before all, which nobody may touch; 3 and 1 are off
/// any alignment. All is NaN at first.
template <class T, int R>
class Guarded {
 public:
  explicit Guarded(mgm::Extents<R> extents, mgm::Size guard = 3, mgm::Size offset = 1) : guard_(guard), offset_(offset), extents_(extents) {
    mgm::Extents<R> padded = extents;
    padded[R - 1] += guard;
    strides_ = padded.strides();
    block_.assign(static_cast<std::size_t>(padded.count() + offset), T(std::numeric_limits<float>::quiet_NaN()));
  }
  [[nodiscard]] mgm::View<T, R, mgm::Cpu> view() { return {block_.data() + offset_, extents_, strides_}; }
  [[nodiscard]] mgm::View<T const, R, mgm::Cpu> view() const { return {block_.data() + offset_, extents_, strides_}; }
  template <class Make>
  Guarded& fill(Make make) {
    mgm::Size const width = extents_[R - 1], row = width + guard_;
    for (mgm::Size i = 0; i + offset_ < static_cast<mgm::Size>(block_.size()); ++i)
      if (i % row < width) block_[static_cast<std::size_t>(i + offset_)] = T(static_cast<float>(make()));
    return *this;
  }
  /// Whether all guards are still NaN.
  [[nodiscard]] bool intact() const {
    mgm::Size const width = extents_[R - 1], row = width + guard_;
    bool ok = true;
    for (mgm::Size i = -offset_; i + offset_ < static_cast<mgm::Size>(block_.size()); ++i)
      if (i < 0 || i % row >= width) ok = ok && std::isnan(static_cast<float>(block_[static_cast<std::size_t>(i + offset_)]));
    return ok;
  }
  [[nodiscard]] std::vector<T> const& block() const { return block_; }
  [[nodiscard]] std::vector<T>& block() { return block_; }
  [[nodiscard]] mgm::Size offset() const { return offset_; }

 private:
  mgm::Size guard_, offset_;
  mgm::Extents<R> extents_, strides_;
  std::vector<T> block_;
};

/// The sum at (m, n) of a·wᵀ or a·w, and Σ|a||w|, which scales its rounding.
struct Sum {
  double value = 0, size = 0;
};
template <class T>
Sum product(mgm::View<T const, 2, mgm::Cpu> a, mgm::View<T const, 2, mgm::Cpu> w, bool transposed, mgm::Size m, mgm::Size n) {
  Sum s;
  for (mgm::Size k = 0; k < a.extent(1); ++k) {
    double const term = double(float(a(m, k))) * double(float(transposed ? w(n, k) : w(k, n)));
    s.value += term, s.size += std::abs(term);
  }
  return s;
}

/// Epilogue of one sum.
template <class T>
double finish(double sum, mgm::Size m, mgm::Size n, mgm::Epilogue<T, mgm::Cpu> const& e) {
  if (e.norm.rows.data())
    sum = double(e.norm.rows(m, 1)) * (sum - double(e.norm.rows(m, 0)) * double(e.norm.columns(0, n))) + double(e.norm.columns(1, n));
  double y = sum * double(e.alpha);
  if (e.bias.data()) y += double(float(e.bias(n)));
  y = mgm::activate(e.activation, y);
  if (e.scale.data()) y *= double(float(e.scale(n)));
  if (e.factor.data()) y *= double(float(e.factor(m, n)));
  if (e.residual.data()) y += double(float(e.residual(m, n)));
  return y;
}

/// One query row of attention, softmax(scale·q·kᵀ)·v over the first `seen` keys: d numbers.
template <class T>
std::vector<double> attention_row(mgm::View<T const, 3, mgm::Cpu> q, mgm::View<T const, 3, mgm::Cpu> k, mgm::View<T const, 3, mgm::Cpu> v, double scale,
                                  mgm::Size i, mgm::Size h, mgm::Size seen) {
  mgm::Size const g = h / (q.extent(1) / k.extent(1)), d = q.extent(2);
  std::vector<double> score, out(static_cast<std::size_t>(d));
  double top = -INFINITY, mass = 0;
  for (mgm::Size j = 0; j < seen; ++j) {
    double s = 0;
    for (mgm::Size c = 0; c < d; ++c) s += double(float(q(i, h, c))) * double(float(k(j, g, c)));
    score.push_back(s * scale);
    top = std::max(top, s * scale);
  }
  for (mgm::Size j = 0; j < seen; ++j) {
    double const p = std::exp(score[static_cast<std::size_t>(j)] - top);
    mass += p;
    for (mgm::Size c = 0; c < d; ++c) out[static_cast<std::size_t>(c)] += p * double(float(v(j, g, c)));
  }
  for (double& o : out) o /= mass;
  return out;
}

}  // namespace support
