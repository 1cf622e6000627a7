/// What a picture is asked for with, and what a run can show on its way.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <mgm/core/platform.hpp>
#include <mgm/models/diffusion/scheduler_config.hpp>

namespace mgm::inline v0::models {

struct DrawOptions {
  std::optional<std::string> negative{};  ///< absent and empty differ where the folder asks for zeros
  int steps = 50;
  std::optional<double> guidance{};  ///< absent: 5 for SDXL, 7.5 for SD
  Size width = 0, height = 0;        ///< pixels, multiples of the autoencoder's factor; 0: the folder's own size
  std::uint64_t seed = 0;
  std::optional<SchedulerKind> scheduler{};  ///< absent: the folder's own
  std::optional<bool> karras{};              ///< absent: as the folder says
  std::vector<float> latents{};              ///< (4, h, w) to start from, of variance 1, instead of noise
};

/// What a run can show on its way; each is called when it is set. Latents and predictions are (4, h, w) in float. What a callback throws
/// goes to the caller; the next run is as if nothing had been.
struct DrawTrace {
  std::function<void(std::string const& name, std::vector<float> const& values, std::vector<Size> const& shape)> tensor{};
};

}  // namespace mgm::inline v0::models
