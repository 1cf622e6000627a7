/// Rotary positions against plain loops in double.
#include <array>
#include <cmath>
#include <cstring>

#include <mgm/kernels/decode/rope.cuh>

#include "support/device.hpp"
#include "support/refusals.hpp"

namespace rope_test {

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

auto shapes() {
  return support::shapes(kShapes, [](auto const& s) { return s[2] % 2 == 0; });
}

TYPED_TEST(Rope, MatchesDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [rows, heads, width] : shapes()) {
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
    for (auto const& [rows, heads, width] : shapes()) {
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

/// q, k and v as columns of one matrix; rows of a cache in the middle of it. Bits are those of rope; all else stays as it was.
TYPED_TEST(Rope, AppendTurnsAsRopeAndCopiesValues) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [rows, heads, width] : shapes()) {
      Size const kv_heads = heads % 4 == 0 ? heads / 4 : heads, all = heads + 2 * kv_heads, past = 3;
      support::Numbers numbers(std::uint64_t(rows * 100 + heads + width));
      auto const qkv = support::dense<T>(numbers, Extents{rows, all, width}),
                 cache = support::dense<T>(numbers, Extents{Size{2}, rows + 5, kv_heads * width});
      auto const table = table_for(rows, width, past);
      support::OnDevice const fused(ctx, qkv); support::OnDevice const plain(ctx, qkv);
      support::OnDevice const dcache(ctx, cache); support::OnDevice const dtable(ctx, table);
      auto const part = [&, r = rows, w = width](int which) {                                      // rows of the cache: (T, kv_heads, d)
        View<T, 3, Dev> const c = dcache.view();
        return View<T, 3, Dev>(c.row(Size{which}, past), {r, kv_heads, w}, {c.stride(1), w, 1});
      };
      kernels::rope<T, Dev>(ctx.stream(), plain.view().slice(1, 0, heads + kv_heads), dtable.view());
      kernels::rope_append<T, Dev>(ctx.stream(), fused.view().slice(1, 0, heads), fused.view().slice(1, heads, kv_heads),
                                   fused.view().slice(1, heads + kv_heads, kv_heads), dtable.view(), part(0), part(1));
      auto const got = fused.back(), want = plain.back();
      auto const stored = dcache.back();
      EXPECT_TRUE(got.intact() && stored.intact());
      for (Size t = 0; t < rows; ++t)
        for (Size h = 0; h < all; ++h)
          for (Size c = 0; c < width; ++c) {
            ASSERT_EQ(float(got.view()(t, h, c)), float((h < heads ? want : qkv).view()(t, h, c))) << t << ' ' << h << ' ' << c;
            if (h >= heads) {
              Size const of_v = h >= heads + kv_heads, g = h - heads - of_v * kv_heads;
              ASSERT_EQ(float(stored.view()(of_v, past + t, g * width + c)), float(want.view()(t, h, c))) << t << ' ' << h << ' ' << c;
            }
          }
      for (Size part_of : {Size{0}, Size{1}})
        for (Size t : {Size{0}, Size{1}, Size{2}, rows + 3, rows + 4})
          for (Size c = 0; c < kv_heads * width; ++c) ASSERT_EQ(float(stored.view()(part_of, t, c)), float(cache.view()(part_of, t, c)));
    }
  });
}

