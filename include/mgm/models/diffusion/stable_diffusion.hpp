/// Text to pictures: Stable Diffusion and SDXL from an original diffusers folder, as their pipelines draw (Rombach et al. 2022,
/// arXiv:2112.10752; Podell et al. 2023, arXiv:2307.01952).
#pragma once
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <mgm/io/image.hpp>
#include <mgm/models/diffusion/denoiser.hpp>
#include <mgm/models/diffusion/draw_options.hpp>
#include <mgm/models/diffusion/noise.hpp>
#include <mgm/models/diffusion/stepper.hpp>
#include <mgm/models/diffusion/vae.hpp>

namespace mgm::inline v0::models {

template <Real T, Device Dev = DefaultDevice>
class StableDiffusion {
 public:
  /// The autoencoder overflows in half precision.
  using V = std::conditional_t<std::same_as<T, half>, float, T>;

  std::vector<Prompter<T, Dev>> prompters{};  ///< one, or SDXL's two
  std::optional<Unet<T, Dev>> unet{};
  std::optional<VaeDecoder<V, Dev>> vae{};
  io::Json scheduler = io::Json::object();  ///< scheduler_config.json
  bool zeros_for_absent_negative = false;

  /// Opens an original folder. Throws FileError, ConfigError, Cancelled.
  [[nodiscard]] static StableDiffusion open(Context<Dev>& ctx, std::string const& folder);

  [[nodiscard]] bool is_xl() const { return unet->config().added > 0; }

  /// A picture for a prompt. Throws ArgumentError for sizes and steps that cannot be, NumericalError when the result is no picture,
  /// Cancelled.
  [[nodiscard]] io::Image draw(Context<Dev>& ctx, std::string_view prompt, DrawOptions const& options = {},
                               DrawTrace const& trace = {}) const {
    Frame const f = frame(options);
    Scheduler const plan(scheduler_for(options), options.steps);
    auto const told = conditions(ctx, prompt, options, f);
    if (trace.tensor) show(ctx, trace, told, plan);
    CpuNoise noise(options.seed);
    std::vector<float> x = options.latents;  // (4, h, w)
    if (x.empty()) x.resize(f.numbers()), noise.draw(x);
    require<ArgumentError>(x.size() == f.numbers(), "draw: ", x.size(), " latents are given, a picture of ", f.width, "x", f.height, " has ",
                           f.numbers());
    for (float& v : x) v = static_cast<float>(static_cast<double>(v) * plan.first_noise());
    denoise(ctx, plan, told, f, noise, trace, x);
    return paint(ctx, x, f, trace);
  }

