/// The stages of mining as a kernel takes them, the checks of them, and the value of one fine cell.
#pragma once
#include <span>

#include <mgm/core/mining.hpp>
#include <mgm/kernels/arguments.hpp>
#include <mgm/simt/math.hpp>
#include <mgm/simt/memory.hpp>

namespace mgm::inline v0::kernels {

/// Stage maps by value: what travels to the device with a launch.
template <class T, class Dev>
struct MiningStages {
  static constexpr int kMost = 8;
  MiningStage<T, Dev> at[kMost];
  int count = 0;
};

/// Refuses what no kernel could read: no stage or too many, taps that are not as many as the cells, empty maps, channels that are not
/// dense. Taps lie in device memory and cannot be read here; they must name pixels of their map.
template <Real T, KernelDevice Dev>
[[nodiscard]] MiningStages<T, Dev> check_stages(std::string_view what, std::span<MiningStage<T, Dev> const> stages, Size rows, Size cols) {
  constexpr Size kMost = MiningStages<T, Dev>::kMost;
  require<LimitError>(!stages.empty() && static_cast<Size>(stages.size()) <= kMost, what, ": takes 1 to ", kMost, " stage maps, found ",
                      stages.size());
  MiningStages<T, Dev> out;
  for (auto const& stage : stages) {
    std::string const name = text(what, ": stage ", out.count);
    check_input(name + ", map", stage.map);
    check_input(name + ", taps of rows", stage.rows), check_input(name + ", taps of columns", stage.cols);
    check_shape(name + ", taps of rows", stage.rows, rows), check_shape(name + ", taps of columns", stage.cols, cols);
    require<ShapeError>(stage.map.count() > 0, name, ", map: a map of shape ", shape_text(stage.map.extents()), " has no pixels");
    require<ShapeError>(stage.map.stride(2) == 1 || stage.map.extent(2) == 1, name, ", map: channels must be dense, found strides ",
                        shape_text(stage.map.strides()));
    out.at[out.count++] = stage;
  }
  return out;
}
/// Channels of all maps together, F.
template <class T, class Dev>
[[nodiscard]] MGM_HD constexpr Size channels_of(MiningStages<T, Dev> const& stages) {
  Size sum = 0;
  for (int l = 0; l < stages.count; ++l) sum += stages.at[l].map.extent(2);
  return sum;
}

/// One fine cell of one stage: four pixels and their weights, which sum to one. At a border or on a pixel some coincide.
template <class T>
struct CellPixels {
  T const* pixel[4];
  float weight[4];

  template <class Dev>
  MGM_DEVICE CellPixels(MiningStage<T, Dev> const& stage, Size row, Size col) {
    Tap const v = stage.rows(row), h = stage.cols(col);
    pixel[0] = stage.map.row(v.first, h.first), weight[0] = (1 - v.weight) * (1 - h.weight);
    pixel[1] = stage.map.row(v.first, h.second), weight[1] = (1 - v.weight) * h.weight;
    pixel[2] = stage.map.row(v.second, h.first), weight[2] = v.weight * (1 - h.weight);
    pixel[3] = stage.map.row(v.second, h.second), weight[3] = v.weight * h.weight;
  }
  /// x_c of the cell.
  MGM_DEVICE float operator()(Size c) const {
    float const upper = simt::fma(weight[1], simt::widen(pixel[1][c]), weight[0] * simt::widen(pixel[0][c]));
    return simt::fma(weight[3], simt::widen(pixel[3][c]), simt::fma(weight[2], simt::widen(pixel[2][c]), upper));
  }
};

}  // namespace mgm::inline v0::kernels
