// Read by simd_test.cpp once per instruction set: the vector functions over arrays.
namespace mgm::inline v0::cpu::MGM_ISA {

/// y[i] = f(x[i]) for a whole number of vectors; f counts through the functions below.
MGM_NOINLINE inline void map(int f, float const* x, float* y, Size n) {
  for (Size i = 0; i < n; i += kLanes) {
    F const v = load(x + i);
    F r{};
    switch (f) {
      case 0: r = exp(v); break;
      case 1: r = sigmoid(v); break;
      case 2: r = tanh(v); break;
      case 3: r = activate(Activation::quick_gelu, v); break;
      case 4: r = activate(Activation::gelu, v); break;
      case 5: r = activate(Activation::gelu_tanh, v); break;
      case 6: r = activate(Activation::silu, v); break;
      default: break;
    }
    store(y + i, r);
  }
}
/// Copies n elements through float vectors, the last of them partly.
template <class From, class To>
MGM_NOINLINE void convert(From const* x, To* y, Size n) {
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, load(x + i));
  store(y + i, load(x + i, static_cast<int>(n - i)), static_cast<int>(n - i));
}
/// out = {lanes, sum of lanes, peak of lanes, then a transposed block of kLanes × kLanes words}.
MGM_NOINLINE inline void shuffles(float const* x, float* out) {
  out[0] = static_cast<float>(kLanes);
  out[1] = sum(load(x));
  out[2] = peak(load(x));
  U r[kLanes];
  for (int i = 0; i < kLanes; ++i) r[i] = as_word(load(x + i * kLanes));
  transpose(r);
  for (int i = 0; i < kLanes; ++i) store(out + 3 + i * kLanes, as_float(r[i]));
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
