/// One view to mine, on the host and on the device, and what the definition makes of it in double: maps resized and concatenated.
#pragma once
#include <array>
#include <cmath>

#include <mgm/core/mining.hpp>

#include "support/device.hpp"
#include "support/reference_vision.hpp"

namespace support {

/// A stage map's sides and channels.
using MapShape = std::array<mgm::Size, 3>;

/// What a case is made of. Cells: `grid` tokens of `cell` cells each; with `full` the maps are resized to it and then to the cells.
struct MiningShape {
  mgm::MiningGrid grid, cell;
  std::vector<MapShape> maps;
  mgm::Size full_rows = 0, full_cols = 0;
  mgm::Size guard = 3, offset = 1;  // of every tensor: 3 and 1 are off any alignment
  [[nodiscard]] mgm::Size rows() const { return grid.rows * cell.rows; }
  [[nodiscard]] mgm::Size cols() const { return grid.cols * cell.cols; }
  [[nodiscard]] mgm::Size tokens() const { return grid.rows * grid.cols; }
  [[nodiscard]] mgm::Size candidates() const { return cell.rows * cell.cols; }
  [[nodiscard]] mgm::Size channels() const {
    mgm::Size sum = 0;
    for (auto const& map : maps) sum += map[2];
    return sum;
  }
  [[nodiscard]] std::string text() const {
    std::string out = mgm::text(grid.rows, "x", grid.cols, " tokens of ", cell.rows, "x", cell.cols, ", maps");
    for (auto const& m : maps) out += mgm::text(" ", m[0], "x", m[1], "x", m[2]);
    return out;
  }
};

template <class T>
class MiningCase {
 public:
  MiningCase(mgm::Context<Dev>& ctx, MiningShape const& s, std::vector<Guarded<T, 3>> const& maps) : shape(s), fine(s.rows(), s.cols(), 0) {
    double lowest = INFINITY, highest = -INFINITY;
    std::vector<ref::Array> arrays{fine};  // sets the sides, has no channels
    for (auto const& map : maps) {
      auto const v = map.view();
      ref::Array a(v.extent(0), v.extent(1), v.extent(2));
      for (Size y = 0; y < a.n0; ++y)
        for (Size x = 0; x < a.n1; ++x)
          for (Size c = 0; c < a.n2; ++c)
            a(y, x, c) = double(float(v(y, x, c))), widest = std::max(widest, std::abs(a(y, x, c))), lowest = std::min(lowest, a(y, x, c)),
                    highest = std::max(highest, a(y, x, c));
      bool const twice = s.full_rows > 0;
      arrays.push_back(twice ? ref::bilinear(ref::bilinear(a, s.full_rows, s.full_cols), s.rows(), s.cols()) : a);
      device_maps.emplace_back(ctx, map);
      auto const rows = twice ? *mgm::resize_twice_taps(a.n0, s.full_rows, s.rows()) : mgm::resize_taps(a.n0, s.rows());
      auto const cols = twice ? *mgm::resize_twice_taps(a.n1, s.full_cols, s.cols()) : mgm::resize_taps(a.n1, s.cols());
      add_taps(ctx, rows), add_taps(ctx, cols), reach.push_back(mgm::reach_of(rows, cols, s.grid.rows, s.grid.cols));
    }
    span = highest - lowest;
    fine = ref::concatenated(arrays);
    for (std::size_t l = 0; l < maps.size(); ++l) stages.push_back({device_maps[l].view(), taps[2 * l].view(), taps[2 * l + 1].view()});
  }
  [[nodiscard]] std::span<mgm::MiningStage<T, Dev> const> view() const { return stages; }
  [[nodiscard]] double const* cell(Size row, Size col) const { return &fine.v[std::size_t((row * fine.n1 + col) * fine.n2)]; }

  MiningShape shape;
  ref::Array fine;              // (rows, cols, F)
  double widest = 0, span = 0;  // the largest |pixel|, and difference of two
  std::vector<mgm::MiningStage<T, Dev>> stages{};
  std::vector<mgm::MiningReach> reach{};

 private:
  void add_taps(mgm::Context<Dev>& ctx, std::vector<mgm::Tap> const& list) {
    taps.push_back(ctx.on_device(mgm::View<mgm::Tap const, 1, mgm::Cpu>(list.data(), mgm::Extents{Size(list.size())})));
  }
  std::vector<OnDevice<T, 3>> device_maps{};
  std::vector<mgm::Tensor<mgm::Tap const, 1, Dev>> taps{};
};

/// The fixed shapes; with --full so many more that there are 200, channels in multiples of `step`; every fifth where the machine watches
/// all accesses, which takes a hundred times as long.
inline std::vector<MiningShape> mining_shapes(std::vector<MiningShape> const& fixed, mgm::Size step) {
  std::vector<MiningShape> all;
#if defined(MGM_TEST_STRICT)
  for (std::size_t i = 4; i < fixed.size(); i += 5) all.push_back(fixed[i]);
#else
  all = fixed;
#endif
  Numbers numbers(2026);
  auto const some = [&](mgm::Size most) { return mgm::Size{numbers.whole(1, static_cast<int>(most))}; };
  while (full_suite() && all.size() < 200) {
    MiningShape s{{some(3), some(3)}, {some(6), some(6)}, {}};
    for (mgm::Size l = some(4); l > 0; --l) s.maps.push_back({some(2 * s.rows()), some(2 * s.cols()), step * some(72 / step)});
    all.push_back(s);
  }
  return all;
}

/// Uniform in middle + [-1, 1), rounded to T.
template <class T>
std::vector<Guarded<T, 3>> dense_maps(Numbers& numbers, MiningShape const& s, double middle = 0) {
  std::vector<Guarded<T, 3>> maps;
  for (auto const& [h, w, c] : s.maps) {
    maps.emplace_back(mgm::Extents{h, w, c}, s.guard, s.offset);
    maps.back().fill([&] { return middle + numbers.uniform(); });
  }
  return maps;
}

}  // namespace support
