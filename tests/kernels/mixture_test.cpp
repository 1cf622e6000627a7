/// The mixture of experts against plain loops in double: exact inputs bit for bit, dense ones within a derived bound.
#include <array>
#include <cmath>
#include <vector>

#include <mgm/kernels/decode/mixture.cuh>

#include "support/refusals.hpp"

namespace mixture_test {

using namespace mgm;
using support::Dev;
using support::Layout;
using support::Matrix;

struct Shape {
  Size rows, experts, top, width, ffn;
};
// one, primes, ragged, a block's outputs and one more or less, a panel and one more, widths that are no multiple of an access
constexpr Shape kShapes[] = {
    {1, 1, 1, 1, 1},   {1, 2, 1, 3, 5},   {1, 3, 2, 5, 3},   {2, 4, 2, 7, 8},    {1, 8, 2, 8, 7},    {3, 5, 3, 9, 9},    {1, 8, 2, 15, 16},
    {1, 8, 2, 16, 15}, {2, 8, 2, 17, 31}, {1, 8, 2, 31, 32}, {1, 8, 2, 32, 33},  {1, 4, 4, 33, 17},  {5, 3, 2, 24, 40},  {1, 8, 2, 64, 63},
    {1, 8, 2, 63, 64}, {1, 8, 2, 65, 66}, {4, 8, 2, 12, 20}, {1, 2, 2, 127, 24}, {1, 2, 1, 128, 25}, {1, 2, 2, 129, 23}, {1, 3, 2, 256, 9},
    {2, 2, 2, 255, 7}, {1, 2, 1, 257, 8}, {7, 6, 2, 11, 13}, {1, 2, 2, 4096, 3}, {1, 2, 2, 4097, 2}, {1, 2, 1, 3, 4100}};

template <class T>
class Mixture : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Mixture, Types);

/// Weights of all experts in one block, each matrix `gap` elements behind the one before: 1 puts all but a few off alignment.
template <class T>
struct Experts {
  template <class Make>
  Experts(Context<Dev>& ctx, Shape s, Size gap, Make make) : shape(s), size(s.width * s.ffn + gap) {
    for (Size i = 0; i < 3 * s.experts * size; ++i) host.push_back(T(float(make())));
    block = ctx.on_device(View<T const, 1, Cpu>(host.data(), Extents{Size(host.size())}));
    std::vector<kernels::ExpertWeights<T>> list;
    for (Size e = 0; e < s.experts; ++e)
      list.push_back({block.data() + 3 * e * size, block.data() + (3 * e + 1) * size, block.data() + (3 * e + 2) * size});
    device = ctx.on_device(View<kernels::ExpertWeights<T> const, 1, Cpu>(list.data(), Extents{s.experts}));
  }
  double gate(Size e, Size f, Size h) const { return double(float(host[std::size_t(3 * e * size + f * shape.width + h)])); }
  double up(Size e, Size f, Size h) const { return double(float(host[std::size_t((3 * e + 1) * size + f * shape.width + h)])); }
  double down(Size e, Size h, Size f) const { return double(float(host[std::size_t((3 * e + 2) * size + h * shape.ffn + f)])); }
  Shape shape;
  Size size;
  std::vector<T> host;
  Tensor<T const, 1, Dev> block;
  Tensor<kernels::ExpertWeights<T> const, 1, Dev> device;
};
/// `top` experts for each row, ascending.
std::vector<int> pick(support::Numbers& numbers, Shape s) {
  std::vector<int> ids;
  for (Size p = 0; p < s.rows; ++p) {
    Size left = s.top;
    for (Size e = 0; e < s.experts; ++e)
      if (numbers.whole(0, int(s.experts - e) - 1) < left) ids.push_back(int(e)), --left;
  }
  return ids;
}
template <class N>
Tensor<N const, 2, Dev> table(Context<Dev>& ctx, std::vector<N> const& numbers, Size rows) {
  return ctx.on_device(View<N const, 2, Cpu>(numbers.data(), Extents{rows, Size(numbers.size()) / rows}));
}

struct Sum {
  double value = 0, error = 0;  // and how far off a device may be
};
constexpr double kUnit = 0x1p-24;

/// A sum of `terms` in float, in any order, of products that are exact or rounded once: each term is rounded at most terms + 1 times.
template <class Term>
Sum sum_of(Size terms, Term term) {
  Sum s;
  double size = 0;
  for (Size i = 0; i < terms; ++i) {
    Sum const t = term(i);
    s.value += t.value, s.error += t.error, size += std::abs(t.value) + t.error;
  }
  s.error += double(terms + 1) * kUnit * size;
  return s;
}

