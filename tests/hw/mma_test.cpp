/// Probe 4: mma. One operand is a (shifted) identity, so that the sums name the elements that the other was read as; then the roles change.
#include <mgm/simt/launch.hpp>
#include <mgm/simt/mma.hpp>
#include <mgm/simt/thread.hpp>

#include "hw/probe.hpp"

namespace mma_test {

using namespace mgm;
using hw::Dev;

/// Bits of a small whole number in each type.
template <class T>
MGM_DEVICE unsigned bits_of(int value) {
  if constexpr (std::is_same_v<T, signed char>) return static_cast<unsigned>(value) & 0xFFu;
  else return unsigned{T(static_cast<float>(value)).bits};
}
/// Element `index` of the operand under probe, 7 bits at a time: bf16 and bytes hold no more.
MGM_DEVICE int part_of(int index, int part) { return part == 0 ? index % 128 : index / 128; }

template <class T, class L>
MGM_DEVICE void mma_probe(bool right, int shift, int part, View<unsigned, 1, Dev> out) {
  constexpr int kPer = L::kInA / 4;  // elements a register: two, or four
  int const lane = simt::lane_idx();
  unsigned a[4] = {}, b[2] = {};
  MGM_UNROLL for (int i = 0; i < L::kInA; ++i) {
    simt::Coord const c = L::a(lane, i);  // (M, K)
    a[i / kPer] |= bits_of<T>(right ? (c.row + shift == c.col ? 1 : 0) : part_of(c.row * L::kK + c.col, part)) << 32 / kPer * (i % kPer);
  }
  MGM_UNROLL for (int i = 0; i < L::kInB; ++i) {
    simt::Coord const c = L::b(lane, i);  // (K, N)
    b[i / kPer] |= bits_of<T>(right ? part_of(c.row * L::kN + c.col, part) : (c.row == c.col + shift ? 1 : 0)) << 32 / kPer * (i % kPer);
  }
  if constexpr (std::is_same_v<T, signed char>) {
    int d[4] = {};
    simt::mma_s8(d, a, b);
    MGM_UNROLL for (int i = 0; i < 4; ++i) out(L::d(lane, i).row * 8 + L::d(lane, i).col) = static_cast<unsigned>(d[i]);
  } else {
    float d[4] = {};
    simt::mma<T>(d, a, b);
    MGM_UNROLL for (int i = 0; i < 4; ++i) out(L::d(lane, i).row * 8 + L::d(lane, i).col) = static_cast<unsigned>(d[i]);
  }
}
/// Type 0 bf16, 1 f16, 2 signed bytes; `right`: B is under probe, and A[m][k] = (k == m + shift); otherwise A is, and B[k][n] = (k == n +
/// shift).
MGM_GLOBAL(32)
void mma_probe_kernel(int type, int right, int shift, int part, View<unsigned, 1, Dev> out) {
  if (type == 0) mma_probe<bf16, simt::Mma16x8x16>(right != 0, shift, part, out);
  if (type == 1) mma_probe<half, simt::Mma16x8x16>(right != 0, shift, part, out);
  if (type == 2) mma_probe<signed char, simt::Mma16x8x32>(right != 0, shift, part, out);
}

TEST(Probe4, Mma) {
  support::on_each_machine([](Context<Dev>& ctx) {
    std::vector<hw::Descriptor> all;
    for (int type = 0; type < 3; ++type)
      for (int right = 0; right < 2; ++right)
        for (int shift = 0; shift < (type == 2 ? 32 : 16); shift += right ? 16 : 8)
          for (int part = 0; part < 4; part += type == 2 || right == 0 ? 1 : 4)
            if (part * 128 < 16 * (type == 2 ? 32 : 16)) all.push_back({type, right, shift, part});
    hw::Table table("mma", "type right shift part");
    for (auto const& d : hw::descriptors(all)) {
      hw::Output const out(ctx, 16 * 8);
      simt::launch(ctx.stream(), {.name = "mma_probe", .grid = 1, .block = 32}, mma_probe_kernel, d[0], d[1], d[2], d[3], out.view());
      int const depth = d[0] == 2 ? 32 : 16;
      hw::Words expected;
      for (int m = 0; m < 16; ++m)
        for (int n = 0; n < 8; ++n) {
          int const k = (d[1] ? m : n) + d[2], index = d[1] ? k * 8 + n : m * depth + k;
          expected.push_back(k < depth ? static_cast<unsigned>(d[3] == 0 ? index % 128 : index / 128) : 0u);
        }
      table.add(d, out.back(), expected, 8);
    }
    table.finish();
  });
}

}  // namespace mma_test
