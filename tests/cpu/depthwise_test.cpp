#include <mgm/cpu/depthwise.hpp>

#include "support/reference_vision.hpp"

namespace depthwise_test {

using namespace mgm;

template <class T>
class Depthwise : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Depthwise, Types);

struct Shape {
  Size height, width, channels;
};
constexpr Shape kShapes[] = {{1, 1, 1}, {1, 5, 3}, {2, 2, 17}, {6, 1, 16}, {7, 7, 33}, {3, 12, 8}, {9, 13, 20}, {5, 30, 64}, {24, 24, 12}};

TYPED_TEST(Depthwise, WholeNumbersComeOutExactly) {
  using T = TypeParam;
  for (auto const [h, w, c] : kShapes)
    for (Isa isa : support::isas()) {
      auto const x = support::whole<T>(Extents<3>{{h, w, c}}, 1, 1), weight3 = support::whole<T>(Extents<3>{{1, 49, c}}, 2, 2);
      auto const bias = support::whole<T>(Extents<1>{{c}}, 3, 50);
      auto const want = ref::depthwise7(x.array(), weight3.array(), bias.doubles());  // at most 148: exact in every type
      auto out = support::filled<T>(x.extents, NAN), twice = out, thrice = out;
      support::PlainThreads two(2), three(3);
      cpu::depthwise_conv7<T>({nullptr, isa}, x.view(), weight3.view()[0], bias.view(), out.view());
      cpu::depthwise_conv7<T>({&two, isa}, x.view(), weight3.view()[0], bias.view(), twice.view());
      cpu::depthwise_conv7<T>({&three, isa}, x.view(), weight3.view()[0], bias.view(), thrice.view());
      for (std::size_t i = 0; i < want.v.size(); ++i)
        ASSERT_EQ(double(float(out.v[i])), want.v[i]) << h << "x" << w << "x" << c << " " << name(isa) << " at " << i;
      support::expect_same(out, twice, "two threads"), support::expect_same(out, thrice, "three threads");
    }
}

TYPED_TEST(Depthwise, WithNormMatchesReference) {
  using T = TypeParam;
  for (auto const [h, w, c] : kShapes)
    for (Isa isa : support::isas()) {
      auto const x = support::normal<T>(Extents<3>{{h, w, c}}, 1), weight3 = support::normal<T>(Extents<3>{{1, 49, c}}, 2, 0, 0.2);
      auto const bias = support::normal<T>(Extents<1>{{c}}, 3), gain = support::normal<T>(Extents<1>{{c}}, 4, 1, 0.2);
      auto const shift = support::normal<T>(Extents<1>{{c}}, 5);
      auto const conv = ref::depthwise7(x.array(), weight3.array(), bias.doubles());
      std::vector<double> want;
      double sharpest = 0;
      for (Size n = 0; n < h * w; ++n) {
        std::vector<double> const row(&conv.v[std::size_t(n * c)], &conv.v[std::size_t(n * c)] + c);
        auto const normed = ref::layer_norm(row, gain.doubles(), shift.doubles(), 1e-6);
        want.insert(want.end(), normed.begin(), normed.end());
        double mean = 0, var = 0;
        for (double const v : row) mean += v / double(c);
        for (double const v : row) var += (v - mean) * (v - mean) / double(c);
        sharpest = std::max(sharpest, 1 / std::sqrt(var + 1e-6));
      }
      auto out = support::filled<T>(x.extents, NAN), thrice = out;
      support::PlainThreads three(3);
      cpu::depthwise_conv7_norm<T>({nullptr, isa}, x.view(), weight3.view()[0], bias.view(), gain.view(), shift.view(), 1e-6f, out.view());
      cpu::depthwise_conv7_norm<T>({&three, isa}, x.view(), weight3.view()[0], bias.view(), gain.view(), shift.view(), 1e-6f,
                                   thrice.view());
      // 50 products of about 0.2 summed in float, divided by the deviation
      support::expect_near(out, want, 50 * 0x1p-24 * 4 * sharpest + 1e-6,
                           text(support::type_name<T>(), " ", h, "x", w, "x", c, " ", name(isa)));
      support::expect_same(out, thrice, "three threads");
    }
}

TEST(DepthwiseStrides, ReadsAndWritesOnlyItsChannels) {
  for (Isa isa : support::isas()) {
    auto const x = support::whole<float>(Extents<3>{{4, 6, 40}}, 1, 3), weight = support::whole<float>(Extents<3>{{1, 49, 20}}, 2, 3);
    auto const bias = support::whole<float>(Extents<1>{{20}}, 3, 3);
    auto out = support::filled<float>(Extents<3>{{4, 6, 40}}, NAN);
    cpu::depthwise_conv7<float>({nullptr, isa}, x.view().slice(2, 3, 20), weight.view()[0], bias.view(), out.view().slice(2, 7, 20));
    ref::Array part(4, 6, 20);
    for (Size i = 0; i < 24; ++i)
      for (Size c = 0; c < 20; ++c) part.v[std::size_t(20 * i + c)] = double(x.v[std::size_t(40 * i + 3 + c)]);
    auto const want = ref::depthwise7(part, weight.array(), bias.doubles());
    for (Size i = 0; i < 24; ++i)
      for (Size c = 0; c < 40; ++c) {
        float const v = out.v[std::size_t(40 * i + c)];
        if (c < 7 || c >= 27) ASSERT_TRUE(std::isnan(v)) << i << " " << c;
        else ASSERT_EQ(double(v), want.v[std::size_t(20 * i + c - 7)]) << i << " " << c;
      }
  }
}

}  // namespace depthwise_test
