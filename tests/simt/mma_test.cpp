/// Matrix instructions of the Simt machine: lane maps against the decoder's tables, products against plain loops, wrong maps seen.
#include <bit>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <mgm/mem/context.hpp>
#include <mgm/simt/barrier.hpp>
#include <mgm/simt/host/mma_decode.hpp>
#include <mgm/simt/ldmatrix.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/mma.hpp>

namespace mma_test {

using namespace mgm;

std::string found_by(simt::LaunchShape shape, auto kernel, auto... args) {
  Context<Simt> ctx({.threads = 1});
  try {
    simt::launch(ctx.stream(), shape, kernel, args...);
    ctx.synchronise();
  } catch (Error const& e) {
    return e.what();
  }
  return "";
}

TEST(MmaLayout, AgreesWithTheTablesThatTheTwinDecodesBy) {
  auto const& t = simt::host::kMmaTables;
  using L = simt::Mma16x8x16;
  using L8 = simt::Mma16x8x32;
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < L::kInA; ++i) EXPECT_EQ(L::a(lane, i).row * 16 + L::a(lane, i).col, t.a16[lane][i / 2][i % 2]);
    for (int i = 0; i < L::kInB; ++i) EXPECT_EQ(L::b(lane, i).row * 8 + L::b(lane, i).col, t.b16[lane][i / 2][i % 2]);
    for (int i = 0; i < L::kInD; ++i) EXPECT_EQ(L::d(lane, i).row * 8 + L::d(lane, i).col, t.d[lane][i]);
    for (int i = 0; i < L8::kInA; ++i) EXPECT_EQ(L8::a(lane, i).row * 32 + L8::a(lane, i).col, t.a8[lane][i / 4][i % 4]);
    for (int i = 0; i < L8::kInB; ++i) EXPECT_EQ(L8::b(lane, i).row * 8 + L8::b(lane, i).col, t.b8[lane][i / 4][i % 4]);
  }
}
TEST(MmaLayout, CoversEachElementOnce) {
  int a[16][16] = {}, b[16][8] = {}, d[16][8] = {}, a8[16][32] = {}, b8[32][8] = {};
  auto const mark = [](auto& at, simt::Coord c) { ++at[c.row][c.col]; };
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 8; ++i) mark(a, simt::Mma16x8x16::a(lane, i)), mark(b8, simt::Mma16x8x32::b(lane, i));
    for (int i = 0; i < 4; ++i) mark(b, simt::Mma16x8x16::b(lane, i)), mark(d, simt::Mma16x8x16::d(lane, i));
    for (int i = 0; i < 16; ++i) mark(a8, simt::Mma16x8x32::a(lane, i));
  }
  auto const all_once = [](auto& at) {
    for (auto& row : at)
      for (int count : row)
        if (count != 1) return false;
    return true;
  };
  EXPECT_TRUE(all_once(a) && all_once(b) && all_once(d) && all_once(a8) && all_once(b8));
}

/// d = c + a·b, all row-major, operands packed by the public lane maps; `wrong` exchanges two registers of A.
template <class T>
void product_kernel(View<T const, 2, Simt> a, View<T const, 2, Simt> b, View<float, 2, Simt> d, bool wrong) {
  using L = simt::Mma16x8x16;
  int const lane = simt::lane_idx();
  unsigned ra[4] = {}, rb[2] = {};
  float sum[4];
  for (int i = 0; i < L::kInA; ++i) ra[i / 2] |= unsigned{a(L::a(lane, i).row, L::a(lane, i).col).bits} << 16 * (i % 2);
  for (int i = 0; i < L::kInB; ++i) rb[i / 2] |= unsigned{b(L::b(lane, i).row, L::b(lane, i).col).bits} << 16 * (i % 2);
  for (int i = 0; i < L::kInD; ++i) sum[i] = d(L::d(lane, i).row, L::d(lane, i).col);
  if (wrong) std::swap(ra[1], ra[2]);
  simt::mma<T>(sum, ra, rb);
  for (int i = 0; i < L::kInD; ++i) d(L::d(lane, i).row, L::d(lane, i).col) = sum[i];
}

