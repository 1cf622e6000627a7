// Read by mining.hpp once per instruction set. Pixels come as tables of pointers, four at a time: `count` is a multiple of 4.
namespace mgm::inline v0::cpu::MGM_ISA {

inline void row_sum(float const* x, Size n, float& out) {
  F a = set(0), b = set(0);
  Size c = 0;
  for (; c + 2 * kLanes <= n; c += 2 * kLanes) a += load(x + c), b += load(x + c + kLanes);
  for (; c < n; c += kLanes) a += load(x + c, static_cast<int>(n - c < kLanes ? n - c : kLanes));
  out = sum(a + b);
}

/// dots[a] = u · pixel a.
template <Real T>
void pixel_dots(float const* u, T const* const* pixels, Size count, Size channels, float* dots) {
  Size const whole = channels / kLanes * kLanes;
  int const rest = static_cast<int>(channels - whole);
  for (Size a = 0; a < count; a += 4) {
    T const *p0 = pixels[a], *p1 = pixels[a + 1], *p2 = pixels[a + 2], *p3 = pixels[a + 3];
    F s0 = set(0), s1 = s0, s2 = s0, s3 = s0;
    for (Size c = 0; c < whole; c += kLanes) {
      F const q = load(u + c);
      s0 = fma(q, load(p0 + c), s0), s1 = fma(q, load(p1 + c), s1), s2 = fma(q, load(p2 + c), s2), s3 = fma(q, load(p3 + c), s3);
    }
    if (rest) {
      F const q = load(u + whole, rest);
      s0 = fma(q, load(p0 + whole, rest), s0), s1 = fma(q, load(p1 + whole, rest), s1);
      s2 = fma(q, load(p2 + whole, rest), s2), s3 = fma(q, load(p3 + whole, rest), s3);
    }
    dots[a] = sum(s0), dots[a + 1] = sum(s1), dots[a + 2] = sum(s2), dots[a + 3] = sum(s3);
  }
}

/// out = Σ_a weights[a] · pixel a.
template <Real T>
void pixel_sum(float const* weights, T const* const* pixels, Size count, Size channels, float* out) {
  Size const whole = channels / kLanes * kLanes;
  int const rest = static_cast<int>(channels - whole);
  for (Size a = 0; a < count; a += 4) {
    T const *p0 = pixels[a], *p1 = pixels[a + 1], *p2 = pixels[a + 2], *p3 = pixels[a + 3];
    F const w0 = set(weights[a]), w1 = set(weights[a + 1]), w2 = set(weights[a + 2]), w3 = set(weights[a + 3]);
    for (Size c = 0; c < whole; c += kLanes) {
      F const near = fma(w0, load(p0 + c), w1 * load(p1 + c)), far = fma(w2, load(p2 + c), w3 * load(p3 + c));
      store(out + c, a == 0 ? near + far : load(out + c) + (near + far));
    }
    if (rest) {
      F const near = fma(w0, load(p0 + whole, rest), w1 * load(p1 + whole, rest));
      F const far = fma(w2, load(p2 + whole, rest), w3 * load(p3 + whole, rest));
      store(out + whole, a == 0 ? near + far : load(out + whole, rest) + (near + far), rest);
    }
  }
}

/// out = Σ_k weights[k] · pixel k in T, any count.
template <Real T>
void pixel_blend(float const* weights, T const* const* pixels, int count, Size channels, T* out) {
  for (Size c = 0; c < channels; c += kLanes) {
    int const lanes = static_cast<int>(channels - c < kLanes ? channels - c : kLanes);
    F total = set(0);
    if (lanes == kLanes)
      for (int k = 0; k < count; ++k) total = fma(set(weights[k]), load(pixels[k] + c), total);
    else
      for (int k = 0; k < count; ++k) total = fma(set(weights[k]), load(pixels[k] + c, lanes), total);
    lanes == kLanes ? store(out + c, total) : store(out + c, total, lanes);
  }
}

/// out = (x − shift)·gain + bias.
template <Real T>
void shifted_row(float const* x, float shift, T const* gain, T const* bias, Size n, T* out) {
  F const s = set(shift);
  Size c = 0;
  for (; c + kLanes <= n; c += kLanes) store(out + c, fma(load(x + c) - s, load(gain + c), load(bias + c)));
  if (int const rest = static_cast<int>(n - c); rest > 0)
    store(out + c, fma(load(x + c, rest) - s, load(gain + c, rest), load(bias + c, rest)), rest);
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
