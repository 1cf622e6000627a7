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

/// The views of one picture: `grid` tokens each, `across` views a row and `down` rows of views. Tokens are numbered view by view.
struct MiningViews {
  MiningGrid grid;
  Size down = 1, across = 1;
  [[nodiscard]] MGM_HD constexpr Size tokens() const { return grid.rows * grid.cols * down * across; }
};

/// Refuses arguments of mining that do not fit each other. `rows` × `cols` cells are those of all views.
template <Real T, KernelDevice Dev>
[[nodiscard]] MiningStages<T, Dev> check_mining(std::string_view what, In<float, 2, Dev> u, MiningViews views,
                                                std::span<MiningStage<T, Dev> const> stages, Size rows, Size cols, In<T, 1, Dev> gain,
                                                In<T, 1, Dev> bias, View<T, 2, Dev> z, View<float, 2, Dev> probabilities) {
  auto const name = [&](char const* argument) { return text(what, ": ", argument); };
  MiningGrid const tokens{views.grid.rows * views.down, views.grid.cols * views.across};
  require<ShapeError>(tokens.rows >= 1 && tokens.cols >= 1 && rows >= 1 && cols >= 1 && rows % tokens.rows == 0 && cols % tokens.cols == 0,
                      what, ": ", rows, "x", cols, " cells do not divide among ", tokens.rows, "x", tokens.cols, " tokens");
  Size const count = tokens.rows * tokens.cols, candidates = rows / tokens.rows * (cols / tokens.cols);
  require<LimitError>(rows < Size{1} << 30 && cols < Size{1} << 30 && candidates < Size{1} << 30, what,
                      ": sides of cells, and cells of a token, must be below 2³⁰, found ", rows, "x", cols, " cells");
  auto const given = check_stages<T, Dev>(what, stages, rows, cols);
  Size const channels = channels_of(given);
  check_input(name("u"), u), check_input(name("gain"), gain), check_input(name("bias"), bias), check_output(name("z"), z);
  check_shape(name("u"), u, count, channels), check_shape(name("gain"), gain, channels), check_shape(name("bias"), bias, channels);
  check_shape(name("z"), z, count, channels), check_apart(name("z"), z, "u", u);
  check_apart(name("z"), z, "gain", gain), check_apart(name("z"), z, "bias", bias);
  for (auto const& stage : stages) check_apart(name("z"), z, "a map", stage.map);
  if (probabilities.data()) {
    check_shape(name("probabilities"), probabilities, count, candidates), check_output(name("probabilities"), probabilities);
    check_apart(name("probabilities"), probabilities, "z", z), check_apart(name("probabilities"), probabilities, "u", u);
    check_apart(name("probabilities"), probabilities, "gain", gain), check_apart(name("probabilities"), probabilities, "bias", bias);
    for (auto const& stage : stages) check_apart(name("probabilities"), probabilities, "a map", stage.map);
  }
  return given;
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
