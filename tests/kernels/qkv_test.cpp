/// Queries, keys and values of few rows in one launch: exact on exact inputs, else the bits of the three products one by one.
#include <array>
#include <cmath>
#include <string>

#include <mgm/kernels/decode/qkv.cuh>
#include <mgm/ops/linear.hpp>

#include "support/refusals.hpp"

namespace qkv_test {

using namespace mgm;
using support::Dev;

template <class T>
class Qkv : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(Qkv, Types);

// rows, K, columns of q, k and v: none, 1, primes, a block's 4 and its neighbours, heads that share keys and those that do not
constexpr std::array<Size, 5> kShapes[] = {
    {1, 8, 1, 1, 1},      {1, 16, 2, 1, 3},   {1, 24, 3, 4, 5},   {1, 64, 4, 4, 4},   {1, 1016, 5, 2, 2},  {1, 1024, 37, 5, 5},
    {1, 1032, 64, 8, 8},  {1, 2056, 7, 7, 7}, {2, 8, 3, 1, 2},    {2, 136, 8, 4, 4},  {3, 256, 4, 1, 1},   {3, 40, 9, 3, 3},
    {4, 1024, 4, 4, 8},   {4, 72, 31, 4, 4},  {5, 264, 5, 5, 5},  {6, 520, 1, 2, 9},  {7, 88, 13, 1, 1},   {8, 512, 4, 4, 4},
    {8, 1040, 8, 2, 2},   {9, 120, 3, 3, 3},  {11, 48, 17, 1, 4}, {13, 504, 2, 2, 2}, {15, 128, 12, 4, 4}, {16, 1024, 4, 1, 1},
    {16, 16, 33, 11, 11}, {16, 64, 16, 0, 4}, {2, 64, 0, 5, 0}};

/// Rows that begin on 16 bytes, with poisoned elements behind each.
template <class T>
auto aligned(Size rows, Size cols) {
  return support::Guarded<T, 2>(Extents{rows, cols}, 16 / Size{sizeof(T)}, 8);
}

template <class T>
struct Part {
  Part(Context<Dev>& ctx, support::Guarded<T, 2> const& weight, support::Guarded<T, 1> const& added, bool biased, Size rows)
      : w(weight),
        bias(added),
        has_bias(biased),
        dw(ctx, w),
        dbias(ctx, bias),
        dout(ctx, support::poisoned<T>(Extents{rows, w.view().extent(0)})),
        dalone(ctx, support::poisoned<T>(Extents{rows, w.view().extent(0)})) {}
  Projection<T, Dev> projection() const { return {dw.view(), has_bias ? dbias.view() : View<T, 1, Dev>{}, dout.view()}; }

