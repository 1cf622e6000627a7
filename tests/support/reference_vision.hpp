/// Definitions in double, in plain loops, of what the CPU computes around matrix products. Nothing here is shared with the library
/// but its types: maps are upsampled and concatenated, every key and every value is projected.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <mgm/core/executor.hpp>
#include <mgm/core/view.hpp>

namespace ref {

using mgm::Size;

/// A dense array of doubles, at most three axes, row-major.
struct Array {
  Size n0 = 0, n1 = 0, n2 = 0;
  std::vector<double> v;
  Array() = default;
  Array(Size a, Size b, Size c) : n0(a), n1(b), n2(c), v(static_cast<std::size_t>(a * b * c)) {}
  double& operator()(Size i, Size j, Size k) { return v[static_cast<std::size_t>((i * n1 + j) * n2 + k)]; }
  double operator()(Size i, Size j, Size k) const { return v[static_cast<std::size_t>((i * n1 + j) * n2 + k)]; }
};

/// (x − mean)/sqrt(var + eps)·gain + bias of one row.
inline std::vector<double> layer_norm(std::vector<double> const& x, std::vector<double> const& gain, std::vector<double> const& bias,
                                      double eps) {
  double mean = 0, var = 0;
  for (double const a : x) mean += a / double(x.size());
  for (double const a : x) var += (a - mean) * (a - mean) / double(x.size());
  std::vector<double> out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = (x[i] - mean) / std::sqrt(var + eps) * gain[i] + bias[i];
  return out;
}

/// (n, in) · (out, in)ᵀ + bias for one row; the bias may be empty.
inline std::vector<double> linear(std::vector<double> const& x, Array const& w, std::vector<double> const& bias) {
  std::vector<double> out(static_cast<std::size_t>(w.n1));
  for (Size o = 0; o < w.n1; ++o) {
    double sum = bias.empty() ? 0 : bias[std::size_t(o)];
    for (Size i = 0; i < w.n2; ++i) sum += w(0, o, i) * x[std::size_t(i)];
    out[std::size_t(o)] = sum;
  }
  return out;
}

/// 7×7 depthwise, zeros outside; x (H, W, C), weight (1, 49, C).
inline Array depthwise7(Array const& x, Array const& weight, std::vector<double> const& bias) {
  Array out(x.n0, x.n1, x.n2);
  for (Size y = 0; y < x.n0; ++y)
    for (Size u = 0; u < x.n1; ++u)
      for (Size c = 0; c < x.n2; ++c) {
        double sum = bias[std::size_t(c)];
        for (Size i = -3; i <= 3; ++i)
          for (Size j = -3; j <= 3; ++j)
            if (y + i >= 0 && y + i < x.n0 && u + j >= 0 && u + j < x.n1) sum += weight(0, 7 * (i + 3) + j + 3, c) * x(y + i, u + j, c);
        out(y, u, c) = sum;
      }
  return out;
}

/// Bilinear, half-pixel centres, replicated border, no antialiasing; x (H, W, C).
inline Array bilinear(Array const& x, Size rows, Size cols) {
  Array out(rows, cols, x.n2);
  auto const source = [](Size d, Size from, Size to) { return std::max(0.0, (double(d) + 0.5) * double(from) / double(to) - 0.5); };
  for (Size y = 0; y < rows; ++y)
    for (Size u = 0; u < cols; ++u) {
      double const sy = source(y, x.n0, rows), sx = source(u, x.n1, cols);
      Size const y0 = std::min(Size(sy), x.n0 - 1), x0 = std::min(Size(sx), x.n1 - 1);
      Size const y1 = std::min(y0 + 1, x.n0 - 1), x1 = std::min(x0 + 1, x.n1 - 1);
      double const ly = sy - double(y0), lx = sx - double(x0);
      for (Size c = 0; c < x.n2; ++c)
        out(y, u, c) = (1 - ly) * ((1 - lx) * x(y0, x0, c) + lx * x(y0, x1, c)) + ly * ((1 - lx) * x(y1, x0, c) + lx * x(y1, x1, c));
    }
  return out;
}

/// All maps brought to the side of the first, channels one after the other.
inline Array concatenated(std::vector<Array> const& maps) {
  Size channels = 0, first = 0;
  for (auto const& m : maps) channels += m.n2;
  Array out(maps[0].n0, maps[0].n1, channels);
  for (auto const& m : maps) {
    Array const up = bilinear(m, out.n0, out.n1);
    for (Size y = 0; y < out.n0; ++y)
      for (Size x = 0; x < out.n1; ++x)
        for (Size c = 0; c < m.n2; ++c) out(y, x, first + c) = up(y, x, c);
    first += m.n2;
  }
  return out;
}

inline Array cropped(Array const& x, Size row, Size col, Size rows, Size cols) {
  Array out(rows, cols, x.n2);
  for (Size y = 0; y < rows; ++y)
    for (Size u = 0; u < cols; ++u)
      for (Size c = 0; c < x.n2; ++c) out(y, u, c) = x(row + y, col + u, c);
  return out;
}

inline std::vector<double> softmax(std::vector<double> s) {
  double const peak = *std::max_element(s.begin(), s.end());
  double sum = 0;
  for (double& a : s) sum += a = std::exp(a - peak);
  for (double& a : s) a /= sum;
  return s;
}

/// Weights of mining, as checkpoints hold them: three norms and three linear layers.
struct MiningWeights {
  std::vector<double> query_gain, query_shift, key_gain, key_shift, value_gain, value_shift, query_bias, key_bias, value_bias;
  Array query, key, value;  // (1, out, in)
};

/// coarse (1, N, C) of one view over `fine` (h, w, F): tokens (1, N, C) and, when asked for, probabilities (1, N, M).
inline Array mined(MiningWeights const& w, Array const& coarse, Array const& fine, Array* probabilities = nullptr) {
  Size const side = Size(std::lround(std::sqrt(double(coarse.n1)))), cell = fine.n0 / side, width = coarse.n2;
  Array out(1, coarse.n1, width);
  if (probabilities) *probabilities = Array(1, coarse.n1, cell * cell);
  for (Size n = 0; n < coarse.n1; ++n) {
    std::vector<double> const c(&coarse.v[std::size_t(n * width)], &coarse.v[std::size_t(n * width)] + width);
    auto const q = linear(layer_norm(c, w.query_gain, w.query_shift, 1e-5), w.query, w.query_bias);
    std::vector<double> scores;
    std::vector<std::vector<double>> values;
    for (Size a = 0; a < cell; ++a)
      for (Size b = 0; b < cell; ++b) {
        double const* const at = &fine.v[std::size_t(((n / side * cell + a) * fine.n1 + n % side * cell + b) * fine.n2)];
        std::vector<double> const x(at, at + fine.n2);
        auto const k = linear(layer_norm(x, w.key_gain, w.key_shift, 1e-5), w.key, w.key_bias);
        values.push_back(linear(layer_norm(x, w.value_gain, w.value_shift, 1e-5), w.value, w.value_bias));
        double score = 0;
        for (Size i = 0; i < width; ++i) score += q[std::size_t(i)] * k[std::size_t(i)] / std::sqrt(double(width));
        scores.push_back(score);
      }
    auto const p = softmax(scores);
    for (Size i = 0; i < width; ++i) {
      double sum = c[std::size_t(i)];
      for (std::size_t j = 0; j < p.size(); ++j) sum += p[j] * values[j][std::size_t(i)];
      out(0, n, i) = sum;
    }
    if (probabilities)
      for (std::size_t j = 0; j < p.size(); ++j) (*probabilities)(0, n, Size(j)) = p[j];
  }
  return out;
}

/// All views of a picture: coarse (views, N, C), crops first and the global view last -> (1, tokens, C), the global view first.
inline Array mined_views(MiningWeights const& w, Array const& coarse, std::vector<Array> const& maps, Size grid, bool global,
                         Array* probabilities = nullptr) {
  Array const fine = concatenated(maps);
  Size const side = fine.n0 / grid, cell_area = fine.n0 * fine.n0 / (coarse.n1 * grid * grid);
  Array out(1, 0, coarse.n2), all(1, 0, cell_area);
  auto const view = [&](Size i, Array const& f) {
    Array c(1, coarse.n1, coarse.n2), p;
    std::copy_n(&coarse.v[std::size_t(i * coarse.n1 * coarse.n2)], c.v.size(), c.v.begin());
    Array const m = mined(w, c, f, &p);
    out.v.insert(out.v.end(), m.v.begin(), m.v.end()), out.n1 += m.n1;
    all.v.insert(all.v.end(), p.v.begin(), p.v.end()), all.n1 += p.n1;
  };
  if (global && grid > 1) view(grid * grid, bilinear(fine, side, side));
  for (Size r = 0; r < grid; ++r)
    for (Size c = 0; c < grid; ++c) view(grid * r + c, cropped(fine, side * r, side * c, side, side));
  if (probabilities) *probabilities = all;
  return out;
}

}  // namespace ref

