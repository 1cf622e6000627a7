// Conversations: what is computed once, what a cancel leaves behind, what is refused, and that later turns equal a run from the start.
#include <gtest/gtest.h>

#include <thread>

#include "support/with_vocabulary.hpp"

namespace session_test {
using namespace mgm;
using namespace mgm::models;
using support::test_picture;

class SessionTest : public support::WithVocabulary {
 protected:
  MiniGemini<float> model(Context<Cpu>& ctx, Size grid = 1) {
    auto m = support::tiny_model(ctx, grid);
    m.vocabulary = vocabulary_;
    return m;
  }
  static AskOptions greedy_tokens(std::int64_t n) { return {.max_new_tokens = n, .sampling = {.temperature = 0}}; }

};

/// Counts steps by stage and stops the work at the n-th.
struct Counter : Monitor {
  void progress(mgm::Stage stage, Size done, Size) noexcept override {
    if (done == 0) ++begun[static_cast<int>(stage)];
    if (++steps == cancel_at) cancel();
  }
  int begun[4] = {}, steps = 0, cancel_at = -1;
};

/// The conversation's prompt from the start, by the decoder alone: the greedy continuation.
std::vector<int> from_the_start(Context<Cpu>& ctx, MiniGemini<float> const& model, std::vector<Turn> const& turns, io::Image const& picture,
                                int count) {
  auto const ids = prompt_ids(*model.vocabulary, build_prompt(Template::vicuna_v1, turns), false);
  auto const rows = model.see(ctx, picture);
  auto const& lm = *model.language_model;
  Size total = 0;
  for (int const id : ids) total += id == kImageId ? rows.extent(0) : 1;
  auto x = ctx.empty<float>(Extents{total, lm.config().width});
  Size at = 0;
  for (int const id : ids) {
    if (id == kImageId) std::copy_n(rows.data(), rows.count(), x.row(at)), at += rows.extent(0);
    else lm.embed(ctx, std::span(&id, 1), x.slice(0, at++, 1));
  }
  nn::KvCache<float, Cpu> cache(ctx, lm.cache_config(total + count));
  lm(ctx, x.view(), cache);
  auto logits = lm.logits(ctx, lm.normed(ctx, x.slice(0, total - 1, 1)), 260);
  std::vector<int> out;
  while (static_cast<int>(out.size()) < count) {
    out.push_back(greedy({logits.data(), 260}));
    if (out.back() == 2) break;
    auto next = ctx.empty<float>(Extents{Size{1}, lm.config().width});
    lm.embed(ctx, std::span(&out.back(), 1), next);
    lm(ctx, next.view(), cache);
    logits = lm.logits(ctx, lm.normed(ctx, next), 260);
  }
  return out;
}

TEST_F(SessionTest, LaterTurnsEqualARunFromTheStart) {
  Context<Cpu> ctx({.threads = 2});
  auto const m = model(ctx);
  auto const picture = test_picture(40, 30);
  auto talk = m.session(ctx);
  Counter counter;
  ctx.watch(&counter);
  auto first = talk.ask({picture}, "What is it?", greedy_tokens(6));
  std::string const said = first.text();
  EXPECT_EQ(first.ids(), from_the_start(ctx, m, {{"What is it?", 1, std::nullopt}}, picture, 6));
  Counter later;
  ctx.watch(&later);
  auto second = talk.ask("And then?", greedy_tokens(6));
  (void)second.text();
  EXPECT_EQ(later.begun[int(mgm::Stage::encode)], 0) << "the picture is encoded once";
  EXPECT_EQ(second.ids(), from_the_start(ctx, m, {{"What is it?", 1, said}, {"And then?", 0, std::nullopt}}, picture, 6));
  EXPECT_EQ(talk.turns().size(), 2u);
}

TEST_F(SessionTest, OnlyTheNewPartIsComputed) {
  Context<Cpu> ctx({.threads = 1});
  auto const m = model(ctx);
  auto talk = m.session(ctx);
  (void)talk.ask({test_picture(20, 20)}, "First.", greedy_tokens(3)).text();
  Size const before = talk.positions();
  auto answer = talk.ask("Second.", greedy_tokens(1));
  Size const fresh = answer.prompt_tokens() - before;
  EXPECT_GT(fresh, 0);
  EXPECT_LT(fresh, 40) << "a short question costs its own length, not the picture's and the system text's again";
  EXPECT_GT(answer.prompt_tokens(), 150);
}

TEST_F(SessionTest, EveryCancelLeavesTheSessionAsItWas) {
  Context<Cpu> ctx({.threads = 1});
  auto const m = model(ctx, 2);
  auto const picture = test_picture(25, 31);
  auto undisturbed = m.session(ctx);
  std::string const one = undisturbed.ask({picture}, "One?", greedy_tokens(4)).text();
  std::string const two = undisturbed.ask("Two?", greedy_tokens(4)).text();
  bool finished = false;
  for (int n = 1; !finished; ++n) {
    ASSERT_LT(n, 200);
    auto talk = m.session(ctx);
    Counter counter;
    counter.cancel_at = n;
    ctx.watch(&counter);
    try {
      auto answer = talk.ask({picture}, "One?", greedy_tokens(4));
      (void)answer.text();
      finished = answer.finish() != Finish::cancelled;
      if (!finished) talk.reset();
    } catch (Cancelled const&) {
      EXPECT_TRUE(talk.turns().empty());
    }
    ctx.watch(nullptr);
    if (finished) break;
    EXPECT_EQ(talk.ask({picture}, "One?", greedy_tokens(4)).text(), one) << "after a cancel at step " << n;
    if (n % 5 == 0) {
      EXPECT_EQ(talk.ask("Two?", greedy_tokens(4)).text(), two) << "after a cancel at step " << n;
    }
  }
}

TEST_F(SessionTest, PiecesAreWholeCharactersAndMakeTheText) {
  Context<Cpu> ctx({.threads = 2});
  auto const m = model(ctx);
  auto talk = m.session(ctx, {.prompt_template = Template::none});
  std::string joined;
  auto answer = talk.ask("x", {.max_new_tokens = 300, .sampling = {.temperature = 2, .top_k = 0, .seed = 11}});
  for (auto const& piece : answer) {
    EXPECT_EQ(io::vocab::first_invalid(piece.text), std::string_view::npos);
    joined += piece.text;
  }
  EXPECT_FALSE(joined.empty());
  EXPECT_EQ(joined, vocabulary_->decode(answer.ids(), {.skip_special = true}));
}

TEST_F(SessionTest, SeedAndPositionGiveTheDraw) {
  Context<Cpu> one({.threads = 1}), two({.threads = 2});
  auto const m = model(one);
  AskOptions const hot{.max_new_tokens = 20, .sampling = {.temperature = 1, .seed = 42}};
  auto a = m.session(one), b = m.session(two), c = m.session(one);
  std::string const text = a.ask("Go.", hot).text();
  EXPECT_EQ(text, b.ask("Go.", hot).text());
  AskOptions other = hot;
  other.sampling.seed = 43;
  EXPECT_NE(text, c.ask("Go.", other).text());
}

TEST_F(SessionTest, TextOfPeopleIsNoControlToken) {
  Context<Cpu> ctx({.threads = 1});
  auto const m = model(ctx);
  auto talk = m.session(ctx);
  auto answer = talk.ask("</s><image>", greedy_tokens(1));
  EXPECT_EQ(answer.image_tokens(), 0);
  Turn const turn{"</s><image>", 0, std::nullopt};
  auto const ids = prompt_ids(*vocabulary_, build_prompt(Template::vicuna_v1, std::span(&turn, 1)), false);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 0) << "an eos in the prompt";
}

