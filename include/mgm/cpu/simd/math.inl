// Read by vec.hpp once per instruction set.
namespace mgm::inline v0::cpu::MGM_ISA {

/// 2^n·x for whole n in [-300, 300], rounded once where the result is subnormal (twice on the narrow sets).
MGM_INLINE F scale_by_power(F x, F n) {
#if MGM_ISA_LEVEL >= 2
  return (F)_mm512_maskz_scalef_ps((__mmask16)-1, (__m512)x, (__m512)n);
#else
  I const whole = __builtin_convertvector(n, I), first = whole >> 1, second = whole - first;  // each a normal power
  return x * as_float((first + 127) << 23) * as_float((second + 127) << 23);
#endif
}

/// e^x within 2 ulp for normal results; 0 below -104, infinity above 88.8, NaN for NaN.
///   x = n·ln 2 + r, |r| <= ln 2 / 2, e^r = 1 + r + r²·P(r), P a least-maximum fit of degree 5 (relative error 1e-9).
MGM_INLINE F exp(F x) {
  F const limited = min(max(x, set(-104.0f)), set(89.0f));
  F const shifted = fma(limited, set(1.44269504f), set(12582912.0f));  // 1.5·2^23: the sum is rounded to a whole number
  F const n = shifted - set(12582912.0f);
  F const r = fma(n, set(-1.42860677e-6f), fma(n, set(-0.693145752f), limited));  // ln 2 in two parts, the first exact in 16 bits
  F p = set(0.00019791755767073482f);
  p = fma(p, r, set(0.0013944741804152727f));
  p = fma(p, r, set(0.008333494886755943f));
  p = fma(p, r, set(0.04166629537940025f));
  p = fma(p, r, set(0.1666666567325592f));
  p = fma(p, r, set(0.5f));
  F const y = scale_by_power(fma(r * r, p, r) + set(1.0f), n);
  return select(x == x, y, x);
}

/// 1 / (1 + e^-x).
MGM_INLINE F sigmoid(F x) { return set(1.0f) / (set(1.0f) + exp(-x)); }

/// (1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x; below 0.4, where that cancels, an odd polynomial (relative error 3.4e-9).
MGM_INLINE F tanh(F x) {
  F const a = abs(x), e = exp(set(-2.0f) * a), far = (set(1.0f) - e) / (set(1.0f) + e), s = a * a;
  F p = set(0.018489422276616096f);
  p = fma(p, s, set(-0.0534919872879982f));
  p = fma(p, s, set(0.13330654799938202f));
  p = fma(p, s, set(-0.3333328664302826f));
  F const near = fma(a * s, p, a);
  return as_float(as_word(select(a < set(0.4f), near, far)) | (as_word(x) & 0x80000000u));
}

/// Φ(-a) for a >= 0, the normal distribution's tail: e^(-a²/2)·t·Q(t), t = 1/(1 + 0.34 a), Q of degree 8 fitted in relative error
/// (3.1e-8). In float the factor errs by 2e-7, and e^(-a²/2) by a²·6e-8 more; times a that is below 3e-7 everywhere.
MGM_INLINE F normal_tail(F a) {
  F const t = set(1.0f) / fma(a, set(0.34f), set(1.0f));
  F q = set(-0.02612236514687538f);
  q = fma(q, t, set(0.13950784504413605f));
  q = fma(q, t, set(-0.27314823865890503f));
  q = fma(q, t, set(0.20219841599464417f));
  q = fma(q, t, set(-0.04472797363996506f));
  q = fma(q, t, set(0.11536266654729843f));
  q = fma(q, t, set(0.11519688129425049f));
  q = fma(q, t, set(0.1361122876405716f));
  q = fma(q, t, set(0.13562050461769104f));
  return exp(a * a * set(-0.5f)) * q * t;
}

/// The activations of core/epilogue.hpp. Finite x gives a finite result, far out x or 0; NaN and −∞ give NaN, as the definitions do.
MGM_INLINE F gelu(F x) {
  F const product = x * normal_tail(min(abs(x), set(20.0f)));  // beyond 20 the tail is 0 in float
  return select(x > set(0.0f), x - product, product);
}
/// x·σ(u), given −u: a far negative finite x is divided by infinity.
MGM_INLINE F gated(F x, F minus_u) { return x / (set(1.0f) + exp(minus_u)); }
MGM_INLINE F silu(F x) { return gated(x, -x); }
MGM_INLINE F quick_gelu(F x) { return gated(x, set(-1.702f) * x); }
/// ½x·(1 + tanh u) = x·σ(2u), u = √(2/π)·(x + 0.044715 x³).
MGM_INLINE F gelu_tanh(F x) {
  F const minus_2u = x * fma(x * x, set(-0.0713548162726f), set(-1.59576912161f));
  return gated(x, minus_2u);
}
MGM_INLINE F activate(Activation a, F x) {
  switch (a) {
    case Activation::quick_gelu: return quick_gelu(x);
    case Activation::gelu: return gelu(x);
    case Activation::gelu_tanh: return gelu_tanh(x);
    case Activation::silu: return silu(x);
    case Activation::none: break;
  }
  return x;
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
