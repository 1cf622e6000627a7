/// A conversation with a model: what was said, the pictures as the model saw them, the cache. Weights stay outside and shared.
#pragma once
#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <mgm/mem/planned_arena.hpp>
#include <mgm/models/answer.hpp>
#include <mgm/models/decode_steps.hpp>
#include <mgm/models/mini_gemini.hpp>
#include <mgm/models/prompt_ids.hpp>
#include <mgm/models/session_use.hpp>
#include <mgm/nn/kv_cache.hpp>

namespace mgm::inline v0::models {

struct SessionOptions {
  Size max_positions = 0;                                     ///< room of the cache, text and images; 0: what the model was made for
  std::optional<Template> prompt_template = std::nullopt;     ///< absent: the model's own
  std::shared_ptr<io::Tokenizer const> vocabulary = nullptr;  ///< absent: the model's own
  SeeOptions see{};
  /// A device of kernels reserves all that the longest prompt and a picture of the model's size can take, so that nothing is allocated
  /// later; false: it takes memory when it is needed first. A model with parts of the user's own does that in any case.
  bool planned = true;
  bool device_steps = true;  ///< a device of kernels keeps token and draw to itself (DecodeSteps); false: the host draws, layer by layer
};

/// One thread at a time uses a session; it is moved, not copied, and not while an answer is read. The model and the context must outlive
/// it. After any exception, a cancel too, it is as it was before the call. `ask`, `recall`, `reset` and an answer's `next` throw
/// ArgumentError while another thread is in one of them, or when they are called from a callback in one of them, and nothing happens then.
template <class Model>
class Session {
 public:
  using T = typename Model::Element;
  using Dev = typename Model::DeviceType;
  using Trace = VisionTrace<T, Dev>;

  /// Throws ConfigError when the model has no language part or no vocabulary is at hand, ArgumentError, MemoryError.
  Session(Context<Dev>& ctx, Model const& model, SessionOptions const& options)
      : ctx_(&ctx), model_(&model), see_(options.see), vocabulary_(options.vocabulary ? options.vocabulary : model.vocabulary),
        template_(options.prompt_template.value_or(model.language.prompt_template)),
        cache_(ctx, checked(model, *this, options)) {
    Size const rows = model.language_model->config().vocab;
    vocab_ = model.language.vocab > 0 ? std::min(model.language.vocab, rows) : rows;
    stops_ = stop_ids(*vocabulary_, template_);
    if constexpr (kHasSteps) {
      auto const& lm = *model.language_model;
      if (options.device_steps && lm.steps_on_device(ctx, cache_)) steps_.emplace(ctx, lm, cache_, vocab_);
    }
    if constexpr (kCanPlan) {
      if (options.planned) plan();
    }
  }