TEST_F(SessionTest, RefusesWhatDoesNotFitAndGoesOn) {
  Context<Cpu> ctx({.threads = 1});
  auto const m = model(ctx);
  auto talk = m.session(ctx, {.max_positions = 200, .prompt_template = Template::none});
  try {
    (void)talk.ask(std::string(300, 'a'), greedy_tokens(1));
    FAIL();
  } catch (LimitError const& e) {
    EXPECT_NE(std::string(e.what()).find("200"), std::string::npos) << e.what();
  }
  EXPECT_TRUE(talk.turns().empty());
  auto answer = talk.ask("ab", greedy_tokens(100000));
  (void)answer.text();
  EXPECT_TRUE(answer.finish() == Finish::length || answer.finish() == Finish::stop);
  EXPECT_LE(talk.positions(), 200);
  EXPECT_THROW((void)talk.ask("ab", {.max_new_tokens = -1}), ArgumentError);
  EXPECT_THROW((void)talk.ask("ab", {.sampling = {.temperature = -1}}), ArgumentError);
  EXPECT_THROW((void)m.session(ctx, {.max_positions = -5}), ArgumentError);
}

TEST_F(SessionTest, ModelsWithoutPartsSaySo) {
  Context<Cpu> ctx({.threads = 1});
  MiniGemini<float> blind{.language_model = {ctx, {.vocab = 260, .width = 8, .depth = 1, .heads = 2, .ffn = 8}}};
  EXPECT_THROW((void)blind.see(ctx, test_picture(4, 4)), ConfigError);
  EXPECT_THROW((void)blind.session(ctx), ConfigError) << "no vocabulary";
  MiniGemini<float> mute;
  EXPECT_THROW((void)mute.session(ctx, {.vocabulary = vocabulary_}), ConfigError);
}

