/// Latents and pictures on their way between the host, where they are planes as in files, and the device, where channels come last.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <mgm/io/image.hpp>
#include <mgm/ops/elementwise.hpp>

namespace mgm::inline v0::models {

/// factor·x + shift of planes (C, h·w) as a map (h, w, C) of U.
template <Real U, Device Dev>
[[nodiscard]] Tensor<U, 3, Dev> channels_last(Context<Dev>& ctx, std::vector<float> const& x, Size rows, Size cols, double factor = 1,
                                              double shift = 0) {
  Size const pixels = rows * cols, channels = static_cast<Size>(x.size()) / pixels;
  std::vector<float> last(x.size());
  for (Size c = 0; c < channels; ++c)
    for (Size i = 0; i < pixels; ++i)
      last[static_cast<std::size_t>(i * channels + c)] =
          static_cast<float>(static_cast<double>(x[static_cast<std::size_t>(c * pixels + i)]) * factor + shift);
  auto out = ctx.template empty<U>(Extents{rows, cols, channels});
  Extents const flat{pixels, channels};
  ops::convert<U, float, Dev>(ctx, ctx.on_device(View<float const, 2, Cpu>(last.data(), flat)), out.reshape(flat));
  return out;
}

/// Rows of pixels (h·w, C) as planes (C, h·w) on the host.
[[nodiscard]] inline std::vector<float> planes(View<float const, 2, Cpu> rows) {
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(rows.count()));
  for (Size c = 0; c < rows.extent(1); ++c)
    for (Size i = 0; i < rows.extent(0); ++i) out.push_back(rows(i, c));
  return out;
}
template <Device Dev>
[[nodiscard]] std::vector<float> channels_first(Context<Dev>& ctx, Tensor<float, 2, Dev> const& rows) {
  auto const host = ctx.on_host(rows.view());
  return planes(host.view());
}

/// Pixels (h·w, 3) about [−1, 1] as 8-bit levels: clamped, rounded half to even. Throws NumericalError where one is not a number.
[[nodiscard]] inline io::Image to_picture(View<float const, 2, Cpu> rgb, Size width, Size height) {
  io::Image image;
  image.width = static_cast<int>(width), image.height = static_cast<int>(height);
  image.rgb.resize(static_cast<std::size_t>(3 * width * height));
  for (Size i = 0; i < rgb.extent(0); ++i)
    for (Size c = 0; c < 3; ++c) {
      float const v = rgb(i, c);
      require<NumericalError>(std::isfinite(v), "draw: the decoded picture is not a number at pixel ", i, "; use f32 or bf16");
      image.rgb[static_cast<std::size_t>(3 * i + c)] =
          static_cast<unsigned char>(std::nearbyint(255 * std::clamp(v / 2 + 0.5f, 0.0f, 1.0f)));
    }
  return image;
}

}  // namespace mgm::inline v0::models
