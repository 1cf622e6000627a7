// `--heatmap`: where the mining attention took detail from, a file for each picture.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include <mgm/io/heatmap.hpp>
#include <mgm/io/png.hpp>
#include <mgm/mgm.hpp>

#include "options.hpp"
#include "painter.hpp"

namespace tool {

/// p·M per stage-0 cell, upright: the tokens' cells laid out as the picture is. HD: the crops' tokens, which follow the global view's.
inline std::vector<float> heat(mgm::View<float const, 2, mgm::Cpu> probabilities, mgm::Size side, mgm::models::VisionConfig const& v,
                               mgm::Size& extent) {
  mgm::Size const cells = probabilities.extent(1), p = static_cast<mgm::Size>(std::sqrt(static_cast<double>(cells)) + 0.5);
  mgm::Size const skip = v.grid > 1 && v.global ? side * side : 0;
  extent = v.grid * side * p;
  std::vector<float> map(static_cast<std::size_t>(extent * extent));
  for (mgm::Size n = 0; n < v.grid * v.grid * side * side; ++n) {
    mgm::Size const crop = n / (side * side), token = n % (side * side);
    mgm::Size const y = (crop / v.grid * side + token / side) * p, x = (crop % v.grid * side + token % side) * p;
    for (mgm::Size j = 0; j < cells; ++j)
      map[static_cast<std::size_t>((y + j / p) * extent + x + j % p)] = probabilities(skip + n, j) * static_cast<float>(cells);
  }
  return map;
}

/// The heatmaps of the pictures on the command line: OUT.png, OUT-2.png, … Nothing where none was asked for.
class Heatmaps {
 public:
  /// Refuses what can be refused before a model is loaded. Throws UsageError, FileError.
  explicit Heatmaps(Options const& o) {
    if (o.heatmap.empty()) return;
    if (o.images.empty()) throw UsageError{"--heatmap: there is no picture; give one with --image"};
    names_ = picture_names(o.heatmap, static_cast<int>(o.images.size()));
    for (auto const& name : names_) check_writable(name);
  }
  [[nodiscard]] bool wanted() const { return !names_.empty(); }
  /// Throws ConfigError where nothing is mined.
  template <class Model>
  void check(Model const& model, Options const& o) const {
    mgm::require<mgm::ConfigError>(!wanted() || (model.sees() && !o.no_mining),
                                   "--heatmap: nothing is mined here; it needs an MGM folder and no --no-mining");
  }
  /// The next picture, as it was seen.
  template <class Dev, class Model, class Trace>
  void add(mgm::Context<Dev>& ctx, Model const& model, Trace const& trace, std::vector<mgm::io::Image> const& pictures) {
    if (maps_.size() >= names_.size()) return;
    mgm::Size extent = 0;
    auto const map = heat(ctx.on_host(trace.probabilities.view()), model.vision_tower->config().side(), model.vision, extent);
    auto const config = model.pixels_config();
    maps_.push_back(mgm::io::draw_heatmap(mgm::io::fit_square(pictures[maps_.size()], config.image_size_aux, config.aspect),
                                          mgm::View<float const, 2, mgm::Cpu>(map.data(), mgm::Extents{extent, extent})));
  }
  /// Writes those that have not been written. Throws FileError.
  void write() {
    for (; written_ < maps_.size(); ++written_) mgm::io::write_png(names_[written_], maps_[written_]);
  }

 private:
  std::vector<std::string> names_;
  std::vector<mgm::io::Image> maps_;
  std::size_t written_ = 0;
};

}  // namespace tool
