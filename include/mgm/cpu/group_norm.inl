// Read by group_norm.hpp once per instruction set.
namespace mgm::inline v0::cpu::MGM_ISA {

/// sum[c] = Σ (x[n,c] − centre[c]), square[c] = Σ (x[n,c] − centre[c])² over rows, each channel in the order of the rows.
template <Real T>
void channel_sums(T const* x, Size stride, Size rows, Size channels, float const* centre, float* sum, float* square) {
  for (Size c = 0; c < channels; c += kLanes) {
    int const count = static_cast<int>(channels - c < kLanes ? channels - c : kLanes);
    F const middle = load(centre + c, count);
    F s = set(0), q = set(0);
    T const* from = x + c;
    for (Size n = 0; n < rows; ++n, from += stride) {
      F const v = (count == kLanes ? load(from) : load(from, count)) - middle;
      s += v, q = fma(v, v, q);
    }
    store(sum + c, s, count), store(square + c, q, count);
  }
}

/// out = act(x·scale + shift), channel by channel, in another element type if wished; act is SiLU or nothing.
template <class From, class To>
void affine_row(From const* x, float const* scale, float const* shift, bool silu_, Size n, To* out) {
  Size i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    F const y = fma(load(x + i), load(scale + i), load(shift + i));
    store(out + i, silu_ ? silu(y) : y);
  }
  if (int const rest = static_cast<int>(n - i); rest > 0) {
    F const y = fma(load(x + i, rest), load(scale + i, rest), load(shift + i, rest));
    store(out + i, silu_ ? silu(y) : y, rest);
  }
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
