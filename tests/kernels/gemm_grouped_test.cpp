/// Grouped products against plain loops in double, and bit for bit against one product a group.
#include <array>
#include <string>
#include <vector>

#include <mgm/kernels/gemm/gemm_grouped.cuh>

#include "support/device.hpp"
#include "support/refusals.hpp"

namespace gemm_grouped_test {

using namespace mgm;
using support::Dev;

template <class T>
class GemmGrouped : public testing::Test {};
using Halves = testing::Types<bf16, half>;
TYPED_TEST_SUITE(GemmGrouped, Halves);

struct Case {
  std::vector<int> counts;  // rows of each group
  Size n, k;
};
// groups that are empty, of one row, full tiles of 64 and one more or less; columns and K about a tile and odd; empty groups at either end
std::vector<Case> cases() {
  return {{{1}, 1, 8},
          {{0}, 4, 8},
          {{2, 3}, 5, 16},
          {{0, 1, 0}, 8, 24},
          {{5, 0, 7}, 9, 64},
          {{63, 1}, 16, 72},
          {{64}, 64, 64},
          {{65}, 64, 64},
          {{64, 64}, 63, 8},
          {{64, 65, 63}, 65, 40},
          {{128}, 24, 128},
          {{0, 0, 129}, 8, 64},
          {{1, 1, 1, 1}, 7, 8},
          {{3, 70, 2, 0}, 33, 56},
          {{17, 13, 11, 7}, 31, 88},
          {{30, 0, 0, 30}, 72, 136},
          {{2, 2, 2, 2, 2, 2, 2, 2}, 8, 64},
          {{66, 62}, 130, 16},
          {{9}, 1, 400},
          {{1, 127}, 2, 64},
          {{5, 6, 0}, 64, 192},
          {{0, 33}, 40, 32},
          {{12, 52}, 17, 256},
          {{7, 0, 0, 0, 0, 0, 0, 9}, 65, 65 / 8 * 8}};
}

/// The lists of a case, and each group's matrix, on the device.
template <class T>
struct Lists {
  /// `rows` of `sources` rows each, drawn by `numbers`, or those there are in order; w (groups, N, K) without gaps.
  Lists(Context<Dev>& ctx, std::vector<int> const& ends, bool gathered, Size sources, support::Numbers& numbers, View<T, 3, Dev> w)
      : offsets(ends) {
    for (int i = 0; i < ends.back(); ++i) rows.push_back(gathered ? numbers.whole(0, int(sources) - 1) : i);
    std::vector<T const*> pointers;
    for (Size g = 0; g < w.extent(0); ++g) pointers.push_back(w[g].data());
    rows_ = ctx.on_device(View<int const, 1, Cpu>(rows.data(), Extents{Size(rows.size())}));
    offsets_ = ctx.on_device(View<int const, 1, Cpu>(offsets.data(), Extents{Size(offsets.size())}));
    matrices_ = ctx.on_device(View<T const* const, 1, Cpu>(pointers.data(), Extents{Size(pointers.size())}));
    if (gathered) rows_there = rows_.view();
    offsets_there = offsets_.view(), matrices = matrices_.view();
  }
  static std::vector<int> ends(std::vector<int> const& counts) {
    std::vector<int> out{0};
    for (int const count : counts) out.push_back(out.back() + count);
    return out;
  }
  std::vector<int> rows, offsets;
  View<int const, 1, Dev> rows_there{}, offsets_there{};
  View<T const* const, 1, Dev> matrices{};

