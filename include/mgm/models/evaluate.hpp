/// How well a model says what a conversation says: the loss of training, without training.
#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <mgm/models/labels.hpp>
#include <mgm/models/mini_gemini.hpp>
#include <mgm/nn/kv_cache.hpp>

namespace mgm::inline v0::models {

/// A sum of losses and how many positions it is over; sums of several conversations add up.
struct MaskedLoss {
  double sum = 0;  ///< nats
  Size count = 0;
  [[nodiscard]] double mean() const { return count > 0 ? sum / static_cast<double>(count) : 0; }
  MaskedLoss& operator+=(MaskedLoss const& other) {
    sum += other.sum, count += other.count;
    return *this;
  }
};

/// The template of training that belongs to a template of answering. Throws ConfigError for `none`, under which nothing was trained.
[[nodiscard]] inline TrainingTemplate training_template(Template t) {
  require<ConfigError>(t != Template::none, "loss: the model has no conversation template; give one");
  return training_template_by_name(name(t));
}

/// Σ −log softmax(logits[t])[label[t + 1]] over the positions that are asked for (float logits, sums in double).
/// `said.ids` names one of `pictures` (tokens, H) by each kImageId, in order. Throws ArgumentError when there are not as many, an id is
/// beyond the vocabulary, or nothing is there; LimitError when the model has fewer positions; NumericalError for a loss that is no number.
template <class Model>
[[nodiscard]] MaskedLoss masked_loss(Context<typename Model::DeviceType>& ctx, Model const& model, LabelledIds const& said,
                                     std::span<Tensor<typename Model::Element, 2, typename Model::DeviceType> const> pictures) {
  using T = typename Model::Element;
  using Dev = typename Model::DeviceType;
  require<ConfigError>(model.language_model.has_value(), "loss: this model has no language part");
  auto const& lm = *model.language_model;
  Size const width = lm.config().width, images = std::count(said.ids.begin(), said.ids.end(), kImageId);
  require<ArgumentError>(images == static_cast<Size>(pictures.size()), "loss: ", images, " image tags and ", pictures.size(), " pictures");
  Size rows = static_cast<Size>(said.ids.size()) - images;
  for (auto const& picture : pictures) rows += picture.extent(0);
  require<ArgumentError>(rows > 0, "loss: the conversation is empty");
  require<LimitError>(rows <= model.language.max_positions, "loss: ", rows, " positions are needed, the model has ",
                      model.language.max_positions);

  auto x = ctx.template empty<T>(Extents{rows, width});  // (P, H)
  std::vector<int> labels;                               // (P)
  Size picture = 0;
  for (std::size_t i = 0, end = 0; i < said.ids.size(); i = end) {
    Size const at = static_cast<Size>(labels.size());
    end = i + 1;
    if (said.ids[i] == kImageId) {
      auto const& shown = pictures[static_cast<std::size_t>(picture++)];
      ops::copy<T, Dev>(ctx, shown, x.slice(0, at, shown.extent(0)));
      labels.insert(labels.end(), static_cast<std::size_t>(shown.extent(0)), kMasked);
    } else {
      while (end < said.ids.size() && said.ids[end] != kImageId) ++end;
      lm.embed(ctx, std::span(said.ids).subspan(i, end - i), x.slice(0, at, static_cast<Size>(end - i)));
      labels.insert(labels.end(), said.labels.begin() + static_cast<std::ptrdiff_t>(i),
                    said.labels.begin() + static_cast<std::ptrdiff_t>(end));
    }
  }
  nn::KvCache<T, Dev> cache(ctx, lm.cache_config(rows));
  ctx.begin(Stage::prefill, lm.config().depth);
  lm(ctx, x.view(), cache);
  auto const states = lm.normed(ctx, x);  // (P, H)
  Size const vocab = model.language.vocab > 0 ? std::min(model.language.vocab, lm.config().vocab) : lm.config().vocab;
  MaskedLoss loss;
  for (Size t = 0; t + 1 < rows; ++t) {
    int const label = labels[static_cast<std::size_t>(t + 1)];
    if (label == kMasked) continue;
    require<ArgumentError>(label >= 0 && label < vocab, "loss: label ", label, " is beyond the vocabulary of ", vocab);
    auto const logits = lm.logits(ctx, states.slice(0, t, 1), vocab);  // (1, V)
    auto const row = ctx.on_host(logits.view());
    float const peak = *std::max_element(row.data(), row.data() + vocab);
    double mass = 0;
    for (Size i = 0; i < vocab; ++i) mass += std::exp(double{row(0, i)} - double{peak});
    loss.sum += std::log(mass) + double{peak} - double{row(0, label)}, ++loss.count;
  }
  require<NumericalError>(std::isfinite(loss.sum), "loss: the sum over ", loss.count, " positions is not a number");
  return loss;
}

}  // namespace mgm::inline v0::models
