/// Rotary positions against plain loops in double.
#include <array>
#include <cmath>

#include <mgm/kernels/decode/rope.cuh>

#include "support/device.hpp"

namespace {

using namespace mgm;
using support::Dev;

template <class T>
class Rope : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Rope, Types);

// least, primes, around a block's 256 pairs, the real models' heads
constexpr std::array<Size, 3> kShapes[] = {{1, 1, 2},    {1, 1, 4},   {2, 1, 2},   {3, 1, 6},       {1, 5, 8},   {7, 3, 10},  {2, 2, 12},
                                           {5, 1, 14},   {4, 4, 16},  {1, 8, 64},  {1, 4, 128},     {3, 7, 24},  {2, 4, 64},  {17, 3, 10},
                                           {1, 1, 256},  {1, 1, 510}, {1, 1, 512}, {1, 3, 171 * 2}, {257, 1, 2}, {1, 257, 2}, {16, 16, 2},
                                           {2, 32, 128}, {3, 1, 256}, {5, 5, 80},  {1, 56, 128}};

/// Angles as positions first, first + 1, … give them.
support::Guarded<float, 3> table_for(Size rows, Size width, Size first) {
  support::Guarded<float, 3> table({rows, 2, width / 2});
  for (Size t = 0; t < rows; ++t)
    for (Size i = 0; i < width / 2; ++i) {
      double const angle = double(first + t) * std::pow(10000.0, -2.0 * double(i) / double(width));
      table.view()(t, 0, i) = float(std::cos(angle)), table.view()(t, 1, i) = float(std::sin(angle));
    }
  return table;
}

TYPED_TEST(Rope, MatchesDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [rows, heads, width] : kShapes) {
      support::Numbers numbers(std::uint64_t(rows * 1000 + heads * 100 + width));
      auto const x = support::dense<T>(numbers, Extents{rows, heads, width});
      auto const table = table_for(rows, width, rows == 3 ? 32767 : 5);
      support::OnDevice const dx(ctx, x); support::OnDevice const dtable(ctx, table);
      kernels::rope<T, Dev>(ctx.stream(), dx.view(), dtable.view());
      auto const got = dx.back();
      EXPECT_TRUE(got.intact());
      for (Size t = 0; t < rows; ++t)
        for (Size h = 0; h < heads; ++h)
          for (Size i = 0; i < width / 2; ++i) {
            double const a = double(float(x.view()(t, h, i))), b = double(float(x.view()(t, h, width / 2 + i)));
            double const cos = double(table.view()(t, 0, i)), sin = double(table.view()(t, 1, i));
            double const want_a = a * cos - b * sin, want_b = b * cos + a * sin;
            // a rounding of each product and one of the sum, which is at most |a| + |b|; then the rounding to T
            double const sum = 2.01 * 0x1p-24 * (std::abs(a) + std::abs(b));
            ASSERT_NEAR(float(got.view()(t, h, i)), want_a, sum + support::kRoundoff<T> * (std::abs(want_a) + sum) + 0x1p-25)
                << support::type_of<T>() << ' ' << rows << ' ' << heads << ' ' << width << " at " << t << ' ' << h << ' ' << i;
            ASSERT_NEAR(float(got.view()(t, h, width / 2 + i)), want_b, sum + support::kRoundoff<T> * (std::abs(want_b) + sum) + 0x1p-25)
                << support::type_of<T>() << ' ' << rows << ' ' << heads << ' ' << width << " at " << t << ' ' << h << ' ' << i;
          }
    }
  });
}

/// Quarter turns of whole numbers are exact.
TYPED_TEST(Rope, QuarterTurnsAreExact) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [rows, heads, width] : kShapes) {
      support::Numbers numbers(std::uint64_t(rows + heads + width));
      auto const x = support::sparse<T>(numbers, Extents{rows, heads, width});
      support::Guarded<float, 3> table({rows, 2, width / 2});
      for (Size t = 0; t < rows; ++t)
        for (Size i = 0; i < width / 2; ++i) {
          int const quarter = numbers.whole(0, 3);
          table.view()(t, 0, i) = quarter % 2 == 0 ? float(1 - quarter) : 0.0f,
                             table.view()(t, 1, i) = quarter % 2 == 1 ? float(2 - quarter) : 0.0f;
        }
      support::OnDevice const dx(ctx, x); support::OnDevice const dtable(ctx, table);
      kernels::rope<T, Dev>(ctx.stream(), dx.view(), dtable.view());
      auto const got = dx.back();
      for (Size t = 0; t < rows; ++t)
        for (Size h = 0; h < heads; ++h)
          for (Size i = 0; i < width / 2; ++i) {
            float const a = float(x.view()(t, h, i)), b = float(x.view()(t, h, width / 2 + i)), cos = table.view()(t, 0, i),
                        sin = table.view()(t, 1, i);
            ASSERT_EQ(float(got.view()(t, h, i)), a * cos - b * sin);
            ASSERT_EQ(float(got.view()(t, h, width / 2 + i)), b * cos + a * sin);
          }
    }
  });
}

/// Rows of a cache: the stride of a token is larger than its heads, and heads beside the view stay as they are.
TEST(RopeStrides, TurnsOnlyTheHeadsGiven) {
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(3);
    auto const x = support::dense<float>(numbers, Extents{Size{3}, Size{4}, Size{8}});
    auto const table = table_for(3, 8, 1);
    support::OnDevice const dx(ctx, x); support::OnDevice const dtable(ctx, table);
    kernels::rope<float, Dev>(ctx.stream(), dx.view().slice(1, 1, 2), dtable.view());
    auto const got = dx.back();
    for (Size t = 0; t < 3; ++t)
      for (Size h = 0; h < 4; ++h)
        for (Size i = 0; i < 8; ++i) EXPECT_EQ(got.view()(t, h, i) != x.view()(t, h, i), h == 1 || h == 2) << t << h << i;
  });
}

TEST(RopeArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<float>(Extents{Size{2}, Size{3}, Size{8}}),
         table = ctx.template empty<float>(Extents{Size{2}, Size{2}, Size{4}});
    auto const refused = [&](View<float, 3, Dev> xx, View<float, 3, Dev> tt, std::string_view part) {
      try {
        kernels::rope<float, Dev>(ctx.stream(), xx, tt);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    using V = View<float, 3, Dev>;
    refused(V(nullptr, {2, 3, 8}), table, "rope: x: the pointer is null");
    refused(V(reinterpret_cast<float*>(reinterpret_cast<char*>(x.data()) + 1), {2, 3, 8}), table, "rope: x: the pointer is not aligned");
    refused(V(x.data(), {2, 3, 7}), table, "rope: x: the head width must be even, found 7");
    refused(x, V(table.data(), {2, 2, 3}), "rope: table: expected shape (2, 2, 4)");
    refused(x, V(nullptr, {2, 2, 4}), "rope: table: the pointer is null");
    refused(V(x.data(), {2, 3, 8}, {0, 8, 1}), table, "rope: x: strides (0, 8, 1)");
    refused(x, V(x.data(), {2, 2, 4}), "rope: x: overlaps table");
    kernels::rope<float, Dev>(ctx.stream(), V(nullptr, {0, 3, 8}), V(nullptr, {0, 2, 4}));  // nothing
  });
}

TEST(RopeCost, CountsPairs) { EXPECT_EQ(kernels::rope_cost(3, 2, 8, 2), (Cost{2 * 48 * 2 + 3 * 8 * 4, 3 * 48})); }

}  // namespace
