#include <mgm/cpu/softmax.hpp>

#include "support/reference_vision.hpp"

namespace softmax_test {

using namespace mgm;

TEST(Softmax, MatchesReference) {
  for (Size const width : {1, 2, 15, 16, 17, 64, 1000})
    for (double const deviation : {1.0, 50.0})
      for (Isa isa : support::isas()) {
        auto const x = support::normal<float>(Extents<2>{{9, width}}, 1, 30, deviation);
        std::vector<double> want;
        for (Size n = 0; n < 9; ++n) {
          auto const all = x.doubles();
          auto const row = ref::softmax({all.begin() + n * width, all.begin() + (n + 1) * width});
          want.insert(want.end(), row.begin(), row.end());
        }
        auto out = support::filled<float>(x.extents, NAN), in_place = x, thrice = out;
        support::PlainThreads three(3);
        cpu::softmax_rows({nullptr, isa}, x.view(), out.view());
        cpu::softmax_rows({nullptr, isa}, in_place.view(), in_place.view());
        cpu::softmax_rows({&three, isa}, x.view(), thrice.view());
        for (std::size_t i = 0; i < want.size(); ++i)  // 2 ulp of exp, the division, and the rounding of x − max, up to 400
          ASSERT_NEAR(double(out.v[i]), want[i], want[i] * 416 * 0x1p-24 + 1e-37) << width << " " << name(isa) << " at " << i;
        support::expect_same(out, in_place, "in place"), support::expect_same(out, thrice, "three threads");
      }
}

TEST(Softmax, InfinitiesAndNumbersThatAreNone) {
  for (Isa isa : support::isas())
    for (Size const width : {3, 16, 21}) {
      auto x = support::filled<float>(Extents<2>{{3, width}}, -INFINITY);
      x.view()(0, width - 1) = -1e30f;           // the only finite one takes all
      x.view()(1, 0) = NAN, x.view()(1, 1) = 0;  // and row 2 has nothing
      auto out = support::filled<float>(x.extents, 7);
      cpu::softmax_rows({nullptr, isa}, x.view(), out.view());
      for (Size m = 0; m < width; ++m) {
        EXPECT_EQ(out.view()(0, m), m == width - 1 ? 1 : 0);
        EXPECT_TRUE(std::isnan(out.view()(1, m))) << m;
        EXPECT_TRUE(std::isnan(out.view()(2, m))) << m;
      }
    }
}

TEST(Argmax, LowestIndexOnTiesAndNeverNaN) {
  float const inf = INFINITY;
  EXPECT_EQ(cpu::argmax(std::vector{1.f, 3.f, 2.f, 3.f}.data(), 4), 1);
  EXPECT_EQ(cpu::argmax(std::vector{-5.f}.data(), 1), 0);
  EXPECT_EQ(cpu::argmax(std::vector{NAN, -inf, -2.f}.data(), 3), 2);
  EXPECT_EQ(cpu::argmax(std::vector{NAN, -inf, -inf}.data(), 3), 1);
  EXPECT_EQ(cpu::argmax(std::vector{NAN, NAN}.data(), 2), 0);
  EXPECT_EQ(cpu::argmax(std::vector{0.f, inf, inf}.data(), 3), 1);
}

}  // namespace softmax_test