 private:
  Tensor<int const, 1, Dev> rows_, offsets_;
  Tensor<T const* const, 1, Dev> matrices_;
};

template <class T>
void expect_products(bool exact) {
  support::on_each_machine([&](Context<Dev>& ctx) {
    int which = 0;
    for (auto const& [counts, n, k] : cases()) {
      Size const groups = Size(counts.size());
      bool const gathered = which % 2 == 0, wide = which++ % 3 != 0;
      auto const ends = Lists<T>::ends(counts);
      Size const p = ends.back(), sources = gathered ? p / 2 + 1 : p;
      support::Numbers numbers(std::uint64_t(p * 10007 + n * 101 + k));
      auto const number = [&] { return exact ? double(numbers.whole(0, 3) == 0 ? numbers.whole(-4, 4) : 0) : numbers.uniform(); };
      auto const x = support::Guarded<T, 2>(Extents{sources, k}, 8, 8).fill(number);
      auto const w = support::Guarded<T, 3>(Extents{groups, n, k}, 0, 8).fill(number);
      Size const guard = wide ? 8 - n % 8 : 3, offset = wide ? 8 : 1;
      auto const factor = support::Guarded<T, 2>(Extents{p, n}, guard, offset).fill(number);
      auto const out = support::poisoned<T>(Extents{p, n}, guard, offset);
      support::OnDevice const dx(ctx, x);
      support::OnDevice const dw(ctx, w);
      support::OnDevice const dfactor(ctx, factor);
      support::OnDevice const dout(ctx, out);
      Lists<T> const lists(ctx, ends, gathered, sources, numbers, dw.view());
      Epilogue<T, Dev> e{.alpha = 2};
      if (exact) e.factor = dfactor.view();
      kernels::gemm_grouped<kernels::GemmMmaSmall, T, T, Dev>(ctx.stream(), dx.view(), lists.rows_there, lists.offsets_there,
                                                              lists.matrices, e, dout.view());
      auto const got = dout.back();
      EXPECT_TRUE(got.intact());
      for (Size g = 0; g < groups; ++g) {
        auto all = ctx.template empty<T>(Extents{exact ? Size{0} : sources, n});  // every row times this group's matrix
        kernels::gemm_mma<kernels::GemmMmaSmall, T, T, Dev>(ctx.stream(), dx.view().slice(0, 0, all.extent(0)),
                                                            View<T const, 2, Dev>(dw.view()[g]), {.alpha = 2}, all.view());
        auto const single = ctx.on_host(all.view());
        for (Size i = ends[std::size_t(g)]; i < ends[std::size_t(g) + 1]; ++i)
          for (Size j = 0, row = lists.rows[std::size_t(i)]; j < n; ++j) {
            if (!exact) {
              ASSERT_EQ(float(got.view()(i, j)), float(single(row, j))) << "group " << g << ", row " << i << ", column " << j;
              continue;
            }
            auto const sum = support::product<T>(x.view(), View<T const, 3, Cpu>(w.view())[g], true, row, j);
            ASSERT_EQ(float(got.view()(i, j)), float(T(float(2 * sum.value * double(float(factor.view()(i, j)))))))
                << "group " << g << ", row " << i << ", column " << j << " of " << n << ", K " << k;
          }
      }
    }
  });
}
TYPED_TEST(GemmGrouped, IsExactOnExactInputs) { expect_products<TypeParam>(true); }
TYPED_TEST(GemmGrouped, HasTheBitsOfOneProductAGroup) { expect_products<TypeParam>(false); }

template <class T>
class GemmGroupedGeneral : public testing::Test {};
using Types = testing::Types<float, bf16, half>;
TYPED_TEST_SUITE(GemmGroupedGeneral, Types);

/// x turned and off any alignment, K odd: exact on exact inputs, else the bits of gemm_general a group.
TYPED_TEST(GemmGroupedGeneral, IsExactAndHasTheBitsOfOneProductAGroup) {
  using T = TypeParam;
  support::on_each_machine([](Context<Dev>& ctx) {
    int which = 0;
    for (auto const& [counts, n, even] : cases()) {
      Size const groups = Size(counts.size()), k = even + which / 2 % 2;  // gathered or not, K odd or even, exact or not: all eight
      bool const gathered = which % 2 == 0, exact = which / 4 % 2 == 0;
      ++which;
      auto const ends = Lists<T>::ends(counts);
      Size const p = ends.back(), sources = gathered ? p / 2 + 1 : p;
      support::Numbers numbers(std::uint64_t(p * 10007 + n * 101 + k));
      auto const number = [&] { return exact ? double(numbers.whole(0, 3) == 0 ? numbers.whole(-4, 4) : 0) : numbers.uniform(); };
      support::Matrix<T> const x(ctx, support::Layout::turned, sources, k, number);
      auto const w = support::Guarded<T, 3>(Extents{groups, n, k}, 0, 1).fill(number);
      auto const out = support::poisoned<float>(Extents{p, n});
      support::OnDevice const dw(ctx, w);
      support::OnDevice const dout(ctx, out);
      Lists<T> const lists(ctx, ends, gathered, sources, numbers, dw.view());
      kernels::gemm_grouped_general<T, float, Dev>(ctx.stream(), x.view(), lists.rows_there, lists.offsets_there, lists.matrices,
                                                   {.alpha = 2}, dout.view());
      auto const got = dout.back();
      EXPECT_TRUE(got.intact());
      for (Size g = 0; g < groups; ++g) {
        auto all = ctx.template empty<float>(Extents{sources, n});  // every row times this group's matrix
        kernels::gemm_general<T, float, Dev>(ctx.stream(), x.view(), View<T const, 2, Dev>(dw.view()[g]), {.alpha = 2}, all.view());
        auto const single = ctx.on_host(all.view());
        for (Size i = ends[std::size_t(g)]; i < ends[std::size_t(g) + 1]; ++i)
          for (Size j = 0, row = lists.rows[std::size_t(i)]; j < n; ++j) {
            ASSERT_EQ(got.view()(i, j), single(row, j)) << "group " << g << ", row " << i << ", column " << j;
            if (!exact) continue;
            double want = 0;
            for (Size c = 0; c < k; ++c) want += 2 * double(float(x(row, c))) * double(float(w.view()(g, j, c)));
            ASSERT_EQ(double(got.view()(i, j)), want) << "group " << g << ", row " << i << ", column " << j << " of " << n << ", K " << k;
          }
      }
    }
  });
}

TEST(GemmGroupedArguments, AreRefusedByName) {
  support::on_each_machine([](Context<Dev>& ctx) {
    auto x = ctx.template empty<bf16>(Extents{Size{8}, Size{32}}), out = ctx.template empty<bf16>(Extents{Size{8}, Size{16}});
    auto ints = ctx.template empty<int>(Extents{Size{9}});
    auto w = ctx.template empty<bf16 const*>(Extents{Size{2}});
    auto const refused = [&](View<bf16 const, 2, Dev> a, View<int const, 1, Dev> rows, View<int const, 1, Dev> offsets,
                             View<bf16, 2, Dev> to, std::string_view part) {
      try {
        kernels::gemm_grouped<kernels::GemmMmaSmall, bf16, bf16, Dev>(ctx.stream(), a, rows, offsets,
                                                                      View<bf16 const* const, 1, Dev>(w.data(), {Size{2}}), {}, to);
        ADD_FAILURE() << "accepted; expected a refusal that says " << part;
      } catch (Error const& error) {
        EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
      }
    };
    View<int const, 1, Dev> const eight(ints.data(), {Size{8}}), three(ints.data(), {Size{3}});
    refused(x.view(), eight, eight, out.view(), "gemm_grouped: offsets: expected shape (3)");
    refused(x.view(), three, three, out.view(), "gemm_grouped: rows: expected shape (8)");
    refused(x.view().slice(0, 0, 7), {}, three, out.view(), "gemm_grouped: x: expected shape (8, *)");
    refused(x.view().slice(1, 0, 31), eight, three, out.view(), "gemm_grouped: x: rows must be dense");
    refused({x.data() + 1, {8, 24}, {32, 1}}, eight, three, out.view(), "gemm_grouped: x: rows must be dense, begin on 16 bytes");
    refused(x.view(), eight, three, {x.data(), {8, 16}}, "gemm_grouped: out: overlaps x");
    View<bf16 const* const, 1, Dev> const matrices(w.data(), {Size{2}});
    auto const grouped = [&](View<bf16 const, 2, Dev> a, View<int const, 1, Dev> rows, View<int const, 1, Dev> offsets,
                             View<bf16 const* const, 1, Dev> each, View<bf16, 2, Dev> to) {
      kernels::gemm_grouped<kernels::GemmMmaSmall, bf16, bf16, Dev>(ctx.stream(), a, rows, offsets, each, {}, to);
    };
    support::expect_bad_views_refused("gemm_grouped: x", support::input(x),
                                      [&](auto bad) { grouped(bad, eight, three, matrices, out.view()); });
    support::expect_bad_views_refused("gemm_grouped: offsets", three, [&](auto bad) { grouped(x, eight, bad, matrices, out.view()); });
    support::expect_bad_views_refused("gemm_grouped: w", matrices, [&](auto bad) { grouped(x, eight, three, bad, out.view()); });
    support::expect_bad_views_refused("gemm_grouped: out", out.view(), [&](auto bad) { grouped(x, eight, three, matrices, bad); });
    grouped({nullptr, {0, 32}}, {}, three, matrices, {nullptr, {0, 16}});  // nothing
    auto const general = [&](View<bf16 const, 2, Dev> a, View<int const, 1, Dev> offsets, Epilogue<bf16, Dev> const& e) {
      kernels::gemm_grouped_general<bf16, bf16, Dev>(ctx.stream(), a, eight, offsets, matrices, e, out.view());
    };
    support::expect_bad_views_refused("gemm_grouped: x", support::input(x), [&](auto bad) { general(bad, three, {}); });
    support::expect_refused("gemm_grouped: offsets: expected shape (3)", [&] { general(x, eight, {}); });
    auto numbers = ctx.template empty<float>(Extents{Size{8}, Size{2}});
    support::expect_refused("gemm_grouped: norm", [&] { general(x, three, {.norm = {numbers.view(), numbers.view()}}); });
  });
}

}  // namespace gemm_grouped_test