template <class T>
class Mma : public testing::Test {};
using Halves = testing::Types<bf16, half>;
TYPED_TEST_SUITE(Mma, Halves);

/// Whether one instruction with A = identity, then with B = identity, gives back the other operand, and a product of whole numbers is
/// exact.
template <class T>
bool instruction_is_right(bool wrong) {
  bool right = true;
  for (int which = 0; which < 3; ++which)
    for (int order = 0; order < 3; ++order) {
      Context<Simt> ctx({.threads = 1, .machine = {.order = static_cast<simt::Order>(order), .seed = 5}});
      auto a = ctx.empty<T>(Extents{16, 16}), b = ctx.empty<T>(Extents{16, 8});
      auto d = ctx.empty<float>(Extents{16, 8});
      for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 16; ++j) a(i, j) = T(which == 0 ? float(i == j) : float(i * 16 + j - 100));
      for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 8; ++j) b(i, j) = T(which == 1 ? float(i == j) : float(i - 2 * j)), d(i, j) = float(1000 * i + j);
      simt::launch(ctx.stream(), {.name = "product", .grid = 1, .block = 32}, product_kernel<T>, View<T const, 2, Simt>(a.view()),
                   View<T const, 2, Simt>(b.view()), d.view(), wrong);
      for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 8; ++j) {
          double want = 1000 * i + j;
          for (int k = 0; k < 16; ++k) want += double(float(a(i, k))) * double(float(b(k, j)));
          right = right && double(d(i, j)) == want;
        }
    }
  return right;
}
TYPED_TEST(Mma, IsRightOnIdentitiesAndWholeNumbers) { EXPECT_TRUE(instruction_is_right<TypeParam>(false)); }
TYPED_TEST(Mma, AWrongLaneMapIsSeen) { EXPECT_FALSE(instruction_is_right<TypeParam>(true)); }

TYPED_TEST(Mma, WidensEveryValueAsItsType) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    TypeParam value;
    value.bits = static_cast<std::uint16_t>(bits);
    float const want = value, got = simt::host::widen_bits<std::is_same_v<TypeParam, bf16>>(bits);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(want), std::bit_cast<std::uint32_t>(got)) << bits;
  }
}

void bytes_kernel(View<std::int8_t const, 2, Simt> a, View<std::int8_t const, 2, Simt> b, View<int, 2, Simt> d) {
  using L = simt::Mma16x8x32;
  int const lane = simt::lane_idx();
  unsigned ra[4] = {}, rb[2] = {};
  int sum[4];
  for (int i = 0; i < L::kInA; ++i)
    ra[i / 4] |= unsigned{static_cast<std::uint8_t>(a(L::a(lane, i).row, L::a(lane, i).col))} << 8 * (i % 4);
  for (int i = 0; i < L::kInB; ++i)
    rb[i / 4] |= unsigned{static_cast<std::uint8_t>(b(L::b(lane, i).row, L::b(lane, i).col))} << 8 * (i % 4);
  for (int i = 0; i < L::kInD; ++i) sum[i] = d(L::d(lane, i).row, L::d(lane, i).col);
  simt::mma_s8(sum, ra, rb);
  for (int i = 0; i < L::kInD; ++i) d(L::d(lane, i).row, L::d(lane, i).col) = sum[i];
}
TEST(MmaBytes, IsExact) {
  Context<Simt> ctx({.threads = 1});
  auto a = ctx.empty<std::int8_t>(Extents{16, 32}), b = ctx.empty<std::int8_t>(Extents{32, 8});
  auto d = ctx.empty<int>(Extents{16, 8});
  for (int i = 0; i < 16 * 32; ++i) a.data()[i] = static_cast<std::int8_t>(i * 37 + 11);
  for (int i = 0; i < 32 * 8; ++i) b.data()[i] = static_cast<std::int8_t>(i * 91 - 128);
  for (int i = 0; i < 128; ++i) d.data()[i] = i - 64;
  simt::launch(ctx.stream(), {.name = "bytes", .grid = 1, .block = 32}, bytes_kernel, View<std::int8_t const, 2, Simt>(a.view()),
               View<std::int8_t const, 2, Simt>(b.view()), d.view());
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      int want = i * 8 + j - 64;
      for (int k = 0; k < 32; ++k) want += a(i, k) * b(k, j);
      ASSERT_EQ(d(i, j), want);
    }
}
TEST(Mma, NeedsAllLanes) {
  auto const kernel = [] {
    float d[4] = {};
    unsigned const a[4] = {}, b[2] = {};
    if (simt::lane_idx() != 7) simt::mma<bf16>(d, a, b);
  };
  EXPECT_NE(found_by({.name = "short", .grid = 1, .block = 48}, [] {
    float d[4] = {};
    unsigned const a[4] = {}, b[2] = {};
    simt::mma<bf16>(d, a, b);
  }).find("mma: needs all 32 lanes"), std::string::npos);
  EXPECT_NE(found_by({.name = "left", .grid = 1, .block = 32}, kernel).find("mma"), std::string::npos);
}

