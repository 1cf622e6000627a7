/// The general attention against plain loops in double.
#include <cstring>

#include <mgm/kernels/attention/attention_general.cuh>

#include "kernels/attention_cases.hpp"
#include "support/refusals.hpp"

namespace attention_test {

using namespace mgm;
using support::AttentionCase;
using support::AttentionInputs;
using support::Dev;

template <class T>
class Attention : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Attention, Types);

// Least; counts around a chunk of 32 keys and a block of 16 rows; shared heads; widths around a lane's steps and a slice of 64.
constexpr AttentionCase kCases[] = {{1, 1, 1, 1, 1, false},   {1, 2, 1, 1, 2},    {2, 2, 1, 1, 3},          {3, 5, 2, 1, 5},
                                    {1, 31, 3, 3, 7},         {1, 32, 2, 2, 8},   {1, 33, 4, 1, 12},        {5, 33, 1, 1, 16, false},
                                    {15, 17, 1, 1, 24},       {16, 16, 2, 2, 31}, {17, 40, 1, 1, 32},       {4, 64, 4, 2, 33},
                                    {3, 65, 6, 2, 40, false}, {19, 19, 2, 1, 48}, {7, 70, 1, 1, 63},        {13, 13, 1, 1, 64},
                                    {2, 95, 2, 2, 65, false}, {1, 129, 8, 1, 80}, {5, 9, 2, 2, 96},         {9, 37, 1, 1, 127},
                                    {3, 34, 2, 1, 128},       {2, 33, 1, 1, 129}, {1, 40, 2, 1, 192},       {3, 41, 1, 1, 256, false},
                                    {2, 7, 2, 2, 257},        {1, 35, 1, 1, 511}, {2, 33, 2, 1, 512, false}};

/// A product and a sum for each channel, one rescaling and two sums for each 32 keys, five sums of the mass over the lanes.
auto rounding(AttentionCase const& c) {
  return [d = double(c.width)](Size seen) {
    Size const chunks = (seen + 31) / 32;
    return support::AttentionRounding{.dot = d, .sums = double(seen + chunks + 5), .rescalings = double(chunks)};
  };
}

TYPED_TEST(Attention, GeneralMatchesDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::each_case(kCases, 1, [&](AttentionCase const& c) {
      AttentionInputs<T> const in(c);
      float const scale = 2 / std::sqrt(float(c.width));
      support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
      support::OnDevice const out(ctx, in.out);
      kernels::attention_general<T, Dev>(ctx.stream(), q.view(), k.view(), v.view(), scale, c.causal, out.view());
      support::expect_attention<T>(c, in, out.back(), double(scale), rounding(c));
    });
  });
}

TYPED_TEST(Attention, GeneralPicksOneRowExactly) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::each_case(kCases, 1, [&](AttentionCase const& c) {
      AttentionInputs<T> in(c);
      Size const target = c.causal ? (c.keys - c.queries) / 2 : c.keys - 1;
      support::one_hot(c, in, target);
      support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
      support::OnDevice const out(ctx, in.out);
      kernels::attention_general<T, Dev>(ctx.stream(), q.view(), k.view(), v.view(), 1, c.causal, out.view());
      support::expect_one_hot<T>(c, in, out.back(), target);
    });
  });
}

/// Queries of zero: the mean of what is seen; with whole values and a power of two of keys it is exact but for the rounding to T.
TYPED_TEST(Attention, GeneralEqualScoresGiveTheMean) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    AttentionCase const c{1, 64, 2, 1, 40};
    AttentionInputs<T> in(c);
    support::Numbers numbers(5);
    in.q.fill([] { return 0; });
    in.v = support::sparse<T>(numbers, Extents{c.keys, c.kv_heads, c.width});
    support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
    support::OnDevice const out(ctx, in.out);
    kernels::attention_general<T, Dev>(ctx.stream(), q.view(), k.view(), v.view(), 1, true, out.view());
    auto const got = out.back();
    for (Size x = 0; x < c.width; ++x) {
      float sum = 0;
      for (Size j = 0; j < c.keys; ++j) sum += float(in.v.view()(j, 0, x));
      EXPECT_EQ(float(got.view()(0, 1, x)), float(T(sum / 64))) << x;
    }
  });
}

/// A row has the same bits alone and among others, and never touches what it may not see.
TYPED_TEST(Attention, GeneralRowsDoNotDependOnTheirNeighbours) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    AttentionCase const c{21, 50, 4, 2, 20};
    AttentionInputs<T> const in(c);
    support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
    support::OnDevice const all(ctx, in.out); support::OnDevice const each(ctx, in.out);
    kernels::attention_general<T, Dev>(ctx.stream(), q.view(), k.view(), v.view(), 0.7f, true, all.view());
    for (Size i = 0; i < c.queries; ++i) {
      AttentionInputs<T> hidden(c);                                        // later keys hold NaN
      for (Size j = c.seen(i); j < c.keys; ++j)
        for (Size g = 0; g < c.kv_heads; ++g)
          for (Size x = 0; x < c.width; ++x) hidden.k.view()(j, g, x) = hidden.v.view()(j, g, x) = T(NAN);
      support::OnDevice const hk(ctx, hidden.k); support::OnDevice const hv(ctx, hidden.v);
      Size const first = std::min(i, c.queries - 2), rows = 2;             // two queries, whose second may see a NaN
      kernels::attention_general<T, Dev>(ctx.stream(), q.view().slice(0, first, rows), hk.view().slice(0, 0, c.seen(first + 1)),
                                         hv.view().slice(0, 0, c.seen(first + 1)), 0.7f, true, each.view().slice(0, first, rows));
      auto const one = each.back(), together = all.back();
      for (Size h = 0; h < c.heads; ++h)
        for (Size x = 0; x < c.width; ++x)
          ASSERT_EQ(float(one.view()(i, h, x)), float(together.view()(i, h, x))) << i << ' ' << h << ' ' << x;
    }
  });
}

