/// GroupNorm over a map, with SiLU if wished (Wu and He 2018, arXiv:1803.08494), general form: partial sums of blocks of rows, then one
/// warp a group joins them in order, then all rows are normalised. Three reads of x, two of them from the caches for maps that fit.
///   out = act((x − mean_g) · rstd_g · gain + bias)
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

struct GroupNormTraits {
  static constexpr int kRows = 64, kThreads = 128;  // rows of one partial sum; threads of a block; not measured yet
  static constexpr int kRegisters = 80;             // of a thread, at most: nvcc-gate
};

/// Count, mean and Σ(x − mean)² of numbers seen; two of them join without the cancellation of Σx² − (Σx)²/n (Chan et al. 1979).
struct Moments {
  float count = 0, mean = 0, spread = 0;
  MGM_DEVICE static Moments join(Moments a, Moments b) {
    float const n = a.count + b.count, d = b.mean - a.mean;
    if (n == 0) return a;
    return {n, a.mean + d * (b.count / n), a.spread + b.spread + d * d * (a.count * (b.count / n))};
  }
};
/// The moments of all lanes, joined as a butterfly.
MGM_DEVICE Moments warp_moments(Moments m) {
  for (int bit = simt::kWarp / 2; bit > 0; bit /= 2) {
    Moments const other{simt::shuffle_xor(m.count, bit), simt::shuffle_xor(m.mean, bit), simt::shuffle_xor(m.spread, bit)};
    m = (simt::lane_idx() & bit) == 0 ? Moments::join(m, other) : Moments::join(other, m);  // both lanes join in one order
  }
  return m;
}

/// parts[b, g] = moments of group g in rows [b·kRows, …): one warp a group and block of rows. Channels beyond x's own are `more`'s.
template <class T, class Dev>
MGM_GLOBAL(GroupNormTraits::kThreads)
void group_moments_kernel(View<T const, 2, Dev> x, View<T const, 2, Dev> more, Size groups, View<Moments, 2, Dev> parts) {
  using Tr = GroupNormTraits;
  Size const own = x.extent(1), channels = own + (more.data() != nullptr ? more.extent(1) : 0);
  auto const at = [&](Size n, Size c) { return simt::widen(c < own ? x(n, c) : more(n, c - own)); };
  Size const b = simt::block_idx().y, g = Size{simt::block_idx().x} * (Tr::kThreads / simt::kWarp) + simt::warp_idx();
  if (g >= groups) return;  // whole warps leave together
  int const width = static_cast<int>(channels / groups), left = static_cast<int>(x.extent(0) - b * Tr::kRows);
  int const all = (left < Tr::kRows ? left : Tr::kRows) * width;
  float sum = 0, spread = 0;
  int seen = 0;
  for (int i = simt::lane_idx(); i < all; i += simt::kWarp, ++seen) sum += at(b * Tr::kRows + i / width, g * width + i % width);
  float const mean = seen > 0 ? sum / float(seen) : 0;
  for (int i = simt::lane_idx(); i < all; i += simt::kWarp) {
    float const d = at(b * Tr::kRows + i / width, g * width + i % width) - mean;
    spread = simt::fma(d, d, spread);
  }
  Moments const m = warp_moments({float(seen), mean, spread});
  if (simt::lane_idx() == 0) parts(b, g) = m;
}

/// Joins the parts of each group in order into its mean and 1/sqrt(var + eps), which replace part 0: one warp a group.
template <class Dev>
MGM_GLOBAL(simt::kWarp)
void join_moments_kernel(View<Moments, 2, Dev> parts, float eps) {
  Size const g = simt::block_idx().x;
  Moments m{};
  for (Size b = simt::lane_idx(); b < parts.extent(0); b += simt::kWarp) m = Moments::join(m, parts(b, g));
  m = warp_moments(m);
  simt::sync_warp();  // all parts are read
  if (simt::lane_idx() == 0) parts(0, g) = {m.count, m.mean, 1 / simt::sqrt(m.spread / m.count + eps)};
}

template <class T, class Dev>
MGM_GLOBAL(GroupNormTraits::kThreads)
void group_normalise_kernel(View<T const, 2, Dev> x, Size groups, View<Moments const, 2, Dev> parts, View<T const, 1, Dev> gain,
                            View<T const, 1, Dev> bias, bool silu, View<T, 2, Dev> out) {
  Size const n = simt::block_idx().x, width = x.extent(1) / groups;
  for (Size c = simt::thread_idx(); c < x.extent(1); c += GroupNormTraits::kThreads) {
    Moments const m = parts(0, c / width);
    float const y = simt::fma((simt::widen(x(n, c)) - m.mean) * m.spread, simt::widen(gain(c)), simt::widen(bias(c)));
    out(n, c) = simt::narrow<T>(silu ? simt::activate(Activation::silu, y) : y);
  }
}

/// affine[0, c] = gain·rstd_g, affine[1, c] = bias − mean_g·gain·rstd_g.
template <class T, class Dev>
MGM_GLOBAL(GroupNormTraits::kThreads)
void group_affine_kernel(View<Moments const, 2, Dev> parts, View<T const, 1, Dev> gain, View<T const, 1, Dev> bias,
                         View<float, 2, Dev> affine) {
  Size const c = Size{simt::block_idx().x} * GroupNormTraits::kThreads + simt::thread_idx(), width = gain.extent(0) / parts.extent(1);
  if (c >= gain.extent(0)) return;
  Moments const m = parts(0, c / width);
  float const scale = simt::widen(gain(c)) * m.spread;
  affine(0, c) = scale, affine(1, c) = simt::fma(-m.mean, scale, simt::widen(bias(c)));
}