  /// Says `text`, showing `images` with it, and returns the answer, which is made while it is read (see Answer). What the person says is
  /// plain text: special tokens and image tags in it are letters. Only what is new since the last turn is computed.
  /// Throws LimitError when the prompt does not fit (nothing is cut), ArgumentError, Cancelled, NumericalError.
  Answer<Session> ask(std::vector<io::Image> const& images, std::string_view text, AskOptions options = {}) {
    std::vector<io::PixelView> views;
    for (auto const& image : images) views.emplace_back(image);
    return ask(std::span<io::PixelView const>(views), text, std::move(options));
  }
  Answer<Session> ask(std::string_view text, AskOptions options = {}) {
    return ask(std::span<io::PixelView const>(), text, std::move(options));
  }
  /// The same for pictures in the caller's own memory.
  Answer<Session> ask(std::span<io::PixelView const> images, std::string_view said, AskOptions options) {
    auto call = use_.begin("ask");
    auto const memory = own_memory();
    check(options.sampling);
    require<ArgumentError>(options.max_new_tokens >= 0, "ask: max_new_tokens must be 0 or more, found ", options.max_new_tokens);
    std::size_t const pictures = pictures_.size();
    turns_.push_back({user_text(said, options.ocr, options.draw), static_cast<int>(images.size()), std::nullopt});
    try {
      auto pieces = build_prompt(template_, turns_);
      if (!options.prefix.empty()) {  // an answer that has begun
        detail::append(pieces, Piece::Kind::control, detail::frame(template_).answer_begin);
        detail::append(pieces, Piece::Kind::plain, options.prefix);
      }
      auto const ids = prompt_ids(*vocabulary_, pieces, template_ == Template::llama_3);
      if (!images.empty() && model_->sees()) check_room(positions_of(ids), images_of(ids));  // before any of them is encoded
      Timings timings;
      timings.encode_ms = timed([&] {
        for (auto const& image : images) {
          Trace trace;
          pictures_.push_back(kept(model_->see(*ctx_, image, see_, seen_ ? &trace : nullptr)));
          if (seen_) seen_(trace);
        }
      });
      auto const places = expanded(ids);
      there_ = steps_.has_value() && by_rule(options.sampling);
      timings.prefill_ms = timed([&] { prefill(places, options.sampling); });
      call.leave_to_answer();
      return Answer<Session>(*this, std::move(options), timings, static_cast<Size>(places.size()), image_places(places));
    } catch (...) {
      call.leave_idle();
      turns_.pop_back();
      pictures_.resize(pictures);
      // rows of pictures that are gone must not be taken for those of the next
      auto const lost =
          std::find_if(places_.begin(), places_.end(), [&](int p) { return p < 0 && static_cast<std::size_t>(-1 - p) >= pictures; });
      places_.erase(lost, places_.end());
      cache_.truncate(static_cast<Size>(places_.size()));
      throw;
    }
  }
  /// The positions that the prompt of `ask` with so many pictures would take: to know before running.
  [[nodiscard]] Size positions_needed(std::string_view said, int images, AskOptions const& options = {}) const {
    auto turns = turns_;
    turns.push_back({user_text(said, options.ocr, options.draw), images, std::nullopt});
    return positions_of(prompt_ids(*vocabulary_, build_prompt(template_, turns), template_ == Template::llama_3));
  }

  /// Calls `seen` with what lay between a picture and its rows, for each picture from now on: for heatmaps and comparisons.
  void on_see(std::function<void(Trace&)> seen) { seen_ = std::move(seen); }
  /// Goes on from what was said elsewhere: `turns` with their answers, and the pictures shown in them, in order. What was said here before is
  /// forgotten. Throws ArgumentError when a turn has no answer or the pictures are not as many as the turns say; see `ask`.
  void recall(std::vector<Turn> turns, std::span<io::PixelView const> images) {
    auto const call = use_.begin("recall");
    auto const memory = own_memory();
    Size shown = 0;
    for (auto const& turn : turns) {
      require<ArgumentError>(turn.answer.has_value(), "recall: a turn has no answer; ask it instead");
      shown += turn.images;
    }
    require<ArgumentError>(shown == static_cast<Size>(images.size()), "recall: ", images.size(), " pictures, the turns show ", shown);
    std::vector<Tensor<T, 2, Dev>> pictures;
    for (auto const& image : images) pictures.push_back(model_->see(*ctx_, image, see_));
    forget();
    for (auto& picture : pictures) pictures_.push_back(kept(std::move(picture)));
    turns_ = std::move(turns);
  }
  /// The rows of the pictures shown so far, (tokens, H) each, in order.
  [[nodiscard]] std::span<Tensor<T, 2, Dev> const> pictures() const { return pictures_; }
  /// Forgets everything that was said.
  void reset() {
    auto const call = use_.begin("reset");
    forget();
  }
  [[nodiscard]] std::vector<Turn> const& turns() const { return turns_; }
  [[nodiscard]] Size positions() const { return cache_.size(); }
  [[nodiscard]] Size max_positions() const { return cache_.config().positions; }

 private:
  friend class Answer<Session>;
  using Language = std::remove_cvref_t<decltype(*std::declval<Model const&>().language_model)>;
  using Steps = typename detail::StepsOf<Language, T, Dev>::type;
  static constexpr bool kHasSteps = !std::same_as<Steps, detail::NoSteps>;