/// Heads outside tokens, as a cache holds them, and an axis that is not dense.
TEST(AttentionStrides, MayBeAny) {
  support::on_each_machine([](Context<Dev>& ctx) {
    AttentionCase const c{3, 37, 4, 2, 10};
    AttentionInputs<float> in(c);
    support::Guarded<float, 3> turned_k({c.kv_heads, c.width, c.keys}), turned_v({c.kv_heads, c.keys, c.width});
    support::Guarded<float, 3> const turned_out({c.heads, c.queries, c.width});
    for (Size j = 0; j < c.keys; ++j)
      for (Size g = 0; g < c.kv_heads; ++g)
        for (Size x = 0; x < c.width; ++x) turned_k.view()(g, x, j) = in.k.view()(j, g, x), turned_v.view()(g, j, x) = in.v.view()(j, g, x);
    support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, turned_k); support::OnDevice const v(ctx, turned_v);
    support::OnDevice const out(ctx, turned_out);
    auto const kv = k.view(), vv = v.view(), ov = out.view();
    kernels::attention_general<float, Dev>(
        ctx.stream(), q.view(),
        View<float const, 3, Dev>(kv.data(), {c.keys, c.kv_heads, c.width}, {kv.stride(2), kv.stride(0), kv.stride(1)}),
        View<float const, 3, Dev>(vv.data(), {c.keys, c.kv_heads, c.width}, {vv.stride(1), vv.stride(0), 1}), 0.5f, true,
        View<float, 3, Dev>(ov.data(), {c.queries, c.heads, c.width}, {ov.stride(1), ov.stride(0), 1}));
    auto const got = out.back();
    EXPECT_TRUE(got.intact());
    for (Size i = 0; i < c.queries; ++i)
      for (Size h = 0; h < c.heads; ++h)
        for (Size x = 0; x < c.width; ++x) in.out.view()(i, h, x) = got.view()(h, i, x);
    support::expect_attention<float>(c, in, in.out, 0.5, rounding(c));
  });
}

TEST(AttentionArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto q = ctx.template empty<float>(Extents{Size{2}, Size{4}, Size{8}}),
         k = ctx.template empty<float>(Extents{Size{3}, Size{2}, Size{8}});
    auto out = ctx.template empty<float>(Extents{Size{2}, Size{4}, Size{8}});
    auto const refused = [&](View<float, 3, Dev> qq, View<float, 3, Dev> kk, View<float, 3, Dev> vv, View<float, 3, Dev> oo,
                             std::string_view part) {
      try {
        kernels::attention_general<float, Dev>(ctx.stream(), qq, kk, vv, 1, true, oo);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    using V = View<float, 3, Dev>;
    refused(V(nullptr, {2, 4, 8}), k, k, out, "attention: q: the pointer is null");
    refused(q, V(reinterpret_cast<float*>(reinterpret_cast<char*>(k.data()) + 2), {3, 2, 8}), k, out,
            "attention: k: the pointer is not aligned");
    refused(q, V(k.data(), {3, 2, 7}), k, out, "attention: k: expected shape (*, *, 8)");
    refused(q, k, V(k.data(), {2, 2, 8}), out, "attention: v: expected shape (3, 2, 8)");
    refused(q, k, k, V(out.data(), {2, 4, 7}), "attention: out: expected shape (2, 4, 8)");
    refused(q, k, k, q, "attention: out: overlaps q");
    refused(V(q.data(), {2, 3, 8}), k, k, V(out.data(), {2, 3, 8}), "must be a multiple");
    refused(V(q.data(), {4, 2, 8}), k, k, V(out.data(), {4, 2, 8}), "4 causal queries need as many keys");
    refused(q, V(k.data(), {0, 2, 8}), V(k.data(), {0, 2, 8}), out, "attention: k: no keys");
    refused(q, V(k.data(), {3, 2, 8}, {-16, 8, 1}), k, out, "attention: k: strides must not be negative");
    refused(V(q.data(), {1, 1, 513}, {0, 0, 0}), V(k.data(), {1, 1, 513}, {0, 0, 0}), V(k.data(), {1, 1, 513}, {0, 0, 0}),
            V(out.data(), {1, 1, 513}), "at most 512");
    kernels::attention_general<float, Dev>(ctx.stream(), V(nullptr, {0, 4, 8}), k, k, 1, true, V(nullptr, {0, 4, 8}));  // nothing
    auto const attend = [&](auto qq, auto kk, auto vv, V to) {
      kernels::attention_general<float, Dev>(ctx.stream(), qq, kk, vv, 1, true, to);
    };
    support::expect_bad_views_refused("attention: q", support::input(q), [&](auto bad) { attend(bad, k.view(), k.view(), out); });
    support::expect_bad_views_refused("attention: k", support::input(k), [&](auto bad) { attend(q.view(), bad, k.view(), out); });
    support::expect_bad_views_refused("attention: v", support::input(k), [&](auto bad) { attend(q.view(), k.view(), bad, out); });
    support::expect_bad_views_refused("attention: out", out.view(), [&](auto bad) { attend(q.view(), k.view(), k.view(), bad); });
  });
}

TEST(AttentionCost, CountsPairsSeen) {
  EXPECT_EQ(kernels::attention_cost(2, 3, 4, 2, 8, false, 2), (Cost{2 * (2 * 4 + 3 * 2) * 8 * 2, 4 * 6 * 4 * 8}));
  EXPECT_EQ(kernels::attention_cost(2, 3, 4, 2, 8, true, 2).flops, 4 * 5 * 4 * 8);
}

}  // namespace attention_test
