// Read by norm.hpp once per instruction set.
namespace mgm::inline v0::cpu::MGM_ISA {

/// LayerNorm of one row: mean, then the mean of centred squares, each in two partial vectors.
template <class From, Real T>
void layer_norm_row(From const* x, T const* gain, T const* bias, float eps, Size width, T* out) {
  Size const whole = width / kLanes * kLanes;
  int const rest = static_cast<int>(width - whole);
  F a = set(0), b = set(0);
  Size c = 0;
  for (; c + 2 * kLanes <= whole; c += 2 * kLanes) a += load(x + c), b += load(x + c + kLanes);
  if (c < whole) a += load(x + c);
  if (rest) b += load(x + whole, rest);
  F const mean = set(sum(a + b) / static_cast<float>(width));
  a = b = set(0);
  for (c = 0; c + 2 * kLanes <= whole; c += 2 * kLanes) {
    F const p = load(x + c) - mean, q = load(x + c + kLanes) - mean;
    a = fma(p, p, a), b = fma(q, q, b);
  }
  if (c < whole) {
    F const p = load(x + c) - mean;
    a = fma(p, p, a);
  }
  if (rest) {
    F const q = select(lane_index() < rest, load(x + whole, rest) - mean, set(0));
    b = fma(q, q, b);
  }
  F const inverse = set(1 / __builtin_sqrtf(sum(a + b) / static_cast<float>(width) + eps));
  for (c = 0; c < whole; c += kLanes) store(out + c, fma((load(x + c) - mean) * inverse, load(gain + c), load(bias + c)));
  if (rest)
    store(out + whole, fma((load(x + whole, rest) - mean) * inverse, load(gain + whole, rest), load(bias + whole, rest)), rest);
}

/// What a T holds of x.
template <Real T>
MGM_INLINE F rounded(F x) {
  if constexpr (std::same_as<T, bf16>) return widen_bf16(narrow_bf16(x));
  else if constexpr (std::same_as<T, half>) return widen_half(narrow_half(x));
  else return x;
}

template <Real T>
MGM_INLINE F rms_scaled(F x, F inverse, F gain, float offset) {
  return offset == 0 ? gain * rounded<T>(x * inverse) : x * inverse * (gain + set(offset));
}

template <Real T>
void rms_norm_row(T const* x, T const* gain, float eps, float offset, Size width, T* out) {
  Size const whole = width / kLanes * kLanes;
  int const rest = static_cast<int>(width - whole);
  F a = set(0), b = set(0);
  Size c = 0;
  for (; c + 2 * kLanes <= whole; c += 2 * kLanes) {
    F const p = load(x + c), q = load(x + c + kLanes);
    a = fma(p, p, a), b = fma(q, q, b);
  }
  if (c < whole) {
    F const p = load(x + c);
    a = fma(p, p, a);
  }
  if (rest) {
    F const q = load(x + whole, rest);
    b = fma(q, q, b);
  }
  F const inverse = set(1 / __builtin_sqrtf(sum(a + b) / static_cast<float>(width) + eps));
  for (c = 0; c < whole; c += kLanes) store(out + c, rms_scaled<T>(load(x + c), inverse, load(gain + c), offset));
  if (rest) store(out + whole, rms_scaled<T>(load(x + whole, rest), inverse, load(gain + whole, rest), offset), rest);
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