/// Rows that only the device knows get the bits of those that the host names; a position outside of the cache is not stored.
TYPED_TEST(Rope, AppendAtPositionsIsAppendThere) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [rows, heads, width] : shapes()) {
      Size const kv_heads = heads % 4 == 0 ? heads / 4 : heads, capacity = rows + 6;
      support::Numbers numbers(std::uint64_t(rows * 100 + heads + 2 * width));
      auto const q = support::dense<T>(numbers, Extents{rows, heads, width}), k = support::dense<T>(numbers, Extents{rows, kv_heads, width}),
                 v = support::dense<T>(numbers, Extents{rows, kv_heads, width});
      auto const cache = support::dense<T>(numbers, Extents{Size{2} * capacity, kv_heads, width});
      auto const table = table_for(capacity, width, 0);
      support::OnDevice const dk(ctx, k); support::OnDevice const dv(ctx, v); support::OnDevice const dtable(ctx, table);
      support::OnDevice const q_at(ctx, q); support::OnDevice const cache_at(ctx, cache);
      support::OnDevice const q_named(ctx, q); support::OnDevice const cache_named(ctx, cache);
      std::vector<std::int64_t> positions;
      for (Size t = 0; t < rows; ++t) positions.push_back(t == 1 ? capacity : t == 3 ? -1 : rows + 4 - t);  // falling; two outside
      auto const at = ctx.on_device(View<std::int64_t const, 1, Cpu>(positions.data(), Extents{rows}));
      auto const part = [&, c = capacity](support::OnDevice<T, 3> const& of, Size which) { return of.view().slice(0, which * c, c); };
      kernels::rope_append_at<T, Dev>(ctx.stream(), q_at.view(), dk.view(), dv.view(), dtable.view(), at, part(cache_at, 0), part(cache_at, 1));
      for (Size t = 0; t < rows; ++t) {
        Size const row = positions[std::size_t(t)];
        if (row < 0 || row >= capacity) continue;
        kernels::rope_append<T, Dev>(ctx.stream(), q_named.view().slice(0, t, 1), dk.view().slice(0, t, 1), dv.view().slice(0, t, 1),
                                     dtable.view().slice(0, row, 1), part(cache_named, 0).slice(0, row, 1),
                                     part(cache_named, 1).slice(0, row, 1));
      }
      auto const got = q_at.back(), want = q_named.back();
      auto const stored = cache_at.back(), named = cache_named.back();
      EXPECT_TRUE(got.intact() && stored.intact());
      for (Size t = 0; t < rows; ++t)
        for (Size h = 0; h < heads; ++h)
          for (Size c = 0; c < width; ++c) {
            if (t == 1 || t == 3) ASSERT_TRUE(std::isnan(float(got.view()(t, h, c)))) << t;
            else ASSERT_EQ(float(got.view()(t, h, c)), float(want.view()(t, h, c))) << t << ' ' << h << ' ' << c;
          }
      for (Size t = 0; t < 2 * capacity; ++t)
        for (Size h = 0; h < kv_heads; ++h)
          for (Size c = 0; c < width; ++c)
            ASSERT_EQ(float(stored.view()(t, h, c)), float(named.view()(t, h, c))) << t << ' ' << h << ' ' << c;
    }
  });
}

/// Keys and values that already lie in the cache: keys are turned there.
TEST(RopeAppend, WorksWhereTheProductsWroteThem) {
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(9);
    auto const q = support::dense<float>(numbers, Extents{Size{5}, Size{4}, Size{12}}),
               k = support::dense<float>(numbers, Extents{Size{5}, Size{2}, Size{12}});
    auto const v = support::dense<float>(numbers, Extents{Size{5}, Size{2}, Size{12}});
    auto const table = table_for(5, 12, 7);
    support::OnDevice const dq(ctx, q); support::OnDevice const dk(ctx, k); support::OnDevice const dv(ctx, v);
    support::OnDevice const q_alone(ctx, q); support::OnDevice const k_alone(ctx, k); support::OnDevice const dtable(ctx, table);
    kernels::rope_append<float, Dev>(ctx.stream(), dq.view(), dk.view(), dv.view(), dtable.view(), dk.view(), dv.view());
    kernels::rope<float, Dev>(ctx.stream(), q_alone.view(), dtable.view()),
        kernels::rope<float, Dev>(ctx.stream(), k_alone.view(), dtable.view());
    auto const same = [](auto const& a, auto const& b) {
      return std::memcmp(a.block().data(), b.block().data(), a.block().size() * sizeof(float)) == 0;
    };
    EXPECT_TRUE(same(dq.back(), q_alone.back()) && same(dk.back(), k_alone.back()) && same(dv.back(), v));
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
    support::expect_bad_views_refused("rope: x", x.view(), [&](auto bad) { kernels::rope<float, Dev>(ctx.stream(), bad, table); });
    support::expect_bad_views_refused("rope: table", support::input(table),
                                      [&](auto bad) { kernels::rope<float, Dev>(ctx.stream(), x.view(), bad); });
  });
}

