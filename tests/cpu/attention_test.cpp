#include <gtest/gtest.h>

#include <cstring>

#include <mgm/cpu/attention.hpp>
#include <mgm/mem/thread_pool.hpp>
#include <support/reference.hpp>

namespace attention_test {
using namespace mgm;
using support::Guarded;
using support::Numbers;

struct Case {
  Size tq, tk, heads, kv_heads, d;
  bool causal;
};
// One of each; decoding with shared heads and several splits; ragged prefill over several blocks and tasks; widths from 1 to 512.
constexpr Case kCases[] = {{1, 1, 1, 1, 1, false},    {1, 37, 4, 4, 40, true},   {1, 600, 8, 1, 256, true}, {2, 513, 6, 2, 33, true},
                           {13, 29, 1, 1, 8, true},   {50, 50, 3, 3, 64, true},  {70, 70, 2, 2, 64, false}, {33, 300, 4, 2, 80, true},
                           {200, 517, 2, 1, 17, true}, {40, 259, 1, 1, 512, false}, {17, 9, 2, 2, 5, false}, {3, 700, 2, 2, 128, false}};

template <class T>
struct Inputs {
  Guarded<T, 3> q, k, v, out;
  Inputs(Case c, double size) : q({c.tq, c.heads, c.d}), k({c.tk, c.kv_heads, c.d}, 1), v({c.tk, c.kv_heads, c.d}), out({c.tq, c.heads, c.d}) {
    Numbers numbers(static_cast<std::uint64_t>(c.tq * 31 + c.tk));
    auto const dense = [&] { return size * numbers.uniform(); };
    q.fill(dense), k.fill(dense), v.fill(dense);
  }
};

/// Scores err by √d·u·Σ|q||k|·scale (times 8), which e^s passes on as a relative error of each probability; the values' sum by √Tk·u; the
/// probabilities of bf16 are rounded to bf16; the result is stored in T. |v| <= 1, so all are absolute errors too.
template <class T>
void expect_near() {
  for (Isa const isa : support::machine_isas())
    for (Case const c : kCases) {
      Inputs<T> in(c, 1);
      double const scale = 3 / std::sqrt(double(c.d));
      cpu::attention<T>({nullptr, isa}, in.q.view(), in.k.view(), in.v.view(), float(scale), c.causal, in.out.view());
      EXPECT_TRUE(in.out.intact());
      double const score = 8 * std::sqrt(double(c.d)) * 0x1p-24 * double(c.d) * scale / 2;
      double const bound = score + 8 * std::sqrt(double(c.tk)) * 0x1p-24 + (std::is_same_v<T, bf16> ? 2 : 1) * support::kRoundoff<T>;
      Inputs<T> const& read = in;
      double worst = 0;
      for (Size i = 0; i < c.tq; ++i)
        for (Size h = 0; h < c.heads; ++h) {
          auto const want = support::attention_row<T>(read.q.view(), read.k.view(), read.v.view(), double(float(scale)), i, h, c.causal ? c.tk - c.tq + i + 1 : c.tk);
          for (Size x = 0; x < c.d; ++x) {
            double const error = std::abs(double(float(in.out.view()(i, h, x))) - want[static_cast<std::size_t>(x)]);
            worst = error < 1e9 ? std::max(worst, error / bound) : INFINITY;
          }
        }
      EXPECT_LE(worst, 1) << name(isa) << ": " << c.tq << ' ' << c.tk << ' ' << c.heads << ' ' << c.kv_heads << ' ' << c.d;
    }
}
TEST(Attention, MatchesReferenceInDoubleF32) { expect_near<float>(); }
TEST(Attention, MatchesReferenceInDoubleBf16) { expect_near<bf16>(); }
TEST(Attention, MatchesReferenceInDoubleF16) { expect_near<half>(); }

/// Equal scores: the mean of the visible values, which are whole and few enough to be exact.
TEST(Attention, EqualScoresGiveTheMean) {
  for (Isa const isa : support::machine_isas())
    for (Size const tq : {Size{1}, Size{40}}) {
      Guarded<float, 3> q({tq, 1, 24}), k({64, 1, 24}), v({64, 1, 24}), out({tq, 1, 24});
      q.fill([] { return 0; }), k.fill([] { return 1; });
      for (Size j = 0; j < 64; ++j)
        for (Size x = 0; x < 24; ++x) v.view()(j, 0, x) = float(j);
      cpu::attention<float>({nullptr, isa}, q.view(), k.view(), v.view(), 1, true, out.view());
      for (Size i = 0; i < tq; ++i) EXPECT_NEAR(double(out.view()(i, 0, 7)), double(64 - tq + i) / 2, 1e-5) << name(isa) << ' ' << i;
    }
}

/// Scores far beyond e^88 and far below e^-104 neither overflow nor lose the greatest.
TEST(Attention, LargeScoresPickTheGreatest) {
  for (Isa const isa : support::machine_isas())
    for (Size const tq : {Size{1}, Size{20}}) {
      Guarded<float, 3> q({tq, 1, 4}), k({300, 1, 4}), v({300, 1, 4}), out({tq, 1, 4});
      q.fill([] { return 100; });
      for (Size j = 0; j < 300; ++j)
        for (Size x = 0; x < 4; ++x) k.view()(j, 0, x) = j == 270 ? 9.0f : -float(j % 7), v.view()(j, 0, x) = float(j);
      cpu::attention<float>({nullptr, isa}, q.view(), k.view(), v.view(), 1, false, out.view());
      for (Size i = 0; i < tq; ++i) EXPECT_EQ(out.view()(i, 0, 3), 270.0f) << name(isa);
    }
}

TEST(Attention, BitsDoNotDependOnThreads) {
  for (Isa const isa : support::machine_isas())
    for (Case const c : {Case{1, 1000, 8, 2, 64, true}, Case{300, 600, 4, 2, 48, true}}) {
      Inputs<bf16> first(c, 1);
      cpu::attention<bf16>({nullptr, isa}, first.q.view(), first.k.view(), first.v.view(), 0.3f, c.causal, first.out.view());
      for (int const threads : {2, 3}) {
        ThreadPool pool(threads);
        Inputs<bf16> in(c, 1);
        cpu::attention<bf16>({&pool, isa}, in.q.view(), in.k.view(), in.v.view(), 0.3f, c.causal, in.out.view());
        EXPECT_EQ(std::memcmp(in.out.block().data(), first.out.block().data(), first.out.block().size() * 2), 0) << name(isa) << ' ' << threads;
      }
    }
}

}  // namespace attention_test