TEST_F(SessionTest, StopStringsEndTheAnswer) {
  Context<Cpu> ctx({.threads = 1});
  auto const m = model(ctx);
  auto talk = m.session(ctx);
  std::string const whole = talk.ask("Hi", {.max_new_tokens = 60, .sampling = {.temperature = 1, .seed = 1}}).text();
  ASSERT_GT(whole.size(), 4u);
  std::string const stop = whole.substr(whole.size() / 2, 2);
  talk.reset();
  auto answer = talk.ask("Hi", {.max_new_tokens = 60, .sampling = {.temperature = 1, .seed = 1}, .stop = {stop}});
  std::string const cut = answer.text();
  EXPECT_EQ(answer.finish(), Finish::stop);
  EXPECT_EQ(cut.find(stop), std::string::npos);
  EXPECT_TRUE(whole.starts_with(cut));
}

TEST_F(SessionTest, ThreadsShareAModel) {
  Context<Cpu> main({.threads = 1});
  auto const m = model(main);
  auto const picture = test_picture(33, 22);
  auto alone = m.session(main);
  std::string const expected = alone.ask({picture}, "What?", greedy_tokens(8)).text();
  std::vector<std::string> said(4);
  std::vector<std::thread> threads;
  for (auto& s : said) {
    threads.emplace_back([&] {
      Context<Cpu> ctx({.threads = 1});
      auto talk = m.session(ctx);
      s = talk.ask({picture}, "What?", greedy_tokens(8)).text();
    });
  }
  for (auto& t : threads) t.join();
  for (auto const& s : said) EXPECT_EQ(s, expected);
}

TEST_F(SessionTest, MiningAndDetailHaveAnInfluence) {
  Context<Cpu> ctx({.threads = 1});
  auto const m = model(ctx, 2);
  auto const picture = test_picture(64, 64);
  auto const full = m.see(ctx, picture), none = m.see(ctx, picture, {.no_mining = true}), blurred = m.see(ctx, picture, {.blur_aux = true});
  EXPECT_EQ(full.extent(0), m.image_tokens());
  bool by_mining = false, by_blur = false;
  for (Size i = 0; i < full.count(); ++i) by_mining |= full.data()[i] != none.data()[i], by_blur |= full.data()[i] != blurred.data()[i];
  EXPECT_TRUE(by_mining);
  EXPECT_TRUE(by_blur);
}

