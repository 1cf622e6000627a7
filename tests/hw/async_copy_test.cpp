/// Probe 5: cp.async with zero fill, in groups.
#include <mgm/simt/async_copy.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/thread.hpp>

#include "hw/probe.hpp"

namespace async_copy_test {

using namespace mgm;
using hw::Dev;

constexpr int kThreads = 64, kRounds = 4;
struct Ring {
  alignas(16) unsigned at[kRounds][kThreads][4];
};

/// Each thread copies kRounds times 16 bytes in copies of `bytes`, of each `source` bytes are read; a group a round; a neighbour reads.
MGM_GLOBAL(kThreads)
void async_copy_probe_kernel(int bytes, int source, View<unsigned const, 1, Dev> in, View<unsigned, 1, Dev> out) {
  auto& s = simt::shared<Ring>();
  int const t = simt::thread_idx();
  for (int round = 0; round < kRounds; ++round)
    for (int i = 0; i < 4; ++i) s.at[round][t][i] = 0xDEADBEEFu;
  simt::sync_block();
  for (int round = 0; round < kRounds; ++round) {
    for (int at = 0; at < 16; at += bytes) {
      unsigned* const to = &s.at[round][t][at / 4];
      unsigned const* const from = in.data() + (round * kThreads + t) * 4 + at / 4;
      if (bytes == 4) simt::copy_async<4>(to, from, source);
      if (bytes == 8) simt::copy_async<8>(to, from, source);
      if (bytes == 16) simt::copy_async<16>(to, from, source);
    }
    simt::copy_async_commit();
  }
  int const other = (t + 33) % kThreads;
  simt::copy_async_wait<2>();  // the first two rounds
  simt::sync_block();
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 4; ++i) out((other * kRounds + round) * 4 + i) = s.at[round][other][i];
  simt::copy_async_wait<0>();
  simt::sync_block();
  for (int round = 2; round < kRounds; ++round)
    for (int i = 0; i < 4; ++i) out((other * kRounds + round) * 4 + i) = s.at[round][other][i];
}

TEST(Probe5, AsyncCopyWithZeroFill) {
  support::on_each_machine([](Context<Dev>& ctx) {
    hw::Table table("async_copy", "bytes source");
    hw::Words source(kThreads * kRounds * 4);
    for (std::size_t i = 0; i < source.size(); ++i) source[i] = 0x01020304u + static_cast<unsigned>(i) * 0x01010101u;
    auto const in = ctx.on_device(View<unsigned const, 1, Cpu>(source.data(), Extents{Size(source.size())}));
    for (auto const& d :
         hw::descriptors({{4, 4}, {4, 0}, {4, 1}, {8, 8}, {8, 0}, {8, 4}, {8, 6}, {16, 16}, {16, 0}, {16, 2}, {16, 8}, {16, 14}})) {
      hw::Output const out(ctx, kThreads * kRounds * 4);
      simt::launch(ctx.stream(), {.name = "async_copy_probe", .grid = 1, .block = kThreads, .shared = sizeof(Ring)},
                   async_copy_probe_kernel, d[0], d[1], View<unsigned const, 1, Dev>(in.view()), out.view());
      hw::Words expected;
      for (int t = 0; t < kThreads; ++t)
        for (int round = 0; round < kRounds; ++round)
          for (int i = 0; i < 4; ++i) {
            int const kept = d[1] - 4 * i % d[0];  // bytes of this word that the copy reads
            unsigned const mask = kept >= 4 ? 0xFFFFFFFFu : kept <= 0 ? 0u : (1u << 8 * kept) - 1u;
            expected.push_back(source[static_cast<std::size_t>((round * kThreads + t) * 4 + i)] & mask);
          }
      table.add(d, out.back(), expected, 4 * kRounds);
    }
    table.finish();
  });
}

}  // namespace async_copy_test
