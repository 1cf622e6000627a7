// Sessions on the kernels reserve all their memory when they are made: whatever is asked then, no allocator is called.
#include <gtest/gtest.h>


#include "support/counting_allocator.hpp"
#include "support/with_vocabulary.hpp"

namespace planned_memory_test {
using namespace mgm;
using namespace mgm::models;

class PlannedMemory : public support::WithVocabulary {
 protected:
  /// Long and short prompts, pictures, steps over a border of graphs, a new beginning: the ids, and no call of the allocator on the way.
  template <class Talk>
  std::vector<std::vector<int>> talk_of_all_kinds(Talk& talk, bool pictures, support::CountingAllocator const& memory, bool planned) const {
    Size const before = memory.calls;
    std::vector<std::vector<int>> ids;
    auto const say = [&](std::vector<io::Image> const& shown, std::string const& said, std::int64_t tokens, Sampling sampling) {
      auto answer =
          talk.ask(pictures ? shown : std::vector<io::Image>(), said, {.max_new_tokens = tokens, .sampling = std::move(sampling)});
      (void)answer.text();
      ids.push_back(answer.ids());
      if (planned) {
        EXPECT_EQ(memory.calls, before) << "after " << said.substr(0, 10) << ", " << answer.prompt_tokens() << " positions";
      }
    };
    auto const one = support::test_picture(25, 31), two = support::test_picture(32, 32, 9);
    say({}, "Short.", 2, {.temperature = 0});
    say({one}, std::string(37, 'p'), 3, {.temperature = 0});
    say({two}, "Another picture.", 40, {.temperature = 2, .top_k = 0, .seed = 3});
    say({}, "By the host.", 2, {.temperature = 0, .adjust = [](std::span<float>) {}});
    talk.reset();
    say({two, one}, std::string(230, 'a'), 12, {.temperature = 2, .top_k = 0, .seed = 4});
    for (int const length : {1, 2, 9, 17, 65}) say({}, std::string(static_cast<std::size_t>(length), 'b'), 1, {.temperature = 0});
    return ids;
  }
  template <class T>
  void expect_no_calls(MiniGemini<T, Simt> const& model, Context<Simt>& ctx, support::CountingAllocator& memory) const {
    bool const pictures = model.sees();
    std::vector<std::vector<int>> want;
    {
      auto unplanned = model.session(ctx, {.max_positions = 1100, .planned = false});
      want = talk_of_all_kinds(unplanned, pictures, memory, false);
    }
    ctx.trim();
    Size const weights = memory.alive;
    {
      auto talk = model.session(ctx, {.max_positions = 1100});
      EXPECT_EQ(talk.positions(), 0);
      EXPECT_EQ(talk_of_all_kinds(talk, pictures, memory, true), want);
    }
    ctx.trim();  // what a session takes while it is made is recycled by the context
    EXPECT_EQ(memory.alive, weights);
  }
  template <class T>
  MiniGemini<T, Simt> talker(Context<Simt>& ctx, DecoderConfig const& config) const {
    MiniGemini<T, Simt> m{.language_model = {ctx, config}, .language = {.max_positions = 1100}, .vocabulary = vocabulary_};
    support::randomise<T>(ctx, m, 9);
    return m;
  }

};

TEST_F(PlannedMemory, NoCallAfterASessionIsMade) {
  for (bool const tuned : {false, true}) {
    SCOPED_TRACE(tuned ? "tuned" : "general");
    auto const memory = std::make_shared<support::CountingAllocator>();
    Context<Simt> ctx({.machine = {.tuned = tuned}, .allocator = memory});
    auto m = support::tiny_model<float>(ctx, tuned ? 1 : 2);
    m.vocabulary = vocabulary_;
    expect_no_calls(m, ctx, *memory);
  }
}
TEST_F(PlannedMemory, NoCallWhereExpertsAreChosen) {
  auto const memory = std::make_shared<support::CountingAllocator>();
  Context<Simt> ctx({.machine = {.tuned = true}, .allocator = memory});
  DecoderConfig const mixtral{
      .family = Family::mixtral, .vocab = 260, .width = 32, .depth = 2, .heads = 4, .kv_heads = 2, .ffn = 24, .experts = 4};
  expect_no_calls(talker<float>(ctx, mixtral), ctx, *memory);
  expect_no_calls(talker<bf16>(ctx, mixtral), ctx, *memory);
}
TEST_F(PlannedMemory, ASessionThatDoesNotFitIsRefusedAndLeavesNothing) {
  auto const memory = std::make_shared<support::CountingAllocator>();
  Context<Simt> ctx({.allocator = memory});
  auto m = support::tiny_model<float>(ctx);
  m.vocabulary = vocabulary_;
  Size const weights = memory->alive;
  int refused = 0;
  for (Size n = 1;; ++n) {
    memory->refuse(n);
    try {
      auto talk = m.session(ctx, {.max_positions = 300});
      AskOptions const ask{.max_new_tokens = 3, .sampling = {.temperature = 0}};
      EXPECT_NO_THROW((void)talk.ask({support::test_picture(20, 20)}, "One?", ask).text()) << "all it needs is there";
      break;
    } catch (MemoryError const&) {
      ++refused;
    }
    ctx.trim();
    ASSERT_EQ(memory->alive, weights);
  }
  EXPECT_GT(refused, 5);
}
TEST_F(PlannedMemory, NothingIsDoneAndNobodyIsToldWhileItIsPlanned) {
  struct Told : Monitor {
    void progress(mgm::Stage, Size, Size) noexcept override { ++reports; }
    int reports = 0;
  } told;
  Context<Simt> ctx({.monitor = &told});
  auto m = support::tiny_model<float>(ctx);
  m.vocabulary = vocabulary_;
  Size const launches = ctx.machine().counters().launches;
  auto const talk = m.session(ctx);
  EXPECT_EQ(ctx.machine().counters().launches, launches);
  EXPECT_EQ(told.reports, 0);
  EXPECT_EQ(ctx.monitor(), &told);
}

}  // namespace planned_memory_test