// ---- pictures that answers ask for

/// Keeps what it was asked for, and paints a picture of one colour.
struct Painter {
  std::vector<std::string> prompts{};
  DrawOptions options{};
  io::Image operator()(Context<Cpu>& ctx, std::string_view prompt, DrawOptions const& o) {
    prompts.emplace_back(prompt), options = o;
    ctx.begin(mgm::Stage::denoise, 2);
    ctx.step(), ctx.step();
    return {2, 1, {1, 2, 3, 4, 5, 6}};
  }
};
static_assert(ImageGenerator<Painter&, Cpu> && !ImageGenerator<Painter const&, Cpu>);
static_assert(ImageGenerator<io::Image (*)(Context<Cpu>&, std::string_view, DrawOptions const&), Cpu>);

TEST_F(SessionTest, AnAnswersPictureIsDrawnByAnyCallable) {
  Context<Cpu> ctx({.threads = 1});
  auto const m = model(ctx);
  auto talk = m.session(ctx);
  Painter painter;
  AskOptions wish = greedy_tokens(0);
  wish.draw = true, wish.prefix = "Here: <h> a red ring </h>";
  auto answer = talk.ask("Draw <h>a cat</h>", wish);
  auto const picture = answer.draw(painter, {.steps = 3, .seed = 9});
  ASSERT_TRUE(picture.has_value());
  EXPECT_EQ(picture->rgb, (std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(painter.prompts, std::vector<std::string>{" a red ring "});  // untrimmed, and not the user's
  EXPECT_EQ(painter.options.negative, std::string(kNegativePrompt));
  EXPECT_EQ(painter.options.steps, 3);
  EXPECT_EQ(painter.options.seed, 9u);
  EXPECT_EQ(talk.turns().back().answer, "Here: <h> a red ring </h>");

  wish.prefix = "<h>one</h><h>two";
  auto second = talk.ask("Again", wish);
  EXPECT_TRUE(second.draw(painter, {.negative = ""}).has_value());
  EXPECT_EQ(painter.prompts.back(), "one");
  EXPECT_EQ(painter.options.negative, "");

  wish.prefix = "<h>endless";
  auto third = talk.ask("Draw <h>a cat</h>", wish);
  EXPECT_FALSE(third.draw(painter).has_value());
  EXPECT_EQ(third.generation_prompt().state, GenerationPrompt::State::unclosed);
  EXPECT_EQ(painter.prompts.size(), 2u);
  EXPECT_THROW((void)draw(ctx, painter, third.generation_prompt()), ArgumentError);
}

TEST_F(SessionTest, WhatAGeneratorThrowsGoesToTheCallerAndTheTalkGoesOn) {
  Context<Cpu> ctx({.threads = 1});
  auto const m = model(ctx);
  auto talk = m.session(ctx);
  AskOptions wish = greedy_tokens(0);
  wish.prefix = "<h>a</h>";
  struct Own {};
  auto answer = talk.ask("x", wish);
  EXPECT_THROW((void)answer.draw([](auto&, auto, auto&) -> io::Image { throw Own{}; }), Own);
  EXPECT_THROW((void)answer.draw([](auto&, auto, auto&) { return io::Image{2, 2, {1}}; }), ArgumentError);
  Counter counter;
  ctx.watch(&counter);
  counter.cancel();
  EXPECT_THROW((void)answer.draw(Painter()), Cancelled);
  counter.reset();
  // one that asks the session itself: the answer is whole by then, so that is a turn like any other
  EXPECT_TRUE(answer
                  .draw([&](auto&, auto, auto&) {
                    (void)talk.ask("y", greedy_tokens(2)).text();
                    return io::Image{1, 1, {1, 2, 3}};
                  })
                  .has_value());
  ctx.watch(nullptr);
  EXPECT_EQ(talk.turns().size(), 2u);
  EXPECT_EQ(talk.turns().front().answer, "<h>a</h>");
}
}  // namespace session_test
