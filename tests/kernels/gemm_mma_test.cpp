/// The tensor-core product against plain loops in double: exact inputs bit for bit, dense ones within a bound that holds for tensor cores
/// too.
#include <array>
#include <string>

#include <mgm/kernels/gemm/gemm.cuh>

#include "support/device.hpp"
#include "support/refusals.hpp"

namespace gemm_mma_test {

using namespace mgm;
using support::Dev;

template <class T>
class GemmMma : public testing::Test {};
using Halves = testing::Types<bf16, half>;
TYPED_TEST_SUITE(GemmMma, Halves);

// 1, primes, ragged; full tiles of both sizes and one more or less in each direction; panels fewer, as many and more than the ring has
constexpr std::array<Size, 3> kShapes[] = {{1, 1, 1},      {1, 1, 8},      {2, 3, 5},      {7, 8, 16},     {16, 8, 16},    {17, 9, 17},
                                           {13, 61, 31},   {63, 64, 64},   {64, 63, 64},   {64, 64, 63},   {64, 64, 64},   {65, 64, 64},
                                           {64, 65, 64},   {64, 64, 65},   {127, 128, 32}, {128, 127, 32}, {128, 128, 31}, {128, 128, 32},
                                           {129, 128, 33}, {128, 129, 96}, {31, 37, 41},   {1, 200, 136},  {200, 1, 136},  {33, 72, 257},
                                           {66, 40, 192},  {5, 8, 400}};

/// Rows that begin on 16 bytes, with one to eight poisoned elements behind each; the first row begins eight in.
template <class T>
auto aligned(Size rows, Size cols) {
  return support::Guarded<T, 2>(Extents{rows, cols}, 8 - cols % 8, 8);
}
/// x·wᵀ whichever way w lies.
template <class T>
View<T const, 2, Dev> as_rows(View<T, 2, Dev> w, bool turned) {
  return turned ? View<T const, 2, Dev>(w.data(), {w.extent(1), w.extent(0)}, {w.stride(1), w.stride(0)}) : View<T const, 2, Dev>(w);
}
template <class T, class TOut>
void run(Context<Dev>& ctx, bool large, View<T const, 2, Dev> x, View<T const, 2, Dev> w, Epilogue<T, Dev> const& e,
         View<TOut, 2, Dev> out) {
  if (large) kernels::gemm_mma<kernels::GemmMmaLarge, T, TOut, Dev>(ctx.stream(), x, w, e, out);
  else kernels::gemm_mma<kernels::GemmMmaSmall, T, TOut, Dev>(ctx.stream(), x, w, e, out);
}

TYPED_TEST(GemmMma, IsExactOnExactInputs) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    int which = 0;
    for (auto const& [m, n, k] : kShapes) {
      ++which;
      for (int form = 0; form < 4; ++form) {
        bool const large = form / 2 == 1, turned = form % 2 == 1;
        if (!support::full_suite() && which % 2 != form % 2) continue;  // both tiles, and w one way or the other in turn
        support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
        auto const whole = [&] { return numbers.whole(0, 3) == 0 ? numbers.whole(-4, 4) : 0; };
        auto const x = aligned<T>(m, k).fill(whole), w = (turned ? aligned<T>(k, n) : aligned<T>(n, k)).fill(whole);
        auto const out = support::poisoned<float>(Extents{m, n});
        support::OnDevice const dx(ctx, x); support::OnDevice const dw(ctx, w); support::OnDevice const dout(ctx, out);
        run<T, float>(ctx, large, dx.view(), as_rows(dw.view(), turned), {}, dout.view());
        auto const got = dout.back();
        EXPECT_TRUE(got.intact());
        for (Size i = 0; i < m; ++i)
          for (Size j = 0; j < n; ++j)
            ASSERT_EQ(got.view()(i, j), support::product<T>(x.view(), w.view(), !turned, i, j).value)
                << form << ": " << m << "x" << n << "x" << k << " at " << i << ", " << j;
      }
    }
#if !defined(__CUDACC__)
    EXPECT_GT(ctx.machine().ldmatrix_passes().least, 0);
    EXPECT_EQ(ctx.machine().ldmatrix_passes().extra, 0) << "bank conflicts";
#endif
  });
}