TEST(RopeAppendArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using V = View<float, 3, Dev>;
    auto all = ctx.template empty<float>(Extents{Size{2}, Size{12}, Size{8}}),
         table = ctx.template empty<float>(Extents{Size{2}, Size{2}, Size{4}});
    V const whole = all, q = whole.slice(1, 0, 4), k = whole.slice(1, 4, 2), v = whole.slice(1, 6, 2), keys = whole.slice(1, 8, 2),
            values = whole.slice(1, 10, 2);
    auto const refused = [&](V qq, V kk, V vv, V tt, V to_k, V to_v, std::string_view part) {
      try {
        kernels::rope_append<float, Dev>(ctx.stream(), qq, kk, vv, tt, to_k, to_v);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    refused(V(nullptr, {2, 4, 8}), k, v, table, keys, values, "rope_append: q: the pointer is null");
    refused(q, whole.slice(1, 4, 2).slice(2, 0, 6), v, table, keys, values, "rope_append: k: expected shape (2, *, 8)");
    refused(q, k, whole.slice(1, 6, 1), table, keys, values, "rope_append: v: expected shape (2, 2, 8)");
    refused(q, k, v, V(table.data(), {2, 2, 3}), keys, values, "rope_append: table: expected shape (2, 2, 4)");
    refused(q, k, v, table, whole.slice(1, 8, 1), values, "rope_append: keys: expected shape (2, 2, 8)");
    refused(q, k, v, table, keys, keys, "rope_append: keys: overlaps values");
    refused(q, q.slice(1, 2, 2), v, table, keys, values, "rope_append: q: overlaps k");
    refused(q, k, v, table, v, values, "rope_append: keys: overlaps v");
    refused(q, k, v, table, keys, k, "rope_append: values: overlaps");
    auto const append = [&](V qq, auto kk, auto vv, auto tt, V to_k, V to_v) {
      kernels::rope_append<float, Dev>(ctx.stream(), qq, kk, vv, tt, to_k, to_v);
    };
    support::expect_bad_views_refused("rope_append: q", q, [&](auto bad) { append(bad, k, v, table.view(), keys, values); });
    support::expect_bad_views_refused("rope_append: k", support::input(k),
                                      [&](auto bad) { append(q, bad, v, table.view(), keys, values); });
    support::expect_bad_views_refused("rope_append: v", support::input(v),
                                      [&](auto bad) { append(q, k, bad, table.view(), keys, values); });
    support::expect_bad_views_refused("rope_append: table", support::input(table), [&](auto bad) { append(q, k, v, bad, keys, values); });
    support::expect_bad_views_refused("rope_append: keys", keys, [&](auto bad) { append(q, k, v, table.view(), bad, values); });
    support::expect_bad_views_refused("rope_append: values", values, [&](auto bad) { append(q, k, v, table.view(), keys, bad); });
    append(q.slice(0, 0, 0), k.slice(0, 0, 0), v.slice(0, 0, 0), table.view().slice(0, 0, 0), keys.slice(0, 0, 0),
           values.slice(0, 0, 0));  // nothing
  });
}

TEST(RopeAppendAtArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using V = View<float, 3, Dev>;
    using P = View<std::int64_t const, 1, Dev>;
    auto q = ctx.template empty<float>(Extents{Size{2}, Size{4}, Size{8}}), k = ctx.template empty<float>(Extents{Size{2}, Size{2}, Size{8}}),
         v = ctx.template empty<float>(Extents{Size{2}, Size{2}, Size{8}}), table = ctx.template empty<float>(Extents{Size{9}, Size{2}, Size{4}}),
         keys = ctx.template empty<float>(Extents{Size{9}, Size{2}, Size{8}}), values = ctx.template empty<float>(Extents{Size{9}, Size{2}, Size{8}});
    auto positions = ctx.template empty<std::int64_t>(Extents{Size{2}});
    P const both = positions.view();
    auto const refused = [&](V qq, V kk, V tt, P at, V to_k, V to_v, std::string_view part) {
      try {
        kernels::rope_append_at<float, Dev>(ctx.stream(), qq, kk, v, tt, at, to_k, to_v);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    refused(V(nullptr, {2, 4, 8}), k, table, both, keys, values, "rope_append_at: q: the pointer is null");
    refused(q, V(k.data(), {2, 2, 6}), table, both, keys, values, "rope_append_at: k: expected shape (2, *, 8)");
    refused(q, k, V(table.data(), {9, 2, 3}), both, keys, values, "rope_append_at: table: expected shape (*, 2, 4)");
    refused(q, k, table, both.slice(0, 0, 1), keys, values, "rope_append_at: positions: expected shape (2)");
    refused(q, k, table, P(nullptr, {2}), keys, values, "rope_append_at: positions: the pointer is null");
    refused(q, k, table, both, V(keys.data(), {8, 2, 8}), values, "rope_append_at: keys: expected shape (9, 2, 8)");
    refused(q, k, table, both, keys, keys, "rope_append_at: keys: overlaps values");
    refused(q, V(keys.data(), {2, 2, 8}), table, both, keys, values, "rope_append_at: keys: overlaps k");
  });
}

TEST(RopeCost, CountsPairs) { EXPECT_EQ(kernels::rope_cost(3, 2, 8, 2), (Cost{2 * 48 * 2 + 3 * 8 * 4, 3 * 48})); }
TEST(RopeAppendCost, CountsPairs) { EXPECT_EQ(kernels::rope_append_cost(3, 2, 1, 8, 2), (Cost{2 * 96 * 2 + 3 * 8 * 4, 3 * 72})); }

}  // namespace rope_test