  support::Guarded<T, 2> w;
  support::Guarded<T, 1> bias;
  bool has_bias;
  support::OnDevice<T, 2> dw;
  support::OnDevice<T, 1> dbias;
  support::OnDevice<T, 2> dout, dalone;
};

TYPED_TEST(Qkv, IsExactOnExactInputsAndThreeProductsInOne) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    int which = 0;
    for (bool const exact : {true, false})
      for (auto const& [m, k, nq, nk, nv] : support::shapes(kShapes, [](auto const& s) { return s[0] <= 16 && s[1] % 8 == 0; })) {
        SCOPED_TRACE(text(support::type_of<T>(), " ", m, "x", k, " to ", nq, ", ", nk, ", ", nv));
        support::Numbers numbers(std::uint64_t(m * 10007 + k * 101 + nq));
        auto const make = [&] { return exact ? double(numbers.whole(0, 3) == 0 ? numbers.whole(-4, 4) : 0) : numbers.uniform(); };
        auto const x = aligned<T>(m, k).fill(make);
        support::OnDevice const dx(ctx, x);
        auto const part = [&](Size n, bool biased) {
          auto const w = aligned<T>(n, k).fill(make);
          return Part<T>(ctx, w, support::Guarded<T, 1>(Extents{n}).fill(make), biased, m);
        };
        Part<T> const q = part(nq, which % 2 == 0), key = part(nk, which / 2 % 2 == 0), value = part(nv, which / 4 % 2 == 0);
        ++which;
        kernels::qkv<T, Dev>(ctx.stream(), dx.view(), q.projection(), key.projection(), value.projection());
        for (Part<T> const* p : {&q, &key, &value}) {
          auto const got = p->dout.back();
          EXPECT_TRUE(got.intact());
          View<T const, 1, Dev> const bias = p->projection().bias;
          kernels::gemm_skinny<T, T, Dev>(ctx.stream(), dx.view(), p->dw.view(), {.bias = bias}, p->dalone.view());
          auto const alone = p->dalone.back();
          for (Size i = 0; i < m; ++i)
            for (Size j = 0; j < got.view().extent(1); ++j) {
              ASSERT_EQ(float(got.view()(i, j)), float(alone.view()(i, j))) << "other bits than the product alone at " << i << ", " << j;
              support::Sum const sum = support::product<T>(x.view(), p->w.view(), true, i, j);
              double const added = p->has_bias ? double(float(p->bias.view()(j))) : 0, want = sum.value + added;
              // gemm_skinny's bound: a thread adds at most K/128 + 8 terms, then come 5 + 2 levels; bias and store round once each,
              // below the least normal number of f16 by 2^-25
              double const bound = exact ? 0
                                         : 2 * (double(k) / 128 + 15) * 0x1p-24 * (sum.size + 1) +
                                               (support::kRoundoff<T> + 0x1p-23) * (std::abs(want) + 0x1p-14);
              ASSERT_NEAR(double(float(got.view()(i, j))), exact ? double(float(T(float(want)))) : want, bound) << "at " << i << ", " << j;
            }
        }
      }
  });
}

/// As layers call it: one launch where it fits, three products where it does not (17 rows, odd rows, kernels that are not tuned).
TEST(Project, IsThreeProducts) {
  support::on_each_machine([](Context<Dev>& ctx) {
    for (Size const m : {1, 16, 17})
      for (Size const k : {32, 30}) {
        support::Numbers numbers(std::uint64_t(m * 100 + k));
        auto const make = [&] { return double(numbers.whole(-4, 4)); };
        auto const x = aligned<float>(m, k).fill(make), wq = aligned<float>(12, k).fill(make), wk = aligned<float>(5, k).fill(make);
        support::OnDevice const dx(ctx, x);
        support::OnDevice const dq(ctx, wq);
        support::OnDevice const dk(ctx, wk);
        auto const outs = std::array{support::poisoned<float>(Extents{m, Size{12}}), support::poisoned<float>(Extents{m, Size{5}})};
        support::OnDevice const q(ctx, outs[0]);
        support::OnDevice const key(ctx, outs[1]);
        support::OnDevice const value(ctx, outs[1]);
        ops::project<float, Dev>(ctx, dx.view(), {dq.view(), {}, q.view()}, {dk.view(), {}, key.view()}, {dk.view(), {}, value.view()});
        auto const got_q = q.back(), got_k = key.back(), got_v = value.back();
        for (Size i = 0; i < m; ++i) {
          for (Size j = 0; j < 12; ++j)
            ASSERT_EQ(double(got_q.view()(i, j)), support::product<float>(x.view(), wq.view(), true, i, j).value);
          for (Size j = 0; j < 5; ++j) {
            ASSERT_EQ(double(got_k.view()(i, j)), support::product<float>(x.view(), wk.view(), true, i, j).value);
            ASSERT_EQ(got_v.view()(i, j), got_k.view()(i, j));
          }
        }
        EXPECT_TRUE(got_q.intact() && got_k.intact() && got_v.intact());
      }
  });
}

