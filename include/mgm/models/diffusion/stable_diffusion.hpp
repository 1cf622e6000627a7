/// Text to pictures: Stable Diffusion and SDXL from an original diffusers folder, as their pipelines draw (Rombach et al. 2022,
/// arXiv:2112.10752; Podell et al. 2023, arXiv:2307.01952).
#pragma once
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <mgm/io/image.hpp>
#include <mgm/io/tokenizer.hpp>
#include <mgm/models/diffusion/noise.hpp>
#include <mgm/models/diffusion/scheduler.hpp>
#include <mgm/models/diffusion/text_encoder.hpp>
#include <mgm/models/diffusion/unet.hpp>
#include <mgm/models/diffusion/vae.hpp>

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

/// What a run can show on its way; each is called when it is set. Latents and predictions are (4, h, w) in float.
struct DrawTrace {
  std::function<void(std::string const& name, std::vector<float> const& values, std::vector<Size> const& shape)> tensor{};
};

/// A tokenizer with its encoder.
template <Real T, Device Dev>
struct Prompter {
  std::shared_ptr<io::Tokenizer const> vocabulary;
  TextEncoder<T, Dev> encoder;

  /// The ids of a text as the encoders were trained: begin, at most 75 of content, end, padding to the encoder's positions.
  [[nodiscard]] std::vector<int> ids(std::string_view text) const {
    auto out = vocabulary->encode(text);
    std::size_t const most = static_cast<std::size_t>(encoder.config().positions);
    auto const end = vocabulary->eos(), pad = vocabulary->pad();
    require<ConfigError>(end.has_value(), "generator: the tokenizer names no end token");
    if (out.size() > most) out.resize(most), out.back() = *end;
    out.resize(most, pad.value_or(*end));
    for (int const id : out)
      require<ConfigError>(id < encoder.config().vocab, "generator: id ", id, " of the tokenizer is beyond the ", encoder.config().vocab,
                           " rows of the text encoder; they do not belong together");
    return out;
  }
};

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
    auto const& net = unet->config();
    Size const factor = vae->config().factor();
    Size const width = options.width ? options.width : net.sample * factor, height = options.height ? options.height : net.sample * factor;
    require<ArgumentError>(
        width >= factor && height >= factor && width % factor == 0 && height % factor == 0 && width <= 16384 && height <= 16384,
        "draw: the size must be multiples of ", factor, " up to 16384, found ", width, "x", height);
    Size const rows = height / factor, cols = width / factor, pixels = rows * cols;
    auto config = scheduler_config(scheduler, "scheduler_config.json", options.scheduler);
    if (options.karras && (config.kind == SchedulerKind::euler || config.kind == SchedulerKind::dpmpp_2m)) config.karras = *options.karras;
    Scheduler const plan(config, options.steps);
    double const guidance = options.guidance.value_or(is_xl() ? 5.0 : 7.5);
    bool const guided = guidance > 1 && net.guidance_width == 0;

    ctx.begin(Stage::encode, 2);
    Condition const positive = condition(ctx, prompt);
    ctx.step();
    Condition negative;
    if (guided)
      negative = options.negative || !zeros_for_absent_negative ? condition(ctx, options.negative.value_or("")) : zeros_like(ctx, positive);
    ctx.step();
    if (trace.tensor) {
      show(ctx, trace, "prompt_embeds", positive.text, true);
      if (guided) show(ctx, trace, "negative_prompt_embeds", negative.text, true);
      if (is_xl()) show(ctx, trace, "pooled_prompt_embeds", positive.pooled, false);
      std::vector<float> times, sigmas(plan.sigmas().begin(), plan.sigmas().end());
      for (auto const& step : plan.steps()) times.push_back(static_cast<float>(step.timestep));
      trace.tensor("timesteps", times, {static_cast<Size>(times.size())});
      if (!sigmas.empty()) trace.tensor("sigmas", sigmas, {static_cast<Size>(sigmas.size())});
    }
    auto const sizes = [&](Condition const& c) { return is_xl() ? added(ctx, c, height, width) : Tensor<T, 2, Dev>(); };
    auto const with = sizes(positive), without = guided ? sizes(negative) : Tensor<T, 2, Dev>();
    auto const strength =
        net.guidance_width > 0 ? Unet<T, Dev>::rounded(ctx, guidance_wave(guidance, net.guidance_width)) : Tensor<T, 2, Dev>();

    CpuNoise noise(options.seed);
    std::vector<float> x = options.latents;  // (4, h, w)
    if (x.empty()) x.resize(static_cast<std::size_t>(net.out * pixels)), noise.draw(x);
    require<ArgumentError>(static_cast<Size>(x.size()) == net.out * pixels, "draw: ", x.size(), " latents are given, a picture of ", width,
                           "x", height, " has ", net.out * pixels);
    for (float& v : x) v = static_cast<float>(static_cast<double>(v) * plan.first_noise());
    std::vector<Size> const shape{1, net.out, rows, cols};
    if (trace.tensor) trace.tensor("latents.0", x, shape);

    ctx.begin(Stage::denoise, static_cast<Size>(plan.steps().size()) * unet->blocks() * (guided ? 2 : 1));
    Stepper stepper;
    int number = 0;
    for (auto const& step : plan.steps()) {
      auto const in = channels_last<T>(ctx, x, rows, cols, step.input, 0);  // (h, w, 4)
      auto const predict = [&](Condition const& c, Tensor<T, 2, Dev> const& more) {
        return (*unet)(ctx, in, unet->embed(ctx, step.timestep, more, strength), c.text);
      };
      auto m = channels_first(ctx, predict(positive, with), pixels);  // (4, h, w)
      if (guided) {
        auto const base = channels_first(ctx, predict(negative, without), pixels);  // (4, h, w)
        for (std::size_t i = 0; i < m.size(); ++i) m[i] = base[i] + static_cast<float>(guidance) * (m[i] - base[i]);
      }
      if (trace.tensor) trace.tensor(text("noise_pred.", number), m, shape);
      std::vector<float> drawn;
      if (step.draws) drawn.resize(x.size()), noise.draw(drawn);
      stepper.advance(step, std::move(m), drawn, x);
      if (trace.tensor)
        trace.tensor(text("latents.", ++number), x, shape);
      else
        ++number;
    }

    ctx.begin(Stage::paint, vae->blocks());
    auto const& v = vae->config();
    auto const latents = channels_last<V>(ctx, x, rows, cols, 1 / v.scaling, v.shift);  // (h, w, 4)
    auto const decoded = (*vae)(ctx, latents);                                          // (H·W, 3)
    auto const host = ctx.on_host(decoded.view());
    if (trace.tensor) trace.tensor("decoded", planes(host), {1, 3, height, width});
    return picture(host, width, height);
  }

 private:
  struct Condition {
    Tensor<T, 2, Dev> text;    // (77, D)
    Tensor<T, 2, Dev> pooled;  // (1, P), or empty
  };
  /// What a method remembers from step to step, and the weighted sum that a step is.
  struct Stepper {
    std::vector<std::vector<float>> outputs;  // the newest first
    std::vector<float> data, before, started;
    void advance(SchedulerStep const& s, std::vector<float> m, std::vector<float> const& noise, std::vector<float>& x) {
      before = x;
      if (s.restart) x = started;
      started = before;
      data.resize(x.size());
      std::size_t const known = outputs.size();
      for (std::size_t i = 0; i < x.size(); ++i) {
        double sum = s.past[0] * static_cast<double>(m[i]);
        for (std::size_t k = 0; k < known && k < 3; ++k) sum += s.past[k + 1] * static_cast<double>(outputs[k][i]);
        double clean = s.data_x * static_cast<double>(x[i]) + s.data_m * sum;
        if (s.clip > 0) clean = std::clamp(clean, -s.clip, s.clip);
        double next = s.keep * static_cast<double>(x[i]) + s.model * sum + s.data * clean + s.before * static_cast<double>(data[i]);
        if (s.draws) next += s.noise * static_cast<double>(noise[i]);
        data[i] = static_cast<float>(clean), x[i] = static_cast<float>(next);
      }
      if (!s.stored) return;
      outputs.insert(outputs.begin(), std::move(m));
      if (outputs.size() > 3) outputs.pop_back();
    }
  };
  [[nodiscard]] Condition condition(Context<Dev>& ctx, std::string_view prompt) const {
    Condition out;
    bool const xl = is_xl();
    Size const positions = prompters.front().encoder.config().positions, wide = unet->config().text;
    out.text = ctx.template empty<T>(Extents{positions, wide});  // (77, D)
    Size at = 0;
    for (auto const& p : prompters) {
      auto states = p.encoder(ctx, p.ids(prompt), !xl);  // (77, C) and (1, P)
      Size const own = states.sequence.extent(1);
      require<ConfigError>(at + own <= wide && states.sequence.extent(0) == positions,
                           "generator: the text encoders' states do not fit the UNet's ", wide, " channels");
      ops::copy<T, Dev>(ctx, states.sequence, out.text.slice(1, at, own));
      at += own;
      if (!states.pooled.empty()) out.pooled = std::move(states.pooled);
    }
    require<ConfigError>(at == wide, "generator: the text encoders give ", at, " channels, the UNet takes ", wide);
    return out;
  }
  [[nodiscard]] Condition zeros_like(Context<Dev>& ctx, Condition const& c) const {
    Condition out{ctx.template empty<T>(c.text.extents()), {}};
    ops::fill<T, Dev>(ctx, 0, out.text.view());
    if (!c.pooled.empty()) out.pooled = ctx.template empty<T>(c.pooled.extents()), ops::fill<T, Dev>(ctx, 0, out.pooled.view());
    return out;
  }
  /// [pooled, sinusoids of (height, width, 0, 0, height, width)].
  [[nodiscard]] Tensor<T, 2, Dev> added(Context<Dev>& ctx, Condition const& c, Size height, Size width) const {
    Size const all = unet->config().added, wave = unet->config().added_time, pooled = all - 6 * wave;
    require<ConfigError>(pooled >= 0 && c.pooled.extent(1) == pooled, "generator: the pooled text has ", c.pooled.extent(1),
                         " channels, the UNet takes ", pooled);
    std::vector<float> waves;
    for (Size const s : {height, width, Size{0}, Size{0}, height, width}) {
      auto const one = sinusoid(static_cast<float>(s), wave);
      waves.insert(waves.end(), one.begin(), one.end());
    }
    auto out = ctx.template empty<T>(Extents{Size{1}, all});
    ops::copy<T, Dev>(ctx, c.pooled, out.slice(1, 0, pooled));
    ops::copy<T, Dev>(ctx, Unet<T, Dev>::rounded(ctx, waves), out.slice(1, pooled, 6 * wave));
    return out;
  }
  /// [sin(w·f), cos(w·f)], w = 1000·(guidance − 1): the sine first here, and half − 1 in the divisor.
  [[nodiscard]] static std::vector<float> guidance_wave(double guidance, Size width) {
    Size const half = width / 2;
    std::vector<float> out(static_cast<std::size_t>(width));
    for (Size i = 0; i < half; ++i) {
      double const angle = (guidance - 1) * 1000 * std::exp(-std::log(10000.0) * static_cast<double>(i) / static_cast<double>(half - 1));
      out[static_cast<std::size_t>(i)] = static_cast<float>(std::sin(angle)),
      out[static_cast<std::size_t>(half + i)] = static_cast<float>(std::cos(angle));
    }
    return out;
  }
  /// factor·x + shift of planes (C, h·w) as a map (h, w, C) of U.
  template <Real U>
  [[nodiscard]] static Tensor<U, 3, Dev> channels_last(Context<Dev>& ctx, std::vector<float> const& x, Size rows, Size cols, double factor,
                                                       double shift) {
    Size const pixels = rows * cols, channels = static_cast<Size>(x.size()) / pixels;
    std::vector<float> last(x.size());
    for (Size c = 0; c < channels; ++c)
      for (Size i = 0; i < pixels; ++i)
        last[static_cast<std::size_t>(i * channels + c)] =
            static_cast<float>(static_cast<double>(x[static_cast<std::size_t>(c * pixels + i)]) * factor + shift);
    auto out = ctx.template empty<U>(Extents{rows, cols, channels});
    Extents const flat{pixels, channels};
    ops::convert<U, float, Dev>(ctx, ctx.on_device(View<float const, 2, Cpu>(last.data(), flat)), out.reshape(flat));
    return out;
  }
  [[nodiscard]] static std::vector<float> channels_first(Context<Dev>& ctx, Tensor<float, 2, Dev> const& rows, Size pixels) {
    auto const host = ctx.on_host(rows.view());
    Size const channels = rows.extent(1);
    std::vector<float> out(static_cast<std::size_t>(pixels * channels));
    for (Size i = 0; i < pixels; ++i)
      for (Size c = 0; c < channels; ++c) out[static_cast<std::size_t>(c * pixels + i)] = host(i, c);
    return out;
  }
  [[nodiscard]] static std::vector<float> planes(View<float const, 2, Cpu> rgb) {
    std::vector<float> out;
    for (Size c = 0; c < 3; ++c)
      for (Size i = 0; i < rgb.extent(0); ++i) out.push_back(rgb(i, c));
    return out;
  }
  [[nodiscard]] static io::Image picture(View<float const, 2, Cpu> rgb, Size width, Size height) {
    io::Image image;
    image.width = static_cast<int>(width), image.height = static_cast<int>(height);
    image.rgb.resize(static_cast<std::size_t>(3 * width * height));
    for (Size i = 0; i < rgb.extent(0); ++i)
      for (Size c = 0; c < 3; ++c) {
        float const v = rgb(i, c);
        require<NumericalError>(std::isfinite(v), "draw: the decoded picture is not a number at pixel ", i, "; use f32 or bf16");
        image.rgb[static_cast<std::size_t>(3 * i + c)] =
            static_cast<unsigned char>(std::nearbyint(255 * std::clamp(v / 2 + 0.5f, 0.0f, 1.0f)));
      }
    return image;
  }
  static void show(Context<Dev>& ctx, DrawTrace const& trace, std::string const& name, Tensor<T, 2, Dev> const& t, bool batched) {
    auto const host = ctx.on_host(t.view());
    std::vector<float> out;
    for (Size i = 0; i < t.extent(0); ++i)
      for (Size c = 0; c < t.extent(1); ++c) out.push_back(static_cast<float>(host(i, c)));
    std::vector<Size> shape{t.extent(0), t.extent(1)};
    if (batched) shape.insert(shape.begin(), 1);
    trace.tensor(name, out, shape);
  }
};

}  // namespace mgm::inline v0::models