  static typename nn::KvCache<T, Dev>::Config checked(Model const& model, Session const& session, SessionOptions const& options) {
    require<ConfigError>(model.language_model.has_value(), "session: this model has no language part");
    require<ConfigError>(session.vocabulary_ != nullptr,
                         "session: no vocabulary; give one in SessionOptions, or open the model from a folder with tokenizer files");
    require<ArgumentError>(options.max_positions >= 0, "session: max_positions must be 0 (the model's own) or more, found ",
                           options.max_positions);
    return model.language_model->cache_config(options.max_positions > 0 ? options.max_positions : model.language.max_positions);
  }
  /// Whether all parts are ours, which heed a DryRun.
  static constexpr bool kCanPlan = KernelDevice<Dev> && std::same_as<Model, MiniGemini<T, Dev>>;

  /// Goes through the largest work of each kind, with nothing done, and reserves what it took.
  void plan() requires KernelDevice<Dev> {
    auto const arena = std::make_shared<PlannedArena>(ctx_->allocator());
    Size const positions = max_positions(), width = model_->language_model->config().width;
    {
      struct Unwatched {
        Context<Dev>& ctx;
        Monitor* monitor = ctx.monitor();
        ~Unwatched() { ctx.watch(monitor); }
      } const unwatched{*ctx_};
      ctx_->watch(nullptr);
      auto const memory = ctx_->take_from(arena);
      simt::DryRun const nothing_is_done;
      if (model_->sees()) {
        int const side = static_cast<int>(model_->vision.image_size_aux);
        io::Image const picture{side, side, std::vector<std::uint8_t>(static_cast<std::size_t>(3) * static_cast<std::size_t>(side * side))};
        (void)model_->see(*ctx_, picture, see_);
      }
      // shorter ones too: few rows go other ways, and behind a full cache
      for (Size rows = positions; rows > 0; rows /= 2) {
        cache_.truncate(0), cache_.advance(positions - rows);
        auto x = ctx_->template empty<T>(Extents{rows, width});  // (P, H)
        model_->language_model->embed(*ctx_, std::vector<int>(static_cast<std::size_t>(rows)), x);
        run_rows(x, Stage::prefill, {});
      }
      cache_.truncate(0);
    }
    arena->reserve();
    arena_ = arena;
    if (model_->sees()) shown_ = ctx_->template lasting<T>(Extents{positions, width});
    if constexpr (kHasSteps) {
      if (steps_) steps_->prepare(*ctx_, *model_->language_model, cache_);
    }
  }
  /// While the result lives, the context's temporaries are in the session's own memory, where it has some.
  [[nodiscard]] auto own_memory() { return ctx_->take_from(arena_ ? arena_ : ctx_->arena()); }
  /// A picture's rows where they stay: behind those of the pictures before it, if that has been reserved.
  Tensor<T, 2, Dev> kept(Tensor<T, 2, Dev> rows) {
    Size first = 0;
    for (auto const& picture : pictures_) first += picture.extent(0);
    if (shown_.empty() || rows.extent(0) > shown_.extent(0) - first) return rows;
    auto const place = shown_.slice(0, first, rows.extent(0));
    ops::copy<T, Dev>(*ctx_, rows, place);
    return {place, shown_.owner()};
  }
  void forget() {
    turns_.clear(), pictures_.clear(), places_.clear();
    cache_.truncate(0);
  }
  template <class F>
  static double timed(F&& body) {
    auto const start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }

  /// Of a prompt, kImageId once per picture: how many of its positions are pictures', those that are not encoded yet too; and all of them.
  [[nodiscard]] Size images_of(std::vector<int> const& ids) const {
    Size const tags = std::count(ids.begin(), ids.end(), kImageId), known = std::min(tags, static_cast<Size>(pictures_.size()));
    Size rows = tags > known ? (tags - known) * model_->image_tokens() : 0;
    for (Size p = 0; p < known; ++p) rows += pictures_[static_cast<std::size_t>(p)].extent(0);
    return rows;
  }
  [[nodiscard]] Size positions_of(std::vector<int> const& ids) const {
    return static_cast<Size>(ids.size()) - static_cast<Size>(std::count(ids.begin(), ids.end(), kImageId)) + images_of(ids);
  }
  void check_room(Size positions, Size of_images) const {
    require<LimitError>(positions <= max_positions(), "prompt: ", positions, " positions are needed (", of_images,
                        " of them for images), the session has ", max_positions(), "; ask for more max_positions or say less");
  }

  /// One number a position: an id, or −1 − p for a row of picture p.
  std::vector<int> expanded(std::vector<int> const& ids) const {
    std::vector<int> places;
    int picture = 0;
    for (int const id : ids) {
      if (id != kImageId) {
        require<ArgumentError>(id < vocab_, "prompt: id ", id, " is beyond the ", vocab_,
                               " rows of the embedding table; vocabulary and model do not belong together");
        places.push_back(id);
      } else {
        places.insert(places.end(), static_cast<std::size_t>(pictures_.at(static_cast<std::size_t>(picture)).extent(0)), -1 - picture);
        ++picture;
      }
    }
    return places;
  }
  static Size image_places(std::vector<int> const& places) {
    return std::count_if(places.begin(), places.end(), [](int p) { return p < 0; });
  }

  /// Makes the cache hold exactly `places`, computing what it does not hold yet, and the logits behind the last of them, or the token.
  void prefill(std::vector<int> const& places, Sampling const& sampling) {
    check_room(static_cast<Size>(places.size()), image_places(places));
    require<ArgumentError>(!places.empty(), "prompt: there is nothing to answer; the prompt is empty and the tokenizer adds no BOS");
    std::size_t same = 0;
    while (same < places_.size() && same + 1 < places.size() && places_[same] == places[same])
      ++same;  // the last one is always run, for its logits
    Size const fresh = static_cast<Size>(places.size() - same), width = model_->language_model->config().width;
    auto x = ctx_->template empty<T>(Extents{fresh, width});  // (P, H)
    for (std::size_t i = same; i < places.size();) {
      std::size_t end = i + 1;
      while (end < places.size() && (places[i] < 0 ? places[end] == places[i] : places[end] >= 0)) ++end;
      auto const rows = x.slice(0, static_cast<Size>(i - same), static_cast<Size>(end - i));
      if (places[i] >= 0) {
        model_->language_model->embed(*ctx_, std::span(places).subspan(i, end - i), rows);
      } else {
        auto const& picture = pictures_[static_cast<std::size_t>(-1 - places[i])];
        Size const first = static_cast<Size>(i) - static_cast<Size>(std::find(places.begin(), places.end(), places[i]) - places.begin());
        ops::copy<T, Dev>(*ctx_, picture.slice(0, first, static_cast<Size>(end - i)), rows);
      }
      i = end;
    }
    std::vector<int> held = places;
    cache_.truncate(static_cast<Size>(same));
    try {
      run(x, Stage::prefill, sampling);
    } catch (...) {  // the rows beyond `same` are gone; what was cached before them still stands
      places_.resize(std::min(places_.size(), same));
      throw;
    }
    places_ = std::move(held);
  }
  /// Runs rows through the decoder and keeps the logits of the last; or draws from them where they are. The cache grows when all is done.
  void run(Out<T, 2, Dev> x, Stage stage, Sampling const& sampling) {
    Size const before = cache_.size();
    try {
      run_rows(x, stage, sampling);
    } catch (...) {
      cache_.truncate(before);
      throw;
    }
  }
  void run_rows(Out<T, 2, Dev> x, Stage stage, Sampling const& sampling) {
    auto const& lm = *model_->language_model;
    ctx_->begin(stage, lm.config().depth);
    lm(*ctx_, x, cache_);
    auto const logits = lm.logits(*ctx_, lm.normed(*ctx_, x.slice(0, x.extent(0) - 1, 1)), vocab_);  // (1, V)
    if constexpr (kHasSteps) {
      if (there_) return steps_->begin(*ctx_, logits, {sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed}, cache_.size());
    }
    auto const row = ctx_->on_host(logits.view());                                                   // (1, V)
    logits_.assign(row.data(), row.data() + vocab_);
  }
  /// Puts `last`, the token drawn before, behind the cache, and draws the next; without it the token behind the prompt.
  int next_token(std::optional<int> last, Sampling const& sampling) {
    auto const memory = own_memory();
    if constexpr (kHasSteps) {
      if (there_) return next_token_there(last);
    }
    if (last) {
      auto x = ctx_->template empty<T>(Extents{Size{1}, model_->language_model->config().width});  // (1, H)
      model_->language_model->embed(*ctx_, std::span(&*last, 1), x);
      run(x, Stage::decode, sampling);
      places_.push_back(*last);
    }
    return sample(sampling, logits_, static_cast<std::int64_t>(places_.size()));
  }
  /// The same on the device; a cancel counts between steps.
  int next_token_there(std::optional<int> last)
    requires kHasSteps
  {
    if (last) {
      auto const& lm = *model_->language_model;
      ctx_->begin(Stage::decode, lm.config().depth);
      steps_->next(*ctx_, lm, cache_, cache_.size());
      ctx_->step(lm.config().depth);
      cache_.advance(1);
      places_.push_back(*last);
    }
    auto const [token, status] = steps_->drawn(*ctx_);
    if (status == ops::SampleStatus::nan) refuse_nan(token);
    if (status == ops::SampleStatus::nothing) refuse_nothing(vocab_);
    return token;
  }