struct Square {
  std::uint16_t at[64 * 64];
};
/// The registers that ldmatrix hands out, for row addresses `first + lane · step` (in elements of 16 bits).
template <int N, bool kTurned>
void matrices_kernel(int first, int step, View<unsigned, 2, Simt> out) {
  auto& s = simt::shared<Square>();
  int const lane = simt::lane_idx();
  for (int i = lane; i < 64 * 64; i += 32) s.at[i] = static_cast<std::uint16_t>(i);
  simt::sync_warp();
  unsigned r[N];
  void const* const row = s.at + first + (lane < 8 * N ? lane * step : 1);  // the other lanes' are not looked at
  if constexpr (kTurned) simt::ldmatrix_trans<N>(r, row);
  else simt::ldmatrix<N>(r, row);
  for (int i = 0; i < N; ++i) out(lane, i) = r[i];
}
template <int N, bool kTurned>
void expect_matrices() {
  for (int step : {64, 8, 72}) {
    Context<Simt> ctx({.threads = 1});
    auto out = ctx.empty<unsigned>(Extents{32, N});
    simt::launch(ctx.stream(), {.name = "matrices", .grid = 1, .block = 32, .shared = sizeof(Square)}, matrices_kernel<N, kTurned>, 16,
                 step, out.view());
    for (int lane = 0; lane < 32; ++lane)
      for (int matrix = 0; matrix < N; ++matrix)
        for (int i = 0; i < 2; ++i) {
          auto const c = simt::Ldmatrix::element(lane, i, kTurned);
          ASSERT_EQ(int(out(lane, matrix) >> 16 * i & 0xFFFF), 16 + (8 * matrix + c.row) * step + c.col)
              << N << kTurned << " lane " << lane;
        }
    auto const passes = ctx.machine().ldmatrix_passes();
    EXPECT_EQ(passes.least, N);
    EXPECT_EQ(passes.extra, step == 64 ? 7 * N : 0) << "rows 128 bytes apart lie on the same banks";
  }
}
TEST(Ldmatrix, HandsOutWhatTheLayoutSays) {
  expect_matrices<1, false>(), expect_matrices<2, false>(), expect_matrices<4, false>();
  expect_matrices<1, true>(), expect_matrices<2, true>(), expect_matrices<4, true>();
}
TEST(Ldmatrix, ChecksItsAddresses) {
  Context<Simt> ctx({.threads = 1});
  auto out = ctx.empty<unsigned>(Extents{32, 4});
  simt::LaunchShape const shape{.name = "matrices", .grid = 1, .block = 32, .shared = sizeof(Square)};
  EXPECT_NE(found_by(shape, matrices_kernel<4, false>, 3, 8, out.view()).find("brings is misaligned by 6 of 16 bytes"), std::string::npos);
  EXPECT_NE(found_by(shape, matrices_kernel<4, false>, 64 * 64, 8, out.view()).find("outside of the block's shared memory"),
            std::string::npos);
}

}  // namespace mma_test
