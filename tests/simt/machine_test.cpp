/// The Simt machine: what kernels may do, in every order, and what it finds when they break the rules.
#include <gtest/gtest.h>

#include <mgm/mem/context.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/warp.hpp>

namespace machine_test {

using namespace mgm;

void expect_found(simt::LaunchShape shape, auto kernel, std::string_view part, auto... args) {
  Context<Simt> ctx({.threads = 1});
  try {
    simt::launch(ctx.stream(), shape, kernel, args...);
    ctx.synchronise();
    ADD_FAILURE() << "nothing found; expected: " << part;
  } catch (Error const& e) {
    EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
  }
}

struct Numbers {
  int at[256];
};
/// Sum of the thread indices of a block, by shared memory, barriers and shuffles.
void sum_kernel(View<int, 1, Simt> out) {
  auto& s = simt::shared<Numbers>();
  int const t = simt::thread_idx();
  s.at[t] = t;
  simt::sync_block();
  for (int half = simt::block_dim() / 2; half >= 32; half /= 2) {
    if (t < half) s.at[t] += s.at[t + half];
    simt::sync_block();
  }
  if (t >= 32) return;
  int v = s.at[t];
  for (int bit = 16; bit > 0; bit /= 2) v += simt::shuffle_xor(v, bit);
  if (t == 0) out(simt::block_idx().x) = v;
}

TEST(Machine, RunsBlocksInEveryOrder) {
  for (int order = 0; order < 6; ++order)
    for (int threads : {1, 3}) {
      Context<Simt> ctx({.threads = threads, .machine = {.order = static_cast<simt::Order>(order), .seed = 11}});
      auto out = ctx.empty<int>(Extents{Size{37}});
      simt::launch(ctx.stream(), {.name = "sum", .grid = 37, .block = 256, .shared = sizeof(Numbers)}, sum_kernel, out.view());
      for (Size i = 0; i < 37; ++i) ASSERT_EQ(out(i), 255 * 128) << simt::kOrderNames[order];
    }
}

void warp_kernel(View<float, 1, Simt> out, View<unsigned, 1, Simt> bits) {
  int const t = simt::thread_idx();
  float const value = 0.1f * float(t);
  float v = value;
  for (int bit = 16; bit > 0; bit /= 2) v += simt::shuffle_xor(v, bit);
  float const once = simt::warp_sum(value);
  out(t) = v == once ? once : -1;
  bits(t) = simt::ballot(t % 3 == 0);
  float const eight = simt::warp_max<8>(value);
  if (eight != 0.1f * float(t / 8 * 8 + 7)) out(t) = -2;
  if (simt::shuffle_down(t, 1) != (t % 32 == 31 ? t : t + 1) || simt::shuffle(t, 5) != t / 32 * 32 + 5) out(t) = -3;
}

TEST(Machine, WarpFunctionsAgreeWithShuffles) {
  Context<Simt> ctx;
  auto out = ctx.empty<float>(Extents{Size{64}});
  auto bits = ctx.empty<unsigned>(Extents{Size{64}});
  simt::launch(ctx.stream(), {.name = "warp", .grid = 1, .block = 64}, warp_kernel, out.view(), bits.view());
  for (Size t = 0; t < 64; ++t) {
    EXPECT_GT(out(t), 0) << t;
    unsigned want = 0;
    for (int i = 0; i < 32; ++i) want |= unsigned((t / 32 * 32 + i) % 3 == 0) << i;
    EXPECT_EQ(bits(t), want);
  }
}

TEST(Machine, FindsABarrierThatNotAllReach) {
  expect_found({.name = "half", .grid = 1, .block = 64}, [] {
    if (simt::thread_idx() < 32) simt::sync_warp();
    if (simt::thread_idx() >= 32) simt::sync_named(1, 64);
  }, "waits for a named barrier that not all reach");
}
TEST(Machine, FindsTwoBarriersAtOnce) {
  expect_found({.name = "two", .grid = 1, .block = 64}, [] {
    if (simt::thread_idx() < 32) simt::sync_block();
    else
      simt::sync_block();
  }, "divergence");
}
TEST(Machine, FindsAShuffleWithALaneThatLeft) {
  expect_found({.name = "left", .grid = 1, .block = 32}, [] {
    if (simt::thread_idx() == 9) return;
    simt::warp_sum(1);
  }, "lane 9, which has left");
}
TEST(Machine, FindsADivergentShuffle) {
  expect_found({.name = "divergent", .grid = 1, .block = 32}, [] {
    if (simt::thread_idx() < 16) simt::warp_sum(1);
    else
      simt::warp_max(1);
  }, "divergence: warp_max here, while lanes of the same mask wait in warp_sum");
}
TEST(Machine, FindsWritesBeyondSharedMemory) {
  expect_found({.name = "beyond", .grid = 1, .block = 1, .shared = 64}, [] { (&simt::shared<int>())[16 + simt::thread_idx()] = 1; },
               "wrote beyond its 64 bytes of shared memory");
}
TEST(Machine, FindsMisalignedVectors) {
  expect_found({.name = "odd", .grid = 1, .block = 1, .shared = 64}, [] { (void)simt::load<4>(&simt::shared<float>() + 1); },
               "an access of 16 bytes is misaligned by 4");
}
TEST(Machine, FindsWritesBeyondATensor) {
  Context<Simt> ctx;
  {
    auto out = ctx.lasting<float>(Extents{Size{8}});
    simt::launch(ctx.stream(), {.name = "far", .grid = 1, .block = 1}, [](View<float, 1, Simt> v) { v.data()[8 + simt::thread_idx()] = 0; }, out.view());
  }
  EXPECT_THROW(ctx.synchronise(), KernelError);
}
TEST(Machine, HasTheLimitsOfItsArchitecture) {
  auto const nothing = [] {};
  expect_found({.name = "wide", .grid = 1, .block = 1025}, nothing, "1 to 1024 threads");
  expect_found({.name = "large", .grid = 1, .block = 32, .shared = 200 * 1024}, nothing, "compute capability 80 has 166912");
  for (simt::Grid const grid :
       {simt::Grid(Size{1} << 31), simt::Grid(Size{1} << 32), simt::Grid(1, 65536), simt::Grid(1, 1, Size{1} << 40)})
    expect_found({.name = "many", .grid = grid, .block = 1}, nothing,
                 "many: a grid has less than 2^31 blocks a row, and at most 65535 rows and layers");
  EXPECT_THROW(Context<Simt>({.machine = {.arch = 42}}), DeviceError);
}
TEST(Machine, CarriesExceptionsAndGoesOn) {
  Context<Simt> ctx;
  EXPECT_THROW(simt::launch(ctx.stream(), {.name = "throws", .grid = 9, .block = 64}, [] { if (simt::thread_idx() == 3) throw ShapeError("from a kernel"); }),
               ShapeError);
  auto out = ctx.empty<int>(Extents{Size{1}});
  simt::launch(ctx.stream(), {.name = "sum", .grid = 1, .block = 64, .shared = sizeof(Numbers)}, sum_kernel, out.view());
  EXPECT_EQ(out(0), 63 * 32);
}

}  // namespace machine_test
