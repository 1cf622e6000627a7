/// Which form of attention a shape takes, and that each is taken.
#include <mgm/kernels/attention/attention.cuh>

#include "kernels/attention_cases.hpp"

namespace attention_forms_test {

using namespace mgm;
using kernels::AttentionForm;
using support::AttentionCase;
using support::AttentionInputs;
using support::Dev;

/// The shapes of the published models, 16 bits unless said otherwise.
TEST(AttentionForms, OfTheModels) {
  struct Row {
    char const* model;
    kernels::AttentionShape shape;
    AttentionForm form;
  };
  Row const rows[] = {{"CLIP, one view", {577, 577, 16, 16, 64, 2}, AttentionForm::mma_small},
                      {"2B prefill", {640, 640, 8, 1, 256, 2}, AttentionForm::mma_small},
                      {"2B step", {1, 700, 8, 1, 256, 2}, AttentionForm::decode},
                      {"7B prefill", {640, 640, 32, 32, 128, 2}, AttentionForm::mma_small},
                      {"7B prefill, HD", {2944, 2944, 32, 32, 128, 2}, AttentionForm::mma_large},
                      {"7B step", {1, 3000, 32, 32, 128, 2}, AttentionForm::decode},
                      {"8B step", {1, 3000, 32, 8, 128, 2}, AttentionForm::decode},
                      {"34B step", {1, 3000, 56, 8, 128, 2}, AttentionForm::decode},
                      {"a few drafted tokens, 2B", {8, 700, 8, 1, 256, 2}, AttentionForm::mma_small},
                      {"f32 prefill", {640, 640, 32, 32, 128, 4}, AttentionForm::general},
                      {"f32 step", {1, 640, 32, 32, 128, 4}, AttentionForm::decode},
                      {"unaligned", {640, 640, 32, 32, 128, 2, false, false}, AttentionForm::general},
                      {"heads that none share", {640, 640, 32, 0, 128, 2}, AttentionForm::general}};
  for (Row const& row : rows) EXPECT_EQ(name(kernels::choose_attention(row.shape)), name(row.form)) << row.model;
}

template <class T>
class AttentionDispatch : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(AttentionDispatch, Types);

/// Each form within its bound, tuned and not; bounds as in the tests of the forms, the widest of them.
TYPED_TEST(AttentionDispatch, MatchesDouble) {
  using T = TypeParam;
  constexpr AttentionCase kCases[] = {{1, 300, 8, 1, 64},        {1, 40, 4, 4, 128}, {40, 70, 4, 2, 64},
                                      {40, 41, 2, 2, 24, false}, {3, 17, 2, 1, 10},  {33, 33, 1, 1, 512}};
  support::on_each_machine([&](Context<Dev>& ctx) {
    for (AttentionCase const& c : kCases) {
      if (support::kWatched && c.queries != 3) continue;
      for (bool const tuned : {false, true}) {
        AttentionInputs<T> const in(c, 8, 8);
        support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
        support::OnDevice const out(ctx, in.out);
        Size const floats = kernels::attention_workspace<T, Dev>(tuned, q.view(), k.view(), v.view(), out.view());
        EXPECT_EQ(floats > 0, tuned && c.queries == 1 && c.keys == 300);
        auto const work = ctx.template empty<float>(Extents{floats});
        kernels::attention<T, Dev>(ctx.stream(), tuned, q.view(), k.view(), v.view(), 0.25f, c.causal, work, out.view());
        auto const rounding = [&](Size seen) {
          return support::AttentionRounding{.dot = 36 * (double(c.width) / 16 + 1) + 2,
                                            .sums = 36 * (double(seen + 63) / 16 + 1) + double(seen),
                                            .rescalings = double(seen + 31) / 32 + 3,
                                            .probability = sizeof(T) == 2 ? support::kRoundoff<T> : 0,
                                            .smallest = std::is_same_v<T, half> ? double(seen) * 0x1p-25 : 0};
        };
        support::expect_attention<T>(c, in, out.back(), 0.25, rounding);
      }
    }
  });
}

/// With the last position on the device the bits are those of keys cut behind it, whatever lies there; a position outside counts as the
/// nearest.
TYPED_TEST(AttentionDispatch, TheDeviceMaySayHowManyKeysThereAre) {
  using T = TypeParam;
  constexpr AttentionCase kCases[] = {{1, 300, 8, 1, 64}, {1, 300, 2, 1, 128}, {1, 140, 2, 2, 256}, {3, 70, 4, 2, 64}, {1, 70, 4, 2, 6}, {2, 40, 1, 1, 512}};
  support::on_each_machine([&](Context<Dev>& ctx) {
    for (AttentionCase const& c : kCases) {
      if (support::kWatched && c.queries != 3) continue;
      AttentionInputs<T> const in(c, 8, 8);
      for (Size const length : {c.queries, c.keys / 2 - 3, Size{64}, c.keys - 1, c.keys}) {
        if (length > c.keys || (support::kWatched && length != 64)) continue;
        auto hidden = in;
        for (Size j = length; j < c.keys; ++j)
          for (Size h = 0; h < c.kv_heads; ++h)
            for (Size x = 0; x < c.width; ++x) hidden.k.view()(j, h, x) = hidden.v.view()(j, h, x) = T(NAN);
        support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, hidden.k); support::OnDevice const v(ctx, hidden.v);
        support::OnDevice const cut(ctx, in.out); support::OnDevice const told(ctx, in.out);
        for (bool const tuned : {false, true}) {
          SCOPED_TRACE(c.name() + text(", ", length, tuned ? " seen, tuned" : " seen"));
          ASSERT_TRUE((kernels::attention_takes_last<T, Dev>(tuned, q.view(), k.view(), v.view(), told.view())));
          auto const work =
              ctx.template empty<float>(Extents{kernels::attention_workspace<T, Dev>(tuned, q.view(), k.view(), v.view(), told.view())});
          auto const short_k = k.view().slice(0, 0, length), short_v = v.view().slice(0, 0, length);
          std::int64_t const position = length == c.keys ? 1'000'000 : length == c.queries ? -5 : length - 1;
          auto const last = ctx.on_device(View<std::int64_t const, 1, Cpu>(&position, {1}));
          kernels::attention<T, Dev>(ctx.stream(), tuned, q.view(), short_k, short_v, 0.25f, true, work, cut.view());
          kernels::attention<T, Dev>(ctx.stream(), tuned, q.view(), k.view(), v.view(), 0.25f, true, work, told.view(), last);
          auto const want = cut.back(), got = told.back();
          EXPECT_TRUE(got.intact());
          for (Size i = 0; i < c.queries; ++i)
            for (Size h = 0; h < c.heads; ++h)
              for (Size x = 0; x < c.width; ++x) ASSERT_EQ(float(got.view()(i, h, x)), float(want.view()(i, h, x))) << i << ' ' << h << ' ' << x;
        }
      }
    }
  });
}

