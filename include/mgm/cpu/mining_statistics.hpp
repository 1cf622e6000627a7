/// Mean and deviation over all channels of every fine cell, from sums and neighbour products of the stage maps.
#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <mgm/core/compiled.hpp>
#include <mgm/core/executor.hpp>
#include <mgm/core/mining.hpp>
#include <mgm/cpu/rows.hpp>
#include <mgm/cpu/simd/vec.hpp>

namespace mgm::inline v0::cpu::detail {

/// One row of pixels, by column x. S' is a pixel minus the mean of its own channels, so that no square is a difference of large ones:
/// own ‖S'(y,x)‖² · right S'(y,x)·S'(y,x+1) · down S'(y,x)·S'(y+1,x) · across S'(y,x)·S'(y+1,x+1) + S'(y,x+1)·S'(y+1,x).
struct ProductRow {
  float *mean, *own, *right, *down, *across;
};
/// The same between two rows of pixels: own and right of the vertically interpolated pixels.
struct BlendedRow {
  float *mean, *own, *right;
};

/// The products of one stage map, rows padded to whole vectors.
class StageProducts {
 public:
  StageProducts(Size height, Size width) : stride_((width + 1 + 15) / 16 * 16), values_(static_cast<std::size_t>(5 * height * stride_)) {}
  [[nodiscard]] ProductRow row(Size y) {
    float* const p = values_.data() + 5 * y * stride_;
    return {p, p + stride_, p + 2 * stride_, p + 3 * stride_, p + 4 * stride_};
  }
  [[nodiscard]] Size stride() const { return stride_; }

 private:
  Size stride_;
  std::vector<float> values_;
};

}  // namespace mgm::inline v0::cpu::detail

#define MGM_SIMD_SOURCE <mgm/cpu/mining_statistics.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

namespace detail {
inline bool between_pixels(View<Tap const, 1> taps) {
  for (Size i = 0; i < taps.extent(0); ++i)
    if (taps(i).weight != 0) return true;
  return false;
}

/// Means, norms and, where some cell lies between pixels, products of neighbours. Two centred rows at a time stay in L2.
template <Real T>
StageProducts stage_products(Executor const& ex, MiningStage<T> const& stage) {
  View<T const, 3> const map = stage.map;
  Size const height = map.extent(0), width = map.extent(1), channels = map.extent(2), padded = (channels + 15) / 16 * 16;
  bool const neighbours = between_pixels(stage.rows) || between_pixels(stage.cols);
  StageProducts products(height, width);
  for_row_ranges(ex, height, 4 * width * channels, [&](Size first, Size last) {
    Size const row_size = neighbours ? (width + 2) * padded : padded;  // two pixels of zeros behind: pixels are taken in pairs
    std::vector<float> storage(static_cast<std::size_t>((neighbours ? 2 : 1) * row_size));
    float *top = storage.data(), *below = top + (neighbours ? row_size : 0), ignored;
    auto const centre = [&](Size y, float* to, float* means) {
      for (Size x = 0; x < width; ++x)
        MGM_SIMD_CALL(ex.isa, centre_pixel(map.row(y, x), channels, to + x * padded, means ? means[x] : ignored));
    };
    for (Size y = first; y < last; ++y) {
      ProductRow const out = products.row(y);
      if (!neighbours) {
        for (Size x = 0; x < width; ++x) {
          MGM_SIMD_CALL(ex.isa, centre_pixel(map.row(y, x), channels, top, out.mean[x]));
          MGM_SIMD_CALL(ex.isa, pixel_norm(top, padded, out.own[x]));
        }
        continue;
      }
      if (y == first) centre(y, top, out.mean);
      if (y + 1 < last) centre(y + 1, below, products.row(y + 1).mean);
      else if (y + 1 < height) centre(y + 1, below, nullptr);  // its mean is the next range's to write
      else std::fill_n(below, row_size, 0.0f);
      for (Size x = 0; x < width; x += 2)
        MGM_SIMD_CALL(ex.isa, neighbour_products(top + x * padded, below + x * padded, padded, out.own + x, out.right + x, out.down + x,
                                                 out.across + x));
      std::swap(top, below);
    }
  });
  return products;
}
}  // namespace detail

/// LayerNorm's statistics of the concatenated cell x(y, x) = [up(S_0); up(S_1); …], F = Σ C_l channels, which is never made:
///   mean = (1/F) Σ_l C_l m_l,   rstd = 1 / sqrt( (1/F) Σ_l ( ‖Σ_a w_a S'_l(a)‖² + C_l (m_l − mean)² ) + eps )
/// with m_l the interpolated channel mean of stage l, S' pixels minus their own channel mean, and the norm of an interpolated pixel
/// from products of neighbouring pixels. mean, rstd (rows, cols) of the fine grid; all stages have as many taps.
template <Real T>
void mining_statistics(Executor const& ex, std::span<MiningStage<T> const> stages, float eps, View<float, 2> mean, View<float, 2> rstd) {
  std::vector<detail::StageProducts> products;
  float total = 0;
  Size widest = 0;
  for (auto const& stage : stages) {
    products.push_back(detail::stage_products(ex, stage));
    total += static_cast<float>(stage.map.extent(2)), widest = std::max(widest, products.back().stride());
  }
  Size const cols = mean.extent(1);
  for_row_ranges(ex, mean.extent(0), 64 * cols, [&](Size first, Size last) {
    std::vector<float> storage(static_cast<std::size_t>(3 * widest + cols));
    float* const spread = storage.data() + 3 * widest;
    detail::BlendedRow const row{storage.data(), storage.data() + widest, storage.data() + 2 * widest};
    for (Size y = first; y < last; ++y) {
      float *sum = mean.row(y), *squares = rstd.row(y), count = 0;  // of the channels so far: Σ x, Σ ‖x − m‖²
      std::fill_n(sum, cols, 0.0f), std::fill_n(squares, cols, 0.0f), std::fill_n(spread, cols, 0.0f);
      for (std::size_t l = 0; l < stages.size(); ++l) {
        Tap const v = stages[l].rows(y);
        MGM_SIMD_CALL(ex.isa, blend_rows(products[l].row(v.first), products[l].row(v.second), v.weight, products[l].stride(), row));
        float const channels = static_cast<float>(stages[l].map.extent(2)), so_far = count > 0 ? 1 / count : 0;
        float const share = count * channels / (count + channels);  // Chan's update of Σ C_l (m_l − mean)²
        for (Size x = 0; x < cols; ++x) {
          Tap const u = stages[l].cols(x);
          float const b = u.weight, a = 1 - b, m = a * row.mean[u.first] + b * row.mean[u.second], apart = m - sum[x] * so_far;
          squares[x] += std::max(0.0f, a * a * row.own[u.first] + b * b * row.own[u.second] + 2 * a * b * row.right[u.first]);
          spread[x] += apart * apart * share, sum[x] += channels * m;
        }
        count += channels;
      }
      for (Size x = 0; x < cols; ++x) sum[x] /= total, squares[x] = 1 / std::sqrt((squares[x] + spread[x]) / total + eps);
    }
  });
}

#define MGM_CPU_MINING_STATISTICS(TEMPLATE, T, Dev) \
  TEMPLATE void mining_statistics<T>(Executor const&, std::span<MiningStage<T, Dev> const>, float, View<float, 2, Dev>, View<float, 2, Dev>);
#define MGM_CPU_MINING_STATISTICS_16(TEMPLATE, T, Dev)
MGM_DECLARE_COMPILED_CPU(MGM_CPU_MINING_STATISTICS)

}  // namespace mgm::inline v0::cpu
