/// Attention of few queries against plain loops in double.
#include <mgm/kernels/attention/attention_decode.cuh>

#include "kernels/attention_cases.hpp"
#include "support/refusals.hpp"

namespace attention_decode_test {

using namespace mgm;
using support::AttentionCase;
using support::AttentionInputs;
using support::Dev;

template <class T>
class AttentionDecode : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(AttentionDecode, Types);

// Least; keys around a warp's 32 and the splits of 32, 64 and 128; rows around a block's 8; heads below, at and above the widths of the
// forms.
constexpr AttentionCase kCases[] = {
    {1, 1, 1, 1, 8},           {1, 2, 2, 2, 64},    {1, 31, 1, 1, 128},      {1, 32, 3, 3, 16},   {1, 33, 2, 1, 64},   {1, 63, 8, 1, 256},
    {1, 64, 4, 1, 128},        {1, 65, 7, 1, 128},  {1, 127, 9, 1, 64},      {1, 128, 1, 1, 256}, {1, 129, 1, 1, 128}, {1, 255, 2, 2, 64},
    {1, 257, 8, 1, 64},        {1, 300, 8, 2, 32},  {1, 385, 1, 1, 40},      {1, 260, 10, 2, 96}, {1, 130, 2, 1, 192}, {1, 97, 3, 1, 248},
    {2, 2, 1, 1, 64},          {3, 130, 1, 1, 128}, {5, 70, 2, 1, 80},       {16, 16, 1, 1, 64},  {16, 140, 2, 2, 24}, {4, 129, 8, 2, 128},
    {7, 66, 1, 1, 256, false}, {1, 7, 5, 5, 72},    {16, 33, 3, 1, 8, false}};

/// Rows that begin at multiples of 16 bytes.
template <class T>
AttentionInputs<T> aligned(AttentionCase const& c) {
  return AttentionInputs<T>(c, 8, 8);
}

/// Roundings: 32 keys a warp, five sums over its lanes, at most 4 warps, then the splits; rescaled by lane, warp and split.
template <class T>
auto rounding(AttentionCase const& c) {
  return [d = double(c.width), split = kernels::attention_decode_split(c.width, sizeof(T))](Size seen) {
    return support::AttentionRounding{.dot = d, .sums = 32.0 + 5 + 4 + double((seen + split - 1) / split), .rescalings = 3};
  };
}

template <class T>
support::Guarded<float, 1> workspace_for(AttentionCase const& c) {
  return support::Guarded<float, 1>({kernels::attention_decode_workspace(c.queries, c.keys, c.heads, c.width, sizeof(T))});
}

TYPED_TEST(AttentionDecode, MatchesDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::each_case(kCases, 8, [&](AttentionCase const& c) {
      auto const in = aligned<T>(c);
      float const scale = 2 / std::sqrt(float(c.width));
      support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
      support::OnDevice const out(ctx, in.out); support::OnDevice const work(ctx, workspace_for<T>(c));
      kernels::attention_decode<T, Dev>(ctx.stream(), q.view(), k.view(), v.view(), scale, c.causal, work.view(), out.view());
      EXPECT_TRUE(work.back().intact());
      support::expect_attention<T>(c, in, out.back(), double(scale), rounding<T>(c));
    });
  });
}

TYPED_TEST(AttentionDecode, PicksOneRowExactly) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::each_case(kCases, 8, [&](AttentionCase const& c) {
      auto in = aligned<T>(c);
      Size const target = c.causal ? (c.keys - c.queries) / 2 : c.keys - 1;
      support::one_hot(c, in, target);
      support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
      support::OnDevice const out(ctx, in.out); support::OnDevice const work(ctx, workspace_for<T>(c));
      kernels::attention_decode<T, Dev>(ctx.stream(), q.view(), k.view(), v.view(), 1, c.causal, work.view(), out.view());
      support::expect_one_hot<T>(c, in, out.back(), target);
    });
  });
}

/// A head has the same bits alone (one row a block) and in a group (eight), and where later keys hold NaN.
TYPED_TEST(AttentionDecode, RowsDoNotDependOnTheirNeighbours) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    AttentionCase const c{3, 150, 4, 1, 64};
    auto const in = aligned<T>(c);
    auto hidden = in;
    for (Size j = c.seen(0); j < c.keys; ++j)
      for (Size x = 0; x < c.width; ++x) hidden.k.view()(j, 0, x) = hidden.v.view()(j, 0, x) = T(NAN);
    support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
    support::OnDevice const out(ctx, in.out); support::OnDevice const one(ctx, in.out);
    support::OnDevice const work(ctx, workspace_for<T>(c));
    support::OnDevice const hk(ctx, hidden.k); support::OnDevice const hv(ctx, hidden.v); support::OnDevice const seen_nan(ctx, in.out);
    kernels::attention_decode<T, Dev>(ctx.stream(), q.view(), k.view(), v.view(), 0.4f, true, work.view(), out.view());
    kernels::attention_decode<T, Dev>(ctx.stream(), q.view(), hk.view(), hv.view(), 0.4f, true, work.view(), seen_nan.view());
    for (Size h = 0; h < c.heads; ++h)
      kernels::attention_decode<T, Dev>(ctx.stream(), q.view().slice(1, h, 1).slice(0, 0, 1), k.view().slice(0, 0, c.seen(0)),
                                        v.view().slice(0, 0, c.seen(0)), 0.4f, true, work.view(), one.view().slice(1, h, 1).slice(0, 0, 1));
    auto const all = out.back(), alone = one.back(), beside_nan = seen_nan.back();
    for (Size h = 0; h < c.heads; ++h)
      for (Size x = 0; x < c.width; ++x) {
        ASSERT_EQ(float(all.view()(0, h, x)), float(alone.view()(0, h, x))) << h << ' ' << x;
        ASSERT_EQ(float(all.view()(0, h, x)), float(beside_nan.view()(0, h, x))) << h << ' ' << x;
      }
  });
}

