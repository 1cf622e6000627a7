/// From a picture to what the towers read, on a device of kernels: the same floats, bit for bit, as io::preprocess makes on the host.
#pragma once
#include <algorithm>
#include <climits>
#include <vector>

#include <mgm/io/pixels.hpp>
#include <mgm/mem/context.hpp>
#include <mgm/ops/pixels.hpp>

namespace mgm::inline v0::models {

/// io::Pixels in a device's memory.
template <KernelDevice Dev>
struct DevicePixels {
  Tensor<float, 3, Dev> aux;  ///< (size, size, 3)
  Tensor<float, 4, Dev> low;  ///< (views, side, side, 3): crops in row order, then the global view
};

namespace detail {

/// Coefficients of one axis, made on the host and kept until the work that reads them is enqueued.
template <KernelDevice Dev>
struct UploadedAxis {
  Tensor<int const, 2, Dev> spans;
  Tensor<std::int32_t const, 1, Dev> weights, margin, total;

  UploadedAxis(Context<Dev>& ctx, io::detail::PlacedTaps const& axis, int shift = 0) {
    Size const outputs = static_cast<Size>(axis.taps.spans.size()), count = static_cast<Size>(axis.taps.weights.size());
    require<LimitError>(count <= INT_MAX, "pixels: ", count, " coefficients are beyond 2^31");
    std::vector<int> flat;
    for (auto const& s : axis.taps.spans) flat.insert(flat.end(), {s.count > 0 ? s.first - shift : 0, s.count, static_cast<int>(s.at)});
    spans = ctx.on_device(View<int const, 2, Cpu>(flat.data(), {outputs, 3}));
    weights = ctx.on_device(View<std::int32_t const, 1, Cpu>(axis.taps.weights.data(), {count}));
    margin = ctx.on_device(View<std::int32_t const, 1, Cpu>(axis.margin.data(), {outputs}));
    total = ctx.on_device(View<std::int32_t const, 1, Cpu>(axis.total.data(), {outputs}));
  }
  [[nodiscard]] ops::ResizeAxis<Dev> axis() const { return {spans, weights, margin}; }
};

/// A picture's bytes as they are, (h, w, bytes of a pixel).
template <KernelDevice Dev>
struct UploadedPicture {
  Tensor<std::uint8_t const, 1, Dev> bytes;
  View<std::uint8_t const, 3, Dev> view;
  ops::ChannelOrder order;

