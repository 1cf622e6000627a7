#include <mgm/cpu/norm.hpp>

#include "support/reference_vision.hpp"

namespace norm_test {

using namespace mgm;

template <class T>
class Norm : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Norm, Types);

constexpr Size kWidths[] = {1, 2, 3, 15, 16, 17, 33, 192, 1000};

TYPED_TEST(Norm, LayerNormMatchesReference) {
  using T = TypeParam;
  for (Size const width : kWidths)
    for (double const mean : {0.0, 100.0})
      for (Isa isa : support::isas()) {
        auto const x = support::normal<T>(Extents<2>{{7, width}}, 1, mean, 3);
        auto const gain = support::normal<T>(Extents<1>{{width}}, 2, 1), bias = support::normal<T>(Extents<1>{{width}}, 3);
        std::vector<double> want;
        for (Size n = 0; n < 7; ++n) {
          auto const all = x.doubles();
          auto const row = ref::layer_norm({all.begin() + n * width, all.begin() + (n + 1) * width}, gain.doubles(), bias.doubles(), 1e-6);
          want.insert(want.end(), row.begin(), row.end());
        }
        auto out = support::filled<T>(x.extents, NAN), threaded = out, in_place = x;
        support::PlainThreads three(3);
        cpu::layer_norm<T>({nullptr, isa}, x.view(), gain.view(), bias.view(), 1e-6f, out.view());
        // mean, centring and scaling err by a few roundings of the mean over a deviation of 3 (at least 0.02 for narrow rows)
        double const slack = width == 1 ? 1e-7 : 0x1p-24 * (8 * std::abs(mean) / (width < 4 ? 0.02 : 1) + 64);
        support::expect_near(out, want, slack, text(support::type_name<T>(), " ", width, " ", mean, " ", name(isa)));
        cpu::layer_norm<T>({&three, isa}, x.view(), gain.view(), bias.view(), 1e-6f, threaded.view());
        cpu::layer_norm<T>({nullptr, isa}, in_place.view(), gain.view(), bias.view(), 1e-6f, in_place.view());
        support::expect_same(out, threaded, "three threads"), support::expect_same(out, in_place, "in place");
      }
}

TYPED_TEST(Norm, LayerNormOfEqualValuesIsTheBias) {
  using T = TypeParam;
  for (Isa isa : support::isas()) {
    auto const x = support::filled<T>(Extents<2>{{2, 48}}, 1000), gain = support::filled<T>(Extents<2>{{1, 48}}, 5);
    auto const bias = support::whole<T>(Extents<1>{{48}}, 3, 9);
    auto out = support::filled<T>(x.extents, NAN);
    cpu::layer_norm<T>({nullptr, isa}, x.view(), gain.view()[0], bias.view(), 1e-5f, out.view());
    for (Size i = 0; i < 96; ++i) EXPECT_EQ(float(out.v[std::size_t(i)]), float(bias.v[std::size_t(i % 48)])) << i;
  }
}

TYPED_TEST(Norm, RmsNormRoundsWhereEachFamilyDoes) {
  using T = TypeParam;
  for (Size const width : kWidths)
    for (float const offset : {0.0f, 1.0f})
      for (Isa isa : support::isas()) {
        auto const x = support::normal<T>(Extents<2>{{5, width}}, 4, 0.5, 3);
        auto const gain = support::normal<T>(Extents<1>{{width}}, 5, 1 - double(offset), 0.5);
        std::vector<double> want;
        for (Size n = 0; n < 5; ++n) {
          double squares = 0;
          for (Size c = 0; c < width; ++c) squares += std::pow(double(float(x.v[std::size_t(n * width + c)])), 2);
          double const inverse = 1 / std::sqrt(squares / double(width) + 1e-5);
          for (Size c = 0; c < width; ++c) {
            double const y = double(float(x.v[std::size_t(n * width + c)])) * inverse, g = double(float(gain.v[std::size_t(c)]));
            want.push_back(offset == 0 ? g * double(float(T(float(y)))) : y * (g + 1));
          }
        }
        auto out = support::filled<T>(x.extents, NAN), in_place = x;
        cpu::rms_norm<T>({nullptr, isa}, x.view(), gain.view(), 1e-5f, offset, out.view());
        cpu::rms_norm<T>({nullptr, isa}, in_place.view(), gain.view(), 1e-5f, offset, in_place.view());
        support::expect_same(out, in_place, "in place");
        // Within a rounding nearly always; where y falls on a tie, float's error may tip its first rounding, so one more is allowed.
        std::string const what = text(support::type_name<T>(), " ", width, " ", name(isa));
        int tipped = 0;
        for (std::size_t i = 0; i < want.size(); ++i) {
          double const error = std::abs(double(float(out.v[i])) - want[i]), one = support::rounding<T>() * std::abs(want[i]) + 1e-6;
          ASSERT_LE(error, 3 * one) << what << " at " << i;
          tipped += error > one;
        }
        EXPECT_LE(tipped, int(want.size() / 100)) << what;
      }
}

TEST(NormStrides, RowsMayLieApart) {
  for (Isa isa : support::isas()) {
    auto wide = support::normal<float>(Extents<2>{{4, 40}}, 6), untouched = wide;
    auto const gain = support::filled<float>(Extents<1>{{24}}, 1), bias = support::filled<float>(Extents<1>{{24}}, 0);
    auto const part = wide.view().slice(1, 8, 24);
    cpu::layer_norm<float>({nullptr, isa}, part, gain.view(), bias.view(), 1e-6f, part);
    for (Size n = 0; n < 4; ++n)
      for (Size c = 0; c < 40; ++c)
        EXPECT_EQ(wide.view()(n, c) == untouched.view()(n, c), c < 8 || c >= 32) << n << " " << c;
  }
}

}  // namespace norm_test