  Context<Dev>* ctx_;
  Model const* model_;
  SeeOptions see_;
  std::function<void(Trace&)> seen_;
  std::shared_ptr<io::Tokenizer const> vocabulary_;
  Template template_;
  nn::KvCache<T, Dev> cache_;
  Size vocab_ = 0;
  std::vector<int> stops_;
  std::vector<Turn> turns_;
  std::shared_ptr<Arena> arena_;             // of what has been planned
  Tensor<T, 2, Dev> shown_;                  // (positions, H), room for all pictures that a prompt can show
  std::vector<Tensor<T, 2, Dev>> pictures_;  // (tokens, H) each
  std::vector<int> places_;                  // what the cache holds
  std::vector<float> logits_;                // behind the last place, unless the device draws
  std::optional<Steps> steps_;
  SessionUse use_;
  bool there_ = false;                       // whether the answer that is being read is drawn on the device
};

template <Real T, Device Dev, class Vit, class ConvNet, class Mining, class Language>
auto MiniGemini<T, Dev, Vit, ConvNet, Mining, Language>::session(Context<Dev>& ctx, SessionOptions const& options) const
    -> Session<MiniGemini> {
  return Session<MiniGemini>(ctx, *this, options);
}
template <Real T, Device Dev, class Vit, class ConvNet, class Mining, class Language>
auto MiniGemini<T, Dev, Vit, ConvNet, Mining, Language>::session(Context<Dev>& ctx) const -> Session<MiniGemini> {
  return session(ctx, {});
}
template <Real T, Device Dev, class Vit, class ConvNet, class Mining, class Language>
std::string MiniGemini<T, Dev, Vit, ConvNet, Mining, Language>::chat(Context<Dev>& ctx, std::vector<io::Image> const& images,
                                                                     std::string_view question, AskOptions const& options) const {
  auto talk = session(ctx);
  return talk.ask(images, question, options).text();
}
template <Real T, Device Dev, class Vit, class ConvNet, class Mining, class Language>
std::string MiniGemini<T, Dev, Vit, ConvNet, Mining, Language>::chat(Context<Dev>& ctx, std::vector<io::Image> const& images,
                                                                     std::string_view question) const {
  return chat(ctx, images, question, {});
}

}  // namespace mgm::inline v0::models