TYPED_TEST(GemmMma, WithEveryEpilogueIsWithinItsBoundAndTilesAgree) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    int which = 0;
    for (auto const& [m, n, k] : kShapes) {
      support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
      bool const turned = which % 2 == 1, wide = which % 3 != 0;
      auto const uniform = [&] { return numbers.uniform(); };
      Size const guard = wide ? 8 - n % 8 : 3, offset = wide ? 8 : 1;
      auto const x = aligned<T>(m, k).fill(uniform), w = (turned ? aligned<T>(k, n) : aligned<T>(n, k)).fill(uniform);
      auto const bias = support::dense<T>(numbers, Extents{n}, guard, offset),
                 scale = support::dense<T>(numbers, Extents{n}, guard, offset);
      auto const factor = support::dense<T>(numbers, Extents{m, n}, guard, offset),
                 residual = support::dense<T>(numbers, Extents{m, n}, guard, offset);
      auto const out = support::poisoned<T>(Extents{m, n}, guard, offset);
      support::OnDevice const dx(ctx, x); support::OnDevice const dw(ctx, w); support::OnDevice const dbias(ctx, bias);
      support::OnDevice const dscale(ctx, scale); support::OnDevice const dfactor(ctx, factor);
      support::OnDevice const dresidual(ctx, residual); support::OnDevice const dout(ctx, out); support::OnDevice const dother(ctx, out);
      auto const activation = static_cast<Activation>(which++ % 5);
      Epilogue<T, Cpu> e{bias.view(), activation, scale.view(), factor.view(), residual.view(), 0.5f};
      Epilogue<T, Dev> de{dbias.view(), activation, dscale.view(), dfactor.view(), dresidual.view(), 0.5f};
      EXPECT_EQ(kernels::is_wide(de, dout.view()), wide);
      run<T, T>(ctx, true, dx.view(), as_rows(dw.view(), turned), de, dout.view());
      run<T, T>(ctx, false, dx.view(), as_rows(dw.view(), turned), de, dother.view());
      auto const got = dout.back(), other = dother.back();
      EXPECT_TRUE(got.intact() && other.intact());
      for (Size i = 0; i < m; ++i)
        for (Size j = 0; j < n; ++j) {
          auto const sum = support::product<T>(x.view(), w.view(), !turned, i, j);
          double const want = support::finish<T>(sum.value, i, j, e);
          // An instruction adds 17 terms of exact value: a tensor core cuts each to 2^-23 of the largest, which Σ|a||b| bounds, and cuts
          // the sum once more; the float sums of Simt, 16 roundings of 2^-24, lie within. K/16 instructions, through slopes of at most 1.13
          // and an alpha of 1/2; then some roundings of the epilogue, one of the store.
          double const bound = 1.13 * 0.5 * (double(k) / 16 + 1) * 18 * 0x1p-23 * (sum.size + 1) + 16 * 0x1p-24 * (std::abs(want) + 1) +
                               support::kRoundoff<T> * std::abs(want);
          ASSERT_NEAR(float(got.view()(i, j)), want, bound)
              << support::type_of<T>() << " " << m << "x" << n << "x" << k << " at " << i << ", " << j;
          ASSERT_EQ(float(got.view()(i, j)), float(other.view()(i, j)));
        }
    }
  });
}

