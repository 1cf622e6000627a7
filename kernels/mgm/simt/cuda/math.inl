/// math.hpp on the GPU: CUDA's library in single precision, without fast-math.
#pragma once

namespace mgm::inline v0::simt::inline MGM_TWIN {

MGM_DEVICE float exp(float x) { return ::expf(x); }
MGM_DEVICE double exp(double x) { return ::exp(x); }
MGM_DEVICE float mul(float x, float y) { return ::__fmul_rn(x, y); }
MGM_DEVICE float add(float x, float y) { return ::__fadd_rn(x, y); }
MGM_DEVICE float exp2(float x) { return ::exp2f(x); }
MGM_DEVICE float log(float x) { return ::logf(x); }
MGM_DEVICE float sqrt(float x) { return ::sqrtf(x); }
MGM_DEVICE float rsqrt(float x) { return ::rsqrtf(x); }
MGM_DEVICE float tanh(float x) { return ::tanhf(x); }
MGM_DEVICE float erfc(float x) { return ::erfcf(x); }
MGM_DEVICE float sin(float x) { return ::sinf(x); }
MGM_DEVICE float cos(float x) { return ::cosf(x); }
MGM_DEVICE float pow(float x, float y) { return ::powf(x, y); }
MGM_DEVICE float fma(float x, float y, float z) { return ::fmaf(x, y, z); }
MGM_DEVICE float max(float x, float y) { return ::fmaxf(x, y); }
MGM_DEVICE float min(float x, float y) { return ::fminf(x, y); }

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
