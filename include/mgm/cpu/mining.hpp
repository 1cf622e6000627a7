/// Patch info mining without keys, values or the concatenated map: scores and weighted sums straight from the stage maps.
/// Cost at 768 px (576 tokens of 8×8 cells, maps of 192, 384, 768, 1536 channels): 2·52 224 multiplications a token, its pixels read
/// from L3 once and from L2 once; the statistics read each map once.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <mgm/core/compiled.hpp>
#include <mgm/core/mining.hpp>
#include <mgm/cpu/mining_statistics.hpp>
#include <mgm/cpu/softmax.hpp>

#define MGM_SIMD_SOURCE <mgm/cpu/mining.inl>
#include <mgm/cpu/simd/foreach_isa.hpp>

namespace mgm::inline v0::cpu {

namespace detail {
/// The limits to which the definition moves infinite scores: the working type's largest numbers.
template <Real T>
constexpr float largest() {
  if constexpr (std::same_as<T, half>) return 65504.0f;
  else if constexpr (std::same_as<T, bf16>) return 0x1.FEp127f;
  else return std::numeric_limits<float>::max();
}

/// The pixels of one stage beneath one token: a box, as a table of pointers, and one number a pixel. The table is filled up to a
/// multiple of four with its last entry; the numbers there count for nothing.
template <Real T>
class PixelBox {
 public:
  void cover(View<T const, 3> map, View<Tap const, 1> rows, View<Tap const, 1> cols) {
    rows_ = rows, cols_ = cols, top_ = rows(0).first, left_ = cols(0).first;
    height_ = rows(rows.extent(0) - 1).second - top_ + 1, width_ = cols(cols.extent(0) - 1).second - left_ + 1;
    pixels_.clear();
    for (Size y = 0; y < height_; ++y)
      for (Size x = 0; x < width_; ++x) pixels_.push_back(map.row(top_ + y, left_ + x));
    while (pixels_.size() % 4 != 0) pixels_.push_back(pixels_.back());
    values_.assign(pixels_.size(), 0.0f);
    between_.resize(static_cast<std::size_t>(height_ * cols.extent(0)));
  }
  [[nodiscard]] T const* const* pixels() const { return pixels_.data(); }
  [[nodiscard]] float* values() { return values_.data(); }
  [[nodiscard]] Size count() const { return static_cast<Size>(pixels_.size()); }

  /// cells += the values interpolated at every cell: along the rows first, then across them.
  void interpolate(float* cells) {
    Size const cols = cols_.extent(0);
    for (Size y = 0; y < height_; ++y)
      for (Size j = 0; j < cols; ++j) {
        Tap const u = cols_(j);
        float const* const v = values_.data() + y * width_;
        float const first = v[u.first - left_];
        between_[std::size_t(y * cols + j)] = first + u.weight * (v[u.second - left_] - first);
      }
    for (Size i = 0; i < rows_.extent(0); ++i) {
      Tap const v = rows_(i);
      float const *p = between_.data() + (v.first - top_) * cols, *q = between_.data() + (v.second - top_) * cols;
      for (Size j = 0; j < cols; ++j) cells[i * cols + j] += (1 - v.weight) * p[j] + v.weight * q[j];
    }
  }
  /// The transpose: the cells' weights pushed down to the pixels.
  void push_down(float const* cells) {
    Size const cols = cols_.extent(0);
    std::fill(between_.begin(), between_.end(), 0.0f), std::fill(values_.begin(), values_.end(), 0.0f);
    for (Size i = 0; i < rows_.extent(0); ++i) {
      Tap const v = rows_(i);
      float *p = between_.data() + (v.first - top_) * cols, *q = between_.data() + (v.second - top_) * cols;
      for (Size j = 0; j < cols; ++j) p[j] += (1 - v.weight) * cells[i * cols + j];
      for (Size j = 0; j < cols; ++j) q[j] += v.weight * cells[i * cols + j];
    }
    for (Size y = 0; y < height_; ++y)
      for (Size j = 0; j < cols; ++j) {
        Tap const u = cols_(j);
        float* const v = values_.data() + y * width_;
        float const b = between_[std::size_t(y * cols + j)];
        v[u.first - left_] += (1 - u.weight) * b, v[u.second - left_] += u.weight * b;
      }
  }

