/// Text and pictures to pictures: Stable Diffusion and SDXL from original diffusers folders, as their pipelines draw (Rombach et al. 2022,
/// arXiv:2112.10752; Podell et al. 2023, arXiv:2307.01952; Meng et al. 2022, arXiv:2108.01073, for pictures to begin with).
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <mgm/models/diffusion/denoiser.hpp>
#include <mgm/models/diffusion/device_stepper.hpp>
#include <mgm/models/diffusion/draw_options.hpp>
#include <mgm/models/diffusion/ip_adapter.hpp>
#include <mgm/models/diffusion/noise.hpp>
#include <mgm/models/diffusion/preview.hpp>
#include <mgm/models/diffusion/repaint.hpp>
#include <mgm/models/diffusion/stepper.hpp>
#include <mgm/models/diffusion/vae_tiles.hpp>

namespace mgm::inline v0::models {

template <Real T, Device Dev = DefaultDevice>
class StableDiffusion {
 public:
  /// The autoencoder overflows in half precision.
  using V = std::conditional_t<std::same_as<T, half>, float, T>;

  std::vector<Prompter<T, Dev>> prompters{};  ///< one, or SDXL's two
  std::optional<Unet<T, Dev>> unet{};
  std::optional<VaeDecoder<V, Dev>> vae{};
  std::optional<VaeEncoder<V, Dev>> encoder{};       ///< absent: pictures cannot be begun with
  std::shared_ptr<StableDiffusion const> refiner{};  ///< takes the latents over at DrawOptions::refiner_at, and decodes them
  io::Json scheduler = io::Json::object();           ///< scheduler_config.json
  bool zeros_for_absent_negative = false;
  std::optional<IpAdapter<T, Dev>> adapter{};  ///< absent: no picture stands beside a prompt
  std::vector<std::string> notes{};            ///< what opening found worth saying

  /// What the prompt is to the networks. Pictures that differ in their seeds alone may share it.
  struct Told {
    Conditions<T, Dev> base;
    std::optional<Conditions<T, Dev>> refined{};
  };

  /// Opens an original folder, or one original checkpoint. Throws FileError, ConfigError, Cancelled.
  [[nodiscard]] static StableDiffusion open(Context<Dev>& ctx, std::string const& path, GeneratorOptions const& options = {});

  [[nodiscard]] bool is_xl() const { return unet->config().added > 0; }

  /// `options` with everything filled in that the folder decides: size, guidance, method and its levels, strength. They draw the same
  /// picture. Throws ArgumentError for a size or steps that cannot be, ConfigError for a method that the folder cannot be used with.
  [[nodiscard]] DrawOptions settled(DrawOptions options) const {
    Frame const f = frame(options);
    auto const config = Scheduler(scheduler_for(options), options.steps, begins_at(options)).config();
    options.width = f.width, options.height = f.height;
    options.scheduler = config.kind, options.karras = config.karras;
    options.guidance = guidance_of(options);
    if (options.init) options.strength = strength_of(options);
    return options;
  }
  /// As an ImageGenerator.
  [[nodiscard]] io::Image operator()(Context<Dev>& ctx, std::string_view prompt, DrawOptions const& options) const {
    return draw(ctx, prompt, options);
  }
  /// A picture for a prompt. Throws ArgumentError for sizes, steps and shares that cannot be, NumericalError when the result is no picture,
  /// Cancelled.
  [[nodiscard]] io::Image draw(Context<Dev>& ctx, std::string_view prompt, DrawOptions const& options = {},
                               DrawTrace const& trace = {}) const {
    return draw(ctx, tell(ctx, prompt, options), options, trace);
  }
  [[nodiscard]] Told tell(Context<Dev>& ctx, std::string_view prompt, DrawOptions const& options = {}) const {
    Frame const f = frame(options);
    require<ArgumentError>(!options.picture || adapter, "draw: a picture beside the prompt needs an adapter; open the generator with one");
    Told out{conditions(ctx, prompt, options, f)};
    if (refiner) out.refined = refiner->conditions(ctx, prompt, options, f);
    return out;
  }
  [[nodiscard]] io::Image draw(Context<Dev>& ctx, Told const& told, DrawOptions const& options, DrawTrace const& trace = {}) const {
    Run run(frame(options), options, trace);
    auto const config = scheduler_for(options);
    Scheduler const plan(config, options.steps, begins_at(options));
    std::span<SchedulerStep const> steps = plan.steps();
    std::optional<Scheduler> finish;
    if (refiner) steps = share_with_refiner(options, run.frame, plan, finish);
    run.total = static_cast<int>(steps.size() + (finish ? finish->steps().size() : 0));
    if (trace.tensor) show(ctx, trace, told, plan);
    start(ctx, options, plan, run);
    if (trace.tensor) trace.tensor("latents.0", run.x, run.frame.shape());
    denoise(ctx, steps, told.base, run);
    if (!refiner) return paint(ctx, options, run);
    run.repaint.reset();
    refiner->denoise(ctx, finish->steps(), *told.refined, run);
    return refiner->paint(ctx, options, run);
  }

