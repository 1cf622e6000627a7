/// What stands between two products of a decoder's layer, in one pass: the residual sum and the RMSNorm of it (Zhang and Sennrich 2019,
/// arXiv:1910.07467).
///   x[n] += delta[n], rounded to T;   out[n] = x[n]/√(mean(x[n]²) + ε) ⊙ (gain + offset)
/// Shapes  x, out (N, C); delta (N, C) of T or float; gain (C).   Types  statistics in float.
/// Method  one block a row, since decoding has few rows; which thread takes which element depends on T alone, and the sum of squares is a
///         fixed tree. x is read again from the caches by the thread that wrote it.
/// Cost    (3·sizeof(T) + sizeof(delta's))·N·C bytes: bound by memory, by latency where N is small.
#pragma once
#include <mgm/core/cost.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace mgm::inline v0::kernels {

struct ResidualNormTraits {
  static constexpr int kWarps = 8, kThreads = 32 * kWarps;  // of a row; not measured yet
  static constexpr int kRegisters = 128;                    // of a thread, at most: nvcc-gate
  struct Shared {
    float squares[kWarps];
  };
};

/// Elements [first, first + kVec) of a row as floats, zero beyond its end; one access where `wide`.
template <int kVec, class T>
MGM_DEVICE simt::Vec<float, kVec> residual_load(T const* row, Size stride, Size first, Size count, bool wide) {
  simt::Vec<float, kVec> out;
  if (wide && first + kVec <= count) {
    constexpr int kPart = kVec * static_cast<int>(sizeof(T)) > 16 ? 16 / static_cast<int>(sizeof(T)) : kVec;
    MGM_UNROLL for (int p = 0; p < kVec; p += kPart) {
      auto const part = simt::load<kPart>(row + first + p);
      MGM_UNROLL for (int i = 0; i < kPart; ++i) out[p + i] = simt::widen(part[i]);
    }
  } else {
    MGM_UNROLL for (int i = 0; i < kVec; ++i) out[i] = first + i < count ? simt::widen(row[(first + i) * stride]) : 0.0f;
  }
  return out;
}
template <int kVec, class T>
MGM_DEVICE void residual_store(T* row, Size stride, Size first, Size count, bool wide, simt::Vec<T, kVec> const& value) {
  if (wide && first + kVec <= count) return simt::store<kVec>(row + first, value);
  MGM_UNROLL for (int i = 0; i < kVec; ++i)
    if (first + i < count) row[(first + i) * stride] = value[i];
}

template <class A, class T, class Dev>
MGM_GLOBAL(ResidualNormTraits::kThreads)
void residual_norm_kernel(bool wide, View<A const, 2, Dev> delta, View<T, 2, Dev> x, View<T const, 1, Dev> gain, float eps, float offset,
                          View<T, 2, Dev> out) {
  using Tr = ResidualNormTraits;
  constexpr int kVec = 16 / static_cast<int>(sizeof(T));
  auto& s = simt::shared<Tr::Shared>();
  Size const n = simt::block_idx().x, channels = x.extent(1), step = Size{Tr::kThreads} * kVec, mine = Size{simt::thread_idx()} * kVec;
  float squares = 0;
  for (Size c = mine; c < channels; c += step) {
    auto const before = residual_load<kVec>(x.row(n), x.stride(1), c, channels, wide);
    auto const change = residual_load<kVec>(delta.row(n), delta.stride(1), c, channels, wide);
    simt::Vec<T, kVec> after;
    MGM_UNROLL for (int i = 0; i < kVec; ++i) {
      after[i] = simt::narrow<T>(before[i] + change[i]);
      squares = simt::fma(simt::widen(after[i]), simt::widen(after[i]), squares);
    }
    residual_store(x.row(n), x.stride(1), c, channels, wide, after);
  }
  squares = simt::warp_sum(squares);
  if (simt::lane_idx() == 0) s.squares[simt::warp_idx()] = squares;
  simt::sync_block();
  float total = 0;
  for (int w = 0; w < Tr::kWarps; ++w) total += s.squares[w];
  float const rstd = 1 / simt::sqrt(total / static_cast<float>(channels) + eps);
  for (Size c = mine; c < channels; c += step) {
    auto const value = residual_load<kVec>(static_cast<T const*>(x.row(n)), x.stride(1), c, channels, wide);
    auto const g = residual_load<kVec>(gain.data(), gain.stride(0), c, channels, wide);
    simt::Vec<T, kVec> y;
    MGM_UNROLL for (int i = 0; i < kVec; ++i) {
      float const quotient = value[i] * rstd;
      y[i] = simt::narrow<T>(offset == 0 ? g[i] * simt::widen(simt::narrow<T>(quotient)) : quotient * (g[i] + offset));  // as rms_norm
    }
    residual_store(out.row(n), out.stride(1), c, channels, wide, y);
  }
}

/// x += delta; out = rms_norm(x); with offset 0 the quotient is rounded to T before the product, as LLaMA does.   delta (N, C) of T or
/// float, x, out (N, C), gain (C), any strides; `delta` may be `out`. Enqueues and returns.
/// Throws ShapeError and ArgumentError naming the argument.
template <Real A, Real T, KernelDevice Dev>
void residual_norm(simt::Stream<Dev> stream, In<A, 2, Dev> delta, Out<T, 2, Dev> x, In<T, 1, Dev> gain, float eps, float offset,
                   Out<T, 2, Dev> out) {
  static_assert(std::is_same_v<A, T> || std::is_same_v<A, float>, "residual_norm: delta is of the state's type or float");
  using Tr = ResidualNormTraits;
  check_input("residual_norm: delta", delta), check_output("residual_norm: x", x), check_input("residual_norm: gain", gain);
  check_shape("residual_norm: delta", delta, x.extent(0), x.extent(1)), check_shape("residual_norm: gain", gain, x.extent(1));
  check_output("residual_norm: out", out), check_shape("residual_norm: out", out, x.extent(0), x.extent(1));
  check_apart("residual_norm: x", x, "delta", delta), check_apart("residual_norm: out", out, "x", x);
  check_apart("residual_norm: x", x, "gain", gain), check_apart("residual_norm: out", out, "gain", gain);
  check_same_or_apart("residual_norm: out", out, "delta", delta);
  require<LimitError>(x.extent(0) <= 0x7FFFFFFF, "residual_norm: x: at most 2^31 rows, found ", x.extent(0));
  if (out.count() == 0) return;
  bool const wide = is_aligned(delta, 16) && is_aligned(x, 16) && is_aligned(gain, 16) && is_aligned(out, 16);
  simt::launch(stream, {.name = "residual_norm", .grid = x.extent(0), .block = Tr::kThreads, .shared = sizeof(Tr::Shared)},
               residual_norm_kernel<A, T, Dev>, wide, delta, x, gain, eps, offset, out);
}

constexpr Cost residual_norm_cost(Size n, Size c, Size delta_bytes, Size bytes) {
  return {n * c * (delta_bytes + 3 * bytes) + c * bytes, 5 * n * c};
}

}  // namespace mgm::inline v0::kernels