TEST(AttentionLast, IsRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using V = View<bf16, 3, Dev>;
    using L = View<std::int64_t const, 1, Dev>;
    auto q = ctx.template empty<bf16>(Extents{Size{40}, Size{2}, Size{64}}), k = ctx.template empty<bf16>(Extents{Size{40}, Size{2}, Size{64}});
    auto out = ctx.template empty<bf16>(Extents{Size{40}, Size{2}, Size{64}});
    auto last = ctx.template empty<std::int64_t>(Extents{Size{2}});
    auto const refused = [&](V qq, bool causal, L at, V oo, std::string_view part) {
      try {
        kernels::attention<bf16, Dev>(ctx.stream(), true, qq, k, k, 1, causal, {}, oo, at);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& e) {
        EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      }
    };
    V const one = q.slice(0, 0, 1), to = out.slice(0, 0, 1);
    refused(q, true, last.slice(0, 0, 1), out, "take a form that has no last position");
    refused(one, true, last, to, "attention: last: expected shape (1)");
    refused(one, false, last.slice(0, 0, 1), to, "attention: last: a last position is for causal queries");
    refused(one, true, L(reinterpret_cast<std::int64_t const*>(to.data()), {1}), to, "attention: out: overlaps last");
  });
}

#if !defined(__CUDACC__)
/// In the tuned forms no two lanes wait for a bank of shared memory, and no sector is asked for in vain.
TEST(AttentionForms, WaitForNoBank) {
  constexpr AttentionCase kCases[] = {
      {1, 130, 4, 4, 128}, {1, 70, 8, 1, 256}, {70, 70, 2, 1, 64}, {40, 40, 1, 1, 128}, {40, 40, 1, 1, 256}};
  for (AttentionCase const& c : kCases) {
    Context<Simt> ctx({.threads = 1, .machine = {.count = true}});
    AttentionInputs<bf16> const in(c, 16, 16);  // rows begin with sectors
    support::OnDevice const q(ctx, in.q); support::OnDevice const k(ctx, in.k); support::OnDevice const v(ctx, in.v);
    support::OnDevice const out(ctx, in.out);
    auto const work = ctx.empty<float>(Extents{kernels::attention_workspace<bf16, Simt>(true, q.view(), k.view(), v.view(), out.view())});
    kernels::attention<bf16, Simt>(ctx.stream(), true, q.view(), k.view(), v.view(), 0.25f, true, work, out.view());
    auto const counted = ctx.machine().counters();
    EXPECT_EQ(counted.shared_passes, counted.shared_least) << c.name();
    EXPECT_EQ(counted.global_sectors, counted.global_least) << c.name();
    EXPECT_EQ(ctx.machine().ldmatrix_passes().extra, 0) << c.name();
  }
}
#endif

}  // namespace attention_forms_test