TYPED_TEST(GemmMma, InPartsOfKIsExactOnExactInputs) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [m, n, k] :
         {std::array<Size, 3>{1, 1, 1}, {5, 8, 64}, {64, 16, 65}, {65, 24, 129}, {17, 9, 200}, {33, 40, 255}, {7, 64, 256}, {130, 8, 320}})
      for (int parts = 1; parts <= 4; ++parts) {
        bool const turned = (m + parts) % 2 == 1;
        support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
        auto const whole = [&] { return numbers.whole(0, 3) == 0 ? numbers.whole(-4, 4) : 0; };
        auto const x = aligned<T>(m, k).fill(whole), w = (turned ? aligned<T>(k, n) : aligned<T>(n, k)).fill(whole),
                   bias = aligned<T>(1, n).fill(whole);
        Size const guard = parts % 2 == 1 ? 8 - n % 8 : 3, offset = parts % 2 == 1 ? 8 : 1;
        auto const out = support::poisoned<T>(Extents{m, n}, guard, offset);
        auto const scratch = support::poisoned<float>(Extents{Size{parts}, m, n}, guard, offset);
        support::OnDevice const dx(ctx, x);
        support::OnDevice const dw(ctx, w);
        support::OnDevice const dbias(ctx, bias);
        support::OnDevice const dout(ctx, out);
        support::OnDevice const dscratch(ctx, scratch);
        kernels::gemm_split<kernels::GemmMmaSmall, T, T, Dev>(ctx.stream(), dx.view(), as_rows(dw.view(), turned),
                                                              {.bias = dbias.view()[0], .alpha = 2}, dscratch.view(), dout.view());
        auto const got = dout.back();
        EXPECT_TRUE(got.intact() && dscratch.back().intact());
        for (Size i = 0; i < m; ++i)
          for (Size j = 0; j < n; ++j)
            ASSERT_EQ(float(got.view()(i, j)),
                      float(T(float(2 * support::product<T>(x.view(), w.view(), !turned, i, j).value + double(float(bias.view()(0, j)))))))
                << parts << ": " << m << "x" << n << "x" << k << " at " << i << ", " << j;
      }
  });
}

TEST(GemmParts, FollowFromTheWeightAlone) {
  EXPECT_EQ(kernels::gemm_parts(1024, 1024), 1);    // ViT out
  EXPECT_EQ(kernels::gemm_parts(1024, 4096), 2);    // ViT fc2
  EXPECT_EQ(kernels::gemm_parts(1536, 6144), 2);    // ConvNeXt stage 3, second
  EXPECT_EQ(kernels::gemm_parts(2048, 16384), 4);   // Gemma down
  EXPECT_EQ(kernels::gemm_parts(4096, 11008), 1);   // Vicuna down
  EXPECT_EQ(kernels::gemm_parts(64, 512), 1);       // nothing to gain
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<bf16>(Extents{Size{40}, Size{4096}}), w = ctx.template empty<bf16>(Extents{Size{1024}, Size{4096}});
    auto const rows = x.view().slice(0, 0, 16);
    EXPECT_EQ((kernels::gemm_scratch<bf16, Dev>(true, x.view(), w.view())), (Extents<3>{2, 40, 1024}));
    EXPECT_EQ((kernels::gemm_scratch<bf16, Dev>(true, rows, w.view()).count()), 0);  // the form of few rows takes none
    EXPECT_EQ((kernels::gemm_scratch<bf16, Dev>(false, x.view(), w.view()).count()), 0);
  });
}

TYPED_TEST(GemmMma, MayAddToItsOwnOutput) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    support::Numbers numbers(3);
    auto const whole = [&] { return numbers.whole(-2, 2); };
    auto const x = aligned<T>(70, 24).fill(whole), w = aligned<T>(80, 24).fill(whole), out = aligned<T>(70, 80).fill(whole);
    support::OnDevice const dx(ctx, x); support::OnDevice const dw(ctx, w); support::OnDevice const dout(ctx, out);
    run<T, T>(ctx, false, dx.view(), View<T const, 2, Dev>(dw.view()), {.residual = dout.view()}, dout.view());
    auto const got = dout.back();
    for (Size i = 0; i < 70; ++i)
      for (Size j = 0; j < 80; ++j)
        ASSERT_EQ(float(got.view()(i, j)), support::product<T>(x.view(), w.view(), true, i, j).value + double(float(out.view()(i, j))));
  });
}

