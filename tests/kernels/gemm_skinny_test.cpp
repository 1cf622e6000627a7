/// Products of few rows against plain loops in double, and the table that says which shape takes which form.
#include <array>
#include <cstdio>
#include <string>

#include <mgm/kernels/gemm/gemm.cuh>

#include "support/device.hpp"
#include "support/refusals.hpp"

namespace gemm_skinny_test {

using namespace mgm;
using support::Dev;

template <class T>
class GemmSkinny : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(GemmSkinny, Types);

// rows: 1, primes, each power of two and its neighbours; columns about the 4 of a block; K in vectors of 16 bytes about the 128 threads
constexpr std::array<Size, 3> kShapes[] = {
    {1, 1, 8},    {1, 2, 16},  {1, 3, 24},   {1, 4, 64},   {1, 5, 1016},  {1, 37, 1024}, {1, 64, 1032}, {1, 7, 2056}, {2, 3, 8},
    {2, 8, 136},  {3, 4, 256}, {3, 9, 40},   {4, 4, 1024}, {4, 31, 72},   {5, 5, 264},   {6, 1, 520},   {7, 13, 88},  {8, 4, 512},
    {8, 8, 1040}, {9, 3, 120}, {11, 17, 48}, {13, 2, 504}, {15, 12, 128}, {16, 4, 1024}, {16, 33, 16},  {16, 1, 2048}};

/// Rows that begin on 16 bytes, with poisoned elements behind each.
template <class T>
auto aligned(Size rows, Size cols) {
  return support::Guarded<T, 2>(Extents{rows, cols}, 16 / Size{sizeof(T)}, 8);
}

TYPED_TEST(GemmSkinny, IsExactOnExactInputs) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [m, n, k] : support::shapes(kShapes, [](auto const& s) { return s[0] <= 16 && s[2] % 8 == 0; })) {
      support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
      auto const whole = [&] { return numbers.whole(0, 3) == 0 ? numbers.whole(-4, 4) : 0; };
      auto const x = aligned<T>(m, k).fill(whole), w = aligned<T>(n, k).fill(whole);
      auto const out = support::poisoned<float>(Extents{m, n});
      support::OnDevice const dx(ctx, x); support::OnDevice const dw(ctx, w); support::OnDevice const dout(ctx, out);
      kernels::gemm_skinny<T, float, Dev>(ctx.stream(), dx.view(), dw.view(), {}, dout.view());
      auto const got = dout.back();
      EXPECT_TRUE(got.intact());
      for (Size i = 0; i < m; ++i)
        for (Size j = 0; j < n; ++j)
          ASSERT_EQ(got.view()(i, j), support::product<T>(x.view(), w.view(), true, i, j).value)
              << m << "x" << n << "x" << k << " at " << i << ", " << j;
    }
  });
}