 private:
  /// The picture's size, and that of its latents.
  struct Frame {
    Size width, height, rows, cols, channels;
    [[nodiscard]] std::size_t numbers() const { return static_cast<std::size_t>(channels * rows * cols); }
    [[nodiscard]] std::vector<Size> shape() const { return {1, channels, rows, cols}; }
  };
  /// One picture in the making.
  struct Run {
    Run(Frame f, DrawOptions const& options, DrawTrace const& t) : frame(f), noise(options.seed), trace(t) {}
    Frame frame;
    CpuNoise noise;
    DrawTrace const& trace;
    int done = 0, total = 0;  // steps
    std::vector<float> x{};   // (4, h·w)
    std::optional<Repaint> repaint{};
    [[nodiscard]] std::vector<float> drawn() {
      std::vector<float> out(frame.numbers());
      noise.draw(out);
      return out;
    }
  };

  [[nodiscard]] Frame frame(DrawOptions const& options) const {
    auto const& net = unet->config();
    Size const factor = vae->config().factor(), own = net.sample * factor;
    bool const as_given = options.init && !options.mask;  // as diffusers has it: with a mask the size is the network's
    auto const side = [&](Size wanted, int given) { return wanted ? wanted : as_given ? given / factor * factor : own; };
    Size const width = side(options.width, as_given ? options.init->width : 0),
               height = side(options.height, as_given ? options.init->height : 0);
    require<ArgumentError>(
        width >= factor && height >= factor && width % factor == 0 && height % factor == 0 && width <= 16384 && height <= 16384,
        "draw: the size must be multiples of ", factor, " up to 16384, found ", width, "x", height);
    return {width, height, height / factor, width / factor, net.out};
  }
  [[nodiscard]] SchedulerConfig scheduler_for(DrawOptions const& options) const {
    auto config = scheduler_config(scheduler, "scheduler_config.json", options.scheduler);
    bool const can = config.kind == SchedulerKind::euler || config.kind == SchedulerKind::dpmpp_2m;
    require<ArgumentError>(can || !options.karras.value_or(false),
                           "karras levels: ", kSchedulerNames[static_cast<std::size_t>(config.kind)], " has none; euler and dpmpp_2m have");
    if (options.karras && can) config.karras = *options.karras;
    return config;
  }
  /// The number of the first step that is run: the later, the more of a given picture stays.
  [[nodiscard]] int begins_at(DrawOptions const& options) const {
    require<ArgumentError>(options.init || (!options.mask && !options.strength),
                           "draw: a mask or a strength needs a picture to begin with");
    require<ArgumentError>(!options.init || options.latents.empty(), "draw: latents and a picture to begin with exclude each other");
    require<ArgumentError>(!options.mask || !refiner, "draw: a mask and a refiner exclude each other");
    require<ArgumentError>(unet->config().in == unet->config().out || options.mask,
                           "draw: this network was made for inpainting; it needs a picture and a mask");
    if (!options.init) return 0;
    double const strength = strength_of(options);
    require<ArgumentError>(strength >= 0 && strength <= 1, "draw: strength must be 0 to 1, found ", strength);
    int const run = std::min(static_cast<int>(options.steps * strength), options.steps);
    require<ArgumentError>(run >= 1, "draw: a strength of ", strength, " leaves none of ", options.steps, " steps");
    return options.steps - run;
  }
  [[nodiscard]] double guidance_of(DrawOptions const& options) const {
    return options.guidance.value_or(is_xl() && !options.mask ? 5.0 : 7.5);
  }
  [[nodiscard]] double strength_of(DrawOptions const& options) const {
    return options.strength.value_or(options.mask ? (is_xl() ? 0.9999 : 1.0) : is_xl() ? 0.3 : 0.8);
  }
  /// The steps that are this network's own; `finish` becomes the refiner's plan.
  [[nodiscard]] std::span<SchedulerStep const> share_with_refiner(DrawOptions const& options, Frame const& f, Scheduler const& plan,
                                                                  std::optional<Scheduler>& finish) const {
    double const share = options.refiner_at;
    require<ArgumentError>(share > 0 && share < 1, "draw: the refiner's share must begin between 0 and 1, found ", share);
    require<ConfigError>(refiner->unet->config().in == f.channels && refiner->vae->config().factor() == vae->config().factor(),
                         "draw: the refiner's latents are not those of the generator");
    auto const config = refiner->scheduler_for(options);
    Scheduler const whole(config, options.steps);
    int const own = plan.step_at(share) - begins_at(options), skipped = whole.step_at(share),
              theirs = static_cast<int>(whole.timesteps().size()) - skipped;
    require<ArgumentError>(own >= 1 && theirs >= 1, "draw: of ", options.steps, " steps the refiner from ", share, " on leaves ",
                           std::max(own, 0), " to the generator and takes ", theirs, "; both need one");
    finish.emplace(config, options.steps, skipped);
    return std::span(plan.steps()).first(static_cast<std::size_t>(own));
  }
  [[nodiscard]] Conditions<T, Dev> conditions(Context<Dev>& ctx, std::string_view prompt, DrawOptions const& options,
                                              Frame const& f) const {
    auto const& net = unet->config();
    Conditions<T, Dev> out;
    out.guidance = guidance_of(options);
    require<ArgumentError>(std::isfinite(out.guidance), "draw: the guidance must be a number, found ", out.guidance);
    ctx.begin(Stage::encode, 2);
    out.positive = encode_prompt<T, Dev>(ctx, prompters, net, prompt, options.plain);
    ctx.step();
    if (out.guidance > 1 && net.guidance_width == 0)
      out.negative = options.negative || !zeros_for_absent_negative
                         ? encode_prompt<T, Dev>(ctx, prompters, net, options.negative.value_or(""), options.plain)
                         : zeros_like(ctx, out.positive);
    ctx.step();
    add_sizes<T, Dev>(ctx, net, f.height, f.width, false, out.positive);
    if (out.negative) add_sizes<T, Dev>(ctx, net, f.height, f.width, true, *out.negative);
    if (net.guidance_width > 0) out.strength = Unet<T, Dev>::rounded(ctx, guidance_wave(out.guidance, net.guidance_width));
    if (options.picture && adapter) show_picture(ctx, options, out);
    return out;
  }
  /// The options' picture as the network reads it beside the prompt, and where guidance needs it what stands for no picture.
  void show_picture(Context<Dev>& ctx, DrawOptions const& options, Conditions<T, Dev>& told) const {
    io::PixelView const pixels(*options.picture);
    auto const add = [&](io::PixelView const* from, Condition<T, Dev>& to) {
      ctx.begin(Stage::encode, adapter->blocks());
      to.pictures.push_back(adapter->project(ctx, adapter->tokens(ctx, from), static_cast<float>(options.picture_scale)));
    };
    add(&pixels, told.positive);
    if (told.negative) add(nullptr, *told.negative);
  }

