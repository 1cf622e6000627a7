/// Normalisation over the last axis. Statistics and arithmetic are float whatever T is; one row is never split between threads.
#pragma once
#include <cmath>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>
#include <mgm/cpu/rows.hpp>

namespace mgm::inline v0::cpu {

/// LayerNorm: out = (x − mean) / sqrt(var + eps) · gain + bias, mean and biased variance over C, the variance from centred squares.
/// x, out (N, C), last axis dense; gain, bias (C). `out` may be x.
template <Real T>
void layer_norm(Executor const& ex, In<T, 2> x, In<T, 1> gain, In<T, 1> bias, float eps, Out<T, 2> out) {
  Size const width = x.extent(1);
  for_rows(ex, x.extent(0), width, [&](Size n) {
    T const* from = x.row(n);
    T* to = out.row(n);
    float sum = 0, squares = 0;
    for (Size c = 0; c < width; ++c) sum += float(from[c]);
    float const mean = sum / float(width);
    for (Size c = 0; c < width; ++c) squares += (float(from[c]) - mean) * (float(from[c]) - mean);
    float const inverse = 1 / std::sqrt(squares / float(width) + eps);
    for (Size c = 0; c < width; ++c) to[c] = T((float(from[c]) - mean) * inverse * float(gain(c)) + float(bias(c)));
  });
}

/// RMSNorm: y = x / sqrt(mean(x²) + eps); out = gain · cast(y) when `offset` is 0 (LLaMA, Mixtral: y is rounded to T first),
/// and cast(y · (gain + offset)) otherwise (Gemma stores gain − 1: offset 1). x, out (N, C), last axis dense. `out` may be x.
template <Real T>
void rms_norm(Executor const& ex, In<T, 2> x, In<T, 1> gain, float eps, float offset, Out<T, 2> out) {
  Size const width = x.extent(1);
  for_rows(ex, x.extent(0), width, [&](Size n) {
    T const* from = x.row(n);
    T* to = out.row(n);
    float squares = 0;
    for (Size c = 0; c < width; ++c) squares += float(from[c]) * float(from[c]);
    float const inverse = 1 / std::sqrt(squares / float(width) + eps);
    if (offset == 0)
      for (Size c = 0; c < width; ++c) to[c] = T(float(gain(c)) * float(T(float(from[c]) * inverse)));
    else
      for (Size c = 0; c < width; ++c) to[c] = T(float(from[c]) * inverse * (float(gain(c)) + offset));
  });
}

}  // namespace mgm::inline v0::cpu
