/// Decoder-only language models with rotary positions: LLaMA (also dense Mistral, Yi, Vicuna), Gemma and Mixtral, one type for all.
/// Touvron et al. 2023 (arXiv:2302.13971); Gemma Team 2024 (arXiv:2403.08295); Jiang et al. 2024 (arXiv:2401.04088).
#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <variant>
#include <vector>

#include <mgm/nn/decoder_attention.hpp>
#include <mgm/nn/gated_mlp.hpp>
#include <mgm/nn/norm.hpp>

namespace mgm::inline v0::models {

enum class Family { llama, gemma, mixtral };

[[nodiscard]] constexpr std::string_view name(Family f) {
  constexpr std::string_view kNames[] = {"llama", "gemma", "mixtral"};
  return kNames[static_cast<int>(f)];
}

/// Shapes and numbers of a decoder; the family chooses the norm's offset, the embedding's scale and the feed-forward.
struct DecoderConfig {
  Family family = Family::llama;
  Size vocab, width, depth, heads, kv_heads = 0, head_width = 0, ffn;  ///< kv_heads 0: as heads; head_width 0: width / heads
  float rope_theta = 10000, eps = 1e-5f;
  Activation activation = Activation::silu;  ///< Gemma: gelu_tanh
  Size experts = 0, experts_per_token = 2;   ///< Mixtral
  bool tied = false;                         ///< the head is the embedding table
};

template <Real T, Device Dev = DefaultDevice>
class Decoder {
 public:
  using Config = DecoderConfig;

  Decoder(Context<Dev>& ctx, Config c)
      : config_(checked(c)), embed_(Extents{config_.vocab, config_.width}), norm_(ctx, norm_config()) {
    if (!config_.tied) head_ = Parameter<T, 2, Dev>(Extents{config_.vocab, config_.width});
    for (Size i = 0; i < config_.depth; ++i) layers_.emplace_back(ctx, *this);
  }

  [[nodiscard]] Config const& config() const { return config_; }
  [[nodiscard]] typename nn::KvCache<T, Dev>::Config cache_config(Size positions) const {
    return {config_.depth, config_.kv_heads, config_.head_width, positions};
  }
  /// Rows of the embedding table: (ids, H). Gemma's scale is applied later, to text and image rows alike. Throws ArgumentError.
  void embed(Context<Dev>& ctx, std::span<int const> ids, Out<T, 2, Dev> out) const { ops::gather<T, Dev>(ctx, embed_.view(), ids, out); }

  /// Runs all layers over x (P, H), embeddings at positions cache.size(), …, in place: x becomes the state before the final norm.
  /// The cache grows by P when all is done; when something throws, it is as it was. Throws LimitError, Cancelled.
  void operator()(Context<Dev>& ctx, Out<T, 2, Dev> x, nn::KvCache<T, Dev>& cache) const {
    check_shape("decoder: x", x, any, config_.width);
    require<LimitError>(x.extent(0) <= cache.room(), "decoder: ", x.extent(0), " positions do not fit; ", cache.size(), " of ",
                        cache.config().positions, " are taken");
    enlarge(ctx, x);
    auto const turns = ops::rope_table(ctx, x.extent(0), config_.head_width, cache.size(), config_.rope_theta);  // (P, 2, d/2)
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      layers_[i](ctx, static_cast<Size>(i), cache, turns, x);
      ctx.step();
    }
    cache.advance(x.extent(0));
  }
  /// The final norm of states (P, H) -> (P, H).
  [[nodiscard]] Tensor<T, 2, Dev> normed(Context<Dev>& ctx, In<T, 2, Dev> x) const { return norm_(ctx, x); }
  /// Logits of normed states (P, H) -> (P, V) in float, for the first `vocab` rows of the table. The tied table is used unscaled.
  [[nodiscard]] Tensor<float, 2, Dev> logits(Context<Dev>& ctx, In<T, 2, Dev> states, Size vocab) const {
    auto out = ctx.template empty<float>(Extents{states.extent(0), vocab});  // (P, V)
    logits_into(ctx, states, out.view());
    return out;
  }

