// `mgm dump`: every stage's activations of one question, in float, to be compared with another implementation.
#pragma once
#include <mgm/io/safetensors_writer.hpp>

#include "chat.hpp"

namespace tool {

/// Collects tensors as float (or int64), channels first where PyTorch has them so.
class Record {
 public:
  template <class T, int R>
  void add(std::string const& name, mgm::View<T, R, mgm::Cpu> v, std::vector<mgm::Size> shape) {
    auto& entry = entries_.emplace_back(Entry{name, std::move(shape), {}, {}});
    append(entry.numbers, v);
  }
  void add_ids(std::string const& name, std::vector<int> const& ids) {
    entries_.push_back({name, {static_cast<mgm::Size>(ids.size())}, {}, std::vector<std::int64_t>(ids.begin(), ids.end())});
  }
  /// One image more under a name: the first extent counts them.
  template <class T, int R>
  void stack(std::string const& name, mgm::View<T, R, mgm::Cpu> v, std::vector<mgm::Size> const& shape) {
    for (auto& entry : entries_) {
      if (entry.name != name) continue;
      ++entry.shape[0];
      return append(entry.numbers, v);
    }
    std::vector<mgm::Size> stacked{1};
    stacked.insert(stacked.end(), shape.begin(), shape.end());
    add(name, v, std::move(stacked));
  }
  void write(std::string const& path) const {
    std::vector<mgm::io::TensorToWrite> out;
    for (auto const& e : entries_) {
      if (e.ids.empty() && !(e.shape.size() == 1 && e.numbers.empty()))
        out.emplace_back(e.name, mgm::Dtype::f32, e.shape, e.numbers.data());
      else out.emplace_back(e.name, mgm::Dtype::i64, e.shape, e.ids.data());
    }
    mgm::io::write_safetensors(path, out);
  }

