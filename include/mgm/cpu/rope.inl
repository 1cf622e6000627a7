// Read by rope.hpp once per instruction set.
namespace mgm::inline v0::cpu::MGM_ISA {

/// a, b (n) turned by the angles whose cosines and sines are given.
template <Real T>
void rotate_row(T* a, T* b, float const* cosine, float const* sine, Size n) {
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    F const p = load(a + i), q = load(b + i), c = load(cosine + i), s = load(sine + i);
    store(a + i, p * c - q * s), store(b + i, q * c + p * s);
  }
  if (int const rest = static_cast<int>(n - i); rest > 0) {
    F const p = load(a + i, rest), q = load(b + i, rest), c = load(cosine + i, rest), s = load(sine + i, rest);
    store(a + i, p * c - q * s, rest), store(b + i, q * c + p * s, rest);
  }
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
