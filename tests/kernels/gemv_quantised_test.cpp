/// Products with weights of 8 and 4 bits against plain loops in double over what the packed weights say.
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <mgm/kernels/gemm/gemv_quantised.cuh>

#include "support/device.hpp"
#include "support/refusals.hpp"

namespace gemv_quantised_test {

using namespace mgm;
using support::Dev;

template <class T>
class GemvQuantised : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(GemvQuantised, Types);

// rows about the 1, 2 and 4 of a block; columns about its 4; K about a vector, a run of 128, a block's 2048 or 4096 weights, and odd
constexpr std::array<Size, 3> kShapes[] = {
    {1, 1, 1},   {1, 2, 15},   {1, 3, 16},   {1, 4, 17},   {1, 5, 31},   {1, 4, 32},    {1, 9, 33},   {1, 4, 127}, {1, 8, 128},
    {1, 6, 129}, {1, 13, 200}, {1, 4, 2047}, {1, 5, 2048}, {1, 3, 2049}, {1, 2, 4096},  {1, 4, 4128}, {2, 1, 40},  {2, 7, 300},
    {3, 4, 256}, {4, 4, 96},   {5, 17, 72},  {7, 3, 513},  {8, 8, 64},   {13, 2, 1000}, {16, 5, 384}, {16, 33, 24}};

/// Packed weights with poison behind their rows, as the device sees them and as loops on the host do.
template <int Bits, class T>
struct Packed {
  using Q = kernels::Quantised<Bits>;
  Packed(Context<Dev>& ctx, View<T const, 2, Cpu> w)
      : k(w.extent(1)),
        values(std::size_t(w.extent(0) * Q::row_bytes(k)), std::uint8_t{0xEE}),
        scales(Extents{w.extent(0), Q::row_scales(k)}) {
    kernels::quantise<Bits, T>(w, bytes(), scales.view());
    device_values = ctx.on_device(View<std::uint8_t const, 2, Cpu>(bytes()));
    device_scales.emplace(ctx, scales);
  }
  View<std::uint8_t, 2, Cpu> bytes() { return {values.data(), {scales.view().extent(0), Q::row_bytes(k)}}; }
  kernels::QuantisedWeight<Bits, Cpu> host() { return {bytes(), scales.view(), k}; }
  kernels::QuantisedWeight<Bits, Dev> device() { return {device_values.view(), device_scales->view(), k}; }