 private:
  View<Tap const, 1> rows_, cols_;
  Size top_ = 0, left_ = 0, height_ = 0, width_ = 0;
  std::vector<T const*> pixels_;
  std::vector<float> values_, between_;
};
}  // namespace detail

/// For token i and the cells j beneath it, x_ij = [up(S_0); up(S_1); …] (F = Σ C_l channels), μ, r their statistics:
///   s_ij = scale · r_ij (u_i·x_ij − μ_ij Σ_c u_i[c]),  NaN → 0, beyond T's range → its limits;   p_i = softmax_j(s_ij)
///   z_i = gain ⊙ Σ_j p_ij r_ij (x_ij − μ_ij) + bias
/// Dot products are taken on the maps' own pixels and the scalars interpolated; weights are pushed down to the pixels likewise.
/// u (N, F) = key gain ⊙ (Wkᵀ q), N = grid.rows·grid.cols; gain, bias (F) of the values' norm; z (N, F); sums in float.
/// mean, rstd (rows, cols) of this view's cells, as `mining_statistics` made them; `probabilities` (N, M), M cells a token, row by row,
/// is written when it has data.
template <Real T>
void mining(Executor const& ex, View<float const, 2> u, MiningGrid grid, std::span<MiningStage<T> const> stages, View<float const, 2> mean,
            View<float const, 2> rstd, float scale, In<T, 1> gain, In<T, 1> bias, Out<T, 2> z, View<float, 2> probabilities = {}) {
  Size const cell_rows = mean.extent(0) / grid.rows, cell_cols = mean.extent(1) / grid.cols, cells = cell_rows * cell_cols;
  Size const width = u.extent(1);
  for_row_ranges(ex, grid.rows * grid.cols, 16 * width, [&](Size begin, Size end) {
    std::vector<float> weights(static_cast<std::size_t>(cells)), sums(static_cast<std::size_t>(width));
    std::vector<detail::PixelBox<T>> boxes(stages.size());
    float* const s = weights.data();
    for (Size n = begin; n < end; ++n) {
      Size const top = n / grid.cols * cell_rows, left = n % grid.cols * cell_cols;
      float const* query = u.row(n);
      float query_sum, shift = 0;
      MGM_SIMD_CALL(ex.isa, row_sum(query, width, query_sum));
      std::fill(weights.begin(), weights.end(), 0.0f);
      for (std::size_t l = 0; l < stages.size(); query += stages[l++].map.extent(2)) {
        boxes[l].cover(stages[l].map, stages[l].rows.slice(0, top, cell_rows), stages[l].cols.slice(0, left, cell_cols));
        MGM_SIMD_CALL(ex.isa, pixel_dots<T>(query, boxes[l].pixels(), boxes[l].count(), stages[l].map.extent(2), boxes[l].values()));
        boxes[l].interpolate(s);
      }
      for (Size i = 0, j = 0; i < cell_rows; ++i) {
        float const *m = mean.row(top + i) + left, *r = rstd.row(top + i) + left;
        for (Size k = 0; k < cell_cols; ++k, ++j) {
          float const score = scale * r[k] * (s[j] - m[k] * query_sum);
          s[j] = score == score ? std::clamp(score, -detail::largest<T>(), detail::largest<T>()) : 0;
        }
      }
      MGM_SIMD_CALL(ex.isa, softmax_row(s, s, cells));
      if (probabilities.data()) std::copy(s, s + cells, probabilities.row(n));
      for (Size i = 0, j = 0; i < cell_rows; ++i) {
        float const *m = mean.row(top + i) + left, *r = rstd.row(top + i) + left;
        for (Size k = 0; k < cell_cols; ++k, ++j) s[j] *= r[k], shift += s[j] * m[k];
      }
      float* sum = sums.data();
      for (std::size_t l = 0; l < stages.size(); sum += stages[l++].map.extent(2)) {
        boxes[l].push_down(s);
        MGM_SIMD_CALL(ex.isa, pixel_sum<T>(boxes[l].values(), boxes[l].pixels(), boxes[l].count(), stages[l].map.extent(2), sum));
      }
      MGM_SIMD_CALL(ex.isa, shifted_row(sums.data(), shift, gain.data(), bias.data(), width, z.row(n)));
    }
  });
}

#define MGM_CPU_MINING(TEMPLATE, T, Dev)                                                                                             \
  TEMPLATE void mining<T>(Executor const&, View<float const, 2, Dev>, MiningGrid, std::span<MiningStage<T, Dev> const>,               \
                          View<float const, 2, Dev>, View<float const, 2, Dev>, float, In<T, 1, Dev>, In<T, 1, Dev>, Out<T, 2, Dev>, \
                          View<float, 2, Dev>);
#define MGM_CPU_MINING_16(TEMPLATE, T, Dev)
MGM_DECLARE_COMPILED_CPU(MGM_CPU_MINING)

}  // namespace mgm::inline v0::cpu
