/// Attention by matrix instructions against plain loops in double.
#include <cstring>

#include <mgm/kernels/attention/attention_mma.cuh>

#include "kernels/attention_cases.hpp"
#include "support/refusals.hpp"

namespace attention_mma_test {

using namespace mgm;
using support::AttentionCase;
using support::AttentionInputs;
using support::Dev;

template <class T>
class AttentionMma : public testing::Test {};
using Types = testing::Types<bf16, half>;
TYPED_TEST_SUITE(AttentionMma, Types);

// Least; queries around a warp's 16 and 32 rows and a block's 64 and 128; keys around tiles of 32 and 64; shared heads; widths below, at
// and above those of the forms.
constexpr AttentionCase kCases[] = {
    {1, 1, 1, 1, 8},          {1, 2, 1, 1, 64},    {2, 2, 2, 2, 16},          {3, 31, 1, 1, 24, false},  {5, 32, 1, 1, 32},
    {15, 33, 2, 1, 40},       {16, 16, 1, 1, 48},  {17, 63, 1, 1, 56, false}, {31, 64, 1, 1, 64, false}, {33, 65, 1, 1, 64},
    {63, 63, 1, 1, 64},       {64, 64, 1, 1, 64},  {65, 65, 1, 1, 64},        {13, 70, 5, 1, 64},        {129, 129, 1, 1, 16},
    {1, 97, 7, 1, 64, false}, {1, 64, 1, 1, 72},   {4, 33, 4, 2, 80},         {16, 31, 1, 1, 96},        {20, 32, 1, 1, 112, false},
    {7, 34, 1, 1, 120},       {40, 40, 2, 2, 128}, {65, 66, 1, 1, 128},       {9, 65, 3, 1, 128, false}, {2, 5, 8, 1, 136},
    {3, 33, 1, 1, 192},       {33, 33, 1, 1, 256}, {5, 64, 2, 1, 256, false}, {66, 31, 1, 1, 248, false}};

/// Instructions round (K/16 + 1)·18·2⁻²³ of Σ|a||b| at most (simt/mma.hpp), K = d for scores and the keys for sums; scores are scaled to
/// base 2. Probabilities are rounded to T; those of f16 are absolutely off by half of its least number where they are smaller than its
/// normals.
template <class T>
auto rounding(AttentionCase const& c) {
  return [d = double(c.width)](Size seen) {
    return support::AttentionRounding{.dot = 36 * (d / 16 + 1) + 2,
                                      .sums = 36 * (double(seen + 63) / 16 + 1) + double(seen),
                                      .rescalings = double(seen + 31) / 32,
                                      .probability = support::kRoundoff<T>,
                                      .smallest = std::is_same_v<T, half> ? double(seen) * 0x1p-25 : 0};
  };
}

TYPED_TEST(AttentionMma, MatchesDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::each_case(kCases, 8, [&](AttentionCase const& c) {
      AttentionInputs<T> const in(c, 8, 8);
      float const scale = 2 / std::sqrt(float(c.width));
      support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
      support::OnDevice const out(ctx, in.out);
      kernels::attention_mma<1, T, Dev>(ctx.stream(), q.view(), k.view(), v.view(), scale, c.causal, out.view());
      support::expect_attention<T>(c, in, out.back(), double(scale), rounding<T>(c));
    });
  });
}

/// A row that is exact, and bits that do not depend on how many rows a warp has.
TYPED_TEST(AttentionMma, PicksOneRowExactlyInEitherForm) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::each_case(kCases, 8, [&](AttentionCase const& c) {
      AttentionInputs<T> const in(c, 8, 8);
      auto hot = in;
      Size const target = c.causal ? (c.keys - c.queries) / 2 : c.keys - 1;
      support::one_hot(c, hot, target);
      support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
      support::OnDevice const hot_q(ctx, hot.q); support::OnDevice const hot_k(ctx, hot.k); support::OnDevice const hot_v(ctx, hot.v);
      support::OnDevice const out(ctx, in.out); support::OnDevice const large(ctx, in.out); support::OnDevice const hot_out(ctx, in.out);
      kernels::attention_mma<1, T, Dev>(ctx.stream(), q.view(), k.view(), v.view(), 0.3f, c.causal, out.view());
      kernels::attention_mma<2, T, Dev>(ctx.stream(), q.view(), k.view(), v.view(), 0.3f, c.causal, large.view());
      auto const small_rows = out.back(), large_rows = large.back();
      EXPECT_EQ(std::memcmp(small_rows.block().data(), large_rows.block().data(), small_rows.block().size() * sizeof(T)), 0) << c.name();
      kernels::attention_mma<2, T, Dev>(ctx.stream(), hot_q.view(), hot_k.view(), hot_v.view(), 1, c.causal, hot_out.view());
      support::expect_one_hot<T>(c, hot, hot_out.back(), target);
      kernels::attention_mma<1, T, Dev>(ctx.stream(), hot_q.view(), hot_k.view(), hot_v.view(), 1, c.causal, hot_out.view());
      support::expect_one_hot<T>(c, hot, hot_out.back(), target);
    });
  });
}

