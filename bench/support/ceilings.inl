// Read by ceilings.hpp once per instruction set.
namespace mgm::inline v0::cpu::MGM_ISA {

MGM_NOINLINE inline void read_words(void const* p, Size bytes, std::uint64_t& total) {
  auto const* words = static_cast<std::uint32_t const*>(p);
  U sums[8] = {};
  for (Size i = 0; i < bytes / 4; i += 8 * kLanes)
    MGM_UNROLL for (int j = 0; j < 8; ++j) sums[j] += *reinterpret_cast<Um const*>(words + i + j * kLanes);
  for (int j = 0; j < 8; ++j)
    for (int l = 0; l < kLanes; ++l) total += sums[j][l];
}

/// 24 independent chains of multiply-adds from registers; the flops done.
template <bool kPair>
MGM_NOINLINE void spin(Size steps, double& flops, float& result) {
  F sums[kRows][2];
  MGM_UNROLL for (int i = 0; i < kRows; ++i) sums[i][0] = set(result * float(2 * i + 1)), sums[i][1] = set(result * float(2 * i + 2));  // all different, or they are computed once
  F const a = set(result), b = set(result + 1);
  for (Size s = 0; s < steps; ++s)
    MGM_UNROLL for (int i = 0; i < kRows; ++i) MGM_UNROLL for (int j = 0; j < 2; ++j) {
#if MGM_ISA_LEVEL >= 3
      if constexpr (kPair) {
        sums[i][j] = dot2(sums[i][j], as_word(a), as_word(b));
        continue;
      }
#endif
      sums[i][j] = fma(a, b, sums[i][j]);
    }
  MGM_UNROLL for (int i = 0; i < kRows; ++i) result += sum(sums[i][0] + sums[i][1]);
  flops = 2.0 * static_cast<double>(steps) * kRows * 2 * kLanes * (kPair && kHasDot2 ? 2 : 1);
}

}  // namespace mgm::inline v0::cpu::MGM_ISA
