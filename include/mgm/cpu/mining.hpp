/// Patch info mining without keys, values or the concatenated map: scores and weighted sums straight from the stage maps.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <mgm/core/mining.hpp>
#include <mgm/cpu/mining_statistics.hpp>

namespace mgm::inline v0::cpu {

namespace detail {
/// The pixels of a stage beneath one token.
struct PixelBox {
  Size top, left, height, width;
};
inline PixelBox pixels_beneath(View<Tap const, 1> rows, View<Tap const, 1> cols) {
  Size const top = rows(0).first, left = cols(0).first;
  return {top, left, rows(rows.extent(0) - 1).second - top + 1, cols(cols.extent(0) - 1).second - left + 1};
}
/// The limits to which the definition moves infinite scores: the working type's largest numbers.
template <Real T>
constexpr float largest() {
  if constexpr (std::same_as<T, half>) return 65504.0f;
  else if constexpr (std::same_as<T, bf16>) return 0x1.FEp127f;
  else return std::numeric_limits<float>::max();
}
}  // namespace detail

/// For token i and the cells j beneath it, x_ij = [up(S_0); up(S_1); …] (F = Σ C_l channels), μ, r their statistics:
///   s_ij = scale · r_ij (u_i·x_ij − μ_ij Σ_c u_i[c]),  NaN → 0, beyond T's range → its limits;   p_i = softmax_j(s_ij)
///   z_i = gain ⊙ Σ_j p_ij r_ij (x_ij − μ_ij) + bias
/// Dot products are taken on the maps' own pixels and the scalars interpolated; weights are pushed down to the pixels likewise.
/// u (N, F) = key gain ⊙ (Wkᵀ q), N = grid.rows·grid.cols; gain, bias (F) of the values' norm; z (N, F); sums in float.
/// mean, rstd (rows, cols) of this view's cells, as `mining_statistics` made them; `probabilities` (N, M), M cells a token, row by row,
/// is written when it has data. Taps rise along each axis.
template <Real T>
void mining(Executor const& ex, View<float const, 2> u, MiningGrid grid, std::span<MiningStage<T> const> stages, View<float const, 2> mean,
            View<float const, 2> rstd, float scale, In<T, 1> gain, In<T, 1> bias, Out<T, 2> z, View<float, 2> probabilities = {}) {
  Size const cell_rows = mean.extent(0) / grid.rows, cell_cols = mean.extent(1) / grid.cols, cells = cell_rows * cell_cols;
  Size const width = u.extent(1);
  for_row_ranges(ex, grid.rows * grid.cols, 8 * width, [&](Size begin, Size end) {
    std::vector<float> score(static_cast<std::size_t>(cells)), sum(static_cast<std::size_t>(width)), pixel;
    for (Size n = begin; n < end; ++n) {
      Size const y = n / grid.cols * cell_rows, x = n % grid.cols * cell_cols;
      float const* const query = u.row(n);
      std::fill(score.begin(), score.end(), 0.0f);
      std::fill(sum.begin(), sum.end(), 0.0f);
      float query_sum = 0;
      for (Size c = 0; c < width; ++c) query_sum += query[c];
      Size channel = 0;
      for (auto const& stage : stages) {
        auto const rows = stage.rows.slice(0, y, cell_rows), cols = stage.cols.slice(0, x, cell_cols);
        auto const box = detail::pixels_beneath(rows, cols);
        pixel.assign(std::size_t(box.height * box.width), 0.0f);
        for (Size a = 0; a < box.height * box.width; ++a) {
          T const* s = stage.map.row(box.top + a / box.width, box.left + a % box.width);
          for (Size c = 0; c < stage.map.extent(2); ++c) pixel[std::size_t(a)] += query[channel + c] * float(s[c]);
        }
        for (Size j = 0; j < cells; ++j) {
          Tap const v = rows(j / cell_cols), h = cols(j % cell_cols);
          float const* p = pixel.data() + (v.first - box.top) * box.width - box.left;
          float const* q = pixel.data() + (v.second - box.top) * box.width - box.left;
          score[std::size_t(j)] += (1 - v.weight) * ((1 - h.weight) * p[h.first] + h.weight * p[h.second]) +
                                   v.weight * ((1 - h.weight) * q[h.first] + h.weight * q[h.second]);
        }
        channel += stage.map.extent(2);
      }
      float peak = -std::numeric_limits<float>::infinity(), mass = 0, shift = 0;
      for (Size j = 0; j < cells; ++j) {
        float& s = score[std::size_t(j)];
        Size const v = y + j / cell_cols, h = x + j % cell_cols;
        s = scale * rstd(v, h) * (s - mean(v, h) * query_sum);
        s = std::isnan(s) ? 0 : std::clamp(s, -detail::largest<T>(), detail::largest<T>());
        peak = std::max(peak, s);
      }
      for (float& s : score) mass += s = std::exp(s - peak);
      for (Size j = 0; j < cells; ++j) {
        float& s = score[std::size_t(j)];
        Size const v = y + j / cell_cols, h = x + j % cell_cols;
        s /= mass;
        if (probabilities.data()) probabilities(n, j) = s;
        s *= rstd(v, h);
        shift += s * mean(v, h);
      }
      channel = 0;
      for (auto const& stage : stages) {
        auto const rows = stage.rows.slice(0, y, cell_rows), cols = stage.cols.slice(0, x, cell_cols);
        auto const box = detail::pixels_beneath(rows, cols);
        pixel.assign(std::size_t(box.height * box.width), 0.0f);
        for (Size j = 0; j < cells; ++j) {
          Tap const v = rows(j / cell_cols), h = cols(j % cell_cols);
          float* p = pixel.data() + (v.first - box.top) * box.width - box.left;
          float* q = pixel.data() + (v.second - box.top) * box.width - box.left;
          float const s = score[std::size_t(j)];
          p[h.first] += s * (1 - v.weight) * (1 - h.weight), p[h.second] += s * (1 - v.weight) * h.weight;
          q[h.first] += s * v.weight * (1 - h.weight), q[h.second] += s * v.weight * h.weight;
        }
        for (Size a = 0; a < box.height * box.width; ++a) {
          T const* s = stage.map.row(box.top + a / box.width, box.left + a % box.width);
          for (Size c = 0; c < stage.map.extent(2); ++c) sum[std::size_t(channel + c)] += pixel[std::size_t(a)] * float(s[c]);
        }
        channel += stage.map.extent(2);
      }
      for (Size c = 0; c < width; ++c) z(n, c) = T((sum[std::size_t(c)] - shift) * float(gain(c)) + float(bias(c)));
    }
  });
}

}  // namespace mgm::inline v0::cpu
