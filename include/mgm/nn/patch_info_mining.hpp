/// Patch info mining (Li et al. 2024, arXiv:2403.18814): each low-resolution token takes the detail that it needs from the
/// high-resolution cells beneath it.
#pragma once
#include <cmath>
#include <span>
#include <vector>

#include <mgm/nn/linear.hpp>
#include <mgm/nn/norm.hpp>
#include <mgm/ops/mining.hpp>

namespace mgm::inline v0::nn {

/// How tokens and views lie on the picture. A picture is seen whole (grid 1), or in grid × grid crops and, if wished, a global view.
struct MiningGeometry {
  Size side;            ///< tokens along one side of a view: 24 for CLIP-L/14 at 336
  Size grid = 1;        ///< crops along one side of the picture
  bool global = false;  ///< whether a view of the whole picture follows the crops; without meaning when grid is 1

  [[nodiscard]] bool has_global() const { return grid > 1 && global; }
  [[nodiscard]] Size views() const { return grid * grid + (has_global() ? 1 : 0); }
  [[nodiscard]] Size tokens() const { return views() * side * side; }
  /// Cells beneath one token, M, when the finest stage map has sides of `cells`. Throws ConfigError when they do not divide.
  [[nodiscard]] Size candidates(Size cells) const {
    require<ConfigError>(side >= 1 && grid >= 1 && cells >= 1 && cells % (side * grid) == 0, "mining: the finest map has ", cells,
                         " cells a side, which ", grid, " crops of ", side, " tokens cannot share; set image_size_aux to a multiple of ",
                         4 * side * grid);
    Size const cell = cells / (side * grid);
    return cell * cell;
  }
};

/// T_i = C_i + Σ_j softmax_j( q_i·k_ij / √query )·v_ij,   q = Wq LN(C) + c_q,  k = Wk LN_k(x) + c_k,  v = Wv LN_v(x) + c_v,
/// x_ij the cells of the concatenated, upsampled stage maps beneath token i.
///
/// Keys, values and cells are never made. With y = (x − μ)·r the normalised cell, u = g_k ⊙ (Wkᵀ q), and what is the same for all
/// candidates of a token left to cancel in the softmax,
///   s_ij = u_i·y_ij / √query,   z_i = Σ_j softmax_j(s_ij)·y_ij,   T_i = C_i + Wv(g_v ⊙ z_i + b_v) + c_v,
/// so that products run over tokens instead of cells, and neither key bias (`key_norm.bias`, `key.bias`) has any influence.
template <Real T, Device Dev = DefaultDevice>
struct PatchInfoMining {
  struct Config {
    Size query;   ///< channels of the coarse tokens, of queries, keys and values
    Size detail;  ///< channels of all stage maps together
  };
  static constexpr float kEps = 1e-5f;

  PatchInfoMining(Context<Dev>& ctx, Config c)
      : query_norm(ctx, {c.query, kEps}), key_norm(ctx, {c.detail, kEps}), value_norm(ctx, {c.detail, kEps}),
        query(ctx, {c.query, c.query}), key(ctx, {c.detail, c.query}), value(ctx, {c.detail, c.query}) {}

