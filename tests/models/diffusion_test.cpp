// The parts of Stable Diffusion on made-up weights that need no file, beside what the reference's modules gave in float64; and what a run
// does when it is stopped, or what it calls throws.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include <mgm/models/diffusion/open_diffusion.hpp>

#include "support/files.hpp"

namespace diffusion_test {

using namespace mgm;
using namespace mgm::models;

/// Element i of the made-up tensor of that name: FNV-1a of the name, mixed with i, in [−½, ½).
double made_up(std::string_view name, std::uint32_t i) {
  std::uint32_t h = 2166136261u;
  for (char const c : name) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
  std::uint32_t x = h ^ (i * 0x9E3779B1u);
  x ^= x >> 16, x *= 0x85EBCA6Bu, x ^= x >> 13, x *= 0xC2B2AE35u, x ^= x >> 16;
  return static_cast<double>(x) / 4294967296.0 - 0.5;
}
std::vector<float> input(std::string const& name, std::size_t count, std::size_t first = 0) {
  std::vector<float> out;
  for (std::size_t i = 0; i < count; ++i)
    out.push_back(static_cast<float>(made_up(name, static_cast<std::uint32_t>(first + i)) * std::sqrt(12.0)));
  return out;
}
template <class Module>
void make_up(Context<Cpu>& ctx, Module& module) {
  visit_parameters(module, "", [&]<class P>(std::string const& name, P& p) {
    auto const& shape = p.stored_shape();
    Size const count = std::accumulate(shape.begin(), shape.end(), Size{1}, std::multiplies<>());
    std::vector<float> stored;
    for (Size i = 0; i < count; ++i) {
      double const v = made_up(name, static_cast<std::uint32_t>(i));
      bool const scale = shape.size() == 1 && name.ends_with("weight");
      stored.push_back(static_cast<float>(shape.size() > 1
                                              ? v * std::sqrt(12.0 * static_cast<double>(shape[0]) / static_cast<double>(count))
                                          : scale ? 1 + 0.2 * v
                                                  : 0.2 * v));
    }
    auto value = ctx.lasting<float>(p.shape());
    if (p.layout() == Layout::as_stored)
      std::copy(stored.begin(), stored.end(), value.data());
    else
      io::detail::permute(p.layout(), shape, stored.data(), value.data());
    p.assign(std::move(value));
  });
}

struct Wanted {
  double mean, deviation;
  std::vector<double> first;
  double middle, last, sum;
};
/// Float loses about 1e-5 of the scale, which is near 1 everywhere here.
void expect_like(std::vector<float> const& got, Wanted const& want) {
  double sum = 0, square = 0, magnitude = 0;
  double const n = static_cast<double>(got.size());
  for (float const v : got) sum += double{v}, square += double{v} * double{v}, magnitude += std::abs(double{v});
  EXPECT_NEAR(sum / n, want.mean, 1e-5);
  EXPECT_NEAR(std::sqrt(square / n - sum / n * sum / n), want.deviation, 1e-5);
  for (std::size_t i = 0; i < want.first.size(); ++i) EXPECT_NEAR(got[i], want.first[i], 3e-5) << i;
  EXPECT_NEAR(got[got.size() / 2], want.middle, 3e-5);
  EXPECT_NEAR(got.back(), want.last, 3e-5);
  EXPECT_NEAR(magnitude, want.sum, 1e-5 * want.sum);
}

TEST(Diffusion, MadeUpNumbers) {
  EXPECT_NEAR(made_up("conv_in.weight", 0), -0.07447581, 1e-8);
  EXPECT_NEAR(made_up("conv_in.weight", 2), 0.03898246, 1e-8);
  EXPECT_NEAR(input("sample", 2)[1], -0.83734807, 1e-7);
}

TEST(Diffusion, Sinusoids) {  // in float: half a unit of an angle near 1000 is 3e-5, of its frequency 6e-8·1000
  auto const t = ops::sinusoid(981, 320), s = ops::sinusoid(1024, 256);
  for (auto const& [i, v] : std::vector<std::pair<std::size_t, double>>{
           {0, 0.679957}, {1, -0.798429}, {2, 0.578064}, {159, 0.994606}, {160, 0.733252}, {161, 0.602089}, {319, 0.103726}})
    EXPECT_NEAR(t[i], v, 9e-5) << i;
  for (auto const& [i, v] :
       std::vector<std::pair<std::size_t, double>>{{0, 0.987354}, {1, -0.537617}, {127, 0.993952}, {128, -0.158533}, {255, 0.109818}})
    EXPECT_NEAR(s[i], v, 9e-5) << i;
}

TEST(Diffusion, GuidanceWave) {  // the sine first, half − 1 in the divisor: the last frequency is 1/10000
  auto const w = guidance_wave(1.5, 8);
  EXPECT_NEAR(w[0], std::sin(500.0), 1e-6);
  EXPECT_NEAR(w[3], std::sin(0.05), 1e-6);
  EXPECT_NEAR(w[4], std::cos(500.0), 1e-6);
  EXPECT_NEAR(w[7], std::cos(0.05), 1e-6);
}

UnetConfig tiny_unet() {
  return unet_config(io::parse_json(R"({"block_out_channels": [32, 64, 128], "attention_head_dim": [1, 2, 4], "norm_num_groups": 16,
    "transformer_layers_per_block": [1, 1, 2], "cross_attention_dim": 24, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 64, "sample_size": 16, "use_linear_projection": true,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]})",
                                    "tiny"),
                     "tiny");
}
std::vector<float> run_unet(Context<Cpu>& ctx, Unet<float, Cpu> const& unet, std::string const& sample, std::size_t row, Size rows,
                            Size cols, double t, std::vector<float> const& sizes) {
  auto added = input("pooled", 16, 16 * row);
  for (float const s : sizes) {
    auto const one = ops::sinusoid(s, 8);
    added.insert(added.end(), one.begin(), one.end());
  }
  auto const x = input(sample, static_cast<std::size_t>(4 * rows * cols), row * static_cast<std::size_t>(4 * rows * cols)),
             text = input("text", 7 * 24, row * 7 * 24);
  auto const emb = unet.embed(ctx, t, View<float const, 2, Cpu>(added.data(), {{1, 64}}));
  return channels_first(ctx, unet(ctx, channels_last<float>(ctx, x, rows, cols), emb, View<float const, 2, Cpu>(text.data(), {{7, 24}})));
}

