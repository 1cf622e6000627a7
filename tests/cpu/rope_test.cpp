#include <mgm/cpu/rope.hpp>

#include "support/reference_vision.hpp"

namespace rope_test {

using namespace mgm;

template <class T>
class Rope : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Rope, Types);

TYPED_TEST(Rope, MatchesReferenceAtNearAndFarPositions) {
  using T = TypeParam;
  for (auto const [tokens, heads, d] : {std::array<Size, 3>{1, 1, 2}, {40, 2, 12}, {70, 3, 64}, {2, 1, 256}})
    for (Size const first : {Size{0}, Size{1}, Size{2943}, Size{32767}})
      for (float const theta : {10000.0f, 5000000.0f})
        for (Isa isa : support::isas()) {
          auto const x = support::normal<T>(Extents<3>{{tokens, heads, d}}, 1);
          std::vector<double> want = x.doubles();
          for (Size t = 0; t < tokens; ++t)
            for (Size h = 0; h < heads; ++h)
              for (Size i = 0; i < d / 2; ++i) {
                double const angle = double(first + t) * std::pow(double(theta), -2.0 * double(i) / double(d));
                double &a = want[std::size_t((t * heads + h) * d + i)], &b = want[std::size_t((t * heads + h) * d + d / 2 + i)];
                double const p = a, q = b;
                a = p * std::cos(angle) - q * std::sin(angle), b = q * std::cos(angle) + p * std::sin(angle);
              }
          auto out = x, thrice = x;
          support::PlainThreads three(3);
          cpu::rope<T>({nullptr, isa}, out.view(), first, theta);
          cpu::rope<T>({&three, isa}, thrice.view(), first, theta);
          support::expect_near(out, want, 8 * 0x1p-23, text(support::type_name<T>(), " ", tokens, " from ", first, " ", name(isa)));
          support::expect_same(out, thrice, "three threads");
        }
}

TEST(RopeTable, IsTheSameFromWhereverItStarts) {
  std::vector<float> long_storage(100 * 2 * 16), one_storage(2 * 16);
  View<float, 3> const all(long_storage.data(), Extents<3>{{100, 2, 16}}), one(one_storage.data(), Extents<3>{{1, 2, 16}});
  cpu::rope_table({nullptr, Isa::portable}, 0, 10000, all);
  for (Size t = 0; t < 100; ++t) {
    cpu::rope_table({nullptr, Isa::portable}, t, 10000, one);
    for (Size k = 0; k < 2; ++k)
      for (Size i = 0; i < 16; ++i) EXPECT_NEAR(double(all(t, k, i)), double(one(0, k, i)), 0x1p-24) << t << " " << i;
  }
}

TEST(RopeStrides, TurnsOnlyTheHeadsGiven) {
  auto x = support::normal<float>(Extents<3>{{3, 4, 8}}, 2), before = x;
  cpu::rope<float>({nullptr, best_isa()}, x.view().slice(1, 1, 2), 5, 10000);
  for (Size t = 0; t < 3; ++t)
    for (Size h = 0; h < 4; ++h)
      for (Size i = 0; i < 8; ++i) EXPECT_EQ(x.view()(t, h, i) != before.view()(t, h, i), h == 1 || h == 2) << t << h << i;
}

}  // namespace rope_test
