/// The steps of one answer without the host between them, on devices of kernels.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <mgm/mem/replay.hpp>
#include <mgm/nn/kv_cache.hpp>
#include <mgm/ops/sampling.hpp>

namespace mgm::inline v0::models {

/// Token, position and rule of sampling lie in the device's memory. A step, from the embedding of the token drawn last to the draw of the
/// next, is recorded the first time that a conversation of about its length takes one, and then sent as one launch: a CUDA graph. It is the
/// same bits as the layers called one after the other. Of a Decoder, or of any Language with its `step`, `step_tables`, `steps_on_device`;
/// one that derives from Decoder and runs its layers in another way brings its own, or does without (SessionOptions::device_steps).
///   Graphs  one for each power of two that the length is below, from kLeastReach on: attention's blocks beyond the length leave at once.
///   Memory  rotary table, logits and one step's temporaries; after the first step of each graph, or `prepare`, nothing is allocated.
template <class Language, Real T, KernelDevice Dev>
class DecodeSteps {
 public:
  static constexpr Size kLeastReach = 256;  // not measured yet

  /// For one cache, which must not be replaced, and the first `vocab` tokens. Throws MemoryError.
  DecodeSteps(Context<Dev>& ctx, Language const& language, nn::KvCache<T, Dev> const& cache, Size vocab)
      : arena_(std::make_shared<RehearsedArena>(ctx.allocator())),
        tables_(language.step_tables(ctx, cache.config().positions)),
        logits_(ctx.template lasting<float>(Extents{Size{1}, vocab})),
        rule_(ctx.template lasting<ops::SamplingRule>(Extents{Size{1}})),
        position_(ctx.template lasting<std::int64_t>(Extents{Size{1}})),
        drawn_(ctx.template lasting<ops::SampledToken>(Extents{Size{1}})) {}

  /// Draws the token that is to stand at `position`, from the logits (1, V) behind the one before. Enqueues and returns.
  void begin(Context<Dev>& ctx, In<float, 2, Dev> logits, ops::SamplingRule const& rule, Size position) {
    ctx.copy_to_device(View<ops::SamplingRule const, 1, Cpu>(&rule, {1}), rule_.view());
    ctx.copy_to_device(View<Size const, 1, Cpu>(&position, {1}), position_.view());
    ops::sample<Dev>(ctx, logits, rule, position_.view(), drawn_.view());
  }
  /// Takes the token drawn last into `cache` at `position`, where its predecessors end, and draws the next. The cache's size() stays.
  /// Enqueues and returns.
  void next(Context<Dev>& ctx, Language const& language, nn::KvCache<T, Dev> const& cache, Size position) {
    Size const reach = std::min(std::max(kLeastReach, static_cast<Size>(std::bit_ceil(static_cast<std::uint64_t>(position) + 1))),
                                cache.config().positions);
    for (auto const& [of, graph] : graphs_)
      if (of == reach) return ctx.replay(graph);
    record(ctx, language, cache, reach, false);
  }
  /// Records the graphs of all lengths now, so that no step has to. Throws MemoryError, DeviceError.
  void prepare(Context<Dev>& ctx, Language const& language, nn::KvCache<T, Dev> const& cache) {
    Size const most = cache.config().positions;
    for (Size reach = std::min(kLeastReach, most);; reach = std::min(2 * reach, most)) {
      if (std::none_of(graphs_.begin(), graphs_.end(), [&](auto const& g) { return g.first == reach; }))
        record(ctx, language, cache, reach, true);
      if (reach == most) return;
    }
  }
  /// The token drawn last, after all enqueued work.
  [[nodiscard]] ops::SampledToken drawn(Context<Dev>& ctx) const {
    ops::SampledToken token{};
    ctx.copy_to_host(drawn_.view(), View<ops::SampledToken, 1, Cpu>(&token, {1}));
    return token;
  }
  /// How many lengths have been met.
  [[nodiscard]] std::size_t graphs() const { return graphs_.size(); }

 private:
  void record(Context<Dev>& ctx, Language const& language, nn::KvCache<T, Dev> const& cache, Size reach, bool dry) {
    View<int const, 1, Dev> const id(&drawn_.data()->token, {1});
    auto const step = [&] {
      language.step(ctx, id, position_.view(), tables_, cache, reach, logits_.view());
      ops::sample_next<Dev>(ctx, logits_, rule_.view(), position_.view(), drawn_.view());
    };
    graphs_.emplace_back(reach, run_and_record(ctx, arena_, step, dry));
  }

  std::shared_ptr<RehearsedArena> arena_;
  typename Language::StepTables tables_;
  Tensor<float, 2, Dev> logits_;                           // (1, V)
  Tensor<ops::SamplingRule, 1, Dev> rule_;                 // (1)
  Tensor<std::int64_t, 1, Dev> position_;                  // (1): of the token drawn last
  Tensor<ops::SampledToken, 1, Dev> drawn_;                // (1)
  std::vector<std::pair<Size, simt::Graph<Dev>>> graphs_;  // by reach; they go before the memory that they use
};

namespace detail {
/// Of a language without steps: none.
struct NoSteps {};
template <class Language, class T, class Dev>
struct StepsOf {
  using type = NoSteps;
};
template <class Language, Real T, KernelDevice Dev>
  requires requires { typename Language::StepTables; }
struct StepsOf<Language, T, Dev> {
  using type = DecodeSteps<Language, T, Dev>;
};
}  // namespace detail

}  // namespace mgm::inline v0::models
