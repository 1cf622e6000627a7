/// What a picture is asked for with, and what a run can show on its way.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <mgm/io/image.hpp>
#include <mgm/models/diffusion/lora_names.hpp>
#include <mgm/models/diffusion/scheduler_config.hpp>

namespace mgm::inline v0::models {

/// What a generator is opened with besides its folder or file.
struct GeneratorOptions {
  bool encoder = true;                       ///< the half of the autoencoder that reads pictures
  std::string tokenizer{};                   ///< a folder with vocab.json and merges.txt: for original checkpoints, which have none
  std::vector<LoraFile> loras{};             ///< merged into the weights, in this order
  std::string adapter{}, adapter_encoder{};  ///< an IP-Adapter's file, and its image encoder's folder (empty: `image_encoder` beside it)
};

struct DrawOptions {
  std::optional<std::string> negative{};  ///< absent and empty differ where the folder asks for zeros
  bool plain = false;                     ///< special tokens written out in prompts are letters; else such, as in diffusers
  int steps = 50;
  std::optional<double> guidance{};  ///< absent: 5 for SDXL, 7.5 for SD and with a mask
  Size width = 0, height = 0;        ///< pixels, multiples of the autoencoder's factor; 0: that of `init`, else the folder's own
  std::uint64_t seed = 0;
  std::optional<SchedulerKind> scheduler{};  ///< absent: the folder's own
  std::optional<bool> karras{};              ///< absent: as the folder says
  std::vector<float> latents{};              ///< (4, h, w) to start from, of variance 1, instead of noise
  std::optional<io::Image> init{};           ///< the picture to start from
  std::optional<io::Image> mask{};   ///< where `init` is painted anew: 128 and lighter; the size is then the folder's, as in diffusers
  std::optional<double> strength{};  ///< the share of the steps that is run on `init`; absent: 0.8 (SD), 0.3 (SDXL), with a mask 1, 0.9999
  bool tiled = false;                ///< the autoencoder works on tiles where the picture is larger than one
  std::optional<io::Image> picture{};  ///< what the adapter shows the network beside the prompt; absent: nothing
  double picture_scale = 1;            ///< how strongly it acts
  double refiner_at = 0.8;           ///< where there is a refiner: the share of the denoising after which it takes over
};

/// What a run can show on its way; each is called when it is set. Latents and predictions are (4, h, w) in float. What a callback throws
/// goes to the caller; the next run is as if nothing had been.
struct DrawTrace {
  std::function<void(std::string const& name, std::vector<float> const& values, std::vector<Size> const& shape)> tensor{};
  std::function<void(int step, int steps)> step{};                    ///< `step` of `steps` are done
  std::function<void(int step, io::Image const& picture)> preview{};  ///< what the step saw behind the noise, a pixel for each latent
  int preview_every = 1;                                              ///< steps from preview to preview
};

}  // namespace mgm::inline v0::models