  /// coarse (views·side², query), the views in order, the global one last; maps (h_l, w_l, C_l) of the whole picture, the finest first,
  /// Σ C_l = detail -> (tokens, query), the global view first, then the crops row by row, each with its tokens row by row.
  /// `probabilities` (tokens, M), in the order of the output, is written when given. Throws ShapeError, ConfigError.
  [[nodiscard]] Tensor<T, 2, Dev> operator()(Context<Dev>& ctx, In<T, 2, Dev> coarse, std::span<View<T const, 3, Dev> const> maps,
                                             MiningGeometry geometry, std::type_identity_t<View<float, 2, Dev>> probabilities = {}) const {
    require<ShapeError>(!maps.empty(), "mining: needs at least one stage map, found none");
    Size const cells = maps[0].extent(0), candidates = geometry.candidates(cells), view_tokens = geometry.side * geometry.side;
    Size const channels = key.weight.shape()[1], width = query.weight.shape()[0];
    Size const first = geometry.has_global() ? view_tokens : 0, rest = geometry.tokens() - first;  // the global view's tokens, the crops'
    check_shape("mining: coarse", coarse, geometry.tokens(), width);
    check_shape("mining: finest map", maps[0], cells, cells, any);
    if (probabilities.data()) check_shape("mining: probabilities", probabilities, geometry.tokens(), candidates);

    auto z = ctx.template empty<T>(Extents{geometry.tokens(), channels});  // (tokens, F), in the order of the views
    {
      auto u = ctx.template empty<float>(z.extents());                     // (tokens, F)
      auto const n = query_norm(ctx, coarse), q = query(ctx, n);           // (tokens, C)
      ops::matmul(ctx, q, key.weight.view(), Epilogue<T, Dev>{.scale = key_norm.weight.view()}, u.view());
      auto const part = [](auto const& v, Size from, Size count) { return v.data() ? v.slice(0, from, count) : v; };
      mine_crops(ctx, part(u.view(), 0, rest), maps, geometry, part(z.view(), 0, rest), part(probabilities, first, rest));
      if (first > 0)
        mine_global(ctx, part(u.view(), rest, first), maps, geometry, part(z.view(), rest, first), part(probabilities, 0, first));
    }
    auto out = ctx.template empty<T>(Extents{geometry.tokens(), width});   // (tokens, C)
    value.into(ctx, z.slice(0, 0, rest), out.slice(0, first, rest), {.residual = coarse.slice(0, 0, rest)});
    if (first > 0) value.into(ctx, z.slice(0, rest, first), out.slice(0, 0, first), {.residual = coarse.slice(0, rest, first)});
    return out;
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("vlm_uni_query_projector.0", query_norm);
    visit("vlm_uni_query_projector.1", query);
    visit("vlm_uni_aux_projector.0", key_norm);
    visit("vlm_uni_aux_projector.1", key);
    visit("vlm_uni_val_projector.0", value_norm);
    visit("vlm_uni_val_projector.1", value);
  }

  LayerNorm<T, Dev> query_norm, key_norm, value_norm;
  Linear<T, Dev> query, key, value;

 private:
  using Maps = std::span<View<T const, 3, Dev> const>;
  using Stages = std::vector<MiningStage<T, Dev>>;

  [[nodiscard]] float scale() const { return 1 / std::sqrt(static_cast<float>(query.weight.shape()[0])); }
  /// Lists of taps, and each where kernels read it: on Cpu the list itself.
  struct TapLists {
    std::vector<std::vector<Tap>> lists;
    std::vector<Tensor<Tap const, 1, Dev>> on_device;
    void add(Context<Dev>& ctx, std::vector<Tap> list) {
      lists.push_back(std::move(list));  // moving a vector does not move what it holds
      on_device.push_back(ctx.on_device(View<Tap const, 1, Cpu>(lists.back().data(), Extents{static_cast<Size>(lists.back().size())})));
    }
    [[nodiscard]] View<Tap const, 1, Dev> view(Size i) const { return on_device[static_cast<std::size_t>(i)].view(); }
  };

  /// Statistics and mining in one launch, where the device can; `taps` holds those of the stages, rows and columns in turn.
  [[nodiscard]] bool mine_fused(Context<Dev>& ctx, View<float, 2, Dev> u, MiningGrid grid, MiningGrid views, Stages const& stages,
                                TapLists const& taps, View<T, 2, Dev> z, View<float, 2, Dev> probabilities) const {
    if constexpr (std::same_as<Dev, Cpu>) return false;
    std::vector<MiningReach> reach;
    for (std::size_t l = 0; l < stages.size(); ++l)
      reach.push_back(reach_of(taps.lists[2 * l], taps.lists[2 * l + 1], grid.rows * views.rows, grid.cols * views.cols));
    return ops::mining_fused<T>(ctx, u, grid, views, std::span(stages), std::span(std::as_const(reach)), kEps, scale(),
                                value_norm.weight.view(), value_norm.bias.view(), z, probabilities);
  }

