#include <gtest/gtest.h>

#include <cstring>

#include <mgm/cpu/gemv.hpp>
#include <mgm/mem/thread_pool.hpp>
#include <support/reference.hpp>

namespace gemv_test {
using namespace mgm;
using support::Guarded;
using support::Numbers;

/// Each number of rows up to the limit, with tails in all axes, against the sums in double (bound as in gemm_test.cpp).
TEST(Gemv, EveryNumberOfRows) {
  for (Isa const isa : support::machine_isas())
    for (Size rows = 1; rows <= cpu::kFewRows; ++rows) {
      Size const cols = 2 * rows + 29, k = 61 * rows + 3;
      Numbers numbers(static_cast<std::uint64_t>(rows));
      Guarded<bf16, 2> a({rows, k}), w({cols, k});
      Guarded<float, 2> out({rows, cols});
      a.fill([&] { return numbers.uniform(); });
      w.fill([&] { return numbers.uniform(); });
      cpu::gemv_nt<bf16>({nullptr, isa}, a.view(), w.view(), Epilogue<bf16, Cpu>{}, out.view());
      EXPECT_TRUE(out.intact());
      double worst = 0;
      for (Size m = 0; m < rows; ++m)
        for (Size n = 0; n < cols; ++n) {
          support::Sum const sum = support::product<bf16>(a.view(), w.view(), true, m, n);
          double const error = std::abs(double(out.view()(m, n)) - sum.value) / (4 * std::sqrt(double(k)) * 0x1p-24 * sum.size);
          worst = error < 1e9 ? std::max(worst, error) : INFINITY;
        }
      EXPECT_LE(worst, 1) << name(isa) << ' ' << rows;
    }
}

/// The same bits alone, among neighbours, and on any number of threads.
TEST(Gemv, BitsDependOnTheRowAlone) {
  for (Isa const isa : support::machine_isas()) {
    Size const cols = 3000, k = 130;
    Numbers numbers(5);
    Guarded<bf16, 2> a({9, k}), w({cols, k});
    Guarded<bf16, 2> all({9, cols});
    a.fill([&] { return numbers.uniform(); });
    w.fill([&] { return numbers.uniform(); });
    ThreadPool pool(3);
    cpu::gemv_nt<bf16>({&pool, isa}, a.view(), w.view(), Epilogue<bf16, Cpu>{}, all.view());
    for (Size m = 0; m < 9; ++m) {
      Guarded<bf16, 2> alone({1, cols});
      cpu::gemv_nt<bf16>({nullptr, isa}, a.view().slice(0, m, 1), w.view(), Epilogue<bf16, Cpu>{}, alone.view());
      EXPECT_EQ(std::memcmp(alone.view().row(0), all.view().row(m), std::size_t(cols) * 2), 0) << name(isa) << ' ' << m;
    }
  }
}

}  // namespace gemv_test