TYPED_TEST(GemmSkinny, WithEveryEpilogueIsWithinItsBoundAndRowsStandAlone) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    int which = 0;
    for (auto const& [m, n, k] : support::shapes(kShapes, [](auto const& s) { return s[0] <= 16 && s[2] % 8 == 0; })) {
      support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
      auto const uniform = [&] { return numbers.uniform(); };
      auto const x = aligned<T>(m, k).fill(uniform), w = aligned<T>(n, k).fill(uniform);
      auto const bias = support::dense<T>(numbers, Extents{n}), scale = support::dense<T>(numbers, Extents{n});
      auto const factor = support::dense<T>(numbers, Extents{m, n}), residual = support::dense<T>(numbers, Extents{m, n});
      auto const out = support::poisoned<T>(Extents{m, n});
      support::OnDevice const dx(ctx, x); support::OnDevice const dw(ctx, w); support::OnDevice const dbias(ctx, bias);
      support::OnDevice const dscale(ctx, scale); support::OnDevice const dfactor(ctx, factor);
      support::OnDevice const dresidual(ctx, residual); support::OnDevice const dout(ctx, out); support::OnDevice const dlast(ctx, out);
      auto const activation = static_cast<Activation>(which++ % 5);
      Epilogue<T, Cpu> e{bias.view(), activation, scale.view(), factor.view(), residual.view(), 0.5f};
      Epilogue<T, Dev> de{dbias.view(), activation, dscale.view(), dfactor.view(), dresidual.view(), 0.5f};
      kernels::gemm_skinny<T, T, Dev>(ctx.stream(), dx.view(), dw.view(), de, dout.view());
      Epilogue<T, Dev> alone = de;
      alone.factor = de.factor.slice(0, m - 1, 1), alone.residual = de.residual.slice(0, m - 1, 1);
      kernels::gemm_skinny<T, T, Dev>(ctx.stream(), dx.view().slice(0, m - 1, 1), dw.view(), alone, dlast.view().slice(0, m - 1, 1));
      auto const got = dout.back(), last = dlast.back();
      EXPECT_TRUE(got.intact());
      for (Size j = 0; j < n; ++j)
        ASSERT_EQ(float(got.view()(m - 1, j)), float(last.view()(m - 1, j))) << "the last row by itself has other bits";
      for (Size i = 0; i < m; ++i)
        for (Size j = 0; j < n; ++j) {
          auto const sum = support::product<T>(x.view(), w.view(), true, i, j);
          double const want = support::finish<T>(sum.value, i, j, e);
          // a thread adds at most K/128 + 8 terms one by one, then come 5 + 2 levels; products in float are exact or fused, or round once:
          // doubled. Through slopes of at most 1.13 and an alpha of 1/2; then some roundings of the epilogue, one of the store.
          double const bound = 1.13 * 0.5 * 2 * (double(k) / 128 + 15) * 0x1p-24 * (sum.size + 1) + 16 * 0x1p-24 * (std::abs(want) + 1) +
                               support::kRoundoff<T> * std::abs(want);
          ASSERT_NEAR(float(got.view()(i, j)), want, bound)
              << support::type_of<T>() << " " << m << "x" << n << "x" << k << " at " << i << ", " << j;
        }
    }
  });
}

TEST(GemmSkinnyArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<float>(Extents{Size{17}, Size{32}}), w = ctx.template empty<float>(Extents{Size{16}, Size{32}});
    auto out = ctx.template empty<float>(Extents{Size{17}, Size{16}});
    auto const refused = [&](View<float const, 2, Dev> a, View<float const, 2, Dev> b, View<float, 2, Dev> to, std::string_view part) {
      try {
        kernels::gemm_skinny<float, float, Dev>(ctx.stream(), a, b, {}, to);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& error) {
        EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
      }
    };
    View<float, 2, Dev> const v = out.view();
    refused(x.view(), w.view(), v, "gemm_skinny: needs at most 16 rows, found 17");
    refused(x.view().slice(0, 0, 16).slice(1, 0, 30), w.view().slice(1, 0, 30), v.slice(0, 0, 16), "gemm_skinny: needs");
    refused({x.data() + 1, {8, 24}, {32, 1}}, w.view().slice(1, 0, 24), v.slice(0, 0, 8), "begin on 16 bytes");
    refused(x.view().slice(0, 0, 16), w.view().slice(1, 0, 24), v.slice(0, 0, 16), "gemm: w: expected shape (16, 32)");
    refused(x.view().slice(0, 0, 16), w.view(), {x.data(), {16, 16}}, "gemm: out: overlaps x");
    auto const few = x.view().slice(0, 0, 16), to = v.slice(0, 0, 16);
    auto const skinny = [&](View<float const, 2, Dev> a, View<float const, 2, Dev> b, View<float, 2, Dev> c) {
      kernels::gemm_skinny<float, float, Dev>(ctx.stream(), a, b, {}, c);
    };
    support::expect_bad_views_refused("gemm: x", support::input(few), [&](auto bad) { skinny(bad, w, to); });
    support::expect_bad_views_refused("gemm: w", support::input(w), [&](auto bad) { skinny(few, bad, to); });
    support::expect_bad_views_refused("gemm: out", to, [&](auto bad) { skinny(few, w, bad); });
    skinny({nullptr, {0, 32}}, w, {nullptr, {0, 16}});  // nothing
  });
}

