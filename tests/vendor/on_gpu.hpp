/// What the tests of other makers' libraries share: host code that runs on Cuda where there is a GPU, and is skipped by name where there is
/// none.
#pragma once
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include <mgm/mem/context.hpp>
#include "support/reference.hpp"

#define MGM_SKIP_WITHOUT_GPU() \
  if (std::string why; mgm::simt::device_count(&why) == 0) GTEST_SKIP() << "no CUDA device: " << why

namespace vendor_test {

/// Numbers of T: whole and mostly zero, whose products and sums are exact, or in [-1, 1).
template <class T>
std::vector<T> numbers(support::Numbers& from, mgm::Size count, bool exact) {
  std::vector<T> out;
  for (mgm::Size i = 0; i < count; ++i)
    out.push_back(T(static_cast<float>(exact ? (from.whole(0, 3) == 0 ? from.whole(-4, 4) : 0) : from.uniform())));
  return out;
}
template <class T, int R>
mgm::View<T const, R, mgm::Cpu> view(std::vector<T> const& v, mgm::Extents<R> extents) {
  return {v.data(), extents};
}
/// The terms of a sum and what they come to.
struct Sum {
  double value = 0, size = 0;
  int terms = 0;
  void add(double term) { value += term, size += std::abs(term), ++terms; }
};
/// Exact sums are rounded to T once; others may be off by a unit of a tensor core's sums a term (it truncates), and by T's rounding.
template <class T>
void expect_sum(float got, Sum const& sum, bool exact, std::string const& where) {
  if (exact)
    ASSERT_EQ(got, float(T(static_cast<float>(sum.value)))) << where;
  else
    ASSERT_NEAR(double(got), sum.value, (sum.terms + 4) * 0x1p-22 * sum.size + support::kRoundoff<T> * std::abs(sum.value) + 0x1p-24)
        << where;
}

}  // namespace vendor_test
