/// The gated feed-forward of LLaMA and Gemma (Shazeer 2020, arXiv:2002.05202), and Mixtral's mixture of such.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <mgm/nn/linear.hpp>
#include <mgm/ops/elementwise.hpp>
#include <mgm/ops/mixture.hpp>

namespace mgm::inline v0::nn {

/// Names of the three matrices in a checkpoint.
struct GatedNames {
  std::string_view gate = "gate_proj", up = "up_proj", down = "down_proj";
};

/// x += scale · Wdown(act(Wgate n) ⊙ Wup n).   n, x (P, H).
template <Real T, Device Dev = DefaultDevice>
struct GatedMlp {
  struct Config {
    Size width, ffn;
    Activation activation = Activation::silu;
    GatedNames names{};
  };
  GatedMlp(Context<Dev>& ctx, Config c)
      : config(c), gate(ctx, {c.width, c.ffn, false}), up(ctx, {c.width, c.ffn, false}), down(ctx, {c.ffn, c.width, false}) {}

  void operator()(Context<Dev>& ctx, In<T, 2, Dev> n, Out<T, 2, Dev> x) const {
    auto const wide = hidden(ctx, n);  // (P, F)
    down.into(ctx, wide, x, {.residual = x});
  }
  /// Wdown(act(Wgate n) ⊙ Wup n) alone: (P, H).
  [[nodiscard]] Tensor<T, 2, Dev> branch(Context<Dev>& ctx, In<T, 2, Dev> n) const { return down(ctx, hidden(ctx, n)); }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit(config.names.gate, gate);
    visit(config.names.up, up);
    visit(config.names.down, down);
  }

  Config config;
  Linear<T, Dev> gate, up, down;

 private:
  Tensor<T, 2, Dev> hidden(Context<Dev>& ctx, In<T, 2, Dev> n) const {
    auto wide = gate(ctx, n, {.activation = config.activation});  // (P, F)
    up.into(ctx, n, wide.view(), {.factor = wide});               // the gate, times up, in place
    return wide;
  }
};

/// x += Σ over the `top` most probable experts e, in ascending order, of p_e · expert_e(n), where p = softmax(Wgate n) in float and the
/// kept p are divided by their sum (Jiang et al. 2024, arXiv:2401.04088). Equal probabilities: the lower expert. No capacity limit.
template <Real T, Device Dev = DefaultDevice>
struct Mixture {
  struct Config {
    Size width, ffn, experts, top;
  };
  Mixture(Context<Dev>& ctx, Config c) : config(c), router(ctx, {c.width, c.experts, false}) {
    experts.reserve(static_cast<std::size_t>(c.experts));
    for (Size e = 0; e < c.experts; ++e)
      experts.emplace_back(ctx, typename GatedMlp<T, Dev>::Config{c.width, c.ffn, Activation::silu, {"w1", "w3", "w2"}});
  }

  void operator()(Context<Dev>& ctx, In<T, 2, Dev> n, Out<T, 2, Dev> x) const {
    Size const rows = n.extent(0), width = n.extent(1);
    auto logits = ctx.template empty<float>(Extents{rows, config.experts});  // (P, E)
    router.into(ctx, n, logits.view());
    if constexpr (KernelDevice<Dev>) {
      if (chosen_there(ctx, n, logits, x)) return;
    }
    auto const chosen = route(ctx.on_host(logits.view()));                   // for each expert its rows and their weights
    auto sum = ctx.template empty<float>(Extents{rows, width});              // (P, H): rounded to T once, with the residual
    ops::fill<float>(ctx, 0, sum.view());
    for (Size e = 0; e < config.experts; ++e) {
      auto const& mine = chosen[static_cast<std::size_t>(e)];
      Size const count = static_cast<Size>(mine.rows.size());
      if (count == 0) continue;
      auto in = ctx.template empty<T>(Extents{count, width});                 // (rows of e, H)
      ops::gather<T, Dev>(ctx, n, mine.rows, in);
      auto const out = experts[static_cast<std::size_t>(e)].branch(ctx, in);  // (rows of e, H)
      ops::scatter_add<T, Dev>(ctx, out, mine.rows, mine.weights, sum);
    }
    ops::add_sum<T, Dev>(ctx, sum, x);
  }