 private:
  struct Entry {
    std::string name;
    std::vector<mgm::Size> shape;
    std::vector<float> numbers;
    std::vector<std::int64_t> ids;
  };
  template <class T, int R>
  static void append(std::vector<float>& to, mgm::View<T, R, mgm::Cpu> v) {
    if constexpr (R == 1) {
      for (mgm::Size i = 0; i < v.extent(0); ++i) to.push_back(static_cast<float>(v(i)));
    } else {
      for (mgm::Size i = 0; i < v.extent(0); ++i) append(to, v[i]);
    }
  }
  std::vector<Entry> entries_;
};

/// (h, w, c) seen as (c, h, w).
template <class T>
mgm::View<T const, 3, mgm::Cpu> channels_first(mgm::View<T const, 3, mgm::Cpu> v) {
  return {v.data(), {{v.extent(2), v.extent(0), v.extent(1)}}, {{v.stride(2), v.stride(0), v.stride(1)}}};
}

/// Whether the tokens' text holds one of the strings that end an answer.
inline bool holds_stop(std::vector<std::string> const& stops, mgm::io::Tokenizer const& vocabulary, std::vector<int> const& tokens) {
  if (stops.empty()) return false;
  std::string const text = vocabulary.decode(tokens);
  return std::any_of(stops.begin(), stops.end(), [&](std::string const& stop) { return !stop.empty() && text.find(stop) != text.npos; });
}

template <class T, class Dev>
int dump(Options const& o, Terminal& terminal) {
  using namespace mgm::models;
  using mgm::Extents, mgm::Size, mgm::View, mgm::Cpu;
  mgm::Context<Dev> ctx(context_config<Dev>(o, terminal));
  auto const host = [&](auto const& tensor) { return ctx.on_host(tensor.view()); };
  auto const asked = template_of(o);
  check(sampling_of(o, {}));  // said, though the dump is greedy
  check_writable(o.output);
  Heatmaps heatmaps(o);
  std::vector<mgm::io::Image> pictures;
  for (auto const& path : o.images) pictures.push_back(read_picture(o, path));
  auto const model = open_model<T, Dev>(ctx, o, terminal);
  heatmaps.check(model, o);
  auto const& lm = *model.language_model;
  Template const kind = asked.value_or(model.language.prompt_template);

  Turn const turn{user_text(*o.prompt, o.ocr, o.gen), static_cast<int>(pictures.size()), std::nullopt};
  auto const ids = prompt_ids(*model.vocabulary, build_prompt(kind, std::span(&turn, 1), true), kind == Template::llama_3);
  Size const tags = std::count(ids.begin(), ids.end(), kImageId);
  mgm::require<mgm::ArgumentError>(tags == static_cast<Size>(pictures.size()), "--prompt: ", tags, " image tags in the finished prompt, ",
                                   pictures.size(), " pictures; each --image brings its own tag");

  Record record;
  std::vector<mgm::Tensor<T, 2, Dev>> seen;
  for (auto const& picture : pictures) {
    VisionTrace<T, Dev> trace;
    seen.push_back(model.see(ctx, picture, {.no_mining = o.no_mining, .blur_aux = o.blur_aux}, &trace));
    Size const aux = trace.pixels.size, low = trace.pixels.side, views = trace.pixels.views, tokens = trace.vision_tower.extent(0) / views;
    record.stack("images_aux", channels_first(trace.pixels.aux_view()), {3, aux, aux});
    auto const v = trace.pixels.low_view();
    record.stack("images",
                 View<float const, 4, Cpu>(v.data(), {{views, 3, low, low}}, {{v.stride(0), v.stride(3), v.stride(1), v.stride(2)}}),
                 {views, 3, low, low});
    record.stack("vision_tower", host(trace.vision_tower).view(), {views, tokens, trace.vision_tower.extent(1)});
    for (std::size_t l = 0; l < trace.stages.size(); ++l) {
      auto const s = host(trace.stages[l]);
      record.stack(mgm::text("vision_tower_aux.stage_", l), channels_first(s.view()),
                   {s.extent(2), s.extent(0), s.extent(1)});
    }
    if (heatmaps.wanted()) heatmaps.add(ctx, model, trace, pictures);
    record.stack("mined", host(trace.mined).view(), {trace.mined.extent(0), trace.mined.extent(1)});
    record.stack("projected", host(seen.back()).view(), {seen.back().extent(0), seen.back().extent(1)});
  }
  record.add_ids("input_ids", ids);

  Size rows = static_cast<Size>(ids.size()) - tags;
  for (auto const& s : seen) rows += s.extent(0);
  mgm::require<mgm::ArgumentError>(rows > 0, "--prompt: nothing to run; the prompt is empty and the tokenizer adds no BOS");
  auto all = ctx.template empty<T>(Extents{rows, lm.config().width});  // (P, H)
  Size at = 0, picture = 0;
  for (int const id : ids) {
    if (id == kImageId) {
      auto const& s = seen[static_cast<std::size_t>(picture++)];
      mgm::ops::copy<T, Dev>(ctx, s, all.slice(0, at, s.extent(0)));
      at += s.extent(0);
    } else {
      lm.embed(ctx, std::span(&id, 1), all.slice(0, at++, 1));
    }
  }
  Size const most = model.language.max_prompt;
  if (tags > 0 && most > 0 && rows > most) {
    std::fprintf(stderr, "note: the prompt takes %lld positions and is cut to tokenizer_model_max_length, %lld, as the original does\n",
                 static_cast<long long>(rows), static_cast<long long>(most));
    rows = most;
  }
  auto const x = all.slice(0, 0, rows);
  record.add("inputs_embeds", ctx.on_host(x).view(), {rows, lm.config().width});

  auto const stops = stop_ids(*model.vocabulary, kind);
  // the continuation ends where the model's positions do; a text alone may be longer than they are, as in the original
  Size const wanted = std::min<Size>(o.max_new_tokens, std::max<Size>(model.language.max_positions - rows, 0) + 1);
  mgm::nn::KvCache<T, Dev> cache(ctx, lm.cache_config(rows + wanted));
  ctx.begin(mgm::Stage::prefill, lm.config().depth);
  lm(ctx, x, cache);
  auto const states = lm.normed(ctx, x);  // (P, H)
  record.add("hidden_states.last", host(states).view(), {rows, lm.config().width});
  auto logits = lm.logits(ctx, states.slice(0, rows - 1, 1), model.language.vocab);  // (1, V)
  record.add("logits", host(logits)[0], {logits.extent(1)});
  std::vector<int> fresh;
  while (static_cast<Size>(fresh.size()) < wanted) {
    if (!fresh.empty()) {
      auto next = ctx.template empty<T>(Extents{Size{1}, lm.config().width});  // (1, H)
      lm.embed(ctx, std::span(&fresh.back(), 1), next);
      ctx.begin(mgm::Stage::decode, lm.config().depth);
      lm(ctx, next.view(), cache);
      logits = lm.logits(ctx, lm.normed(ctx, next), model.language.vocab);
    }
    auto const row = host(logits);  // (1, V)
    fresh.push_back(greedy({row.data(), static_cast<std::size_t>(row.extent(1))}));
    if (std::find(stops.begin(), stops.end(), fresh.back()) != stops.end() || holds_stop(o.stop, *model.vocabulary, fresh)) break;
  }
  record.add_ids("new_tokens", fresh);
  record.write(o.output);
  heatmaps.write();
  if (o.json) {
    std::printf("{\"output\": %s, \"positions\": %lld, \"new_tokens\": %s, \"path\": \"%s\", \"threads\": %d}\n", quote(o.output).c_str(),
                static_cast<long long>(rows), array(fresh).c_str(), ctx.path().c_str(), ctx.threads());
  }
  return 0;
}

}  // namespace tool