TEST(GemmMmaArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<bf16>(Extents{Size{8}, Size{32}}), w = ctx.template empty<bf16>(Extents{Size{16}, Size{32}});
    auto out = ctx.template empty<bf16>(Extents{Size{8}, Size{16}});
    auto const refused = [&](View<bf16 const, 2, Dev> a, View<bf16 const, 2, Dev> b, Epilogue<bf16, Dev> e, View<bf16, 2, Dev> to,
                             std::string_view part) {
      try {
        run<bf16, bf16>(ctx, true, a, b, e, to);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& error) {
        EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
      }
    };
    View<bf16, 2, Dev> const v = out.view();
    refused({x.data() + 1, {8, 24}, {32, 1}}, {w.data(), {16, 24}, {32, 1}}, {}, v,
            "gemm_mma: x and w need dense rows that begin on 16 bytes");
    refused({x.data(), {8, 24}, {28, 1}}, {w.data(), {16, 24}, {32, 1}}, {}, v, "gemm_mma: x and w need dense rows");
    refused(x.view(), {w.data(), {16, 32}, {30, 1}}, {}, v, "gemm_mma: x and w need dense rows");
    refused({x.data(), {8, 24}, {32, 1}}, w.view(), {}, v, "gemm: w: expected shape (16, 24)");
    refused({nullptr, {8, 32}}, w.view(), {}, v, "gemm: x: the pointer is null");
    refused(x.view(), w.view(), {}, {x.data(), {8, 16}}, "gemm: out: overlaps x");
    refused(x.view(), w.view(), {.bias = View<bf16 const, 1, Dev>(x.data(), {Size{15}})}, v, "gemm: bias: expected shape (16)");
    refused(x.view(), w.view(), {.residual = View<bf16 const, 2, Dev>(v.data() + 1, {8, 15}, {16, 1})}, v,
            "gemm: residual: expected shape (8, 16)");
    refused(x.view(), w.view(), {.scale = View<bf16 const, 1, Dev>(v.data(), {Size{16}})}, v, "gemm: out: overlaps scale");
    auto scratch = ctx.template empty<float>(Extents{Size{2}, Size{8}, Size{15}});
    EXPECT_THROW((kernels::gemm_split<kernels::GemmMmaSmall, bf16, bf16, Dev>(ctx.stream(), x.view(), w.view(), {}, scratch.view(), v)),
                 ShapeError);
    EXPECT_THROW((kernels::gemm_split<kernels::GemmMmaSmall, bf16, bf16, Dev>(ctx.stream(), x.view(), w.view(), {}, {}, v)), ShapeError);
    run<bf16, bf16>(ctx, true, View<bf16 const, 2, Dev>(nullptr, {0, 32}), View<bf16 const, 2, Dev>(w.view()), {},
                    View<bf16, 2, Dev>(nullptr, {0, 16}));  // nothing
    auto const mma = [&](View<bf16 const, 2, Dev> a, View<bf16 const, 2, Dev> b, View<bf16, 2, Dev> to) {
      kernels::gemm_mma<kernels::GemmMmaSmall, bf16, bf16, Dev>(ctx.stream(), a, b, {}, to);
    };
    support::expect_bad_views_refused("gemm: x", support::input(x), [&](auto bad) { mma(bad, w, out); });
    support::expect_bad_views_refused("gemm: w", support::input(w), [&](auto bad) { mma(x, bad, out); });
    support::expect_bad_views_refused("gemm: out", out.view(), [&](auto bad) { mma(x, w, bad); });
    auto parts = ctx.template empty<float>(Extents{Size{2}, Size{8}, Size{16}});
    support::expect_bad_views_refused("gemm_split: scratch", parts.view(), [&](auto bad) {
      kernels::gemm_split<kernels::GemmMmaSmall, bf16, bf16, Dev>(ctx.stream(), x, w, {}, bad, out.view());
    });
  });
}

}  // namespace gemm_mma_test
