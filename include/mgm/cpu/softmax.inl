// Read by softmax.hpp once per instruction set.
namespace mgm::inline v0::cpu::MGM_ISA {

inline void softmax_row(float const* x, float* out, Size n) {
  Size const whole = n / kLanes * kLanes;
  int const rest = static_cast<int>(n - whole);
  I const real = lane_index() < rest;
  F top = set(-__builtin_inff());
  for (Size i = 0; i < whole; i += kLanes) top = max(load(x + i), top);  // a NaN is passed over here and met again in exp
  if (rest) top = max(select(real, load(x + whole, rest), top), top);
  F const shift = set(peak(top));
  F total = set(0);
  for (Size i = 0; i < whole; i += kLanes) {
    F const e = exp(load(x + i) - shift);
    store(out + i, e), total += e;
  }
  if (rest) {
    F const e = select(real, exp(load(x + whole, rest) - shift), set(0));
    store(out + whole, e, rest), total += e;
  }
  F const mass = set(1 / sum(total));
  for (Size i = 0; i < whole; i += kLanes) store(out + i, load(out + i) * mass);
  if (rest) store(out + whole, load(out + whole, rest) * mass, rest);
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
