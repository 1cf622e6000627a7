#include <gtest/gtest.h>

#include <cstring>

#include <mgm/cpu/conv.hpp>
#include <mgm/mem/thread_pool.hpp>
#include <support/reference_conv.hpp>

namespace conv_test {
using namespace mgm;
using support::ConvCase;
using support::Guarded;
using support::Numbers;

/// Small whole numbers: each sum is exact in float, so the result is the one rounding of the store, bit for bit.
template <class T, class TOut>
void expect_exact() {
  for (Isa const isa : support::machine_isas())
    for (auto const& [h, w, c, more, n] : support::kConvShapes)
      support::each_conv_window(h, w, [&, h = h, w = w, c = c, more = more, n = n](Window const& window) {
        Numbers numbers(1);
        auto const whole = [&] { return numbers.whole(-3, 3); };
        Size const taps = Size{window.side} * window.side, pixels = window.out_rows * window.out_cols;
        Guarded<T, 3> first({h, w, c}, 2), second({h, w, more}, 3);
        Guarded<T, 2> weight({n, taps * (c + more)}, 5);
        first.fill(whole), second.fill(whole), weight.fill(whole);
        Guarded<TOut, 2> out({pixels, n});
        MapSource<T, Cpu> x{.first = first.view()};
        if (more > 0) x.second = second.view();
        cpu::conv<T, TOut>({nullptr, isa}, x, window, weight.view(), {}, out.view());
        EXPECT_TRUE(out.intact());
        ConvCase<T> const reference{x, window, weight.view()};
        int wrong = 0;
        for (Size p = 0; p < pixels; ++p)
          for (Size j = 0; j < n; ++j) wrong += !(float(out.view()(p, j)) == float(TOut(static_cast<float>(reference.sum(p, j).value))));
        EXPECT_EQ(wrong, 0) << name(isa) << ' ' << h << 'x' << w << 'x' << c << '+' << more << " to " << n << ", side " << window.side
                            << " stride " << window.stride << " rows " << window.rows;
      });
}
TEST(Conv, WholeNumbersAreExact) {
  expect_exact<float, float>();
  expect_exact<bf16, bf16>();
  expect_exact<half, half>();
  expect_exact<bf16, float>();
}

/// Two maps, normalised, with a whole epilogue. Beside the errors of a product (gemm_test.cpp) each normalised value is rounded to bf16
/// where pairs of bf16 are multiplied, and errs by some 2^-22 of its parts otherwise; behind a doubling of the map so are sums of weights.
template <class T>
void expect_near() {
  int variant = 0;
  for (Isa const isa : support::machine_isas())
    for (auto const& [h, w, c, more, n] : support::kConvShapes)
      support::each_conv_window(h, w, [&, h = h, w = w, c = c, more = more, n = n](Window const& window) {
        Numbers numbers(7);
        auto const dense = [&] { return numbers.uniform(); };
        Size const taps = Size{window.side} * window.side, pixels = window.out_rows * window.out_cols, all = c + more;
        Guarded<T, 3> first({h, w, c}), second({h, w, more});
        Guarded<T, 2> weight({n, taps * all}), residual({pixels, n}), out({pixels, n});
        Guarded<T, 1> bias({n});
        Guarded<float, 1> scale({all}), shift({all});
        first.fill(dense), second.fill(dense), weight.fill(dense), residual.fill(dense), bias.fill(dense), scale.fill(dense),
            shift.fill(dense);
        MapSource<T, Cpu> x{.first = first.view(), .scale = scale.view(), .shift = shift.view(), .silu = ++variant % 2 == 0};
        if (more > 0) x.second = second.view();
        Epilogue<T, Cpu> e{.bias = bias.view()};
        if (variant % 3) e.residual = residual.view();
        cpu::conv<T, T>({nullptr, isa}, x, window, weight.view(), e, out.view());
        EXPECT_TRUE(out.intact());
        ConvCase<T> const reference{x, window, weight.view()};
        double const input = (std::is_same_v<T, bf16> ? 2 * support::kRoundoff<bf16> : 0) + 0x1p-21;
        double worst = 0;
        for (Size p = 0; p < pixels; ++p)
          for (Size j = 0; j < n; ++j) {
            support::Sum const sum = reference.sum(p, j);
            double const want = support::finish<T>(sum.value, p, j, e), size = sum.size + 3, terms = double(taps * all);
            double const bound =
                (1.2 * 4 * std::sqrt(terms + 1) * 0x1p-24 + input) * size + support::kRoundoff<T> * (std::abs(want) + 1e-3);
            double const error = std::abs(double(float(out.view()(p, j))) - want);
            worst = error <= bound * 1e9 ? std::max(worst, error / bound) : INFINITY;  // NaN too
          }
        EXPECT_LE(worst, 1) << name(isa) << ' ' << h << 'x' << w << 'x' << c << '+' << more << " to " << n << ", side " << window.side;
      });
}
TEST(Conv, NormedAndJoinedMapsMatchReferenceInDouble) {
  expect_near<float>();
  expect_near<bf16>();
  expect_near<half>();
}

/// Neither threads, nor bands of rows, nor how the taps go in blocks may move a bit: a map of several bands against its rows one by one.
TEST(Conv, BitsDependNeitherOnThreadsNorOnBands) {
  for (Isa const isa : support::machine_isas())
    for (auto const& [h, w, c, n] : {std::array<Size, 4>{70, 400, 130, 3}, {6, 20, 1100, 70}, {5, 7, 260, 300}}) {
      Numbers numbers(11);
      Guarded<bf16, 3> map({h, w, c}, 0, 0);
      Guarded<bf16, 2> weight({n, 9 * c});
      map.fill([&] { return numbers.uniform(); });
      weight.fill([&] { return numbers.uniform(); });
      Guarded<float, 2> first({h * w, n});
      auto const run = [&](Executor const& ex, Window const& window, View<float, 2> out) {
        cpu::conv<bf16, float>(ex, {.first = map.view()}, window, weight.view(), {}, out);
      };
      for (auto const& window : {Window::resampled(3, 2 * h, 2 * w), Window::same(3, h, w)}) {
        if (window.rows > 2 * 6) continue;  // the large map once
        Guarded<float, 2> alone({window.rows * window.cols, n});
        run({nullptr, isa}, window, alone.view());
        for (int const threads : {2, 3}) {
          ThreadPool pool(threads);
          Guarded<float, 2> out({window.rows * window.cols, n});
          run({&pool, isa}, window, out.view());
          EXPECT_EQ(std::memcmp(out.block().data(), alone.block().data(), alone.block().size() * 4), 0) << name(isa) << ' ' << threads;
        }
      }
      run({nullptr, isa}, Window::same(3, h, w), first.view());
      ThreadPool pool(2);
      Guarded<float, 2> together({h * w, n});
      run({&pool, isa}, Window::same(3, h, w), together.view());
      EXPECT_EQ(std::memcmp(together.block().data(), first.block().data(), first.block().size() * 4), 0) << name(isa);
      for (Size const y : {Size{0}, h / 2, h - 1}) {
        Window row = Window::same(3, h, w);
        row.top -= static_cast<int>(y), row.out_rows = 1;
        Guarded<float, 2> out({w, n});
        run({nullptr, isa}, row, out.view());
        for (Size i = 0; i < w; ++i)
          ASSERT_EQ(std::memcmp(out.view().row(i), first.view().row(y * w + i), static_cast<std::size_t>(n) * 4), 0)
              << name(isa) << " row " << y;
      }
    }
}

}  // namespace conv_test