  Size k;
  std::vector<std::uint8_t> values;
  support::Guarded<bf16, 2> scales;
  Tensor<std::uint8_t const, 2, Dev> device_values;
  std::optional<support::OnDevice<bf16, 2>> device_scales;
};

template <int Bits, class T>
void expect_exact() {
  support::on_each_machine([](Context<Dev>& ctx) {
    for (auto const& [m, n, k] : kShapes) {
      support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
      auto const x = support::sparse<T>(numbers, Extents{m, k});
      support::Guarded<T, 2> w(Extents{n, k});
      // whole numbers up to ±q_max, which stands in each run, so that every scale is a power of two and nothing is rounded
      int const most = kernels::Quantised<Bits>::kMost;
      w.fill([&] { return numbers.whole(-most, most); });
      for (Size j = 0; j < n; ++j)
        for (Size i = 0; i < k; ++i) {
          if (i % 128 == 0) w.view()(j, i) = T(float(j % 2 == 0 ? most : -most));
          w.view()(j, i) = T(float(w.view()(j, i)) * ((i / 128 + j) % 2 == 0 ? 0.5f : 2.0f));
        }
      Packed<Bits, T> packed(ctx, w.view());
      auto const out = support::poisoned<float>(Extents{m, n});
      support::OnDevice const dx(ctx, x); support::OnDevice const dout(ctx, out);
      kernels::gemv_quantised<Bits, T, float, Dev>(ctx.stream(), dx.view(), packed.device(), {}, dout.view());
      auto const got = dout.back();
      EXPECT_TRUE(got.intact());
      for (Size i = 0; i < m; ++i)
        for (Size j = 0; j < n; ++j)
          ASSERT_EQ(got.view()(i, j), support::product<T>(x.view(), View<T const, 2, Cpu>(w.view()), true, i, j).value)
              << Bits << ": " << m << "x" << n << "x" << k << " at " << i << ", " << j;
    }
  });
}
TYPED_TEST(GemvQuantised, IsExactOnExactInputs) { expect_exact<8, TypeParam>(), expect_exact<4, TypeParam>(); }

template <int Bits, class T>
void expect_within_bounds() {
  using Q = kernels::Quantised<Bits>;
  support::on_each_machine([](Context<Dev>& ctx) {
    int which = 0;
    for (auto const& [m, n, k] : kShapes) {
      support::Numbers numbers(std::uint64_t(m * 10007 + n * 101 + k));
      bool const aligned = which % 2 == 0;  // rows of x on 16 bytes, or not
      auto const x = support::dense<T>(numbers, Extents{m, k}, aligned ? 8 - k % 8 : 3, aligned ? 8 : 1);
      auto const w = support::dense<T>(numbers, Extents{n, k});
      Packed<Bits, T> packed(ctx, w.view());
      auto const bias = support::dense<T>(numbers, Extents{n});
      auto const residual = support::dense<T>(numbers, Extents{m, n});
      auto const out = support::poisoned<T>(Extents{m, n});
      support::OnDevice const dx(ctx, x); support::OnDevice const dbias(ctx, bias); support::OnDevice const dresidual(ctx, residual);
      support::OnDevice const dout(ctx, out); support::OnDevice const dlast(ctx, out);
      auto const activation = static_cast<Activation>(which++ % 5);
      Epilogue<T, Cpu> e{.bias = bias.view(), .activation = activation, .residual = residual.view()};
      Epilogue<T, Dev> de{.bias = dbias.view(), .activation = activation, .residual = dresidual.view()};
      kernels::gemv_quantised<Bits, T, T, Dev>(ctx.stream(), dx.view(), packed.device(), de, dout.view());
      Epilogue<T, Dev> alone = de;
      alone.residual = de.residual.slice(0, m - 1, 1);
      kernels::gemv_quantised<Bits, T, T, Dev>(ctx.stream(), dx.view().slice(0, m - 1, 1), packed.device(), alone,
                                               dlast.view().slice(0, m - 1, 1));
      auto const got = dout.back(), last = dlast.back();
      EXPECT_TRUE(got.intact());
      auto const weight = packed.host();
      for (Size j = 0; j < n; ++j) {
        ASSERT_EQ(float(got.view()(m - 1, j)), float(last.view()(m - 1, j))) << "the last row by itself has other bits";
        for (Size i = 0; i < k; ++i)
          ASSERT_LE(std::abs(double(float(w.view()(j, i))) - double(kernels::dequantised(weight, j, i))),
                    double(float(weight.scales(j, i / 128))) * (0.5 + Q::kMost * 0x1p-8) + 1e-12);
        for (Size i = 0; i < m; ++i) {
          double sum = 0, size = 0;
          for (Size c = 0; c < k; ++c) {
            double const term = double(float(x.view()(i, c))) * double(kernels::dequantised(weight, j, c));
            sum += term, size += std::abs(term);
          }
          double const want = support::finish<T>(sum, i, j, e);
          // a thread takes K/(128·vector) + 1 vectors: in each, as many roundings as it has weights, and the scale's; then 5 + 2 levels;
          // doubled where a product rounds by itself. Through slopes of at most 1.13; then some of the epilogue, one of the store.
          double const steps = double(Q::kInVector) + double(k) / (128.0 * Q::kInVector) + 10;
          double const bound =
              1.13 * 2 * steps * 0x1p-24 * (size + 1) + 16 * 0x1p-24 * (std::abs(want) + 1) + support::kRoundoff<T> * std::abs(want);
          ASSERT_NEAR(float(got.view()(i, j)), want, bound) << Bits << ": " << m << "x" << n << "x" << k << " at " << i << ", " << j;
        }
      }
    }
  });
}
TYPED_TEST(GemvQuantised, WithAnEpilogueIsWithinItsBoundAndRowsStandAlone) {
  expect_within_bounds<8, TypeParam>(), expect_within_bounds<4, TypeParam>();
}

TEST(Quantise, RefusesWhatHasNoScaleAndTakesZeros) {
  std::vector<float> w(300, 0.0f);
  std::vector<std::uint8_t> values(304);
  std::vector<bf16> scales(3);
  View<float const, 2, Cpu> const in(w.data(), {1, 300});
  View<std::uint8_t, 2, Cpu> const out(values.data(), {1, 304});
  View<bf16, 2, Cpu> const scale(scales.data(), {1, 3});
  kernels::quantise<8, float>(in, out, scale);
  for (int i = 0; i < 304; ++i) EXPECT_EQ(values[std::size_t(i)], 128);
  EXPECT_EQ(kernels::dequantised<8>({out, scale, 300}, 0, 299), 0);
  w[130] = std::numeric_limits<float>::infinity();
  EXPECT_THROW((kernels::quantise<8, float>(in, out, scale)), NumericalError);
  EXPECT_THROW((kernels::quantise<4, float>(in, out, scale)), ShapeError);
}

TEST(GemvQuantisedArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<float>(Extents{Size{17}, Size{64}}), out = ctx.template empty<float>(Extents{Size{17}, Size{8}});
    auto values = ctx.template empty<std::uint8_t>(Extents{Size{8}, Size{80}});
    auto scales = ctx.template empty<bf16>(Extents{Size{8}, Size{1}});
    auto const refused = [&](Size rows, View<std::uint8_t const, 2, Dev> bytes, View<float, 2, Dev> to, Size k, std::string_view part) {
      try {
        kernels::gemv_quantised<8, float, float, Dev>(ctx.stream(), x.view().slice(0, 0, rows), {bytes, scales.view(), k}, {}, to);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& error) {
        EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
      }
    };
    View<std::uint8_t const, 2, Dev> const all = values.view(), fit = all.slice(1, 0, 64);
    refused(17, fit, out.view(), 64, "gemv_quantised: x: at most 16 rows, found 17");
    refused(2, all, out.view().slice(0, 0, 2), 64, "gemv_quantised: values: expected shape (8, 64)");
    refused(2, fit, out.view().slice(0, 0, 2), 63, "gemv_quantised: x: expected shape (2, 63)");
    refused(2, {all.data() + 1, {8, 64}, {80, 1}}, out.view().slice(0, 0, 2), 64,
            "gemv_quantised: values: rows must be dense and begin on 16 bytes");
    refused(2, fit, {x.data(), {2, 8}}, 64, "gemv_quantised: out: overlaps x");
    refused(2, fit, {reinterpret_cast<float*>(values.data()), {2, 8}}, 64, "gemv_quantised: out: overlaps values");
    auto const to = out.view().slice(0, 0, 2);
    auto const from = support::input(x.view().slice(0, 0, 2));
    auto const gemv = [&](View<float const, 2, Dev> a, View<std::uint8_t const, 2, Dev> bytes, View<bf16 const, 2, Dev> each,
                          View<float, 2, Dev> c) {
      kernels::gemv_quantised<8, float, float, Dev>(ctx.stream(), a, {bytes, each, 64}, {}, c);
    };
    support::expect_bad_views_refused("gemv_quantised: x", from, [&](auto bad) { gemv(bad, fit, scales.view(), to); });
    support::expect_bad_views_refused("gemv_quantised: values", fit, [&](auto bad) { gemv(from, bad, scales.view(), to); });
    support::expect_bad_views_refused("gemv_quantised: scales", support::input(scales), [&](auto bad) { gemv(from, fit, bad, to); });
    support::expect_bad_views_refused("gemv_quantised: out", to, [&](auto bad) { gemv(from, fit, scales.view(), bad); });
    gemv({nullptr, {0, 64}}, fit, scales.view(), {nullptr, {0, 8}});  // nothing
  });
}

}  // namespace gemv_quantised_test
