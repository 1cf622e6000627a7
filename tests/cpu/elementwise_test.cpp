#include <mgm/cpu/elementwise.hpp>

#include "support/reference_vision.hpp"

namespace elementwise_test {

using namespace mgm;

template <class T>
class Elementwise : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Elementwise, Types);

constexpr Size kWidths[] = {1, 3, 16, 17, 50, 5000};

TYPED_TEST(Elementwise, OneRoundingPerElementBitForBit) {
  using T = TypeParam;
  for (Size const width : kWidths)
    for (Isa isa : support::isas()) {
      auto const a = support::normal<T>(Extents<2>{{3, width}}, 1), b = support::normal<T>(Extents<2>{{3, width}}, 2, 0, 100);
      auto sum = support::filled<T>(a.extents, NAN), product = sum, scaled = sum, in_place = a;
      support::PlainThreads three(3);
      cpu::add<T>({&three, isa}, a.view(), b.view(), sum.view());
      cpu::multiply<T>({&three, isa}, a.view(), b.view(), product.view());
      cpu::scale<T>({&three, isa}, a.view(), 45.25f, scaled.view());
      cpu::add<T>({nullptr, isa}, in_place.view(), b.view(), in_place.view());
      for (std::size_t i = 0; i < a.v.size(); ++i) {
        float const p = float(a.v[i]), q = float(b.v[i]);
        ASSERT_EQ(float(sum.v[i]), float(T(p + q))) << width << " " << name(isa) << " at " << i;
        ASSERT_EQ(float(product.v[i]), float(T(p * q))) << width << " " << name(isa) << " at " << i;
        ASSERT_EQ(float(scaled.v[i]), float(T(p * 45.25f))) << width << " " << name(isa) << " at " << i;
      }
      support::expect_same(sum, in_place, "in place, one thread");
    }
}

TYPED_TEST(Elementwise, ConvertsBitForBitBetweenAllTypes) {
  using T = TypeParam;
  auto const from = [&]<class From>(std::type_identity<From>) {
    for (Isa isa : support::isas()) {
      auto x = support::normal<From>(Extents<2>{{4, 37}}, 3, 0, 1000);
      float const special[] = {0.0f, -0.0f, INFINITY, -INFINITY, 65504.0f, 65520.0f, 3e38f, 1e-7f, 3e-8f, 1e-40f};
      for (std::size_t i = 0; i < std::size(special); ++i) x.v[3 * i] = From(special[i]);
      auto out = support::filled<T>(x.extents, NAN);
      cpu::convert<From, T>({nullptr, isa}, x.view(), out.view());
      for (std::size_t i = 0; i < x.v.size(); ++i) {
        T const want = T(float(x.v[i]));
        ASSERT_EQ(0, std::memcmp(&out.v[i], &want, sizeof want)) << name(isa) << " at " << i << ": " << float(x.v[i]);
      }
      x.v[5] = From(NAN);
      cpu::convert<From, T>({nullptr, isa}, x.view(), out.view());
      EXPECT_TRUE(std::isnan(float(out.v[5])));
    }
  };
  from(std::type_identity<float>{}), from(std::type_identity<bf16>{}), from(std::type_identity<half>{});
}

TYPED_TEST(Elementwise, MeanOfFourPixels) {
  using T = TypeParam;
  for (Isa isa : support::isas())
    for (auto const [h, w, c] : {std::array<Size, 3>{2, 2, 1}, {5, 7, 19}, {6, 4, 32}}) {
      auto const x = support::whole<T>(Extents<3>{{h, w, c}}, 4, 8);
      auto out = support::filled<T>(Extents<3>{{h / 2, w / 2, c}}, NAN);
      cpu::mean2x2<T>({nullptr, isa}, x.view(), out.view());
      for (Size v = 0; v < h / 2; ++v)
        for (Size u = 0; u < w / 2; ++u)
          for (Size k = 0; k < c; ++k) {
            auto const at = [&](Size i, Size j) { return float(x.view()(2 * v + i, 2 * u + j, k)); };
            ASSERT_EQ(float(out.view()(v, u, k)), (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4);
          }
    }
}

TYPED_TEST(Elementwise, PlanesThereAndBack) {
  using T = TypeParam;
  auto const x = support::normal<T>(Extents<3>{{3, 5, 7}}, 5);
  auto planes = support::filled<float>(Extents<3>{{7, 3, 5}}, NAN);
  auto back = support::filled<T>(x.extents, NAN);
  support::PlainThreads two(2);
  Executor const ex{&two, best_isa()};
  cpu::to_planes(ex, x.view(), planes.view());
  for (Size v = 0; v < 3; ++v)
    for (Size u = 0; u < 5; ++u)
      for (Size c = 0; c < 7; ++c) ASSERT_EQ(planes.view()(c, v, u), float(x.view()(v, u, c)));
  cpu::from_planes(ex, planes.view(), back.view());
  support::expect_same(x, back, "there and back");
}

TEST(ElementwiseStrides, PartsOfLargerTensors) {
  auto a = support::whole<float>(Extents<3>{{2, 3, 10}}, 6, 100), before = a;
  auto const b = support::whole<float>(Extents<3>{{2, 3, 4}}, 7, 100);
  auto const part = a.view().slice(2, 5, 4);
  for (Isa isa : support::isas()) {
    a = before;
    cpu::add<float>({nullptr, isa}, part, b.view(), part);
    for (Size i = 0; i < 2; ++i)
      for (Size j = 0; j < 3; ++j)
        for (Size k = 0; k < 10; ++k)
          EXPECT_EQ(a.view()(i, j, k), before.view()(i, j, k) + (k >= 5 && k < 9 ? b.view()(i, j, k - 5) : 0)) << i << j << k;
  }
}

}  // namespace elementwise_test
