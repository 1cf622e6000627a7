#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include <mgm/cpu/gemm.hpp>
#include <mgm/mem/thread_pool.hpp>
#include <support/reference.hpp>

namespace gemm_test {
using namespace mgm;
using support::Guarded;
using support::Numbers;

struct Shape {
  Size m, n, k;
};
// One, odd, primes, a tile and one more, several blocks of the sum, no sum at all; up to 16 rows and above.
constexpr Shape kShapes[] = {{1, 1, 1},   {1, 5, 3},    {2, 31, 17},  {3, 33, 64},   {5, 67, 129},   {16, 32, 32}, {17, 1, 2},    {17, 33, 33},
                             {24, 64, 64}, {25, 65, 65}, {29, 71, 31}, {37, 97, 1031}, {18, 200, 2051}, {20, 3, 0},   {2, 40, 0}, {61, 37, 0}};

template <class T, class TOut>
void run(Executor const& ex, bool transposed, View<T const, 2, Cpu> a, View<T const, 2, Cpu> w, Epilogue<T, Cpu> const& e, View<TOut, 2, Cpu> out) {
  if (transposed) cpu::gemm_nt<T>(ex, a, w, e, out);
  else cpu::gemm_nn<T>(ex, a, w, e, out);
}
Extents<2> weight_extents(bool transposed, Shape s) { return transposed ? Extents<2>{s.n, s.k} : Extents<2>{s.k, s.n}; }

/// Small whole numbers: each sum is exact in float, so the result is the one rounding of the store, bit for bit.
template <class T, class TOut>
void expect_exact(bool transposed) {
  for (Isa const isa : support::machine_isas())
    for (Shape const s : kShapes) {
      Numbers numbers(1);
      Guarded<T, 2> a({s.m, s.k}), w(weight_extents(transposed, s), 5);
      a.fill([&] { return numbers.whole(-3, 3); });
      w.fill([&] { return numbers.whole(-3, 3); });
      Guarded<TOut, 2> out({s.m, s.n});
      Guarded<T, 2> const& ca = a;
      Guarded<T, 2> const& cw = w;
      run<T, TOut>({nullptr, isa}, transposed, ca.view(), cw.view(), {}, out.view());
      EXPECT_TRUE(out.intact());
      int wrong = 0;
      for (Size m = 0; m < s.m; ++m)
        for (Size n = 0; n < s.n; ++n) {
          TOut const want = TOut(static_cast<float>(support::product<T>(ca.view(), cw.view(), transposed, m, n).value)), got = out.view()(m, n);
          if (!(float(want) == float(got))) ++wrong;
        }
      EXPECT_EQ(wrong, 0) << name(isa) << (transposed ? " nt " : " nn ") << s.m << ' ' << s.n << ' ' << s.k;
    }
}
TEST(Gemm, WholeNumbersAreExact) {
  for (bool const transposed : {true, false}) {
    expect_exact<float, float>(transposed);
    expect_exact<bf16, bf16>(transposed);
    expect_exact<half, half>(transposed);
  }
  expect_exact<bf16, float>(true);
  expect_exact<half, float>(true);
}

/// Dense numbers and a whole epilogue. A sum of K terms in float errs by about √K·u·Σ|a||w| (random signs of the roundings; 4 times that
/// is allowed), the activations by 1e-6 of their argument's size, the store by its type's roundoff.
template <class T>
void expect_near(bool transposed) {
  constexpr Activation kAll[] = {Activation::none, Activation::quick_gelu, Activation::gelu, Activation::gelu_tanh, Activation::silu};
  int variant = 0;
  for (Isa const isa : support::machine_isas())
    for (Shape const s : kShapes) {
      Numbers numbers(7);
      auto const dense = [&] { return numbers.uniform(); };
      Guarded<T, 2> a({s.m, s.k}), w(weight_extents(transposed, s)), factor({s.m, s.n}), residual({s.m, s.n}), out({s.m, s.n});
      Guarded<T, 1> bias({s.n}), scale({s.n});
      Guarded<float, 2> moments({s.m, 2}), columns({2, s.n});
      moments.fill(dense), columns.fill(dense);
      a.fill(dense), w.fill(dense), factor.fill(dense), residual.fill(dense), bias.fill(dense), scale.fill(dense);
      ++variant;
      Epilogue<T, Cpu> e;
      e.activation = kAll[variant % 5];
      e.alpha = variant % 2 ? 1.0f : 0.25f;
      if (variant % 3) e.bias = bias.view();
      if (variant % 4) e.scale = scale.view();
      if (variant % 3 != 1) e.factor = factor.view();
      if (variant % 4 != 2) e.residual = residual.view();
      bool const normed = variant % 5 == 2;
      if (normed) e.norm = {moments.view(), columns.view()};
      Guarded<T, 2> const &ca = a, &cw = w;
      run<T, T>({nullptr, isa}, transposed, ca.view(), cw.view(), e, out.view());
      EXPECT_TRUE(out.intact());
      double worst = 0;
      for (Size m = 0; m < s.m; ++m)
        for (Size n = 0; n < s.n; ++n) {
          support::Sum const sum = support::product<T>(ca.view(), cw.view(), transposed, m, n);
          double const want = support::finish<T>(sum.value, m, n, e), size = sum.size + (normed ? 6 : 3);
          double const bound = 1.2 * 4 * std::sqrt(double(s.k) + 1) * 0x1p-24 * size + 1e-6 * size + support::kRoundoff<T> * (std::abs(want) + 1e-3);
          double const error = std::abs(double(float(out.view()(m, n))) - want);
          worst = error <= bound * 1e9 ? std::max(worst, error / bound) : INFINITY;  // NaN too
        }
      EXPECT_LE(worst, 1) << name(isa) << (transposed ? " nt " : " nn ") << s.m << ' ' << s.n << ' ' << s.k << " epilogue " << variant;
    }
}
TEST(Gemm, EpiloguesMatchReferenceInDouble) {
  for (bool const transposed : {true, false}) {
    expect_near<float>(transposed);
    expect_near<bf16>(transposed);
    expect_near<half>(transposed);
  }
}

/// `factor` and `residual` may be the output itself.
TEST(Gemm, EpilogueReadsTheOutputInPlace) {
  for (Isa const isa : support::machine_isas())
    for (Size const rows : {Size{3}, Size{30}}) {
      Numbers numbers(3);
      Guarded<float, 2> a({rows, 7}), w({35, 7}), out({rows, 35}), before({rows, 35});
      auto const whole = [&] { return numbers.whole(-4, 4); };
      a.fill(whole), w.fill(whole), before.fill(whole);
      for (Size m = 0; m < rows; ++m)
        for (Size n = 0; n < 35; ++n) out.view()(m, n) = before.view()(m, n);
      Epilogue<float, Cpu> e;
      e.factor = out.view(), e.residual = out.view();
      cpu::gemm_nt<float>({nullptr, isa}, a.view(), w.view(), e, out.view());
      for (Size m = 0; m < rows; ++m)
        for (Size n = 0; n < 35; ++n) {
          double const sum = support::product<float>(a.view(), w.view(), true, m, n).value, old = double(before.view()(m, n));
          ASSERT_EQ(double(out.view()(m, n)), old + old * sum) << name(isa);
        }
    }
}

/// Cutting the work otherwise must not move a bit: neither threads nor, up to 16 rows, neighbours in the batch.
TEST(Gemm, BitsDoNotDependOnThreads) {
  for (Isa const isa : support::machine_isas())
    for (Shape const s : {Shape{7, 700, 1030}, {61, 450, 1100}, {500, 40, 2100}}) {
      Numbers numbers(11);
      Guarded<bf16, 2> a({s.m, s.k}), w({s.n, s.k});
      a.fill([&] { return numbers.uniform(); });
      w.fill([&] { return numbers.uniform(); });
      Guarded<float, 2> first({s.m, s.n});
      cpu::gemm_nt<bf16>({nullptr, isa}, a.view(), w.view(), Epilogue<bf16, Cpu>{}, first.view());
      for (int const threads : {2, 3}) {
        ThreadPool pool(threads);
        Guarded<float, 2> out({s.m, s.n});
        cpu::gemm_nt<bf16>({&pool, isa}, a.view(), w.view(), Epilogue<bf16, Cpu>{}, out.view());
        EXPECT_EQ(std::memcmp(out.block().data(), first.block().data(), first.block().size() * 4), 0) << name(isa) << ' ' << threads;
      }
      if (s.m > cpu::kFewRows) continue;
      Guarded<float, 2> alone({1, s.n});
      cpu::gemm_nt<bf16>({nullptr, isa}, a.view().slice(0, 5, 1), w.view(), Epilogue<bf16, Cpu>{}, alone.view());
      EXPECT_EQ(std::memcmp(alone.view().row(0), first.view().row(5), static_cast<std::size_t>(s.n) * 4), 0) << name(isa);
    }
}

/// Infinity and NaN travel as IEEE says; a row does not spoil its neighbours.
TEST(Gemm, NanStaysInItsRow) {
  for (Isa const isa : support::machine_isas())
    for (Size const rows : {Size{5}, Size{40}}) {
      Numbers numbers(5);
      Guarded<bf16, 2> a({rows, 70}), w({50, 70}), out({rows, 50});
      a.fill([&] { return numbers.uniform(); });
      w.fill([&] { return numbers.uniform(); });
      a.view()(2, 69) = bf16(NAN);
      cpu::gemm_nt<bf16>({nullptr, isa}, a.view(), w.view(), Epilogue<bf16, Cpu>{}, out.view());
      for (Size m = 0; m < rows; ++m)
        for (Size n = 0; n < 50; ++n) ASSERT_EQ(std::isnan(float(out.view()(m, n))), m == 2) << name(isa) << ' ' << m;
    }
}

}  // namespace gemm_test