  /// Sets the latents that the first step sees. The generator's draws follow each other as in the pipelines: for the picture, the noise,
  /// what stays of the picture.
  void start(Context<Dev>& ctx, DrawOptions const& options, Scheduler const& plan, Run& run) const {
    Frame const& f = run.frame;
    if (!options.init) {
      run.x = options.latents.empty() ? run.drawn() : options.latents;
      require<ArgumentError>(run.x.size() == f.numbers(), "draw: ", run.x.size(), " latents are given, a picture of ", f.width, "x",
                             f.height, " has ", f.numbers());
      for (float& v : run.x) v = static_cast<float>(static_cast<double>(v) * plan.first_noise());
      return;
    }
    require<ArgumentError>(encoder.has_value(), "draw: the folder's autoencoder was opened without its encoder");
    auto const picture = picture_numbers(*options.init, f.width, f.height, ctx.host_executor());  // (3, H·W)
    bool const shown = unet->config().in != unet->config().out, from_noise = options.mask && strength_of(options) == 1;
    Repaint repaint;
    if (!shown || !from_noise) repaint.picture = encoded(ctx, options, picture, run);
    repaint.noise = run.drawn();
    double const clean = from_noise ? 0 : plan.steps().front().clean,
                 spread = from_noise ? plan.first_noise() : plan.steps().front().spread;
    run.x.resize(f.numbers());
    for (std::size_t i = 0; i < run.x.size(); ++i)
      run.x[i] = static_cast<float>((from_noise ? 0 : clean * static_cast<double>(repaint.picture[i])) +
                                    spread * static_cast<double>(repaint.noise[i]));
    if (!options.mask) return;
    auto const mask = mask_numbers(*options.mask, f.width, f.height, ctx.host_executor());  // (H·W)
    repaint.mask = Repaint::coarse(mask, f.width, vae->config().factor(), f.rows, f.cols);
    if (shown) {
      auto stays = picture;
      for (std::size_t i = 0; i < stays.size(); ++i) stays[i] *= 1 - mask[i % mask.size()];
      auto const latents = encoded(ctx, options, stays, run);
      repaint.beside = repaint.mask;
      repaint.beside.insert(repaint.beside.end(), latents.begin(), latents.end());
    } else {
      static_cast<void>(run.drawn());  // the pipelines encode it all the same
    }
    run.repaint = std::move(repaint);
  }
  [[nodiscard]] std::vector<float> encoded(Context<Dev>& ctx, DrawOptions const& options, std::vector<float> const& picture,
                                           Run& run) const {
    Frame const& f = run.frame;
    std::optional<Tiles> tiles;
    if (options.tiled) tiles = Tiles::encoding(encoder->config());
    auto const made = through<V, Dev>(ctx, *encoder, Stage::encode, channels_last<V>(ctx, picture, f.height, f.width),
                                      tiles ? &*tiles : nullptr);  // (h, w, 2·4)
    auto const moments = planes({made.values.data(), Extents{made.rows * made.cols, made.channels}});
    return sample_latents(encoder->config(), moments, run.drawn());
  }

