/// Probe 1: shuffles and votes.
#include <mgm/simt/launch.hpp>
#include <mgm/simt/thread.hpp>
#include <mgm/simt/warp.hpp>

#include "hw/probe.hpp"

namespace warp_test {

using namespace mgm;
using hw::Dev;

/// Operation 0 shuffle, 1 shuffle_xor, 2 shuffle_down, 3 ballot of lanes divisible by `argument`; the lanes of `mask` take part.
MGM_GLOBAL(32)
void warp_probe_kernel(int operation, int argument, unsigned mask, View<unsigned, 1, Dev> out) {
  int const lane = simt::lane_idx();
  out(lane) = 0xFFFFFFFFu;
  if ((mask >> lane & 1u) == 0) return;
  unsigned const mine = 0x1000u + static_cast<unsigned>(lane);
  if (operation == 0) out(lane) = simt::shuffle(mine, argument, mask);
  if (operation == 1) out(lane) = simt::shuffle_xor(mine, argument, mask);
  if (operation == 2) out(lane) = simt::shuffle_down(mine, argument, mask);
  if (operation == 3) out(lane) = simt::ballot(lane % argument == 0, mask);
}

TEST(Probe1, ShuffleAndVote) {
  support::on_each_machine([](Context<Dev>& ctx) {
    hw::Table table("warp", "operation argument mask");
    // masks hold every lane that is read: what others would give is not defined
    for (auto const& d : hw::descriptors({{0, 5, -1},
                                          {0, 37, -1},
                                          {0, 2, 0x0F0F0F0F},
                                          {1, 1, -1},
                                          {1, 16, -1},
                                          {1, 2, 0x00FF00FF},
                                          {2, 1, -1},
                                          {2, 16, -1},
                                          {3, 3, -1},
                                          {3, 2, 0x0000FFFF}})) {
      hw::Output const out(ctx, 32);
      unsigned const mask = static_cast<unsigned>(d[2]);
      simt::launch(ctx.stream(), {.name = "warp_probe", .grid = 1, .block = 32}, warp_probe_kernel, d[0], d[1], mask, out.view());
      hw::Words expected(32, 0xFFFFFFFFu);
      for (int lane = 0; lane < 32; ++lane) {
        if ((mask >> lane & 1u) == 0) continue;
        int const from = d[0] == 0 ? d[1] % 32 : d[0] == 1 ? lane ^ d[1] : lane + d[1] < 32 ? lane + d[1] : lane;
        unsigned vote = 0;
        for (int i = 0; d[0] == 3 && i < 32; ++i) vote |= (mask >> i & 1u) != 0 && i % d[1] == 0 ? 1u << i : 0u;
        expected[static_cast<std::size_t>(lane)] = d[0] == 3 ? vote : 0x1000u + static_cast<unsigned>(from);
      }
      table.add(d, out.back(), expected, 1);
    }
    table.finish();
  });
}

}  // namespace warp_test