namespace support {

using mgm::Size;

/// As many threads as told, made for each call, tasks dealt round robin and from the end: whoever counts on an order fails.
struct PlainThreads : mgm::Threads {
  explicit PlainThreads(int n) : count(n) {}
  void run(Size tasks, mgm::Task task) override {
    std::vector<std::thread> threads;
    for (int t = 0; t < count; ++t)
      threads.emplace_back([&, t] {
        for (Size i = tasks - 1 - t; i >= 0; i -= count) task(i);
      });
    for (auto& t : threads) t.join();
  }
  [[nodiscard]] int concurrency() const noexcept override { return count; }
  int count;
};

/// Every path that this machine has.
inline std::vector<mgm::Isa> isas() {
  std::vector<mgm::Isa> all;
  for (auto i : {mgm::Isa::portable, mgm::Isa::avx2, mgm::Isa::avx512, mgm::Isa::avx512_bf16})
    if (i <= mgm::best_isa()) all.push_back(i);
  return all;
}

/// A tensor of the test's own, and the same numbers in double.
template <class T, int R>
struct Data {
  mgm::Extents<R> extents{};
  std::vector<T> v{};
  mgm::View<T, R> view() { return {v.data(), extents}; }
  mgm::View<T const, R> view() const { return {v.data(), extents}; }
  std::vector<double> doubles() const {
    std::vector<double> d;
    for (T const x : v) d.push_back(double(float(x)));
    return d;
  }
  /// As (n0, n1, n2), missing leading axes being 1.
  ref::Array array() const {
    Size n[3] = {1, 1, 1};
    for (int i = 0; i < R; ++i) n[3 - R + i] = extents[i];
    ref::Array a(n[0], n[1], n[2]);
    a.v = doubles();
    return a;
  }
};
template <class T, int R>
Data<T, R> filled(mgm::Extents<R> e, float value) {
  return {e, std::vector<T>(static_cast<std::size_t>(e.count()), T(value))};
}
/// Normal numbers, already rounded to T.
template <class T, int R>
Data<T, R> normal(mgm::Extents<R> e, unsigned seed, double mean = 0, double deviation = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> draw(mean, deviation);
  Data<T, R> d{e, {}};
  for (Size i = 0; i < e.count(); ++i) d.v.push_back(T(float(draw(engine))));
  return d;
}
/// Whole numbers in [−limit, limit].
template <class T, int R>
Data<T, R> whole(mgm::Extents<R> e, unsigned seed, int limit) {
  std::mt19937 engine(seed);
  Data<T, R> d{e, {}};
  for (Size i = 0; i < e.count(); ++i) d.v.push_back(T(float(int(engine() % unsigned(2 * limit + 1)) - limit)));
  return d;
}

/// Half a unit in the last place of T, relative.
template <class T>
constexpr double rounding() {
  return std::same_as<T, float> ? 0x1p-24 : std::same_as<T, mgm::half> ? 0x1p-11 : 0x1p-8;
}
/// Each value within one rounding to T of the reference, plus `slack` for what was computed in float before it.
template <class T, int R>
void expect_near(Data<T, R> const& got, std::vector<double> const& want, double slack, std::string const& what) {
  ASSERT_EQ(got.v.size(), want.size()) << what;
  for (std::size_t i = 0; i < want.size(); ++i) {
    double const value = double(float(got.v[i])), bound = rounding<T>() * std::abs(want[i]) + slack;
    ASSERT_LE(std::abs(value - want[i]), bound) << what << " at " << i << ": " << value << ", expected " << want[i];
  }
}
template <class T, int R>
void expect_same(Data<T, R> const& a, Data<T, R> const& b, std::string const& what) {
  ASSERT_EQ(a.v.size(), b.v.size()) << what;
  ASSERT_EQ(0, std::memcmp(a.v.data(), b.v.data(), a.v.size() * sizeof(T))) << what << ": bits differ";
}
template <class T>
std::string type_name() {
  return std::string(mgm::name(mgm::kDtypeOf<T>));
}

}  // namespace support
