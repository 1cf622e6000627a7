// Conversations on the kernels, by the Simt machine: steps that are recorded and drawn on the device against steps of which the host sees
// each; what they allocate; what a cancel leaves; pictures made ready on the device.
#include <gtest/gtest.h>

#include <array>

#include "support/counting_allocator.hpp"
#include "support/with_vocabulary.hpp"

namespace device_steps_test {
using namespace mgm;
using namespace mgm::models;

class DeviceSteps : public support::WithVocabulary {
 protected:
  MiniGemini<float, Simt> talker(Context<Simt>& ctx, DecoderConfig const& config) const {
    MiniGemini<float, Simt> m{.language_model = {ctx, config}, .language = {.max_positions = 700}, .vocabulary = vocabulary_};
    support::randomise<float>(ctx, m, 9);
    return m;
  }
};

// Heads of 8 channels for attention split over keys, of 6 for its general form.
DecoderConfig const kLlama{.vocab = 260, .width = 32, .depth = 2, .heads = 4, .kv_heads = 2, .ffn = 40};
DecoderConfig const kNarrow{.vocab = 260, .width = 24, .depth = 2, .heads = 4, .kv_heads = 2, .ffn = 40};
DecoderConfig const kGemma{.family = Family::gemma, .vocab = 260, .width = 32, .depth = 2, .heads = 4, .kv_heads = 1, .head_width = 16,
                           .ffn = 24, .activation = Activation::gelu_tanh, .tied = true};
DecoderConfig const kMixtral{.family = Family::mixtral, .vocab = 260, .width = 32, .depth = 2, .heads = 4, .kv_heads = 2, .ffn = 24,
                             .experts = 4};

/// Turns that cross lengths of 256 and 512, begin anew, go by the host in between, and draw by every rule.
std::vector<std::vector<int>> conversation(Context<Simt>& ctx, MiniGemini<float, Simt> const& model, bool device_steps) {
  auto talk = model.session(ctx, {.device_steps = device_steps}), beside = model.session(ctx, {.device_steps = device_steps});
  std::vector<std::vector<int>> ids;
  auto const say = [&](auto& to, std::string const& text, std::int64_t tokens, Sampling sampling) {
    auto answer = to.ask(text, {.max_new_tokens = tokens, .sampling = std::move(sampling)});
    (void)answer.text();
    ids.push_back(answer.ids());
  };
  say(talk, std::string(248, 'a'), 16, {.temperature = 0});
  say(beside, "Beside.", 5, {.temperature = 3, .top_k = 0, .seed = 5});
  say(talk, std::string(231, 'b'), 24, {.temperature = 2, .top_k = 20, .seed = 3});
  say(talk, "By the host.", 4, {.temperature = 0, .adjust = [](std::span<float>) {}});
  say(talk, "On.", 4, {.temperature = 1.5f, .top_k = 0, .top_p = 0.7f, .seed = 8});
  talk.reset();
  say(talk, std::string(40, 'a') + "Anew", 6, {.temperature = 1, .seed = 2});
  return ids;
}

void expect_the_hosts(Context<Simt>& ctx, MiniGemini<float, Simt> const& model) {
  auto const want = conversation(ctx, model, false), got = conversation(ctx, model, true);
  EXPECT_EQ(got, want);
  std::size_t tokens = 0;
  for (auto const& ids : want) tokens += ids.size();
  EXPECT_GT(tokens, 40u) << "too many answers ended at once to show much";
}

TEST_F(DeviceSteps, AnswerAsTheHostDraws) {
  for (bool const tuned : {false, true}) {
    SCOPED_TRACE(tuned ? "tuned" : "general");
    Context<Simt> ctx({.machine = {.tuned = tuned}});
    expect_the_hosts(ctx, talker(ctx, tuned ? kLlama : kNarrow));
  }
}
TEST_F(DeviceSteps, OfGemmaAnswerAsTheHostDraws) {
  Context<Simt> ctx({.machine = {.tuned = true}});
  expect_the_hosts(ctx, talker(ctx, kGemma));
}
TEST_F(DeviceSteps, OfMixtralAnswerAsTheHostDraws) {
  Context<Simt> ctx({.machine = {.tuned = true}});
  expect_the_hosts(ctx, talker(ctx, kMixtral));
}

TEST_F(DeviceSteps, DoNotDependOnTheOrderOfThreads) {
  std::vector<int> first;
  for (auto const order : {simt::Order::forward, simt::Order::reversed, simt::Order::random, simt::Order::greedy, simt::Order::lockstep,
                           simt::Order::straggler}) {
    Context<Simt> ctx({.machine = {.order = order, .seed = 11, .tuned = true}});
    auto const model = talker(ctx, kLlama);
    auto talk = model.session(ctx);
    auto answer = talk.ask("Say something.", {.max_new_tokens = 12, .sampling = {.temperature = 2, .seed = 6}});
    (void)answer.text();
    if (first.empty()) first = answer.ids();
    EXPECT_EQ(answer.ids(), first) << simt::kOrderNames[static_cast<int>(order)];
  }
  EXPECT_GT(first.size(), 4u);
}

TEST_F(DeviceSteps, AllocateNothingAfterTheFirstOfALength) {
  auto const memory = std::make_shared<support::CountingAllocator>();
  Context<Simt> ctx({.machine = {.tuned = true}, .allocator = memory});
  auto const model = talker(ctx, kMixtral);
  auto talk = model.session(ctx, {.planned = false});
  AskOptions const ask{.max_new_tokens = 40, .sampling = {.temperature = 2, .top_k = 0, .seed = 21}};
  std::vector<Size> at;
  {
    auto answer = talk.ask(std::string(240, 'x'), ask);
    while (answer.next()) at.push_back(memory->calls);
  }
  ASSERT_GT(at.size(), 20u) << "over the border at 256";
  std::size_t grew = 0;
  for (std::size_t i = 1; i < at.size(); ++i) grew += at[i] != at[i - 1];
  EXPECT_GE(grew, 1u);
  EXPECT_LE(grew, 2u) << "two graphs: below 256 and below 512";
  EXPECT_EQ(at[at.size() - 1], at[at.size() - 4]);
}

/// Counts the reports of a stage and stops the work at the n-th of all.
struct Counter : Monitor {
  void progress(mgm::Stage stage, Size done, Size total) noexcept override {
    if (stage == mgm::Stage::decode) ++decodes, whole = whole && (done == 0 || done == total);
    if (++steps == cancel_at) cancel();
  }
  int steps = 0, decodes = 0, cancel_at = -1;
  bool whole = true;
};

TEST_F(DeviceSteps, ACancelBetweenThemLeavesTheSessionAsItWas) {
  Context<Simt> ctx;
  auto const model = talker(ctx, kNarrow);
  AskOptions const ask{.max_new_tokens = 5, .sampling = {.temperature = 0}};
  auto undisturbed = model.session(ctx);
  std::string const one = undisturbed.ask("One?", ask).text(), two = undisturbed.ask("Two?", ask).text();
  bool finished = false;
  for (int n = 1; !finished; ++n) {
    ASSERT_LT(n, 60);
    auto talk = model.session(ctx);
    Counter counter;
    counter.cancel_at = n;
    ctx.watch(&counter);
    try {
      auto answer = talk.ask("One?", ask);
      (void)answer.text();
      finished = answer.finish() != Finish::cancelled;
      if (!finished) talk.reset();
    } catch (Cancelled const&) {
      EXPECT_TRUE(talk.turns().empty());
    }
    ctx.watch(nullptr);
    if (!finished) {
      EXPECT_EQ(talk.ask("One?", ask).text(), one) << "after a cancel at report " << n;
    } else {
      EXPECT_TRUE(counter.whole) << "a step is one piece of work";
      EXPECT_EQ(counter.decodes, 2 * 4) << "begun and done, of four steps behind the prompt's token";
    }
    EXPECT_EQ(talk.ask("Two?", ask).text(), two);
  }
}

TEST_F(DeviceSteps, BrokenWeightsAreToldInTheHostsWords) {
  Context<Simt> ctx;
  auto model = talker(ctx, kNarrow);
  auto head = ctx.lasting<float>(Extents{Size{260}, Size{24}});
  std::fill_n(head.data(), head.count(), 0.5f);
  head(77, 3) = NAN;
  visit_parameters(model, "", [&]<class P>(std::string const& name, P& p) {
    if constexpr (P::kRank == 2) {
      if (name == "lm_head.weight") p.assign(std::move(head));
    }
  });
  std::array<std::string, 2> said;
  for (bool const device : {false, true}) {
    auto talk = model.session(ctx, {.device_steps = device});
    try {
      (void)talk.ask("Well?", {.max_new_tokens = 3, .sampling = {.temperature = 0}}).text();
    } catch (NumericalError const& error) {
      said[device] = error.what();
    }
  }
  EXPECT_EQ(said[1], said[0]);
  EXPECT_NE(said[0].find("the logit of token 77 is NaN"), std::string::npos) << said[0];
}

TEST_F(DeviceSteps, PicturesAreTheSameMadeReadyThere) {
  for (Size const grid : {1, 2}) {
    Context<Simt> ctx;
    auto const m = support::tiny_model<float>(ctx, grid);
    auto const picture = support::test_picture(41, 29);
    for (bool const blur : {false, true}) {
      VisionTrace<float, Simt> trace;  // asks for the host's pixels
      auto const there = m.see(ctx, picture, {.blur_aux = blur}), here = m.see(ctx, picture, {.blur_aux = blur}, &trace);
      ASSERT_EQ(there.extents(), here.extents());
      for (Size i = 0; i < here.count(); ++i) ASSERT_EQ(there.data()[i], here.data()[i]) << "grid " << grid << ", at " << i;
    }
  }
}

}  // namespace device_steps_test