  /// All crops (with grid 1, the picture itself) from the same maps and statistics: a crop is a part of the taps.
  void mine_crops(Context<Dev>& ctx, View<float, 2, Dev> u, Maps maps, MiningGeometry g, View<T, 2, Dev> z,
                  View<float, 2, Dev> probabilities) const {
    Size const cells = maps[0].extent(0), crop = cells / g.grid, tokens = g.side * g.side;
    TapLists taps;
    Stages stages;
    for (auto const& map : maps) {
      Size const first = static_cast<Size>(taps.lists.size());
      taps.add(ctx, resize_taps(map.extent(0), cells)), taps.add(ctx, resize_taps(map.extent(1), cells));
      stages.push_back({map, taps.view(first), taps.view(first + 1)});
    }
    if (mine_fused(ctx, u, {g.side, g.side}, {g.grid, g.grid}, stages, taps, z, probabilities)) return;
    auto const mean = ctx.template empty<float>(Extents{cells, cells}), rstd = ctx.template empty<float>(Extents{cells, cells});
    ops::mining_statistics<T>(ctx, std::span(std::as_const(stages)), kEps, mean.view(), rstd.view());
    for (Size i = 0; i < g.grid * g.grid; ++i) {
      Size const row = i / g.grid * crop, col = i % g.grid * crop;
      Stages part = stages;
      for (auto& stage : part) stage.rows = stage.rows.slice(0, row, crop), stage.cols = stage.cols.slice(0, col, crop);
      auto const cut = [&](View<float, 2, Dev> v) { return v.slice(0, row, crop).slice(1, col, crop); };
      ops::mining<T>(ctx, u.slice(0, i * tokens, tokens), {g.side, g.side}, std::span(std::as_const(part)), cut(mean), cut(rstd), scale(),
                     value_norm.weight.view(), value_norm.bias.view(), z.slice(0, i * tokens, tokens),
                     probabilities.data() ? probabilities.slice(0, i * tokens, tokens) : probabilities);
    }
  }

  /// The whole picture at the resolution of one crop: the concatenated map resized by 1/grid, stage by stage.
  void mine_global(Context<Dev>& ctx, View<float, 2, Dev> u, Maps maps, MiningGeometry g, View<T, 2, Dev> z,
                   View<float, 2, Dev> probabilities) const {
    Size const full = maps[0].extent(0), cells = full / g.grid;
    TapLists taps;
    std::vector<Tensor<T, 3, Dev>> resized;
    Stages stages;
    for (auto const& map : maps) {
      auto rows = resize_twice_taps(map.extent(0), full, cells), cols = resize_twice_taps(map.extent(1), full, cells);
      View<T const, 3, Dev> source = map;
      if (!rows || !cols) {  // three taps or more, or a map finer than the cells: make it
        resized.push_back(ctx.template empty<T>(Extents{cells, cells, map.extent(2)}));
        ops::resize_twice<T>(ctx, map, full, full, resized.back().view());
        source = resized.back().view(), rows = cols = resize_taps(cells, cells);
      }
      Size const first = static_cast<Size>(taps.lists.size());
      taps.add(ctx, std::move(*rows)), taps.add(ctx, std::move(*cols));
      stages.push_back({source, taps.view(first), taps.view(first + 1)});
    }
    if (mine_fused(ctx, u, {g.side, g.side}, {1, 1}, stages, taps, z, probabilities)) return;
    auto const mean = ctx.template empty<float>(Extents{cells, cells}), rstd = ctx.template empty<float>(Extents{cells, cells});
    ops::mining_statistics<T>(ctx, std::span(std::as_const(stages)), kEps, mean.view(), rstd.view());
    ops::mining<T>(ctx, u, {g.side, g.side}, std::span(std::as_const(stages)), mean.view(), rstd.view(), scale(), value_norm.weight.view(),
                   value_norm.bias.view(), z, probabilities);
  }
};

}  // namespace mgm::inline v0::nn
