/// math.hpp on the host.
#pragma once
#include <cmath>

namespace mgm::inline v0::simt::inline MGM_TWIN {

MGM_DEVICE float exp(float x) { return std::exp(x); }
MGM_DEVICE double exp(double x) { return std::exp(x); }
MGM_DEVICE float mul(float x, float y) { return x * y; }
MGM_DEVICE float add(float x, float y) { return x + y; }
MGM_DEVICE float exp2(float x) { return std::exp2(x); }
MGM_DEVICE float log(float x) { return std::log(x); }
MGM_DEVICE float sqrt(float x) { return std::sqrt(x); }
MGM_DEVICE float rsqrt(float x) { return 1 / std::sqrt(x); }
MGM_DEVICE float tanh(float x) { return std::tanh(x); }
MGM_DEVICE float erfc(float x) { return std::erfc(x); }
MGM_DEVICE float sin(float x) { return std::sin(x); }
MGM_DEVICE float cos(float x) { return std::cos(x); }
MGM_DEVICE float pow(float x, float y) { return std::pow(x, y); }
MGM_DEVICE float fma(float x, float y, float z) { return x * y + z; }
MGM_DEVICE float max(float x, float y) { return std::fmax(x, y); }
MGM_DEVICE float min(float x, float y) { return std::fmin(x, y); }

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