  /// run.x from the first step's noise level to the last one's end.
  void denoise(Context<Dev>& ctx, std::span<SchedulerStep const> steps, Conditions<T, Dev> const& told, Run& run) const {
    Frame const& f = run.frame;
    std::optional<LatentColours> colours;
    if (run.trace.preview) colours.emplace(ctx, *vae);
    ctx.begin(Stage::denoise, static_cast<Size>(steps.size()) * unet->steps() * (told.negative ? 2 : 1));
    std::vector<double> times;
    for (auto const& step : steps) times.push_back(step.timestep);
    Denoiser<T, Dev> const predict(ctx, *unet, told, times);
    if constexpr (KernelDevice<Dev>)
      if (!run.repaint) return denoise_on_device(ctx, steps, predict, colours, run);
    Stepper stepper;
    for (std::size_t k = 0; k < steps.size(); ++k) {
      SchedulerStep const& step = steps[k];
      auto m = predict.guided(ctx, predict(ctx, k, network_input(ctx, step, run)));  // (4, h·w)
      if (run.trace.tensor) run.trace.tensor(text("noise_pred.", run.done), m, f.shape());
      stepper.advance(step, std::move(m), step.draws ? run.drawn() : std::vector<float>(), run.x);
      if (run.repaint && run.repaint->beside.empty()) run.repaint->put_back(k + 1 < steps.size() ? &steps[k + 1] : nullptr, run.x);
      ++run.done;
      show_latents(run);
      if (run.trace.step) run.trace.step(run.done, run.total);
      if (previews(run)) run.trace.preview(run.done, (*colours)(stepper.clean(), f.rows, f.cols));
    }
  }
  /// The same where kernels run: what the host sees of the latents on their way is what somebody asked to be shown.
  void denoise_on_device(Context<Dev>& ctx, std::span<SchedulerStep const> steps, Denoiser<T, Dev> const& predict,
                         std::optional<LatentColours> const& colours, Run& run) const {
    Frame const& f = run.frame;
    DeviceStepper<T, Dev> stepper(ctx, run.x, f.rows, f.cols, steps.front().input);
    for (std::size_t k = 0; k < steps.size(); ++k) {
      SchedulerStep const& step = steps[k];
      bool const last = k + 1 == steps.size();
      auto const m = predict(ctx, k, stepper.input());
      if (run.trace.tensor) run.trace.tensor(text("noise_pred.", run.done), predict.guided(ctx, m), f.shape());
      stepper.advance(ctx, step, predict.guidance(), m.positive, m.negative, step.draws ? run.drawn() : std::vector<float>(),
                      last ? 1 : steps[k + 1].input);
      ++run.done;
      if (last || run.trace.tensor) {  // what is no number stays none to the end
        run.x = stepper.latents(ctx);
        show_latents(run);
      }
      if (run.trace.step) run.trace.step(run.done, run.total);
      if (previews(run)) run.trace.preview(run.done, (*colours)(stepper.clean(ctx), f.rows, f.cols));
    }
  }
  /// The latents after run.done steps. Throws NumericalError.
  static void show_latents(Run const& run) {
    bool const finite = std::all_of(run.x.begin(), run.x.end(), [](float v) { return std::isfinite(v); });
    require<NumericalError>(finite, "draw: after step ", run.done, " the latents are not numbers; use f32 or bf16");
    if (run.trace.tensor) run.trace.tensor(text("latents.", run.done), run.x, run.frame.shape());
  }
  [[nodiscard]] static bool previews(Run const& run) {
    return run.trace.preview && run.done < run.total && run.done % std::max(run.trace.preview_every, 1) == 0;
  }
  [[nodiscard]] Tensor<T, 3, Dev> network_input(Context<Dev>& ctx, SchedulerStep const& step, Run const& run) const {
    Frame const& f = run.frame;
    if (!run.repaint || run.repaint->beside.empty()) return channels_last<T>(ctx, run.x, f.rows, f.cols, step.input);  // (h, w, 4)
    std::vector<float> all;
    for (float const v : run.x) all.push_back(static_cast<float>(static_cast<double>(v) * step.input));
    all.insert(all.end(), run.repaint->beside.begin(), run.repaint->beside.end());
    return channels_last<T>(ctx, all, f.rows, f.cols);  // (h, w, 9)
  }
  [[nodiscard]] io::Image paint(Context<Dev>& ctx, DrawOptions const& options, Run const& run) const {
    Frame const& f = run.frame;
    auto const& v = vae->config();
    std::optional<Tiles> tiles;
    if (options.tiled) tiles = Tiles::decoding(v);
    auto const made = through<V, Dev>(ctx, *vae, Stage::paint, channels_last<V>(ctx, run.x, f.rows, f.cols, 1 / v.scaling, v.shift),
                                      tiles ? &*tiles : nullptr);  // (H, W, 3)
    View<float const, 2, Cpu> const rgb(made.values.data(), Extents{f.height * f.width, Size{3}});
    if (run.trace.tensor) run.trace.tensor("decoded", planes(rgb), {1, 3, f.height, f.width});
    return to_picture(rgb, f.width, f.height);
  }

  /// What is known before the first step.
  void show(Context<Dev>& ctx, DrawTrace const& trace, Told const& told, Scheduler const& plan) const {
    told.base.show(ctx, trace.tensor, "");
    if (told.refined) told.refined->show(ctx, trace.tensor, "refiner.");
    std::vector<float> const times(plan.timesteps().begin(), plan.timesteps().end()), sigmas(plan.sigmas().begin(), plan.sigmas().end());
    trace.tensor("timesteps", times, {static_cast<Size>(times.size())});
    if (!sigmas.empty()) trace.tensor("sigmas", sigmas, {static_cast<Size>(sigmas.size())});
  }
};

}  // namespace mgm::inline v0::models