TEST(Diffusion, TinyUnet) {
  Context<Cpu> ctx({.threads = 1});
  Unet<float, Cpu> unet(ctx, tiny_unet());
  make_up(ctx, unet);
  EXPECT_EQ(io::count_parameters(unet), 620);
  auto out = run_unet(ctx, unet, "sample", 0, 16, 16, 981, {128, 96, 0, 8, 128, 96});
  auto const second = run_unet(ctx, unet, "sample", 1, 16, 16, 981, {64, 64, 4, 0, 128, 128});
  out.insert(out.end(), second.begin(), second.end());
  expect_like(out, {-0.018073254,
                    0.579350380,
                    {0.14391667, -0.03022251, 0.02961803, -0.18986748, 0.47017413, 0.19930734},
                    -0.07297331,
                    0.14664775,
                    927.1421705});
  // sides that do not halve evenly
  expect_like(run_unet(ctx, unet, "sample2", 0, 18, 10, 1, {128, 96, 0, 8, 128, 96}),
              {-0.053875668,
               0.630302542,
               {-0.17339439, -0.20702068, -0.57136767, -0.43891949, 0.09521120, 0.18929048},
               -0.06480265,
               0.44939214,
               353.8727202});
}

TEST(Diffusion, TinyVae) {
  Context<Cpu> ctx({.threads = 1});
  auto const config = vae_config(
      io::parse_json(R"({"block_out_channels": [16, 32], "layers_per_block": 1, "norm_num_groups": 8, "latent_channels": 4})", "tiny"),
      "tiny");
  VaeDecoder<float, Cpu> decoder(ctx, config);
  make_up(ctx, decoder);
  expect_like(channels_first(ctx, decoder(ctx, channels_last<float>(ctx, input("z", 4 * 8 * 6), 8, 6))),
              {0.174139576,
               0.560525981,
               {0.08552807, 0.09281697, -0.05752188, -0.06794866, 0.06760204, 0.24149655},
               -0.53275266,
               0.19613088,
               254.7835497});
  VaeEncoder<float, Cpu> encoder(ctx, config);
  make_up(ctx, encoder);
  expect_like(channels_first(ctx, encoder(ctx, channels_last<float>(ctx, input("image", 3 * 16 * 12), 16, 12))),
              {-0.077735252,
               0.664796783,
               {0.32465796, -0.22565246, -0.70507491, 0.53992050, 0.01001494, 0.41349337},
               0.02932436,
               0.27356299,
               196.3938057});
  EXPECT_THROW((void)encoder(ctx, channels_last<float>(ctx, input("image", 3 * 15 * 12), 15, 12)), ShapeError);
}