/// Rows and columns of the scratch that group_norm takes: one Moments for each block of rows and group.
[[nodiscard]] constexpr Extents<2> group_norm_scratch(Size rows, Size groups) {
  return {simt::ceil_div(rows, GroupNormTraits::kRows), groups};
}

namespace detail {
/// Part 0 of the scratch becomes each group's mean and 1/sqrt(var + eps).
template <Real T, KernelDevice Dev>
void group_moments(simt::Stream<Dev> stream, View<T const, 2, Dev> x, View<T const, 2, Dev> more, Size groups, float eps,
                   View<Moments, 2, Dev> scratch) {
  constexpr int kThreads = GroupNormTraits::kThreads;
  simt::launch(stream,
               {.name = "group_moments", .grid = {simt::ceil_div(groups, kThreads / simt::kWarp), scratch.extent(0)}, .block = kThreads},
               group_moments_kernel<T, Dev>, x, more, groups, scratch);
  simt::launch(stream, {.name = "join_moments", .grid = groups, .block = simt::kWarp}, join_moments_kernel<Dev>, scratch, eps);
}
}  // namespace detail

/// x, out (N, C), any strides, C a multiple of `groups`; gain, bias (C); `scratch` as group_norm_scratch says; `out` may be x. Statistics
/// in float, joined in one order. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void group_norm(simt::Stream<Dev> stream, In<T, 2, Dev> x, Size groups, In<T, 1, Dev> gain, In<T, 1, Dev> bias, float eps, bool silu,
                View<Moments, 2, Dev> scratch, Out<T, 2, Dev> out) {
  using Tr = GroupNormTraits;
  Size const rows = x.extent(0), channels = x.extent(1);
  check_input("group_norm: x", x), check_int("group_norm: x", channels), check_input("group_norm: gain", gain),
      check_input("group_norm: bias", bias);
  require<ShapeError>(groups >= 1 && channels % groups == 0, "group_norm: ", channels, " channels do not divide into ", groups, " groups");
  check_shape("group_norm: gain", gain, channels), check_shape("group_norm: bias", bias, channels),
      check_shape("group_norm: out", out, rows, channels);
  check_output("group_norm: out", out), check_same_or_apart("group_norm: out", out, "x", x);
  check_apart("group_norm: out", out, "gain", gain), check_apart("group_norm: out", out, "bias", bias);
  Extents<2> const needed = group_norm_scratch(rows, groups);
  check_shape("group_norm: scratch", scratch, needed[0], needed[1]), check_output("group_norm: scratch", scratch);
  check_apart("group_norm: scratch", scratch, "x", x), check_apart("group_norm: scratch", scratch, "out", out);
  if (out.count() == 0) return;
  detail::group_moments<T, Dev>(stream, x, {}, groups, eps, scratch);
  View<Moments const, 2, Dev> const joined = scratch;
  simt::launch(stream, {.name = "group_normalise", .grid = rows, .block = Tr::kThreads}, group_normalise_kernel<T, Dev>, x, groups, joined,
               gain, bias, silu, out);
}

/// The norm as one multiply-add a channel, for whoever reads x next: affine (2, C) is scale = gain/sqrt(var_g + eps), then bias −
/// mean_g·scale. x (N, Ca), any strides, and behind it `more` (N, Cb) or null; gain, bias (C = Ca + Cb); `scratch` as group_norm_scratch
/// says. Enqueues and returns. Throws ShapeError and ArgumentError naming the argument.
template <Real T, KernelDevice Dev>
void group_affine(simt::Stream<Dev> stream, In<T, 2, Dev> x, In<T, 2, Dev> more, Size groups, In<T, 1, Dev> gain, In<T, 1, Dev> bias,
                  float eps, View<Moments, 2, Dev> scratch, Out<float, 2, Dev> affine) {
  Size const rows = x.extent(0), channels = x.extent(1) + (more.data() ? more.extent(1) : 0);
  check_input("group_affine: x", x), check_int("group_affine: x", channels), check_input("group_affine: gain", gain),
      check_input("group_affine: bias", bias);
  if (more.data()) check_input("group_affine: more", more), check_shape("group_affine: more", more, rows, any);
  require<ShapeError>(groups >= 1 && channels % groups == 0, "group_affine: ", channels, " channels do not divide into ", groups,
                      " groups");
  check_shape("group_affine: gain", gain, channels), check_shape("group_affine: bias", bias, channels);
  check_shape("group_affine: affine", affine, 2, channels), check_output("group_affine: affine", affine);
  Extents<2> const needed = group_norm_scratch(rows, groups);
  check_shape("group_affine: scratch", scratch, needed[0], needed[1]), check_output("group_affine: scratch", scratch);
  check_apart("group_affine: scratch", scratch, "x", x), check_apart("group_affine: scratch", scratch, "affine", affine);
  check_apart("group_affine: affine", affine, "x", x), check_apart("group_affine: affine", affine, "more", more);
  check_apart("group_affine: affine", affine, "gain", gain), check_apart("group_affine: affine", affine, "bias", bias);
  if (rows == 0 || channels == 0) return;
  detail::group_moments<T, Dev>(stream, x, more, groups, eps, scratch);
  View<Moments const, 2, Dev> const joined = scratch;
  constexpr int kThreads = GroupNormTraits::kThreads;
  simt::launch(stream, {.name = "group_affine", .grid = simt::ceil_div(channels, kThreads), .block = kThreads}, group_affine_kernel<T, Dev>,
               joined, gain, bias, affine);
}

constexpr Cost group_norm_cost(Size n, Size c, Size bytes) { return {(2 * n + 2) * c * bytes, 10 * n * c}; }

}  // namespace mgm::inline v0::kernels