/// A query has the same bits alone and among others.
TYPED_TEST(AttentionMma, RowsDoNotDependOnTheirNeighbours) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    AttentionCase const c{37, 90, 4, 2, 64};
    AttentionInputs<T> const in(c, 8, 8);
    support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
    support::OnDevice const all(ctx, in.out); support::OnDevice const one(ctx, in.out);
    kernels::attention_mma<1, T, Dev>(ctx.stream(), q.view(), k.view(), v.view(), 0.7f, true, all.view());
    for (Size const i : {Size{0}, Size{9}, Size{36}})
      kernels::attention_mma<1, T, Dev>(ctx.stream(), q.view().slice(0, i, 1).slice(1, 2, 2),
                                        k.view().slice(0, 0, c.seen(i)).slice(1, 1, 1), v.view().slice(0, 0, c.seen(i)).slice(1, 1, 1),
                                        0.7f, true, one.view().slice(0, i, 1).slice(1, 2, 2));
    auto const together = all.back(), alone = one.back();
    for (Size const i : {Size{0}, Size{9}, Size{36}})
      for (Size h = 2; h < 4; ++h)
        for (Size x = 0; x < c.width; ++x)
          ASSERT_EQ(float(together.view()(i, h, x)), float(alone.view()(i, h, x))) << i << ' ' << h << ' ' << x;
  });
}

/// A cache whose rows are longer than its heads.
TEST(AttentionMmaStrides, MayLeaveGaps) {
  support::on_each_machine([](Context<Dev>& ctx) {
    AttentionCase const c{20, 70, 6, 3, 32};
    AttentionInputs<bf16> const in(c, 24, 16);
    support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
    support::OnDevice const out(ctx, in.out);
    kernels::attention_mma<2, bf16, Dev>(ctx.stream(), q.view(), k.view(), v.view(), 0.5f, true, out.view());
    support::expect_attention<bf16>(c, in, out.back(), 0.5, rounding<bf16>(c));
  });
}

TEST(AttentionMmaArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using V = View<bf16, 3, Dev>;
    auto q = ctx.template empty<bf16>(Extents{Size{2}, Size{4}, Size{16}}),
         k = ctx.template empty<bf16>(Extents{Size{3}, Size{2}, Size{16}});
    auto out = ctx.template empty<bf16>(Extents{Size{2}, Size{4}, Size{16}});
    auto const refused = [&](V qq, V kk, V oo, std::string_view part) {
      try {
        kernels::attention_mma<1, bf16, Dev>(ctx.stream(), qq, kk, kk, 1, true, oo);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    refused(V(nullptr, {2, 4, 16}), k, out, "attention: q: the pointer is null");
    refused(V(q.data() + 1, {1, 4, 16}), k, V(out.data(), {1, 4, 16}), "all aligned to 16 bytes; attention_general takes all");
    refused(q, V(k.data() + 4, {2, 2, 16}), out, "all aligned to 16 bytes");
    refused(q, V(k.data(), {2, 2, 16}, {36, 16, 1}), out, "all aligned to 16 bytes");
    refused(V(q.data(), {2, 4, 12}), V(k.data(), {3, 2, 12}), V(out.data(), {2, 4, 12}), "heads of whole 16 bytes");
    refused(V(q.data(), {1, 1, 264}, {0, 0, 1}), V(k.data(), {1, 1, 264}, {0, 0, 1}), V(out.data(), {1, 1, 264}), "up to 256 channels");
    refused(q, k, q, "attention: out: overlaps q");
    kernels::attention_mma<1, bf16, Dev>(ctx.stream(), V(nullptr, {0, 4, 16}), k, k, 1, true, V(nullptr, {0, 4, 16}));  // nothing
    auto const attend = [&](auto qq, auto kk, auto vv, V to) {
      kernels::attention_mma<1, bf16, Dev>(ctx.stream(), qq, kk, vv, 1, true, to);
    };
    support::expect_bad_views_refused("attention: q", support::input(q), [&](auto bad) { attend(bad, k.view(), k.view(), out); });
    support::expect_bad_views_refused("attention: k", support::input(k), [&](auto bad) { attend(q.view(), bad, k.view(), out); });
    support::expect_bad_views_refused("attention: v", support::input(k), [&](auto bad) { attend(q.view(), k.view(), bad, out); });
    support::expect_bad_views_refused("attention: out", out.view(), [&](auto bad) { attend(q.view(), k.view(), k.view(), bad); });
  });
}

}  // namespace attention_mma_test