TEST(Diffusion, TinyTextEncoder) {
  Context<Cpu> ctx({.threads = 1});
  std::vector<int> const ids{62, 5, 17, 40, 63, 0, 0, 0, 0, 0};
  for (bool const quick : {true, false}) {
    TextEncoder<float, Cpu> encoder(ctx, {.vocab = 64,
                                          .width = 32,
                                          .depth = 3,
                                          .heads = 2,
                                          .ffn = 64,
                                          .positions = 10,
                                          .projection = 16,
                                          .activation = quick ? Activation::quick_gelu : Activation::gelu});
    make_up(ctx, encoder);
    auto const states = encoder(ctx, ids, false);
    auto const near = [](auto const& row, std::vector<double> const& first, double sum) {
      double all = 0;
      for (Size i = 0; i < row.extent(0); ++i)
        for (Size c = 0; c < row.extent(1); ++c) all += std::abs(double{row(i, c)});
      for (std::size_t i = 0; i < first.size(); ++i) EXPECT_NEAR(row(0, static_cast<Size>(i)), first[i], 5e-5) << i;
      EXPECT_NEAR(all, sum, 1e-5 * sum);
    };
    if (quick) {
      near(states.sequence, {-2.99337473, 2.41968679, 2.50224519, 1.51422174, -3.13392947, 1.03839476}, 385.7788817);
      near(states.pooled, {-0.58830456, 1.33579961, -1.04830546, -0.04538986, -0.91992951, -0.86005518}, 9.0271485);
    } else {
      near(states.sequence, {-2.97840969, 2.41163217, 2.52351628, 1.51503517, -3.13322695, 1.04747543}, 386.6087353);
      near(states.pooled, {-0.58765598, 1.34487822, -1.04254976, -0.04002586, -0.89651819, -0.85568979}, 8.9834929);
    }
  }
}

TEST(Diffusion, Levels) {
  float const values[] = {0, -1, 1, -7, 7, -1 + 1.4f / 255};  // 127.5 goes to the even side; 0.7 is not cut off
  auto const picture = to_picture(View<float const, 2, Cpu>(values, {{2, 3}}), 2, 1);
  EXPECT_EQ(picture.rgb, (std::vector<std::uint8_t>{128, 0, 255, 0, 255, 1}));
  float const none[] = {0, 0, NAN};
  EXPECT_THROW((void)to_picture(View<float const, 2, Cpu>(none, {{1, 3}}), 1, 1), NumericalError);
}

/// Asks to stop at the n-th report.
struct Stopper : Monitor {
  int reports = 0, at = 0;
  void progress(Stage, Size, Size) noexcept override {
    if (++reports == at) cancel();
  }
};

struct Folder {
  Stopper monitor;
  Context<Cpu> ctx{{.threads = 1}};
  StableDiffusion<float, Cpu> generator = StableDiffusion<float, Cpu>::open(ctx, MGM_TEST_SOURCE "/tests/data/sd/sd");
  DrawOptions options{.steps = 2, .width = 72, .height = 16, .scheduler = SchedulerKind::euler_a, .tiled = true};
  std::vector<std::uint8_t> draw(DrawTrace const& trace = {}) { return generator.draw(ctx, "the sea", options, trace).rgb; }
};