 private:
  /// The picture's size, and that of its latents.
  struct Frame {
    Size width, height, rows, cols, channels;
    [[nodiscard]] std::size_t numbers() const { return static_cast<std::size_t>(channels * rows * cols); }
    [[nodiscard]] std::vector<Size> shape() const { return {1, channels, rows, cols}; }
  };
  [[nodiscard]] Frame frame(DrawOptions const& options) const {
    auto const& net = unet->config();
    Size const factor = vae->config().factor();
    Size const width = options.width ? options.width : net.sample * factor, height = options.height ? options.height : net.sample * factor;
    require<ArgumentError>(
        width >= factor && height >= factor && width % factor == 0 && height % factor == 0 && width <= 16384 && height <= 16384,
        "draw: the size must be multiples of ", factor, " up to 16384, found ", width, "x", height);
    return {width, height, height / factor, width / factor, net.out};
  }
  [[nodiscard]] SchedulerConfig scheduler_for(DrawOptions const& options) const {
    auto config = scheduler_config(scheduler, "scheduler_config.json", options.scheduler);
    if (options.karras && (config.kind == SchedulerKind::euler || config.kind == SchedulerKind::dpmpp_2m)) config.karras = *options.karras;
    return config;
  }
  [[nodiscard]] Conditions<T, Dev> conditions(Context<Dev>& ctx, std::string_view prompt, DrawOptions const& options, Frame const& f) const {
    auto const& net = unet->config();
    Conditions<T, Dev> out;
    out.guidance = options.guidance.value_or(is_xl() ? 5.0 : 7.5);
    ctx.begin(Stage::encode, 2);
    out.positive = encode_prompt<T, Dev>(ctx, prompters, net, prompt);
    ctx.step();
    if (out.guidance > 1 && net.guidance_width == 0)
      out.negative = options.negative || !zeros_for_absent_negative ? encode_prompt<T, Dev>(ctx, prompters, net, options.negative.value_or(""))
                                                                    : zeros_like(ctx, out.positive);
    ctx.step();
    auto const height = static_cast<float>(f.height), width = static_cast<float>(f.width);
    float const sizes[] = {height, width, 0, 0, height, width};  // original size, where it was cut, target size
    add_sizes<T, Dev>(ctx, net, sizes, out.positive);
    if (out.negative) add_sizes<T, Dev>(ctx, net, sizes, *out.negative);
    if (net.guidance_width > 0) out.strength = Unet<T, Dev>::rounded(ctx, guidance_wave(out.guidance, net.guidance_width));
    return out;
  }
  /// x from the first step's noise level to the last one's end.
  void denoise(Context<Dev>& ctx, Scheduler const& plan, Conditions<T, Dev> const& told, Frame const& f, CpuNoise& noise,
               DrawTrace const& trace, std::vector<float>& x) const {
    if (trace.tensor) trace.tensor("latents.0", x, f.shape());
    ctx.begin(Stage::denoise, static_cast<Size>(plan.steps().size()) * unet->blocks() * (told.negative ? 2 : 1));
    Stepper stepper;
    int number = 0;
    for (auto const& step : plan.steps()) {
      auto m = predict<T, Dev>(ctx, *unet, told, step.timestep, channels_last<T>(ctx, x, f.rows, f.cols, step.input));  // (4, h, w)
      if (trace.tensor) trace.tensor(text("noise_pred.", number), m, f.shape());
      std::vector<float> drawn;
      if (step.draws) drawn.resize(x.size()), noise.draw(drawn);
      stepper.advance(step, std::move(m), drawn, x);
      ++number;
      if (trace.tensor) trace.tensor(text("latents.", number), x, f.shape());
    }
  }
  [[nodiscard]] io::Image paint(Context<Dev>& ctx, std::vector<float> const& x, Frame const& f, DrawTrace const& trace) const {
    ctx.begin(Stage::paint, vae->blocks());
    auto const& v = vae->config();
    auto const decoded = (*vae)(ctx, channels_last<V>(ctx, x, f.rows, f.cols, 1 / v.scaling, v.shift));  // (H·W, 3)
    auto const host = ctx.on_host(decoded.view());
    if (trace.tensor) trace.tensor("decoded", planes(host.view()), {1, 3, f.height, f.width});
    return to_picture(host.view(), f.width, f.height);
  }

  /// What is known before the first step.
  void show(Context<Dev>& ctx, DrawTrace const& trace, Conditions<T, Dev> const& told, Scheduler const& plan) const {
    auto const one = [&](std::string const& name, Tensor<T, 2, Dev> const& t, std::vector<Size> shape) {
      auto const host = ctx.on_host(t.view());
      std::vector<float> out;
      for (Size i = 0; i < t.extent(0); ++i)
        for (Size c = 0; c < t.extent(1); ++c) out.push_back(static_cast<float>(host(i, c)));
      trace.tensor(name, out, shape);
    };
    auto const& [text, pooled, added] = told.positive;
    one("prompt_embeds", text, {1, text.extent(0), text.extent(1)});
    if (told.negative) one("negative_prompt_embeds", told.negative->text, {1, text.extent(0), text.extent(1)});
    if (is_xl()) one("pooled_prompt_embeds", pooled, {1, pooled.extent(1)});
    std::vector<float> times, sigmas(plan.sigmas().begin(), plan.sigmas().end());
    for (auto const& step : plan.steps()) times.push_back(static_cast<float>(step.timestep));
    trace.tensor("timesteps", times, {static_cast<Size>(times.size())});
    if (!sigmas.empty()) trace.tensor("sigmas", sigmas, {static_cast<Size>(sigmas.size())});
  }
};

}  // namespace mgm::inline v0::models
