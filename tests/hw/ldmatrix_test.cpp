/// Probe 3: ldmatrix. Shared memory holds the number of each 16-bit element, so a register names what it was read from.
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/ldmatrix.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/thread.hpp>

#include "hw/probe.hpp"

namespace ldmatrix_test {

using namespace mgm;
using hw::Dev;

struct Elements {
  alignas(16) unsigned short at[64 * 64];
};

template <int N>
MGM_DEVICE void read_matrices(bool turned, void const* row, View<unsigned, 1, Dev> out) {
  unsigned r[N];
  if (turned) simt::ldmatrix_trans<N>(r, row);
  else simt::ldmatrix<N>(r, row);
  MGM_UNROLL for (int i = 0; i < N; ++i) out(simt::lane_idx() * N + i) = r[i];
}
/// Row r of matrix j lies at element first + (8·j + r)·step.
MGM_GLOBAL(32)
void ldmatrix_probe_kernel(int count, int turned, int first, int step, View<unsigned, 1, Dev> out) {
  auto& s = simt::shared<Elements>();
  int const lane = simt::lane_idx();
  for (int i = lane; i < 64 * 64; i += 32) s.at[i] = static_cast<unsigned short>(i);
  simt::sync_warp();
  void const* const row = s.at + first + (lane < 8 * count ? lane : 0) * step;
  if (count == 1) read_matrices<1>(turned != 0, row, out);
  if (count == 2) read_matrices<2>(turned != 0, row, out);
  if (count == 4) read_matrices<4>(turned != 0, row, out);
}

TEST(Probe3, Ldmatrix) {
  support::on_each_machine([](Context<Dev>& ctx) {
    hw::Table table("ldmatrix", "count turned first step");
    for (auto const& d : hw::descriptors({{1, 0, 0, 8},
                                          {1, 1, 0, 8},
                                          {2, 0, 16, 64},
                                          {2, 1, 16, 64},
                                          {4, 0, 0, 72},
                                          {4, 1, 0, 72},
                                          {4, 0, 1024, 40},
                                          {4, 1, 1024, 40}})) {
      int const count = d[0];
      hw::Output const out(ctx, 32 * count);
      simt::launch(ctx.stream(), {.name = "ldmatrix_probe", .grid = 1, .block = 32, .shared = sizeof(Elements)}, ldmatrix_probe_kernel,
                   count, d[1], d[2], d[3], out.view());
      hw::Words expected;
      for (int lane = 0; lane < 32; ++lane)
        for (int matrix = 0; matrix < count; ++matrix) {
          unsigned word = 0;
          for (int i = 0; i < 2; ++i) {
            simt::Coord const c = simt::Ldmatrix::element(lane, i, d[1] != 0);
            word |= static_cast<unsigned>(d[2] + (8 * matrix + c.row) * d[3] + c.col) << 16 * i;
          }
          expected.push_back(word);
        }
      table.add(d, out.back(), expected, count);
    }
    table.finish();
  });
}

}  // namespace ldmatrix_test