TEST(AttentionDecodeArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using V = View<float, 3, Dev>;
    auto q = ctx.template empty<float>(Extents{Size{2}, Size{4}, Size{8}}),
         k = ctx.template empty<float>(Extents{Size{300}, Size{2}, Size{8}});
    auto out = ctx.template empty<float>(Extents{Size{2}, Size{4}, Size{8}});
    Size const needed = kernels::attention_decode_workspace(2, 300, 4, 8, 4);
    EXPECT_EQ(needed, 2 * 4 * 3 * 10);
    auto work = ctx.template empty<float>(Extents{needed});
    auto const refused = [&](V qq, V kk, View<float, 1, Dev> w, V oo, std::string_view part) {
      try {
        kernels::attention_decode<float, Dev>(ctx.stream(), qq, kk, kk, 1, true, w, oo);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    refused(q, k, View<float, 1, Dev>(work.data(), {needed - 1}), out,
            "attention_decode: workspace: 240 dense floats are needed, found 239");
    refused(q, k, View<float, 1, Dev>(nullptr, {needed}), out, "attention_decode: workspace: the pointer is null");
    refused(q, k, View<float, 1, Dev>(k.data(), {needed}), out, "attention_decode: workspace: overlaps k");
    refused(q, V(k.data() + 1, {299, 2, 8}), work, out, "attention_general takes all");
    refused(V(q.data(), {17, 1, 1}), V(k.data(), {300, 1, 1}), work, V(out.data(), {17, 1, 1}), "at most 16 queries");
    refused(q, k, work, V(out.data(), {2, 4, 7}), "attention: out: expected shape (2, 4, 8)");
    kernels::attention_decode<float, Dev>(ctx.stream(), V(nullptr, {0, 4, 8}), k, k, 1, true, View<float, 1, Dev>(),
                                          V(nullptr, {0, 4, 8}));  // nothing
    auto const attend = [&](auto qq, auto kk, auto vv, V to) {
      kernels::attention_decode<float, Dev>(ctx.stream(), qq, kk, vv, 1, true, work, to);
    };
    support::expect_bad_views_refused("attention: q", support::input(q), [&](auto bad) { attend(bad, k.view(), k.view(), out); });
    support::expect_bad_views_refused("attention: k", support::input(k), [&](auto bad) { attend(q.view(), bad, k.view(), out); });
    support::expect_bad_views_refused("attention: v", support::input(k), [&](auto bad) { attend(q.view(), k.view(), bad, out); });
    support::expect_bad_views_refused("attention: out", out.view(), [&](auto bad) { attend(q.view(), k.view(), k.view(), bad); });

    support::expect_bad_views_refused("attention_decode: workspace", work.view(), [&](auto bad) {
      kernels::attention_decode<float, Dev>(ctx.stream(), q, k, k, 1, true, bad, out.view());
    });
  });
}

TEST(AttentionDecodeSplits, AreThoseOfTheTraits) {
  EXPECT_EQ(kernels::attention_decode_split(64, 2), (kernels::AttentionDecodeTraits<bf16, 64, 1>::kSplit));
  EXPECT_EQ(kernels::attention_decode_split(128, 2), (kernels::AttentionDecodeTraits<bf16, 128, 8>::kSplit));
  EXPECT_EQ(kernels::attention_decode_split(256, 2), (kernels::AttentionDecodeTraits<bf16, 256, 1>::kSplit));
  EXPECT_EQ(kernels::attention_decode_split(8, 4), (kernels::AttentionDecodeTraits<float, 64, 1>::kSplit));
  EXPECT_EQ(kernels::attention_decode_split(72, 4), (kernels::AttentionDecodeTraits<float, 128, 8>::kSplit));
  EXPECT_EQ(kernels::attention_decode_split(129, 4), (kernels::AttentionDecodeTraits<float, 256, 8>::kSplit));
  EXPECT_EQ(kernels::attention_decode_cost(1, 128, 2, 1, 64, true, 2),
            kernels::attention_cost(1, 128, 2, 1, 64, true, 2));  // one split: no states
}

}  // namespace attention_decode_test
