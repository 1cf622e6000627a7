/// cuBLASLt's products: what it says where it cannot start, and on a GPU its results against plain loops in double.
#include <array>

#include <mgm/ops/linear.hpp>
#include <mgm/vendor/cublaslt_gemm.cuh>

#include "vendor/on_gpu.hpp"

namespace cublaslt_test {

using namespace mgm;

TEST(CublasLt, SaysWhyItCannotStart) {
  std::string why;
  if (simt::device_count(&why) > 0) GTEST_SKIP() << "there is a device";
  try {
    vendor::CublasLt const library;
    FAIL();
  } catch (DeviceError const& error) {
    EXPECT_EQ(std::string(error.what()), "cublaslt: no device: " + why);
  }
}
TEST(CublasLt, KnowsWhatPointersBeginOn) {
  auto const at = [](std::uintptr_t address) { return reinterpret_cast<void const*>(address); };
  EXPECT_EQ(vendor::detail::alignment_of({nullptr}), 256);
  EXPECT_EQ(vendor::detail::alignment_of({at(4096), nullptr, at(48)}), 16);
  EXPECT_EQ(vendor::detail::alignment_of({at(4096), at(6)}), 2);
}

template <class T>
class CublasLtOnCuda : public testing::Test {};
using Types = testing::Types<float, bf16, mgm::half>;
TYPED_TEST_SUITE(CublasLtOnCuda, Types);

constexpr std::array<Size, 3> kShapes[] = {{1, 1, 8},     {1, 8, 8},     {2, 3, 5},    {7, 8, 16},     {16, 16, 16},   {17, 9, 17},
                                           {31, 33, 32},  {32, 32, 64},  {33, 64, 40}, {64, 64, 64},   {65, 63, 129},  {64, 128, 32},
                                           {1, 256, 128}, {3, 127, 256}, {5, 130, 72}, {127, 128, 64}, {128, 128, 96}, {129, 130, 65},
                                           {13, 11, 97},  {97, 16, 13},  {255, 8, 24}, {256, 257, 48}, {40, 1, 300},   {8, 300, 1}};

TYPED_TEST(CublasLtOnCuda, MatchesDouble) {
  using T = TypeParam;
  MGM_SKIP_WITHOUT_GPU();
  Context<Cuda> ctx({.products = std::make_shared<vendor::CublasLt>(), .prefer = Prefer::vendor});
  int made = 0;
  for (auto const& [m, n, k] : kShapes)
    for (int kind = 0; kind < 4; ++kind) {
      bool const exact = kind < 2, more = kind % 2 == 1;
      support::Numbers numbers(std::uint64_t(m * 1000 + n * 10 + kind));
      auto const x = vendor_test::numbers<T>(numbers, m * k, exact), w = vendor_test::numbers<T>(numbers, n * k, exact),
                 bias = vendor_test::numbers<T>(numbers, n, exact), old = vendor_test::numbers<T>(numbers, m * n, exact);
      auto const dx = ctx.on_device(vendor_test::view(x, Extents{m, k}));
      auto const dw = ctx.on_device(vendor_test::view(w, Extents{n, k}));
      auto const dbias = ctx.on_device(vendor_test::view(bias, Extents{n}));
      auto const dold = ctx.on_device(vendor_test::view(old, Extents{m, n}));
      auto out = ctx.template empty<T>(Extents{m, n});
      Epilogue<T, Cuda> e{};
      if (more) e.bias = dbias.view(), e.residual = dold.view(), e.alpha = 2;
      if (!ops::detail::vendor_gemm<T, T>(ctx, dx, dw, e, out.view())) continue;
      ++made;
      auto const got = ctx.on_host(out.view());
      for (Size i = 0; i < m; ++i)
        for (Size j = 0; j < n; ++j) {
          vendor_test::Sum sum;
          for (Size c = 0; c < k; ++c)
            sum.add((more ? 2 : 1) * double(float(x[std::size_t(i * k + c)])) * double(float(w[std::size_t(j * k + c)])));
          if (more) sum.add(double(float(bias[std::size_t(j)]))), sum.add(double(float(old[std::size_t(i * n + j)])));
          vendor_test::expect_sum<T>(float(got.view()(i, j)), sum, exact, text(m, "x", n, "x", k, " at ", i, ", ", j));
        }
    }
  EXPECT_GE(made, 24);
}

}  // namespace cublaslt_test