TYPED_TEST(Mixture, DecodeMatchesDouble) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (Shape const& s : kShapes)
      for (bool const exact : {false, true}) {
        if (!support::full_suite() && exact == ((&s - kShapes) % 2 == 0)) continue;  // each shape once
        SCOPED_TRACE(text(support::type_of<T>(), ", ", s.rows, " rows, ", s.top, " of ", s.experts, ", ", s.width, " x ", s.ffn));
        support::Numbers numbers(std::uint64_t(s.width * 10007 + s.ffn * 101 + s.rows));
        auto const make = [&] { return exact ? (numbers.whole(0, 3) == 0 ? double(numbers.whole(-1, 1)) : 0.0) : numbers.uniform(); };
        Layout const layout = exact ? Layout::odd : support::kLayouts[(s.width + s.ffn) % 4];
        Experts<T> const experts(ctx, s, s.width % 2 == 0 ? (16 - s.width * s.ffn % 16) % 16 : 1, make);
        Matrix<T> const x(ctx, layout, s.rows, s.width, make);
        Matrix<T> out(ctx, layout, s.rows, s.width, make);
        Matrix<T> const residual = out;  // what out held
        auto const ids = pick(numbers, s);
        std::vector<float> weights;
        for (std::size_t i = 0; i < ids.size(); ++i)
          weights.push_back(exact ? 0.25f * float(numbers.whole(1, 3)) : float(std::abs(numbers.uniform())));
        auto hidden = ctx.template empty<T>(Extents{s.rows, s.top, s.ffn});
        Activation const activation = exact ? Activation::none : Activation::silu;
        kernels::mixture_decode<T, Dev>(ctx.stream(), x.view(), table(ctx, ids, s.rows), table(ctx, weights, s.rows), experts.device,
                                        activation, hidden.view(), out.view(), out.view());
        out.fetch();
        EXPECT_TRUE(out.intact());
        for (Size p = 0; p < s.rows; ++p) {
          std::vector<std::vector<Sum>> wide(std::size_t(s.top));
          for (Size i = 0; i < s.top; ++i)
            for (Size f = 0; f < s.ffn; ++f) {
              Size const e = ids[std::size_t(p * s.top + i)];
              auto const row = [&](auto weight) {
                return sum_of(s.width, [&](Size h) { return Sum{weight(e, f, h) * double(float(x(p, h)))}; });
              };
              Sum const g = row([&](Size a, Size b, Size c) { return experts.gate(a, b, c); });
              Sum const u = row([&](Size a, Size b, Size c) { return experts.up(a, b, c); });
              double const act = activate(activation, g.value), value = act * u.value;
              // silu rises by at most 1.1, its exp and quotient are within 8 roundings; then the product, and the rounding to T
              double const act_error = 1.1 * g.error + 8 * kUnit * std::abs(act);
              double const error = act_error * (std::abs(u.value) + u.error) + std::abs(act) * u.error;
              double const stored = exact ? double(float(T(float(value)))) : value;  // exact sums: the one rounding is known
              wide[std::size_t(i)].push_back({stored, error + (kUnit + support::kRoundoff<T>)*(std::abs(value) + error) + 0x1p-25});
            }
          for (Size h = 0; h < s.width; ++h) {
            Sum const all = sum_of(s.top, [&](Size i) {
              double const weight = double(weights[std::size_t(p * s.top + i)]);
              Size const e = ids[std::size_t(p * s.top + i)];
              Sum const down = sum_of(s.ffn, [&](Size f) {
                Sum const v = wide[std::size_t(i)][std::size_t(f)];
                return Sum{experts.down(e, h, f) * v.value, std::abs(experts.down(e, h, f)) * v.error};
              });
              return Sum{weight * down.value, weight * down.error};
            });
            double const want = double(float(residual(p, h))) + all.value;
            if (exact)
              ASSERT_EQ(float(out(p, h)), float(T(float(want)))) << p << ", " << h;
            else
              ASSERT_NEAR(float(out(p, h)), want, all.error + (kUnit + support::kRoundoff<T>)*(std::abs(want) + all.error) + 0x1p-25)
                  << p << ", " << h;
          }
        }
      }
  });
}

TYPED_TEST(Mixture, CombineAddsTheListedResults) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    for (Shape const& s : kShapes)
      for (Layout const layout : support::kLayouts) {
        if (!support::full_suite() && int(layout) % 2 != (&s - kShapes) % 2) continue;
        SCOPED_TRACE(text(support::type_of<T>(), ", ", s.rows, " rows, ", s.top, " kept, ", s.width));
        support::Numbers numbers(std::uint64_t(s.width * 10007 + s.ffn * 101 + s.rows));
        auto const make = [&] { return numbers.uniform(); };
        Size const count = s.rows * s.top;
        Matrix<T> const results(ctx, layout, count, s.width, make);
        Matrix<T> out(ctx, layout, s.rows, s.width, make);
        Matrix<T> const residual = out;
        std::vector<int> places;
        std::vector<float> weights;
        for (Size i = 0; i < count; ++i) places.push_back(int(count - 1 - i)), weights.push_back(float(make()));
        kernels::mixture_combine<T, Dev>(ctx.stream(), results.view(), table(ctx, places, s.rows), table(ctx, weights, s.rows), out.view(),
                                         out.view());
        out.fetch();
        EXPECT_TRUE(out.intact());
        for (Size p = 0; p < s.rows; ++p)
          for (Size h = 0; h < s.width; ++h) {
            Sum const all = sum_of(s.top, [&](Size i) {
              std::size_t const at = std::size_t(p * s.top + i);
              return Sum{double(weights[at]) * double(float(results(places[at], h)))};
            });
            double const want = double(float(residual(p, h))) + all.value;
            ASSERT_NEAR(float(out(p, h)), want, all.error + (kUnit + support::kRoundoff<T>)*(std::abs(want) + all.error) + 0x1p-25)
                << p << ", " << h;
          }
      }
  });
}

