/// What happens to the elements of a matrix product before they are stored: data for every backend's product, fused where it can be.
#pragma once
#include <cmath>

#include <mgm/core/view.hpp>

namespace mgm::inline v0 {

/// Activations, x in float:
///   quick_gelu x·σ(1.702x) (CLIP) · gelu x·Φ(x), exact erf (ConvNeXt, projector) · gelu_tanh (Gemma) · silu x·σ(x) (LLaMA, Mixtral)
enum class Activation { none, quick_gelu, gelu, gelu_tanh, silu };

/// The definition of each activation, one element; fast paths are tested against it.
[[nodiscard]] inline double activate(Activation a, double x) {
  switch (a) {
    case Activation::quick_gelu: return x / (1 + std::exp(-1.702 * x));
    case Activation::gelu: return 0.5 * x * std::erfc(-x * 0.70710678118654752440);
    case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case Activation::silu: return x / (1 + std::exp(-x));
    case Activation::none: break;
  }
  return x;
}

/// LayerNorm of the rows of x taken out of their product with w, whose columns carry the gain: with w' = w·diag(gain),
///   LN(x)·wᵀ + b = rstd·(x·w'ᵀ − mean·Σ w') + (Σ w·shift + b).   A mean that is large beside the deviation costs as many digits.
///   rows (M, 2): mean and rstd of each row of x; columns (2, N): Σ w' and Σ w·shift + b. Of products alone, not of convolutions. b is
/// in it: an epilogue that gives it as bias as well adds it twice.
template <Device Dev = DefaultDevice>
struct NormFold {
  View<float const, 2, Dev> rows{}, columns{};
};

/// y = residual + factor ⊙ scale ⊙ activation(alpha·norm(sum) + bias), each part left out where its view is empty (null).
///   bias, scale (N) run along the columns; factor, residual (M, N). `residual` and `factor` may be the output itself.
template <Real T, Device Dev = DefaultDevice>
struct Epilogue {
  View<T const, 1, Dev> bias{};
  Activation activation = Activation::none;
  View<T const, 1, Dev> scale{};
  View<T const, 2, Dev> factor{};
  View<T const, 2, Dev> residual{};
  float alpha = 1;
  NormFold<Dev> norm{};
};

/// One of several products of the same rows: out (M, N) = x·wᵀ + bias.   w (N, K), bias (N) or null.
template <Real T, Device Dev = DefaultDevice>
struct Projection {
  View<T const, 2, Dev> w{};
  View<T const, 1, Dev> bias{};
  View<T, 2, Dev> out{};

  /// What a launch that takes it writes.
  template <class Visit>
  MGM_HD void outputs(Visit&& visit) const {
    visit(out);
  }
};

}  // namespace mgm::inline v0
