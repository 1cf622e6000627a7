/// Mathematics of one thread, in float. Errors are those of CUDA's single-precision library without fast-math: 2 ulp or less.
#pragma once
#include <cmath>

#include <mgm/core/epilogue.hpp>
#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

MGM_DEVICE float exp(float x);
MGM_DEVICE float exp2(float x);
/// In double, 1 ulp, for draws that must not depend on the device.
MGM_DEVICE double exp(double x);
/// x·y and x + y, each rounded by itself: nothing is fused with what comes before or after.
MGM_DEVICE float mul(float x, float y);
MGM_DEVICE float add(float x, float y);
MGM_DEVICE float log(float x);
MGM_DEVICE float sqrt(float x);
MGM_DEVICE float rsqrt(float x);
MGM_DEVICE float tanh(float x);
MGM_DEVICE float erfc(float x);
MGM_DEVICE float sin(float x);
MGM_DEVICE float cos(float x);
MGM_DEVICE float pow(float x, float y);
/// x·y + z: rounded once on Cuda; on Simt as the compiler likes.
MGM_DEVICE float fma(float x, float y, float z);
MGM_DEVICE float max(float x, float y);
MGM_DEVICE float min(float x, float y);

/// The activations of core/epilogue.hpp, in float.
MGM_DEVICE float activate(Activation a, float x) {
  switch (a) {
    case Activation::quick_gelu: return x / (1 + exp(-1.702f * x));
    case Activation::gelu: return 0.5f * x * erfc(-x * 0.70710678118654752440f);
    case Activation::gelu_tanh: return 0.5f * x * (1 + tanh(0.79788456080286535588f * (x + 0.044715f * x * x * x)));
    case Activation::silu: return x / (1 + exp(-x));
    case Activation::none: break;
  }
  return x;
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/math.inl>
#else
#  include <mgm/simt/host/math.inl>
#endif