  UploadedPicture(Context<Dev>& ctx, io::PixelView picture) {
    Size const h = picture.height(), w = picture.width(), step = io::bytes_per_pixel(picture.format());
    Size const stride = picture.row(1) - picture.row(0);
    bytes = ctx.on_device(View<std::uint8_t const, 1, Cpu>(picture.data(), {(h - 1) * stride + w * step}));
    view = {bytes.data(), {h, w, step}, {stride, step, 1}};
    bool const reversed = picture.format() == io::PixelFormat::bgr || picture.format() == io::PixelFormat::bgra;
    if (reversed) order = {{2, 1, 0}};
    if (picture.format() == io::PixelFormat::grey) order = {{0, 0, 0}};
  }
};

/// The wanted part of the resized canvas, normalised: io::resize_bicubic and io::normalise.
template <KernelDevice Dev>
Tensor<float, 3, Dev> resize_normalised(Context<Dev>& ctx, io::PixelView picture, io::ResizePlan const& p) {
  io::check(p, picture.width(), picture.height());
  auto const across = io::detail::place(io::bicubic_taps(p.canvas_width, p.full_width, p.crop_left, p.width), p.left, picture.width());
  auto const down = io::detail::place(io::bicubic_taps(p.canvas_height, p.full_height, p.crop_top, p.height), p.top, picture.height());
  auto const table = io::normalise_table();
  auto const levels = ctx.on_device(View<float const, 2, Cpu>(table[0].data(), {3, 256}));
  UploadedPicture<Dev> const source(ctx, picture);
  ops::ResizeMargin<Dev> const plain{{p.colour[0], p.colour[1], p.colour[2]}};
  auto out = ctx.template empty<float>(Extents{Size{p.height}, Size{p.width}, Size{3}});
  if (io::columns_first(p)) {
    UploadedAxis<Dev> const v(ctx, down), h(ctx, across);
    auto narrow = ctx.template empty<std::uint8_t>(Extents{Size{p.height}, Size{picture.width()}, Size{3}});
    ops::resize_down<std::uint8_t, Dev>(ctx, source.view, source.order, v.axis(), plain, {}, narrow);
    ops::ResizeMargin<Dev> shaded = plain;
    shaded.total = v.total;
    ops::resize_across<float, Dev>(ctx, narrow, {}, h.axis(), shaded, levels, out);
  } else {
    int from = picture.height(), to = 0;  // the rows that are read at all
    for (auto const& s : down.taps.spans)
      if (s.count > 0) from = std::min(from, s.first), to = std::max(to, s.first + s.count);
    from = std::min(from, to);
    UploadedAxis<Dev> const h(ctx, across), v(ctx, down, from);
    auto narrow = ctx.template empty<std::uint8_t>(Extents{Size{to - from}, Size{p.width}, Size{3}});
    auto const rows = source.view.slice(0, from, to - from);
    ops::resize_across<std::uint8_t, Dev>(ctx, rows, source.order, h.axis(), plain, {}, narrow);
    ops::ResizeMargin<Dev> shaded = plain;
    shaded.total = h.total;
    ops::resize_down<float, Dev>(ctx, narrow, {}, v.axis(), shaded, levels, out);
  }
  return out;
}

/// io::bilinear between pictures stored as tiles.
template <KernelDevice Dev>
void bilinear_tiles(Context<Dev>& ctx, View<float const, 4, Dev> in, int in_grid, View<float, 4, Dev> out, int out_grid) {
  int const side = static_cast<int>(out.extent(1)) * out_grid;
  std::vector<int> samples;
  std::vector<float> weights;
  for (auto const& tap : io::bilinear_taps(in.extent(1) * in_grid, side)) {
    samples.insert(samples.end(), {tap.lower, tap.upper});
    weights.push_back(tap.weight);
  }
  auto const at = ctx.on_device(View<int const, 2, Cpu>(samples.data(), {Size{side}, 2}));
  auto const weight = ctx.on_device(View<float const, 1, Cpu>(weights.data(), {Size{side}}));
  ops::bilinear<Dev>(ctx, in, in_grid, {at, weight}, out, out_grid);
}

}  // namespace detail

/// io::preprocess on the device: the picture is uploaded once, coefficients with it. Enqueues and returns.
/// Throws ArgumentError for a configuration that makes no sense, LimitError beyond 2²⁸ pixels.
template <KernelDevice Dev>
DevicePixels<Dev> preprocess(Context<Dev>& ctx, io::PixelView picture, io::PixelsConfig const& c) {
  io::check(c);
  DevicePixels<Dev> out;
  auto const plan = io::square_plan(picture.width(), picture.height(), c.image_size_aux, c.aspect);
  out.aux = detail::resize_normalised(ctx, picture, plan);                                       // (S, S, 3)
  Size const size = c.image_size_aux, side = c.low_side, crops = Size{c.grid} * c.grid;
  auto const as_tile = [&](Tensor<float, 3, Dev> const& t) { return t.reshape(Extents<4>{1, size, size, 3}); };
  bool const whole = c.grid > 1 && c.global;
  out.low = ctx.template empty<float>(Extents{crops + (whole ? 1 : 0), side, side, Size{3}});    // (views, side, side, 3)
  auto const cut = out.low.slice(0, 0, crops);
  detail::bilinear_tiles<Dev>(ctx, as_tile(out.aux), 1, cut, c.grid);
  if (whole) detail::bilinear_tiles<Dev>(ctx, cut, c.grid, out.low.slice(0, crops, 1), 1);
  if (c.blur_aux) {
    auto blurred = ctx.template empty<float>(Extents{size, size, Size{3}});
    detail::bilinear_tiles<Dev>(ctx, cut, c.grid, as_tile(blurred), 1);
    out.aux = std::move(blurred);
  }
  return out;
}

}  // namespace mgm::inline v0::models
