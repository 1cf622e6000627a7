/// A glance at latents: colours by one matrix, fitted to the autoencoder at hand, so that no picture need be decoded.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <mgm/models/diffusion/latents.hpp>
#include <mgm/models/diffusion/noise.hpp>
#include <mgm/models/diffusion/vae.hpp>

namespace mgm::inline v0::models {

/// rgb ≈ M·z + b for each latent z. M and b are the least squares over what the decoder makes of random latents, blocks of 4×4 alike: the
/// mean colour of the pixels beneath a latent. Cost: one decoding of 16×16 latents.
class LatentColours {
 public:
  template <Real T, Device Dev>
  LatentColours(Context<Dev>& ctx, VaeDecoder<T, Dev> const& vae) : channels_(static_cast<std::size_t>(vae.config().latents)) {
    constexpr Size kSide = 16, kBlock = 4;
    auto const& c = vae.config();
    std::vector<float> blocks(channels_ * (kSide / kBlock) * (kSide / kBlock)), z(channels_ * kSide * kSide);
    CpuNoise(0).draw(blocks);
    for (std::size_t i = 0; i < z.size(); ++i) {
      std::size_t const plane = i / (kSide * kSide), y = i / kSide % kSide / kBlock, x = i % kSide / kBlock;
      z[i] = blocks[(plane * (kSide / kBlock) + y) * (kSide / kBlock) + x];
    }
    auto const rgb = vae(ctx, channels_last<T>(ctx, z, kSide, kSide, 1 / c.scaling, c.shift));  // (f·16·f·16, 3)
    auto const host = ctx.on_host(rgb.view());
    Size const f = c.factor(), wide = kSide * f;
    auto const mean = [&](Size pixel, Size k) {  // of the colours beneath a latent
      double sum = 0;
      for (Size i = 0; i < f * f; ++i) sum += static_cast<double>(host((pixel / kSide * f + i / f) * wide + pixel % kSide * f + i % f, k));
      return sum / static_cast<double>(f * f);
    };
    std::size_t const n = channels_ + 1;
    std::vector<double> equations(n * (n + 3));  // (n, n + 3): AᵀA beside Aᵀrgb, a row of A (z, 1) for each latent
    for (Size pixel = 0; pixel < kSide * kSide; ++pixel) {
      std::vector<double> row;
      for (std::size_t k = 0; k < channels_; ++k)
        row.push_back(static_cast<double>(z[k * kSide * kSide + static_cast<std::size_t>(pixel)]));
      row.push_back(1);
      double const colour[] = {mean(pixel, 0), mean(pixel, 1), mean(pixel, 2)};
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t k = 0; k < n; ++k) equations[i * (n + 3) + k] += row[i] * row[k];
        for (std::size_t k = 0; k < 3; ++k) equations[i * (n + 3) + n + k] += row[i] * colour[k];
      }
    }
    solve(equations, n);
  }

  /// Latents (channels, h·w) as a picture of a pixel each.
  [[nodiscard]] io::Image operator()(std::vector<float> const& z, Size rows, Size cols) const {
    io::Image out{static_cast<int>(cols), static_cast<int>(rows), {}};
    std::size_t const pixels = static_cast<std::size_t>(rows * cols);
    for (std::size_t i = 0; i < pixels; ++i)
      for (std::size_t k = 0; k < 3; ++k) {
        double v = colours_[3 * channels_ + k];
        for (std::size_t c = 0; c < channels_; ++c) v += colours_[3 * c + k] * static_cast<double>(z[c * pixels + i]);
        v = std::clamp(v / 2 + 0.5, 0.0, 1.0);
        out.rgb.push_back(static_cast<std::uint8_t>(std::nearbyint(255 * (std::isfinite(v) ? v : 0))));
      }
    return out;
  }

 private:
  /// Gauss's elimination of n symmetric, positive equations with three right sides.
  void solve(std::vector<double>& e, std::size_t n) {
    std::size_t const wide = n + 3;
    for (std::size_t i = 0; i < n; ++i) {
      double const pivot = e[i * wide + i] + 1e-12;
      for (std::size_t k = 0; k < wide; ++k) e[i * wide + k] /= pivot;
      for (std::size_t r = 0; r < n; ++r) {
        double const factor = e[r * wide + i];
        if (r == i) continue;
        for (std::size_t k = 0; k < wide; ++k) e[r * wide + k] -= factor * e[i * wide + k];
      }
    }
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t k = 0; k < 3; ++k) colours_.push_back(e[i * wide + n + k]);
  }

  std::size_t channels_;
  std::vector<double> colours_;  // (channels + 1, 3): M's columns, then b
};

}  // namespace mgm::inline v0::models