TEST(GemmTable, SaysWhichShapeTakesWhichForm) {
  struct Row {
    char const* what;
    kernels::GemmShape shape;
    kernels::GemmForm form;
  };
  using enum kernels::GemmForm;
  constexpr Row kRows[] = {{"ViT qkv", {577, 3072, 1024, 2}, mma_large},
                           {"ViT out", {577, 1024, 1024, 2}, mma_small},
                           {"ViT fc1", {577, 4096, 1024, 2}, mma_large},
                           {"ViT fc2", {577, 1024, 4096, 2}, mma_small},
                           {"ViT fc2, five views", {2885, 1024, 4096, 2}, mma_large},
                           {"ConvNeXt stage 2, first", {2304, 3072, 768, 2}, mma_large},
                           {"ConvNeXt stage 2, second", {2304, 768, 3072, 2}, mma_large},
                           {"ConvNeXt stage 3, second", {576, 1536, 6144, 2}, mma_small},
                           {"Gemma gate, prompt of 640", {640, 16384, 2048, 2}, mma_large},
                           {"Gemma down, prompt of 640", {640, 2048, 16384, 2}, mma_small},
                           {"Vicuna down, prompt of 640", {640, 4096, 11008, 2}, mma_large},
                           {"Gemma head, one token", {1, 256000, 2048, 2}, skinny},
                           {"Vicuna qkv, 16 tokens", {16, 12288, 4096, 2}, skinny},
                           {"Vicuna qkv, 17 tokens", {17, 12288, 4096, 2}, mma_small},
                           {"in float, one token", {1, 4096, 4096, 4}, skinny},
                           {"in float, a prompt", {640, 4096, 4096, 4}, general},
                           {"one token, odd rows", {1, 4096, 4095, 2, false, false}, general},
                           {"few rows of x·w", {9, 64, 64, 2, false, true}, mma_small},
                           {"a prompt, odd rows", {640, 4096, 4095, 2, false, false}, general}};
  std::printf("%-28s %6s %7s %6s %6s  %s\n", "product", "M", "N", "K", "bytes", "form");
  for (Row const& row : kRows) {
    std::printf("%-28s %6lld %7lld %6lld %6d  %s\n", row.what, static_cast<long long>(row.shape.m), static_cast<long long>(row.shape.n),
                static_cast<long long>(row.shape.k), row.shape.bytes, std::string(kernels::name(kernels::choose_gemm(row.shape))).c_str());
    EXPECT_EQ(kernels::choose_gemm(row.shape), row.form) << row.what;
  }
}

/// The product as layers call it, tuned and not, for rows that fit each form and for odd ones.
TYPED_TEST(GemmSkinny, IsTakenByTheProductOfLayersWhereItFits) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [m, n, k] : {std::array<Size, 3>{1, 24, 64}, {16, 9, 64}, {17, 24, 64}, {130, 70, 24}, {3, 24, 63}, {40, 24, 63}})
      for (int form = 0; form < 4; ++form) {
        bool const tuned = form / 2 == 1, turned = form % 2 == 1;
        support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
        auto const whole = [&] { return numbers.whole(0, 3) == 0 ? numbers.whole(-4, 4) : 0; };
        auto const x = aligned<T>(m, k).fill(whole), w = (turned ? aligned<T>(k, n) : aligned<T>(n, k)).fill(whole);
        auto const out = support::poisoned<float>(Extents{m, n});
        support::OnDevice const dx(ctx, x); support::OnDevice const dw(ctx, w); support::OnDevice const dout(ctx, out);
        auto const weight = dw.view();
        View<T const, 2, Dev> const rows =
            turned ? View<T const, 2, Dev>(weight.data(), {n, k}, {1, weight.stride(0)}) : View<T const, 2, Dev>(weight);
        kernels::gemm<T, float, Dev>(ctx.stream(), tuned, dx.view(), rows, {}, dout.view());
        auto const got = dout.back();
        EXPECT_TRUE(got.intact());
        for (Size i = 0; i < m; ++i)
          for (Size j = 0; j < n; ++j)
            ASSERT_EQ(got.view()(i, j), support::product<T>(x.view(), w.view(), !turned, i, j).value)
                << form << ": " << m << "x" << n << "x" << k;
      }
  });
}

}  // namespace gemm_skinny_test