TEST(QkvArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<float>(Extents{Size{16}, Size{32}}), w = ctx.template empty<float>(Extents{Size{8}, Size{32}});
    auto tall = ctx.template empty<float>(Extents{Size{17}, Size{32}}), tall_out = ctx.template empty<float>(Extents{Size{17}, Size{8}});
    auto bias = ctx.template empty<float>(Extents{Size{8}});
    auto q = ctx.template empty<float>(Extents{Size{16}, Size{8}}), k = ctx.template empty<float>(Extents{Size{16}, Size{8}});
    auto v = ctx.template empty<float>(Extents{Size{16}, Size{8}});
    Projection<float, Dev> const to_q{w.view(), bias.view(), q.view()}, to_k{w.view(), {}, k.view()}, to_v{w.view(), {}, v.view()};
    auto const call = [&](View<float const, 2, Dev> rows, Projection<float, Dev> a, Projection<float, Dev> b, Projection<float, Dev> c) {
      kernels::qkv<float, Dev>(ctx.stream(), rows, a, b, c);
    };
    auto const with = [](Projection<float, Dev> p, auto member, auto view) {
      p.*member = view;
      return p;
    };
    using P = Projection<float, Dev>;
    support::expect_bad_views_refused("qkv: x", support::input(x), [&](auto bad) { call(bad, to_q, to_k, to_v); });
    support::expect_bad_views_refused("qkv: q.w", support::input(w), [&](auto bad) { call(x, with(to_q, &P::w, bad), to_k, to_v); });
    support::expect_bad_views_refused("qkv: k.w", support::input(w), [&](auto bad) { call(x, to_q, with(to_k, &P::w, bad), to_v); });
    support::expect_bad_views_refused("qkv: q.out", q.view(), [&](auto bad) { call(x, with(to_q, &P::out, bad), to_k, to_v); });
    support::expect_bad_views_refused("qkv: v.out", v.view(), [&](auto bad) { call(x, to_q, to_k, with(to_v, &P::out, bad)); });
    support::expect_bad_views_refused("qkv: v.w", support::input(w), [&](auto bad) { call(x, to_q, to_k, with(to_v, &P::w, bad)); });
    support::expect_bad_views_refused("qkv: k.out", k.view(), [&](auto bad) { call(x, to_q, with(to_k, &P::out, bad), to_v); });
    support::expect_refused("qkv: v.out: overlaps q.w", [&] {
      call(x, to_q, to_k, with(to_v, &P::out, View<float, 2, Dev>(w.data(), {16, 8})));
    });
    support::expect_refused("qkv: v.out: overlaps q.bias", [&] {
      call(x, to_q, to_k, with(to_v, &P::out, View<float, 2, Dev>(bias.data(), {16, 8})));
    });
    View<float const, 1, Dev> const short_bias(bias.data(), {7});
    support::expect_refused("qkv: q.bias: expected shape (8)", [&] { call(x, with(to_q, &P::bias, short_bias), to_k, to_v); });
    View<float const, 2, Dev> const narrow = w.view().slice(1, 0, 28);
    support::expect_refused("qkv: v.w: expected shape (*, 32)", [&] { call(x, to_q, to_k, with(to_v, &P::w, narrow)); });
    support::expect_refused("qkv: q.out: overlaps k.out", [&] { call(x, to_q, with(to_k, &P::out, q.view()), to_v); });
    support::expect_refused("qkv: k.out: overlaps x", [&] {
      call(x, to_q, with(to_k, &P::out, View<float, 2, Dev>(x.data(), {16, 8})), to_v);
    });
    View<float const, 2, Dev> const odd(w.data() + 1, {7, 32}, {32, 1});
    View<float, 2, Dev> const seven(q.data(), {16, 7});
    support::expect_refused("qkv: q.w: needs dense rows", [&] { call(x, {odd, {}, seven}, to_k, to_v); });
    Projection<float, Dev> const no_columns{{nullptr, {0, 32}}, {}, {nullptr, {17, 0}}}, no_rows{w.view(), {}, {nullptr, {0, 8}}};
    support::expect_refused("qkv: x: at most 16 rows, found 17", [&] {
      call(tall, {w.view(), {}, tall_out.view()}, no_columns, no_columns);
    });
    call({nullptr, {0, 32}}, no_rows, no_rows, no_rows);  // nothing
  });
}

TEST(QkvCost, ReadsEachWeightOnce) {
  constexpr Cost cost = kernels::qkv_cost(1, 4096, 4096, 1024, 1024, 2);
  EXPECT_EQ(cost.bytes, 2 * (4096 + 4096 * 6144 + 6144));
  EXPECT_EQ(cost.flops, 2 * 4096 * 6144);
}

}  // namespace qkv_test
