// Sessions when memory is short and when they are stopped: at each request and at each report of a conversation about a picture, on the
// processor and on the kernels. An error says so, nothing leaks, and the session is as it was.
#include <gtest/gtest.h>


#include "support/counting_allocator.hpp"
#include "support/with_vocabulary.hpp"

namespace session_failures_test {
using namespace mgm;
using namespace mgm::models;

/// Stops the work at the n-th report.
struct Stopper : Monitor {
  explicit Stopper(int n) : left(n) {}
  void progress(mgm::Stage, Size, Size) noexcept override {
    if (--left == 0) cancel();
  }
  int left;
};

template <class Device>
class SessionFailures : public support::WithVocabulary {
 protected:
  using Model = MiniGemini<float, Device>;
  using Talk = Session<Model>;
  Model model(Context<Device>& ctx) const {
    auto m = support::tiny_model<float>(ctx);
    m.vocabulary = vocabulary_;
    return m;
  }
  std::string ask(Talk& talk) const { return talk.ask({picture_}, "One?", greedy_).text(); }

  io::Image picture_ = support::test_picture(25, 31);
  SessionOptions options_{.max_positions = 600, .planned = false};  // memory as it is needed; else no request is left to fail
  AskOptions greedy_{.max_new_tokens = 3, .sampling = {.temperature = 0}};
};
using Devices = ::testing::Types<Cpu, Simt>;
TYPED_TEST_SUITE(SessionFailures, Devices);

TYPED_TEST(SessionFailures, EveryRequestForMemoryMayFail) {
  auto const memory = std::make_shared<support::CountingAllocator>();
  int failures = 0, in_session = 0, in_ask = 0;
  {
    Context<TypeParam> ctx({.threads = 1, .allocator = memory});
    auto const m = this->model(ctx);
    std::string expected;
    {
      auto talk = m.session(ctx, this->options_);
      expected = this->ask(talk);
    }
    ctx.trim();
    Size const weights = memory->alive;
    for (bool const ever_after : {false, true}) {
      for (Size n = 1;; n += ever_after ? 3 : 1) {
        ASSERT_LT(n, 1000);
        memory->refuse(n, !ever_after);
        bool failed = false;
        std::optional<typename TestFixture::Talk> talk;
        try {
          talk.emplace(ctx, m, this->options_);
        } catch (MemoryError const&) {
          failed = true, ++in_session;
        }
        if (talk) {
          try {
            EXPECT_EQ(this->ask(*talk), expected) << "a request was refused and nobody said so: " << n;
          } catch (MemoryError const&) {
            failed = true, ++in_ask;
            if (!talk->turns().empty()) {  // while the answer was read: what was said stays
              EXPECT_TRUE(expected.starts_with(talk->turns().back().answer.value()));
              talk->reset();
            }
            EXPECT_EQ(talk->positions(), 0);
            EXPECT_TRUE(talk->pictures().empty());
          }
          memory->refuse_nothing();
          if (failed) {
            EXPECT_EQ(this->ask(*talk), expected) << "after request " << n << " failed";
          }
        }
        memory->refuse_nothing();
        talk.reset(), ctx.trim();
        ASSERT_EQ(memory->alive, weights) << "request " << n;
        if (!failed) break;
        ++failures;
      }
    }
  }
  EXPECT_EQ(memory->alive, 0);
  EXPECT_GE(in_session, 2);
  EXPECT_GT(in_ask, 20);
  std::printf("%d requests failed, %d of them while a session was made\n", failures, in_session);
}

TYPED_TEST(SessionFailures, EveryCancelLeavesTheSessionAsItWas) {
  Context<TypeParam> ctx({.threads = 1});
  auto const m = this->model(ctx);
  auto undisturbed = m.session(ctx, this->options_);
  std::string const one = this->ask(undisturbed), two = undisturbed.ask("Two?", this->greedy_).text();
  for (int n = 1;; ++n) {
    ASSERT_LT(n, 200);
    auto talk = m.session(ctx, this->options_);
    Stopper stopper(n);
    ctx.watch(&stopper);
    Finish finish = Finish::cancelled;
    try {
      auto answer = talk.ask({this->picture_}, "One?", this->greedy_);
      (void)answer.text();
      finish = answer.finish();
    } catch (Cancelled const&) {
      EXPECT_TRUE(talk.turns().empty() && talk.pictures().empty());
      EXPECT_EQ(talk.positions(), 0);
    }
    ctx.watch(nullptr);
    if (finish != Finish::cancelled) break;
    talk.reset();
    EXPECT_EQ(this->ask(talk), one) << "after a cancel at report " << n;
    EXPECT_EQ(talk.ask("Two?", this->greedy_).text(), two) << "after a cancel at report " << n;
  }
}

TYPED_TEST(SessionFailures, AFailedLaterTurnLeavesTheEarlierOnes) {
  auto const memory = std::make_shared<support::CountingAllocator>();
  Context<TypeParam> ctx({.threads = 1, .allocator = memory});
  auto const m = this->model(ctx);
  auto const other = support::test_picture(40, 20, 7);
  auto undisturbed = m.session(ctx, this->options_);
  (void)this->ask(undisturbed);
  std::string const second = undisturbed.ask({other}, "Two?", this->greedy_).text();
  int failures = 0;
  for (Size n = 1;; n += 5) {
    ASSERT_LT(n, 1000);
    auto talk = m.session(ctx, this->options_);
    (void)this->ask(talk);
    ctx.trim(), memory->refuse(n);
    bool failed = false;
    try {
      auto const answer = talk.ask({this->picture_}, "Two? Or three?", this->greedy_);  // another picture, and text that begins alike
    } catch (MemoryError const&) {
      failed = true, ++failures;
      EXPECT_TRUE(talk.turns().size() == 1 && talk.pictures().size() == 1);
    }
    memory->refuse_nothing();
    if (!failed) break;
    EXPECT_EQ(talk.ask({other}, "Two?", this->greedy_).text(), second) << "after request " << n << " failed";
  }
  EXPECT_GT(failures, 2);
}

}  // namespace session_failures_test
