/// The autoencoder on overlapping tiles, blended: memory does not grow with the picture. Not equal to the whole at once, since norms and
/// attention see one tile. Tile sizes, overlaps and the order of blending are those of diffusers' AutoencoderKL.
#pragma once
#include <algorithm>
#include <vector>

#include <mgm/models/diffusion/vae.hpp>
#include <mgm/models/diffusion/vae_encoder.hpp>

namespace mgm::inline v0::models {

/// A map on the host, channels last.
struct HostMap {
  Size rows = 0, cols = 0, channels = 0;
  std::vector<float> values;
  [[nodiscard]] float* at(Size y, Size x) { return values.data() + (y * cols + x) * channels; }
};

/// How one side is cut: tiles of `tile` every `step`; of a tile's result, `kept` samples stay and `blend` at its end fade into the next
/// one.
struct Tiles {
  Size tile, step, kept, blend;

  /// `sample`: pixels of a tile. Throws ArgumentError where a quarter of it is no whole number of latents.
  [[nodiscard]] static Size latents_of(VaeConfig const& c) {
    require<ArgumentError>(c.sample % (4 * c.factor()) == 0, "tiles: sample_size ", c.sample, " of the autoencoder is no multiple of ",
                           4 * c.factor(), "; draw without tiles");
    return c.sample / c.factor();
  }
  [[nodiscard]] static Tiles decoding(VaeConfig const& c) {
    Size const t = latents_of(c);
    return {t, t * 3 / 4, c.sample * 3 / 4, c.sample / 4};
  }
  [[nodiscard]] static Tiles encoding(VaeConfig const& c) {
    Size const t = latents_of(c);
    return {c.sample, c.sample * 3 / 4, t * 3 / 4, t / 4};
  }
  [[nodiscard]] Size count(Size side) const { return (side + step - 1) / step; }
};

/// `work(y, x, rows, cols)` makes a HostMap of each tile of a (rows, cols) map; they come back as one. A row of tiles and the result live
/// at a time.   A tile fades in over its first e samples: above·(1 − i/e) + own·i/e, from the tile above, then from the one on the left,
/// both as they were after their own blending.
template <class Work>
[[nodiscard]] HostMap blended(Tiles const& t, Size rows, Size cols, Work&& work) {
  HostMap out;
  std::vector<HostMap> above, row;
  for (Size y = 0; y < rows; y += t.step) {
    row.clear();
    Size const top = y / t.step * t.kept;
    for (Size x = 0; x < cols; x += t.step) {
      HostMap& own = row.emplace_back(work(y, x, std::min(t.tile, rows - y), std::min(t.tile, cols - x)));
      auto const fade = [&](HostMap& from, Size from_y, Size from_x, Size at_y, Size at_x, double weight) {
        float *const a = from.at(from_y, from_x), *const b = own.at(at_y, at_x);
        for (Size c = 0; c < own.channels; ++c)
          b[c] = static_cast<float>(static_cast<double>(a[c]) * (1 - weight) + static_cast<double>(b[c]) * weight);
      };
      if (y > 0) {
        HostMap& up = above[row.size() - 1];
        Size const e = std::min({up.rows, own.rows, t.blend});
        for (Size i = 0; i < e; ++i)
          for (Size k = 0; k < own.cols; ++k) fade(up, up.rows - e + i, k, i, k, static_cast<double>(i) / static_cast<double>(e));
      }
      if (x > 0) {
        HostMap& left = row[row.size() - 2];
        Size const e = std::min({left.cols, own.cols, t.blend});
        for (Size i = 0; i < e; ++i)
          for (Size k = 0; k < own.rows; ++k) fade(left, k, left.cols - e + i, k, i, static_cast<double>(i) / static_cast<double>(e));
      }
    }
    if (y == 0) {
      out.channels = row.front().channels;
      for (auto const& tile : row) out.cols += std::min(t.kept, tile.cols);
    }
    out.rows += std::min(t.kept, row.front().rows);
    out.values.resize(static_cast<std::size_t>(out.rows * out.cols * out.channels));
    Size left = 0;
    for (auto& tile : row) {
      for (Size i = 0; i < std::min(t.kept, tile.rows); ++i)
        std::copy_n(tile.at(i, 0), std::min(t.kept, tile.cols) * tile.channels, out.at(top + i, left));
      left += t.kept;
    }
    above.swap(row);
  }
  return out;
}

/// What one half of the autoencoder makes of a map, on the host: in one piece, or in tiles where `tiled` and a side is longer than one. The
/// stage's steps are counted. `stage`: encode or paint. Throws as the half does.
template <Real T, Device Dev, class Half>
[[nodiscard]] HostMap through(Context<Dev>& ctx, Half const& half, Stage stage, In<T, 3, Dev> map, Tiles const* tiles) {
  Size const rows = map.extent(0), cols = map.extent(1);
  auto const work = [&](Size y, Size x, Size h, Size w) {
    auto const made = half(ctx, map.slice(0, y, h).slice(1, x, w));  // (pixels, C)
    auto const host = ctx.on_host(made.view());
    bool const grows = stage == Stage::paint;
    Size const f = half.config().factor();
    HostMap out{grows ? h * f : h / f, grows ? w * f : w / f, made.extent(1), {}};
    out.values.assign(host.data(), host.data() + host.count());
    return out;
  };
  if (tiles == nullptr || (rows <= tiles->tile && cols <= tiles->tile)) {
    ctx.begin(stage, half.steps());
    return work(0, 0, rows, cols);
  }
  ctx.begin(stage, half.steps() * tiles->count(rows) * tiles->count(cols));
  return blended(*tiles, rows, cols, work);
}

}  // namespace mgm::inline v0::models