TEST(DiffusionRun, StopsAtEveryStepAndIsThenAsBefore) {
  Folder f;
  f.options.init = io::Image{70, 20, std::vector<std::uint8_t>(3 * 70 * 20, 99)}, f.options.strength = 1;
  auto const whole = f.draw();
  f.ctx.watch(&f.monitor);
  EXPECT_EQ(f.draw(), whole);
  int const all = f.monitor.reports;
  EXPECT_GT(all, 150);  // layers and tiles, not steps
  for (int at = 1; at < all; at += 7) {
    f.monitor.reset(), f.monitor.reports = 0, f.monitor.at = at;
    EXPECT_THROW((void)f.draw(), Cancelled) << at;
    EXPECT_EQ(f.monitor.reports, at);  // not a layer more
  }
  f.monitor.reset(), f.monitor.at = 0;
  EXPECT_EQ(f.draw(), whole);
}

TEST(DiffusionRun, CallbacksMayThrowAndDraw) {
  Folder f;
  auto const whole = f.draw();
  int steps = 0;
  DrawTrace trace{.step = [&](int step, int of) {
    ++steps;
    EXPECT_EQ(step, steps);
    EXPECT_EQ(of, 2);
    if (step == 1) throw std::runtime_error("enough");
  }};
  EXPECT_THROW((void)f.draw(trace), std::runtime_error);
  EXPECT_EQ(steps, 1);
  std::vector<std::uint8_t> inner;
  trace.step = [&](int step, int) {
    if (step == 1) inner = f.draw();
  };
  EXPECT_EQ(f.draw(trace), whole);  // a generator holds no state of a run
  EXPECT_EQ(inner, whole);
}

TEST(DiffusionRun, SpecialTokensInPlainPromptsAreLetters) {
  Folder f;
  auto const& prompter = f.generator.prompters.front();
  int const end = prompter.vocabulary->eos().value();
  auto const content = [&](std::string_view prompt, bool plain) {  // ids before the first end
    auto const ids = prompter.ids(prompt, plain);
    return std::find(ids.begin(), ids.end(), end) - ids.begin();
  };
  std::string const tagged = "sea <|endoftext|> sea";
  EXPECT_EQ(content(tagged, false), content("sea", false));
  EXPECT_GT(content(tagged, true), content("sea sea", true) + 1);
  EXPECT_EQ(prompter.ids("the sea", true), prompter.ids("the sea", false));
  auto const states = [&](std::string_view prompt, bool plain) {
    f.options.plain = plain, f.options.negative = prompt;
    auto const told = f.generator.tell(f.ctx, prompt, f.options);
    auto const same = [&](auto const& a, auto const& b) { return std::equal(a.data(), a.data() + a.count(), b.data()); };
    EXPECT_TRUE(same(told.base.positive.text, told.base.negative->text));  // the negative prompt is read as the prompt is
    return std::vector<float>(told.base.positive.text.data(), told.base.positive.text.data() + told.base.positive.text.count());
  };
  EXPECT_EQ(states("the sea", true), states("the sea", false));
  EXPECT_NE(states(tagged, true), states(tagged, false));
}

TEST(DiffusionRun, RefusesWhatDoesNotGoTogether) {
  Folder f;
  f.options.mask = io::Image{1, 1, {0, 0, 0}};
  EXPECT_THROW((void)f.draw(), ArgumentError);
  f.options.init = io::Image{1, 1, {9, 9, 9}};
  EXPECT_NO_THROW((void)f.draw());
  f.options.latents.resize(4);
  EXPECT_THROW((void)f.draw(), ArgumentError);
  f.options.latents.clear();
  f.generator.encoder.reset();
  support::expect_refused([&] { (void)f.draw(); }, Code::argument, "without its encoder");
  f.options.init.reset(), f.options.mask.reset(), f.options.latents.resize(5);
  support::expect_refused([&] { (void)f.draw(); }, Code::argument, "5 latents are given");
}

}  // namespace diffusion_test
