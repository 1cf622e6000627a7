// The least program that runs a layer on Cuda and is compiled by the host's compiler, and a decoder's steps as CUDA graphs against the same
// steps layer by layer. Prints what it got; 0 also where there is no device.
#include <cmath>
#include <cstdio>
#include <span>
#include <vector>

#include <mgm/models/decode_steps.hpp>
#include <mgm/models/decoder.hpp>
#include <mgm/models/sampler.hpp>

namespace {
using namespace mgm;
using Decoder = models::Decoder<bf16, Cuda>;

Decoder made_up(Context<Cuda>& ctx) {
  Decoder lm(ctx, {.vocab = 96, .width = 64, .depth = 2, .heads = 4, .kv_heads = 2, .ffn = 96});
  float at = 0;
  visit_parameters(lm, "", [&]<class P>(std::string const&, P& p) {
    std::vector<bf16> numbers(static_cast<std::size_t>(p.shape().count()));
    for (auto& n : numbers) n = bf16(P::kRank == 1 ? 1.0f : 0.3f * std::sin(at += 1.7f + 1e-4f * at));
    auto value = ctx.lasting<bf16>(p.shape());
    ctx.copy_to_device(View<bf16 const, P::kRank, Cpu>(numbers.data(), p.shape()), value.view());
    p.assign(std::move(value));
  });
  return lm;
}

/// The tokens behind 250 others, over the border of two graphs.
std::vector<int> tokens(Context<Cuda>& ctx, Decoder const& lm, bool recorded) {
  Size const vocab = lm.config().vocab;
  nn::KvCache<bf16, Cuda> cache(ctx, lm.cache_config(300));
  std::vector<int> ids(250), out;
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int>(i * 37 % 96);
  auto const run = [&](std::span<int const> said) {
    auto x = ctx.empty<bf16>(Extents{static_cast<Size>(said.size()), lm.config().width});           // (P, H)
    lm.embed(ctx, said, x.view());
    lm(ctx, x.view(), cache);
    return lm.logits(ctx, lm.normed(ctx, x.view().slice(0, x.extent(0) - 1, 1)), vocab);            // (1, V)
  };
  auto logits = run(ids);
  if (recorded) {
    models::DecodeSteps<Decoder, bf16, Cuda> steps(ctx, lm, cache, vocab);
    steps.begin(ctx, logits, {.temperature = 0}, cache.size());
    while (out.size() < 20) {
      out.push_back(steps.drawn(ctx).token);
      steps.next(ctx, lm, cache, cache.size());
      cache.advance(1);
    }
  }
  while (out.size() < 20) {
    auto const row = ctx.on_host(logits.view());
    out.push_back(models::greedy({row.data(), static_cast<std::size_t>(vocab)}));
    logits = run({&out.back(), 1});
  }
  return out;
}
}  // namespace

int main() {
  try {
    Context<Cuda> ctx;
    nn::Linear<bf16, Cuda> layer(ctx, {.in = 3, .out = 4, .has_bias = false});
    std::vector<bf16> const ones(12, bf16(1));
    layer.weight.assign(ctx.on_device(View<bf16 const, 2, Cpu>(ones.data(), {4, 3})));
    auto const y = ctx.on_host(layer(ctx, ctx.on_device(View<bf16 const, 2, Cpu>(ones.data(), {1, 3}))).view());  // (1, 4)
    std::printf("%s: 1 + 1 + 1 = %g\n", ctx.path().c_str(), double(float(y.view()(0, 3))));
    auto const lm = made_up(ctx);
    bool const same = tokens(ctx, lm, true) == tokens(ctx, lm, false);
    std::printf("%s: steps as graphs %s the layers' tokens\n", ctx.path().c_str(), same ? "give" : "DO NOT GIVE");
    return float(y.view()(0, 3)) == 3 && same ? 0 : 1;
  } catch (DeviceError const& error) {
    std::printf("%s\n", error.what());
  }
}
