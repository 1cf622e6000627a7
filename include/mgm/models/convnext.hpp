/// The high-resolution tower: ConvNeXt's stem and stages, as a pyramid of maps (Liu et al. 2022, arXiv:2201.03545).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include <mgm/nn/convnext_block.hpp>
#include <mgm/nn/patch_conv.hpp>

namespace mgm::inline v0::models {

/// Shapes of the tower, stage by stage.
struct ConvNeXtConfig {
  std::vector<Size> depths, widths;
  float eps = 1e-6f;  ///< 1e-5 for convnext_xxlarge
  [[nodiscard]] Size channels() const {  ///< of all maps together
    Size sum = 0;
    for (Size const w : widths) sum += w;
    return sum;
  }
  [[nodiscard]] Size blocks() const {
    Size sum = 0;
    for (Size const d : depths) sum += d;
    return sum;
  }
};

/// Stem 4×4/4 + LN, then per stage (LN + 2×2/2 except before the first) and blocks. Each stage's map is kept as its blocks leave it.
template <Real T, Device Dev = DefaultDevice>
class ConvNeXt {
 public:
  using Config = ConvNeXtConfig;
  ConvNeXt(Context<Dev>& ctx, Config c) : config_(std::move(c)) {
    require<ConfigError>(!config_.depths.empty() && config_.depths.size() == config_.widths.size(), "convnext: ", config_.depths.size(),
                         " depths and ", config_.widths.size(), " widths; as many of each are needed, at least one");
    for (std::size_t i = 0; i < config_.depths.size(); ++i) stages_.emplace_back(ctx, config_, i);
  }

  /// image (S, S, 3), normalised -> one map (S / 2^(i+2), ·, width i) per stage; odd sizes are floored. Throws ShapeError, Cancelled.
  [[nodiscard]] std::vector<Tensor<T, 3, Dev>> operator()(Context<Dev>& ctx, In<T, 3, Dev> image) const {
    check_shape("convnext: image", image, any, any, 3);
    std::vector<Tensor<T, 3, Dev>> maps;
    for (Stage const& stage : stages_) maps.push_back(stage(ctx, maps.empty() ? image : View<T const, 3, Dev>(maps.back())));
    return maps;
  }

  [[nodiscard]] Config const& config() const { return config_; }
  /// Names as in an MGM checkpoint below `model.vision_tower_aux.vision_`, and in OpenCLIP's file below `visual.trunk.`.
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("stem.0", stages_.front().reduce);
    visit("stem.1", stages_.front().norm);
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      if (i > 0) visit(text("stages.", i, ".downsample.0"), stages_[i].norm);
      if (i > 0) visit(text("stages.", i, ".downsample.1"), stages_[i].reduce);
      visit(text("stages.", i, ".blocks"), stages_[i].blocks);
    }
  }

 private:
  /// The first stage convolves and then normalises; the later ones normalise their input and then convolve.
  struct Stage {
    Stage(Context<Dev>& ctx, Config const& c, std::size_t i)
        : first(i == 0), width(c.widths[i]),
          norm(ctx, {first ? width : c.widths[i - 1], c.eps}),
          reduce(ctx, {first ? 3 : c.widths[i - 1], width, first ? 4 : 2}) {
      for (Size b = 0; b < c.depths[i]; ++b) blocks.emplace_back(ctx, typename nn::ConvNeXtBlock<T, Dev>::Config{width, c.eps});
    }
    Tensor<T, 3, Dev> operator()(Context<Dev>& ctx, View<T const, 3, Dev> in) const {
      Size const h = in.extent(0) / reduce.patch, w = in.extent(1) / reduce.patch;
      require<ShapeError>(h >= 1 && w >= 1, "convnext: a map of ", in.extent(0), "x", in.extent(1), " is too small for the next stage");
      auto x = ctx.template empty<T>(Extents{h, w, width});  // (h, w, C)
      auto const rows = x.reshape(Extents{h * w, width});    // (h·w, C)
      if (first) {
        reduce.into(ctx, in, rows);
        ops::layer_norm<T, Dev>(ctx, rows, norm.weight.view(), norm.bias.view(), norm.eps, rows);
      } else {
        reduce.into(ctx, norm, in, rows);
      }
      for (auto const& block : blocks) {
        block(ctx, x);
        ctx.step();
      }
      return x;
    }
    bool first;
    Size width;
    nn::LayerNorm<T, Dev> norm;
    nn::PatchConv<T, Dev> reduce;
    std::vector<nn::ConvNeXtBlock<T, Dev>> blocks;
  };
  Config config_;
  std::vector<Stage> stages_;
};

}  // namespace mgm::inline v0::models