  /// What the steps of one conversation read besides weights and cache: made once, so that a step needs nothing of the host.
  struct StepTables {
    Tensor<float const, 3, Dev> turns;                      // (S, 2, d/2)
    std::vector<typename nn::Mixture<T, Dev>::Experts> experts;  // of each layer, empty where it is dense
  };
  /// Whether `step` has kernels for these shapes: all but more than 32 query heads a key/value head in 16 bits, and experts whose matrices
  /// have gaps.
  [[nodiscard]] bool steps_on_device(Context<Dev> const& ctx, nn::KvCache<T, Dev> const& cache) const
    requires KernelDevice<Dev>
  {
    bool const gaps = std::any_of(layers_.begin(), layers_.end(), [](Layer const& l) { return !l.steps_on_device(); });
    return !gaps && ops::attention_takes_last<T, Dev>(ctx, config_.heads, cache.keys(0, 0, cache.config().positions));
  }
  [[nodiscard]] StepTables step_tables(Context<Dev>& ctx, Size positions) const
    requires KernelDevice<Dev>
  {
    StepTables out{ops::rope_step_table(ctx, positions, config_.head_width, config_.rope_theta), {}};
    for (auto const& layer : layers_) out.experts.push_back(layer.experts(ctx));
    return out;
  }
  /// One position more where only the device knows which: takes the token `id` (1) at `position` (1), below `reach`, into the cache, whose
  /// size() does not change, and leaves the logits behind it in `logits` (1, V). The bits are those of embed, the layers, normed and logits.
  /// It can be recorded.
  void step(Context<Dev>& ctx, View<int const, 1, Dev> id, View<std::int64_t const, 1, Dev> position, StepTables const& tables,
            nn::KvCache<T, Dev> const& cache, Size reach, Out<float, 2, Dev> logits) const
    requires KernelDevice<Dev>
  {
    auto x = ctx.template empty<T>(Extents{Size{1}, config_.width});  // (1, H)
    ops::gather<T, Dev>(ctx, embed_.view(), id, x);
    enlarge(ctx, x.view());
    nn::StepPlace<Dev> const at{position, tables.turns, reach};
    for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i].step(ctx, static_cast<Size>(i), cache, at, tables.experts[i], x.view());
    logits_into(ctx, normed(ctx, x), logits);
  }

  template <class Visit>
  void parameters(Visit&& visit) {
    visit("model.embed_tokens.weight", embed_);
    visit("model.layers", layers_);
    visit("model.norm", norm_);
    if (!config_.tied) visit("lm_head.weight", head_);
  }

 private:
  /// x += attention(norm(x));  x += feed_forward(norm(x)).
  struct Layer {
    using Dense = nn::GatedMlp<T, Dev>;
    using Sparse = nn::Mixture<T, Dev>;
    Layer(Context<Dev>& ctx, Decoder const& d)
        : input_norm(ctx, d.norm_config()),
          post_norm(ctx, d.norm_config()),
          attention(ctx, {d.config_.width, d.config_.heads, d.config_.kv_heads, d.config_.head_width}),
          feed_forward(d.config_.family == Family::mixtral
                           ? std::variant<Dense, Sparse>(
                                 Sparse(ctx, {d.config_.width, d.config_.ffn, d.config_.experts, d.config_.experts_per_token}))
                           : std::variant<Dense, Sparse>(Dense(ctx, {d.config_.width, d.config_.ffn, d.config_.activation}))) {}
    void operator()(Context<Dev>& ctx, Size index, nn::KvCache<T, Dev> const& cache, In<float, 3, Dev> turns, Out<T, 2, Dev> x) const {
      attention(ctx, input_norm(ctx, x), index, cache, turns, x);
      auto const n = post_norm(ctx, x);  // (P, H)
      std::visit([&](auto const& kind) { kind(ctx, n, x); }, feed_forward);
    }
    [[nodiscard]] bool steps_on_device() const
      requires KernelDevice<Dev>
    {
      auto const* const sparse = std::get_if<Sparse>(&feed_forward);
      return sparse == nullptr || sparse->experts_fit();
    }
    [[nodiscard]] typename Sparse::Experts experts(Context<Dev>& ctx) const
      requires KernelDevice<Dev>
    {
      auto const* const sparse = std::get_if<Sparse>(&feed_forward);
      return sparse == nullptr ? typename Sparse::Experts{} : sparse->on_device(ctx);
    }
    void step(Context<Dev>& ctx, Size index, nn::KvCache<T, Dev> const& cache, nn::StepPlace<Dev> const& at,
              typename Sparse::Experts const& experts, Out<T, 2, Dev> x) const
      requires KernelDevice<Dev>
    {
      attention.step(ctx, input_norm(ctx, x), index, cache, at, x);
      auto const n = post_norm(ctx, x);  // (1, H)
      if (auto const* const sparse = std::get_if<Sparse>(&feed_forward)) sparse->step(ctx, n, experts, x);
      else std::get<Dense>(feed_forward)(ctx, n, x);
    }
    template <class Visit>
    void parameters(Visit&& visit) {
      visit("input_layernorm", input_norm);
      visit("self_attn", attention);
      visit("post_attention_layernorm", post_norm);
      std::visit([&](auto& kind) { visit(std::same_as<std::remove_cvref_t<decltype(kind)>, Dense> ? "mlp" : "block_sparse_moe", kind); },
                 feed_forward);
    }
    nn::RmsNorm<T, Dev> input_norm, post_norm;
    nn::DecoderAttention<T, Dev> attention;
    std::variant<Dense, Sparse> feed_forward;
  };

  /// Gemma's embeddings times √H, the factor in T: 45.25 in 16 bit.
  void enlarge(Context<Dev>& ctx, Out<T, 2, Dev> x) const {
    if (config_.family == Family::gemma) ops::scale<T, Dev>(ctx, x, static_cast<float>(T(std::sqrt(static_cast<float>(config_.width)))), x);
  }
  void logits_into(Context<Dev>& ctx, In<T, 2, Dev> states, Out<float, 2, Dev> out) const {
    auto const table = (config_.tied ? embed_ : head_).view();
    ops::linear(ctx, states, table.slice(0, 0, out.extent(1)), Epilogue<T, Dev>{}, out);
  }

  static Config checked(Config c) {
    if (c.kv_heads == 0) c.kv_heads = c.heads;
    require<ConfigError>(c.vocab >= 1 && c.width >= 1 && c.depth >= 1 && c.heads >= 1 && c.ffn >= 1, "decoder: vocab ", c.vocab, ", width ",
                         c.width, ", depth ", c.depth, ", heads ", c.heads, ", ffn ", c.ffn, "; each must be at least 1");
    require<ConfigError>(c.head_width != 0 || c.width % c.heads == 0, "decoder: width ", c.width, " is not divisible by ", c.heads,
                         " heads");
    if (c.head_width == 0) c.head_width = c.width / c.heads;
    require<ConfigError>(c.head_width >= 2 && c.head_width % 2 == 0, "decoder: the head width must be even, found ", c.head_width);
    require<ConfigError>(c.kv_heads >= 1 && c.heads % c.kv_heads == 0, "decoder: ", c.heads, " heads cannot share ", c.kv_heads,
                         " key/value heads");
    require<ConfigError>(c.eps >= 0 && c.rope_theta > 0, "decoder: rms_norm_eps ", c.eps, " must not be negative and rope_theta ",
                         c.rope_theta, " must be positive");
    require<ConfigError>(c.family != Family::mixtral || (c.experts >= 1 && c.experts_per_token >= 1 && c.experts_per_token <= c.experts),
                         "decoder: ", c.experts_per_token, " of ", c.experts, " experts a token");
    return c;
  }
  typename nn::RmsNorm<T, Dev>::Config norm_config() const {
    return {config_.width, config_.eps, config_.family == Family::gemma ? 1.0f : 0.0f};
  }

  Config config_;
  Parameter<T, 2, Dev> embed_;  // (V, H)
  Parameter<T, 2, Dev> head_{}; // (V, H)
  nn::RmsNorm<T, Dev> norm_;
  std::vector<Layer> layers_;
};

}  // namespace mgm::inline v0::models
