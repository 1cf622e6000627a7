/// Patch info mining: statistics of the fine cells, and the mining itself.
#pragma once
#include <span>

#include <mgm/cpu/mining.hpp>
#include <mgm/cpu/mining_resize.hpp>
#include <mgm/kernels/instances/mining.hpp>
#include <mgm/mem/context.hpp>

namespace mgm::inline v0::ops {

namespace detail {
template <Real T, Device Dev>
Size check_stages(std::string_view what, std::span<MiningStage<T, Dev> const> stages, Size rows, Size cols) {
  require<ShapeError>(!stages.empty(), what, ": needs at least one stage map, found none");
  Size channels = 0;
  for (auto const& stage : stages) {
    check_shape(text(what, ": taps of rows"), stage.rows, rows);
    check_shape(text(what, ": taps of columns"), stage.cols, cols);
    require<ShapeError>(stage.map.count() > 0, what, ": a stage map of shape ", shape_text(stage.map.extents()), " has no pixels");
    channels += stage.map.extent(2);
  }
  return channels;
}
}  // namespace detail

/// mean and rstd = 1/sqrt(var + eps) over all F = Σ C_l channels of each fine cell [up(S_0); up(S_1); …], from the stage maps alone.
/// mean, rstd (rows, cols) of the fine grid, as many as each stage has taps. Throws ShapeError.
template <Real T, Device Dev>
void mining_statistics(Context<Dev>& ctx, std::span<MiningStage<T, Dev> const> stages, float eps, Out<float, 2, Dev> mean,
                       Out<float, 2, Dev> rstd) {
  check_shape("mining_statistics: rstd", rstd, mean.extent(0), mean.extent(1));
  detail::check_stages("mining_statistics", stages, mean.extent(0), mean.extent(1));
  if constexpr (std::same_as<Dev, Cpu>) cpu::mining_statistics<T>(ctx.executor(), stages, eps, mean, rstd);
  else kernels::mining_statistics<T, Dev>(ctx.stream(), stages, eps, mean, rstd);
}

/// z_i = gain ⊙ Σ_j p_ij r_ij (x_ij − μ_ij) + bias,  p_i = softmax_j( scale · r_ij (u_i·x_ij − μ_ij Σ_c u_i[c]) ), over the cells j
/// beneath token i, from the stage maps alone: neither the cells x nor keys or values of them are made.
/// u (N, F) in float; mean, rstd (rows, cols) of the view's cells; gain, bias (F); z (N, F); `probabilities` (N, M) or empty.
/// Sums in float. Throws ShapeError.
template <Real T, Device Dev>
void mining(Context<Dev>& ctx, In<float, 2, Dev> u, MiningGrid grid, std::span<MiningStage<T, Dev> const> stages, In<float, 2, Dev> mean,
            In<float, 2, Dev> rstd, float scale, In<T, 1, Dev> gain, In<T, 1, Dev> bias, Out<T, 2, Dev> z,
            std::type_identity_t<View<float, 2, Dev>> probabilities = {}) {
  Size const rows = mean.extent(0), cols = mean.extent(1);
  require<ShapeError>(grid.rows >= 1 && grid.cols >= 1 && rows >= 1 && cols >= 1 && rows % grid.rows == 0 && cols % grid.cols == 0,
                      "mining: ", rows, "x", cols, " cells do not divide among ", grid.rows, "x", grid.cols, " tokens");
  Size const tokens = grid.rows * grid.cols, channels = detail::check_stages("mining", stages, rows, cols);
  check_shape("mining: u", u, tokens, channels);
  check_shape("mining: rstd", rstd, rows, cols);
  check_shape("mining: gain", gain, channels);
  check_shape("mining: bias", bias, channels);
  check_shape("mining: z", z, tokens, channels);
  if (probabilities.data()) check_shape("mining: probabilities", probabilities, tokens, rows * cols / tokens);
  if constexpr (std::same_as<Dev, Cpu>)
    cpu::mining<T>(ctx.executor(), u, grid, stages, mean, rstd, scale, gain, bias, z, probabilities);
  else kernels::mining<T, Dev>(ctx.stream(), u, grid, stages, mean, rstd, scale, gain, bias, z, probabilities);
}

/// Statistics and mining of all views of a picture in one launch, where the device has that form for these shapes: whether it has. If not,
/// nothing is done. `grid` tokens a view, `views` of them on the picture's cells; u, z and `probabilities` are as for `mining`, view by view;
/// `reach` is that of the stages' taps, stage by stage. Throws ShapeError.
template <Real T, Device Dev>
[[nodiscard]] bool mining_fused(Context<Dev>& ctx, In<float, 2, Dev> u, MiningGrid grid, MiningGrid views,
                                std::span<MiningStage<T, Dev> const> stages, std::span<MiningReach const> reach, float eps, float scale,
                                In<T, 1, Dev> gain, In<T, 1, Dev> bias, Out<T, 2, Dev> z,
                                std::type_identity_t<View<float, 2, Dev>> probabilities = {}) {
  if constexpr (std::same_as<Dev, Cpu>) {
    return false;
  } else {
    kernels::MiningViews const all{grid, views.rows, views.cols};
    if (!ctx.tuned() ||
        kernels::choose_mining<T, Dev>(ctx.stream(), u, all, stages, reach, gain, bias, z).form != kernels::MiningForm::fused)
      return false;
    kernels::mining_fused<T, Dev>(ctx.stream(), u, all, stages, reach, eps, scale, gain, bias, z, probabilities);
    return true;
  }
}

/// out = resize(resize(map, full), out's sides), bilinear, half-pixel centres, channel by channel; the full map is not made.
/// map (h, w, C), out (h', w', C). Sums in float. Throws ShapeError.
template <Real T, Device Dev>
void resize_twice(Context<Dev>& ctx, In<T, 3, Dev> map, Size full_rows, Size full_cols, Out<T, 3, Dev> out) {
  require<ShapeError>(map.count() > 0 && full_rows >= 1 && full_cols >= 1, "resize_twice: a map of shape ", shape_text(map.extents()),
                      " cannot become ", full_rows, "x", full_cols);
  check_shape("resize_twice: out", out, any, any, map.extent(2));
  if constexpr (std::same_as<Dev, Cpu>) cpu::resize_twice<T>(ctx.executor(), map, full_rows, full_cols, out);
  else kernels::resize_twice<T, Dev>(ctx.stream(), map, full_rows, full_cols, out);
}

}  // namespace mgm::inline v0::ops