  /// Whether the kernels take these experts.
  [[nodiscard]] bool experts_fit() const { return config.top <= ops::kMostRoutedExperts && dense(); }
  using Experts = Tensor<ops::ExpertWeights<T> const, 1, Dev>;  // (E)
  /// Where the experts' matrices lie, in the device's memory: for `step`, made once.
  [[nodiscard]] Experts on_device(Context<Dev>& ctx) const
    requires KernelDevice<Dev>
  {
    auto const all = list();
    return ctx.on_device(View<ops::ExpertWeights<T> const, 1, Cpu>(all.data(), {config.experts}));
  }
  /// The same for at most kFewRows rows where experts_fit(), with what on_device(ctx) gave: it can be recorded.
  void step(Context<Dev>& ctx, In<T, 2, Dev> n, Experts const& where, Out<T, 2, Dev> x) const
    requires KernelDevice<Dev>
  {
    auto logits = ctx.template empty<float>(Extents{n.extent(0), config.experts});  // (P, E)
    router.into(ctx, n, logits.view());
    ops::mixture<T, Dev>(ctx, n, logits, config.top, where, config.ffn, Activation::silu, x);
  }

  /// Up to so many rows the choice stays on a device of kernels, and each row reads the weights of its experts; not measured yet.
  static constexpr Size kFewRows = 8;

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("gate", router);
    visit("experts", experts);
  }

  Config config;
  Linear<T, Dev> router;                // (E, H)
  std::vector<GatedMlp<T, Dev>> experts;

 private:
  /// Whether all matrices lie as the kernels for few rows read them.
  [[nodiscard]] bool dense() const {
    return std::all_of(experts.begin(), experts.end(), [](auto const& e) {
      return e.gate.weight.view().contiguous() && e.up.weight.view().contiguous() && e.down.weight.view().contiguous();
    });
  }
  [[nodiscard]] std::vector<ops::ExpertWeights<T>> list() const {
    std::vector<ops::ExpertWeights<T>> out;
    for (auto const& e : experts) out.push_back({e.gate.weight.view().data(), e.up.weight.view().data(), e.down.weight.view().data()});
    return out;
  }
  /// The rest without asking the host; false where experts are too many a row or lie with gaps.
  bool chosen_there(Context<Dev>& ctx, In<T, 2, Dev> n, In<float, 2, Dev> logits, Out<T, 2, Dev> x) const
    requires KernelDevice<Dev>
  {
    if (!experts_fit()) return false;
    if (n.extent(0) <= kFewRows) {
      ops::mixture<T, Dev>(ctx, n, logits, config.top, on_device(ctx), config.ffn, Activation::silu, x);
    } else {
      ops::mixture_grouped<T, Dev>(ctx, n, logits, config.top, list(), config.ffn, Activation::silu, x);
    }
    return true;
  }
  struct Share {
    std::vector<int> rows;
    std::vector<float> weights;
  };
  std::vector<Share> route(View<float const, 2, Cpu> logits) const {
    std::size_t const experts_count = static_cast<std::size_t>(config.experts), top = static_cast<std::size_t>(config.top);
    std::vector<Share> shares(experts_count);
    std::vector<std::size_t> order(experts_count);
    for (Size r = 0; r < logits.extent(0); ++r) {
      float const* const l = logits.row(r);
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return l[a] > l[b]; });
      float mass = 0;  // softmax over the kept alone equals softmax over all, then divided by the sum of the kept
      for (std::size_t i = 0; i < top; ++i) mass += std::exp(l[order[i]] - l[order[0]]);
      for (std::size_t i = 0; i < top; ++i) {
        shares[order[i]].rows.push_back(static_cast<int>(r));
        shares[order[i]].weights.push_back(std::exp(l[order[i]] - l[order[0]]) / mass);
      }
    }
    return shares;
  }
};

}  // namespace mgm::inline v0::nn