TEST(MixtureArguments, AreRefusedByNameAndStrayIdsGiveNaN) {
  support::on_each_machine([](Context<Dev>& ctx) {
    using F = View<float, 2, Dev>;
    auto const stream = ctx.stream();
    support::Numbers numbers(1);
    Shape const s{2, 2, 1, 8, 4};
    Experts<float> const experts(ctx, s, 0, [&] { return numbers.uniform(); });
    Matrix<float> const x(ctx, Layout::dense, 2, 8, [&] { return numbers.uniform(); });
    Matrix<float> out(ctx, Layout::dense, 2, 8);
    auto hidden = ctx.template empty<float>(Extents{Size{2}, Size{1}, Size{4}});
    auto const ids = table<int>(ctx, {1, 2}, 2), one = table<int>(ctx, {1}, 1);
    auto const weights = table<float>(ctx, {1, 1}, 2);
    auto const call = [&](F in, View<int const, 2, Dev> chosen, View<float, 3, Dev> wide, F to) {
      kernels::mixture_decode<float, Dev>(stream, in, chosen, weights, experts.device, Activation::silu, wide, x.view(), to);
    };
    support::expect_refused("mixture_decode: x: expected shape (2, 8)", [&] { call(F(x.view().data(), {2, 7}), ids, hidden, out.view()); });
    support::expect_refused("mixture_decode: ids: expected shape (2, *)", [&] { call(x.view(), one, hidden, out.view()); });
    support::expect_refused("mixture_decode: hidden: expected shape (2, 1, *)", [&] {
      call(x.view(), ids, {hidden.data(), {2, 2, 2}}, out.view());
    });
    support::expect_refused("mixture_decode: out: the pointer is null", [&] { call(x.view(), ids, hidden, F(nullptr, {2, 8})); });
    support::expect_refused("mixture_decode: out: overlaps x", [&] { call(x.view(), ids, hidden, x.view()); });
    support::expect_refused("mixture_combine: results: there are none", [&] {
      kernels::mixture_combine<float, Dev>(stream, F(nullptr, {0, 8}), ids, weights, x.view(), out.view());
    });
    call(x.view(), ids, hidden, out.view());
    out.fetch();
    EXPECT_FALSE(std::isnan(out(0, 3)));
    EXPECT_TRUE(std::isnan(out(1, 3)));
    kernels::mixture_combine<float, Dev>(stream, x.view(), ids, weights, x.view(), out.view().slice(1, 0, 8));
    out.fetch();
    EXPECT_FALSE(std::isnan(out(0, 3)));
    EXPECT_TRUE(std::isnan(out(1, 3)));
    kernels::mixture_decode<float, Dev>(stream, F(nullptr, {0, 8}), View<int const, 2, Dev>(nullptr, {0, 1}), F(nullptr, {0, 1}),
                                        experts.device, Activation::silu, View<float, 3, Dev>(nullptr, {0, 1, 4}), F(nullptr, {0, 8}),
                                        F(nullptr, {0, 8}));
    View<int const, 2, Dev> const chosen(ids.data(), {2, 1});
    View<float const, 2, Dev> const shares(weights.data(), {2, 1});
    auto const decode = [&](auto x_, auto ids_, auto weights_, View<float, 3, Dev> hidden_, View<float, 2, Dev> out_) {
      kernels::mixture_decode<float, Dev>(stream, x_, ids_, weights_, experts.device, Activation::silu, hidden_, x.view(), out_);
    };
    auto const rows = support::input(x.view());
    support::expect_bad_views_refused("mixture_decode: x", rows, [&](auto bad) { decode(bad, chosen, shares, hidden, out.view()); });
    support::expect_bad_views_refused("mixture_decode: ids", chosen, [&](auto bad) { decode(rows, bad, shares, hidden, out.view()); });
    support::expect_bad_views_refused("mixture_decode: weights", shares, [&](auto bad) { decode(rows, chosen, bad, hidden, out.view()); });
    support::expect_bad_views_refused("mixture_decode: hidden", hidden.view(),
                                      [&](auto bad) { decode(rows, chosen, shares, bad, out.view()); });
    support::expect_bad_views_refused("mixture_decode: out", out.view(), [&](auto bad) { decode(rows, chosen, shares, hidden, bad); });
  });
}

TEST(MixtureCost, CountsWeightsOncePerChoice) {
  EXPECT_EQ(kernels::mixture_decode_cost(1, 2, 8, 4, 2), (Cost{2 * (3 * 32 * 2 + 8) + 48, 6 * 2 * 32}));
  EXPECT_EQ(kernels::mixture_combine_cost(3, 2, 8, 2), (Cost{3 * (64 + 16), 120}));
}

}  // namespace mixture_test
