/// A small UNet, autoencoder and image adapter with weights made of their names, against numbers of the reference modules in double
/// (spec/sdxl.md, appendix A).
#include <cmath>
#include <numeric>
#include <string>

#include <gtest/gtest.h>

#include <mgm/models/diffusion/ip_adapter.hpp>
#include <mgm/models/diffusion/unet.hpp>
#include <mgm/models/diffusion/vae.hpp>

namespace diffusion_fixtures_test {
using namespace mgm;

/// Number i of the tensor `name`, in [−½, ½).
double number(std::string_view name, Size i) {
  std::uint32_t x = 2166136261u;  // FNV-1a
  for (char const c : name) x = (x ^ static_cast<unsigned char>(c)) * 16777619u;
  x ^= static_cast<std::uint32_t>(static_cast<std::uint64_t>(i) * 0x9E3779B1u);
  x ^= x >> 16, x *= 0x85EBCA6Bu, x ^= x >> 13, x *= 0xC2B2AE35u, x ^= x >> 16;
  return x * 0x1p-32 - 0.5;
}
/// Inputs: rows of `pixels` × `channels` of planes (channels, pixels), the first at number `first`.
Tensor<float, 2> input(Context<Cpu>& ctx, std::string_view name, Size first, Size pixels, Size channels) {
  auto out = ctx.empty<float>(Extents{pixels, channels});
  for (Size p = 0; p < pixels; ++p)
    for (Size c = 0; c < channels; ++c) out(p, c) = static_cast<float>(number(name, first + c * pixels + p) * std::sqrt(12.0));
  return out;
}
/// Weights: matrices of deviation 1/√fan-in, gains about 1, other vectors about 0.
template <class Module>
void fill(Context<Cpu>& ctx, Module& module) {
  visit_parameters(module, "", [&]<class P>(std::string const& name, P& p) {
    auto const& stored = p.stored_shape();
    Size const count = p.shape().count(), fan = count / stored[0], taps = stored.size() == 4 ? stored[2] * stored[3] : 1, in = fan / taps;
    auto value = ctx.lasting<float>(p.shape());
    for (Size i = 0; i < count; ++i) {
      Size const to = stored.size() == 4 ? i / fan * fan + i % taps * in + i % fan / taps : i;  // taps lie outside of channels here
      bool const gain = stored.size() == 1 && name.ends_with("weight");
      value.data()[to] = static_cast<float>(stored.size() > 1 ? number(name, i) * std::sqrt(12.0 / static_cast<double>(fan))
                                                              : (gain ? 1 : 0) + 0.2 * number(name, i));
    }
    p.assign(std::move(value));
  });
}
/// Results as planes, one after the other.
void append(std::vector<double>& to, View<float const, 2> rows) {
  for (Size c = 0; c < rows.extent(1); ++c)
    for (Size p = 0; p < rows.extent(0); ++p) to.push_back(static_cast<double>(rows(p, c)));
}
struct Known {
  double mean, sum_abs, first[6], middle, last;
};
void expect(std::vector<double> const& got, Known const& want) {
  double const n = static_cast<double>(got.size());
  double sum = 0, sum_abs = 0;
  for (double const v : got) sum += v, sum_abs += std::abs(v);
  EXPECT_NEAR(sum / n, want.mean, 1e-6);
  EXPECT_NEAR(sum_abs, want.sum_abs, 1e-5 * want.sum_abs);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(got[i], want.first[i], 1e-5) << i;
  EXPECT_NEAR(got[got.size() / 2], want.middle, 1e-5);
  EXPECT_NEAR(got.back(), want.last, 1e-5);
}

struct TinyUnet {
  Context<Cpu> ctx{{.threads = 2}};
  models::Unet<float> net{ctx, config()};
  TinyUnet() { fill(ctx, net); }
  static models::UnetConfig config() {
    models::UnetConfig c;
    c.widths = {32, 64, 128}, c.down_attends = {false, true, true}, c.up_attends = {true, true, false}, c.layers = {2, 2, 2};
    c.heads = {1, 2, 4}, c.transformer_layers = {1, 1, 2}, c.text = 24, c.groups = 16, c.added = 64, c.added_time = 8;
    return c;
  }
  /// `adapter`: gives the keys and values of a picture's tokens, if there is one.
  template <class Adapter = std::nullptr_t>
  Tensor<float, 2> run(std::string_view sample, Size row, Size h, Size w, double t, Adapter const& adapter = nullptr) {
    float const sizes[2][6] = {{128, 96, 0, 8, 128, 96}, {64, 64, 4, 0, 128, 128}};
    auto const x = input(ctx, sample, row * 4 * h * w, h * w, 4);  // (h·w, 4)
    auto text = ctx.empty<float>(Extents{Size{7}, Size{24}}), added = ctx.empty<float>(Extents{Size{1}, Size{64}});
    for (Size i = 0; i < text.count(); ++i) text.data()[i] = static_cast<float>(number("text", row * text.count() + i) * std::sqrt(12.0));
    for (Size i = 0; i < 16; ++i) added(0, i) = static_cast<float>(number("pooled", row * 16 + i) * std::sqrt(12.0));
    for (Size i = 0; i < 6; ++i) {
      auto const wave = ops::sinusoid(sizes[row][i], 8);
      std::copy(wave.begin(), wave.end(), added.data() + 16 + 8 * i);
    }
    if constexpr (std::same_as<Adapter, std::nullptr_t>) {
      return net(ctx, x.reshape(Extents{h, w, Size{4}}), net.embed(ctx, t, added), text);
    } else {
      std::vector<nn::Sources<float>> pictures;
      pictures.push_back(adapter(ctx, row));
      auto const prompt = net.prompt(ctx, text, pictures);
      double const times[] = {500, t};  // a run's first and second step
      auto const embedded = net.embed(ctx, times, added);
      (void)net(ctx, x.reshape(Extents{h, w, Size{4}}), embedded.slice(0, 0, 1), prompt);
      return net(ctx, x.reshape(Extents{h, w, Size{4}}), embedded.slice(0, 1, 1), prompt);
    }
  }
};

/// Keys and values of image tokens (4, 24) for every cross-attention, times 0.7.
struct TinyAdapter {
  std::vector<nn::Linear<float>> k, v;
  explicit TinyAdapter(Context<Cpu>& ctx) {
    for (Size const width : models::cross_attention_widths(TinyUnet::config()))
      k.emplace_back(ctx, nn::Linear<float>::Config{24, width, false}), v.emplace_back(ctx, nn::Linear<float>::Config{24, width, false});
    fill(ctx, *this);
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (std::size_t i = 0; i < k.size(); ++i) visit(text(2 * i + 1, ".to_k_ip"), k[i]), visit(text(2 * i + 1, ".to_v_ip"), v[i]);
  }
  nn::Sources<float> operator()(Context<Cpu>& ctx, Size row) const {
    auto tokens = ctx.empty<float>(Extents{Size{4}, Size{24}});  // (4, 24)
    for (Size i = 0; i < tokens.count(); ++i) tokens.data()[i] = static_cast<float>(number("ip", row * 96 + i) * std::sqrt(12.0));
    nn::Sources<float> out;
    for (std::size_t i = 0; i < k.size(); ++i) {
      auto values = v[i](ctx, tokens);  // (4, C)
      ops::scale<float, Cpu>(ctx, values, 0.7f, values.view());
      out.push_back({k[i](ctx, tokens), std::move(values)});
    }
    return out;
  }
};

TEST(DiffusionFixtures, TinyUnetOfSdxlsKind) {
  TinyUnet tiny;
  EXPECT_NEAR(number("conv_in.weight", 0), -0.07447581, 1e-8);
  std::vector<double> out;
  for (Size row = 0; row < 2; ++row) append(out, tiny.run("sample", row, 16, 16, 981).view());
  expect(out,
         {-0.018073254, 927.1421705, {0.14391667, -0.03022251, 0.02961803, -0.18986748, 0.47017413, 0.19930734}, -0.07297331, 0.14664775});
}
TEST(DiffusionFixtures, OddSizesAreUpsampledToTheSkipsSize) {
  TinyUnet tiny;
  std::vector<double> out;
  append(out, tiny.run("sample2", 0, 18, 10, 1).view());
  expect(
      out,
      {-0.053875668, 353.8727202, {-0.17339439, -0.20702068, -0.57136767, -0.43891949, 0.09521120, 0.18929048}, -0.06480265, 0.44939214});
}
TEST(DiffusionFixtures, APictureBesideTheTextIsReadInTheAdaptersOrder) {
  TinyUnet tiny;
  TinyAdapter const adapter(tiny.ctx);
  EXPECT_EQ(adapter.k.size(), 17u);
  std::vector<double> out;
  for (Size row = 0; row < 2; ++row) append(out, tiny.run("sample", row, 16, 16, 981, adapter).view());
  expect(out,
         {0.027311179, 936.6184048, {0.38411159, 0.08662200, 0.17120023, -0.25189346, 0.34534880, 0.16495233}, 0.23001468, 0.29495951});
}
struct TinyResampler {
  models::Resampler<float> part;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("image_proj", part);
  }
};
TEST(DiffusionFixtures, Resampler) {
  Context<Cpu> ctx({.threads = 2});
  TinyResampler module{{ctx, {.in = 24, .width = 32, .heads = 2, .depth = 2, .queries = 4, .ffn = 128, .text = 20}}};
  fill(ctx, module);
  auto states = ctx.empty<float>(Extents{Size{9}, Size{24}});  // (9, 24)
  for (Size i = 0; i < states.count(); ++i) states.data()[i] = static_cast<float>(number("feat", i) * std::sqrt(12.0));
  auto const tokens = module.part(ctx, states);  // (4, 20)
  expect(
      {tokens.data(), tokens.data() + tokens.count()},
      {-0.018073669, 62.9528993, {-0.57577669, -1.80905271, -0.16428674, -0.23248257, 1.18757176, -0.78466121}, -0.76978271, 1.39049516});
}
TEST(DiffusionFixtures, TinyVaeDecodes) {
  Context<Cpu> ctx({.threads = 2});
  models::VaeConfig config;
  config.widths = {16, 32}, config.layers = 1, config.groups = 8;
  models::VaeDecoder<float> decoder(ctx, config);
  fill(ctx, decoder);
  std::vector<double> out;
  append(out, decoder(ctx, input(ctx, "z", 0, 48, 4).reshape(Extents{Size{8}, Size{6}, Size{4}})).view());
  expect(out,
         {0.174139576, 254.7835497, {0.08552807, 0.09281697, -0.05752188, -0.06794866, 0.06760204, 0.24149655}, -0.53275266, 0.19613088});
}

}  // namespace diffusion_fixtures_test
