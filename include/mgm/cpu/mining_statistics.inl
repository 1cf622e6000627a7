// Read by mining_statistics.hpp once per instruction set.
namespace mgm::inline v0::cpu::MGM_ISA {

/// Mean over the channels of one pixel, and its deviations from it as floats, zeros behind them up to a multiple of 16.
template <Real T>
void centre_pixel(T const* x, Size channels, float* centred, float& mean) {
  Size const whole = channels / kLanes * kLanes;
  int const rest = static_cast<int>(channels - whole);
  F a = set(0), b = set(0);
  Size c = 0;
  for (; c + 2 * kLanes <= whole; c += 2 * kLanes) a += load(x + c), b += load(x + c + kLanes);
  if (c < whole) a += load(x + c);
  if (rest) b += load(x + whole, rest);
  mean = sum(a + b) / static_cast<float>(channels);
  F const m = set(mean);
  for (c = 0; c < whole; c += kLanes) store(centred + c, load(x + c) - m);
  if (rest) store(centred + c, select(lane_index() < rest, load(x + c, rest) - m, set(0))), c += kLanes;
  for (; c % 16 != 0; c += kLanes) store(centred + c, set(0));
}

/// ‖·‖² of one centred pixel of `padded` channels.
inline void pixel_norm(float const* centred, Size padded, float& own) {
  F a = set(0), b = set(0);
  Size c = 0;
  for (; c + 2 * kLanes <= padded; c += 2 * kLanes) {
    F const p = load(centred + c), q = load(centred + c + kLanes);
    a = fma(p, p, a), b = fma(q, q, b);
  }
  if (c < padded) {
    F const p = load(centred + c);
    a = fma(p, p, a);
  }
  own = sum(a + b);
}

/// Products of two centred pixels, left and left + padded of the row `top`, with themselves and their neighbours to the right and in
/// the row `below`; both rows have pixels of zeros where the map ends.
inline void neighbour_products(float const* top, float const* below, Size padded, float* own, float* right, float* down, float* across) {
  F own0 = set(0), own1 = own0, right0 = own0, right1 = own0, down0 = own0, down1 = own0, across0 = own0, across1 = own0;
  for (Size c = 0; c < padded; c += kLanes) {
    F const a0 = load(top + c), a1 = load(top + padded + c), a2 = load(top + 2 * padded + c);
    F const b0 = load(below + c), b1 = load(below + padded + c), b2 = load(below + 2 * padded + c);
    own0 = fma(a0, a0, own0), own1 = fma(a1, a1, own1), right0 = fma(a0, a1, right0), right1 = fma(a1, a2, right1);
    down0 = fma(a0, b0, down0), down1 = fma(a1, b1, down1);
    across0 = fma(a1, b0, fma(a0, b1, across0)), across1 = fma(a2, b1, fma(a1, b2, across1));
  }
  own[0] = sum(own0), own[1] = sum(own1), right[0] = sum(right0), right[1] = sum(right1);
  down[0] = sum(down0), down[1] = sum(down1), across[0] = sum(across0), across[1] = sum(across1);
}

/// The products of a row of cells between two rows of pixels (see ProductRow), weights 1 − weight and weight; n a multiple of 16.
inline void blend_rows(detail::ProductRow const& top, detail::ProductRow const& bottom, float weight, Size n,
                       detail::BlendedRow const& out) {
  F const b = set(weight), a = set(1 - weight), aa = a * a, bb = b * b, ab = a * b;
  for (Size x = 0; x < n; x += kLanes) {
    store(out.mean + x, a * load(top.mean + x) + b * load(bottom.mean + x));
    store(out.own + x, aa * load(top.own + x) + bb * load(bottom.own + x) + (ab + ab) * load(top.down + x));
    store(out.right + x, aa * load(top.right + x) + bb * load(bottom.right + x) + ab * load(top.across + x));
  }
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
