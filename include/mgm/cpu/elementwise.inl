// Read by elementwise.hpp once per instruction set.
namespace mgm::inline v0::cpu::MGM_ISA {

template <class From, class To>
void convert_row(From const* x, To* out, Size n) {
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(x + i));
  if (i < n) store(out + i, load(x + i, static_cast<int>(n - i)), static_cast<int>(n - i));
}

template <Real T>
void add_row(T const* a, T const* b, T* out, Size n) {
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(a + i) + load(b + i));
  if (int const rest = static_cast<int>(n - i); rest > 0) store(out + i, load(a + i, rest) + load(b + i, rest), rest);
}

template <Real T>
void multiply_row(T const* a, T const* b, T* out, Size n) {
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(a + i) * load(b + i));
  if (int const rest = static_cast<int>(n - i); rest > 0) store(out + i, load(a + i, rest) * load(b + i, rest), rest);
}

template <Real T>
void scale_row(T const* x, float factor, T* out, Size n) {
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(x + i) * set(factor));
  if (int const rest = static_cast<int>(n - i); rest > 0) store(out + i, load(x + i, rest) * set(factor), rest);
}

MGM_INLINE F mean_of(F a, F b, F c, F d) { return ((a + b) + (c + d)) * set(0.25f); }

template <Real T>
void mean4_row(T const* a, T const* b, T const* c, T const* d, T* out, Size n) {
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, mean_of(load(a + i), load(b + i), load(c + i), load(d + i)));
  if (int const rest = static_cast<int>(n - i); rest > 0)
    store(out + i, mean_of(load(a + i, rest), load(b + i, rest), load(c + i, rest), load(d + i, rest)), rest);
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
