/// Mean and deviation over all channels of every fine cell, from sums and neighbour products of the stage maps.
#pragma once
#include <cmath>
#include <span>
#include <vector>

#include <mgm/core/executor.hpp>
#include <mgm/core/mining.hpp>
#include <mgm/cpu/rows.hpp>

namespace mgm::inline v0::cpu {

namespace detail {
/// What a stage contributes, per pixel a = (y, x), with S' the pixel minus the mean of its own channels, so that no square cancels:
/// mean · own ‖S'(a)‖² · right S'(a)·S'(y,x+1) · down S'(a)·S'(y+1,x) · fall S'(a)·S'(y+1,x+1) · rise S'(y,x+1)·S'(y+1,x).
struct PixelProducts {
  float mean, own, right, down, fall, rise;
};

template <Real T>
std::vector<PixelProducts> pixel_products(Executor const& ex, View<T const, 3> map) {
  Size const height = map.extent(0), width = map.extent(1), channels = map.extent(2);
  std::vector<PixelProducts> out(static_cast<std::size_t>(height * width));
  for_rows(ex, height * width, channels, [&](Size n) {
    float sum = 0;
    T const* s = map.row(n / width, n % width);
    for (Size c = 0; c < channels; ++c) sum += float(s[c]);
    out[std::size_t(n)] = {sum / float(channels), 0, 0, 0, 0, 0};
  });
  for_rows(ex, height * width, 5 * channels, [&](Size n) {
    Size const y = n / width, x = n % width;
    bool const has_right = x + 1 < width, has_down = y + 1 < height;
    auto const mean = [&](Size v, Size u) { return out[std::size_t(v * width + u)].mean; };
    auto const dot = [&](Size v0, Size u0, Size v1, Size u1) {
      T const *a = map.row(v0, u0), *b = map.row(v1, u1);
      float const p = mean(v0, u0), q = mean(v1, u1);
      float sum = 0;
      for (Size c = 0; c < channels; ++c) sum += (float(a[c]) - p) * (float(b[c]) - q);
      return sum;
    };
    PixelProducts& to = out[std::size_t(n)];
    to.own = dot(y, x, y, x);
    if (has_right) to.right = dot(y, x, y, x + 1);
    if (has_down) to.down = dot(y, x, y + 1, x);
    if (has_right && has_down) to.fall = dot(y, x, y + 1, x + 1), to.rise = dot(y, x + 1, y + 1, x);
  });
  return out;
}
}  // namespace detail

/// LayerNorm's statistics of the concatenated cell x(y, x) = [up(S_0); up(S_1); …], F = Σ C_l channels, which is never made:
///   mean = (1/F) Σ_l C_l m_l,   rstd = 1 / sqrt( (1/F) Σ_l ( ‖Σ_a w_a S'_l(a)‖² + C_l (m_l − mean)² ) + eps )
/// with m_l the interpolated channel mean of stage l, and the norm of an interpolated pixel from products of neighbouring pixels.
/// mean, rstd (rows, cols) of the fine grid; all stages have as many taps.
template <Real T>
void mining_statistics(Executor const& ex, std::span<MiningStage<T> const> stages, float eps, View<float, 2> mean, View<float, 2> rstd) {
  std::vector<std::vector<detail::PixelProducts>> products;
  float total = 0;
  for (auto const& stage : stages) products.push_back(detail::pixel_products<T>(ex, stage.map)), total += float(stage.map.extent(2));
  for_rows(ex, mean.extent(0), 32 * mean.extent(1), [&](Size y) {
    for (Size x = 0; x < mean.extent(1); ++x) {
      float sum = 0, squares = 0, spread = 0;  // of all channels so far: Σ C m, Σ ‖·‖², Σ C (m − mean)², the last by Chan's update
      float count = 0;
      for (std::size_t l = 0; l < stages.size(); ++l) {
        Tap const v = stages[l].rows(y), u = stages[l].cols(x);
        Size const width = stages[l].map.extent(1);
        auto const* const at = products[l].data();
        auto const &a = at[v.first * width + u.first], &b = at[v.first * width + u.second], &c = at[v.second * width + u.first],
                   &d = at[v.second * width + u.second];
        float const v1 = v.weight, v0 = 1 - v1, u1 = u.weight, u0 = 1 - u1;
        float const m = v0 * (u0 * a.mean + u1 * b.mean) + v1 * (u0 * c.mean + u1 * d.mean);
        float const norm = v0 * v0 * (u0 * u0 * a.own + u1 * u1 * b.own) + v1 * v1 * (u0 * u0 * c.own + u1 * u1 * d.own) +
                           2 * (u0 * u1 * (v0 * v0 * a.right + v1 * v1 * c.right) + v0 * v1 * (u0 * u0 * a.down + u1 * u1 * b.down) +
                                v0 * v1 * u0 * u1 * (a.fall + a.rise));
        float const channels = float(stages[l].map.extent(2)), apart = count > 0 ? m - sum / count : 0;
        spread += apart * apart * count * channels / (count + channels);
        squares += std::max(0.0f, norm), sum += channels * m, count += channels;
      }
      mean(y, x) = sum / total;
      rstd(y, x) = 1 / std::sqrt((squares + spread) / total + eps);
    }
  });
}

}  // namespace mgm::inline v0::cpu
