// Who may use what at the same time: one model by many threads, a session by one call; whatever else is refused and harms nothing.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/with_vocabulary.hpp"

namespace session_use_test {
using namespace mgm;
using namespace mgm::models;

template <class Device>
class SessionUse : public support::WithVocabulary {
 protected:
  MiniGemini<float, Device> model(Context<Device>& ctx) const {
    auto m = support::tiny_model<float>(ctx);
    m.vocabulary = vocabulary_;
    return m;
  }
  io::Image picture_ = support::test_picture(33, 22);
  AskOptions greedy_{.max_new_tokens = 6, .sampling = {.temperature = 0}};
};
using Devices = ::testing::Types<Cpu, Simt>;
TYPED_TEST_SUITE(SessionUse, Devices);

/// What `call` is refused with; empty where it is not.
template <class Call>
std::string refusal(Call const& call) {
  try {
    call();
  } catch (ArgumentError const& error) {
    return error.what();
  }
  return {};
}
bool says(std::string const& message, std::string const& part) { return message.find(part) != message.npos; }
constexpr char kInUse[] = "the session is in use, by another thread or by the call",
               kUnread[] = "an answer of this session is still being read";

TYPED_TEST(SessionUse, ManyThreadsShareAModel) {
  Context<TypeParam> main({.threads = 1});
  auto const m = this->model(main);
  auto alone = m.session(main);
  std::string const one = alone.ask({this->picture_}, "What?", this->greedy_).text(), two = alone.ask("And?", this->greedy_).text();
  std::vector<std::string> said(std::same_as<TypeParam, Cpu> ? 16 : 4);
  std::vector<std::thread> threads;
  for (auto& s : said) {
    threads.emplace_back([&] {
      Context<TypeParam> ctx({.threads = 1});
      auto talk = m.session(ctx);
      s = talk.ask({this->picture_}, "What?", this->greedy_).text();
      s += "|" + talk.ask("And?", this->greedy_).text();
    });
  }
  for (auto& t : threads) t.join();
  for (auto const& s : said) EXPECT_EQ(s, one + "|" + two);
}

TYPED_TEST(SessionUse, ACallbackThatEntersItsSessionIsRefused) {
  Context<TypeParam> ctx({.threads = 1});
  auto const m = this->model(ctx);
  auto talk = m.session(ctx);
  std::string const expected = talk.ask({this->picture_}, "One?", this->greedy_).text();
  talk.reset();
  std::vector<std::string> refusals;
  std::optional<Answer<Session<MiniGemini<float, TypeParam>>>> answer;
  auto const enter = [&] {
    refusals.push_back(refusal([&] { (void)talk.ask("Me?", this->greedy_); }));
    refusals.push_back(refusal([&] { talk.reset(); }));
    refusals.push_back(refusal([&] { talk.recall({}, {}); }));
  };
  talk.on_see([&](auto&) { enter(); });
  AskOptions options = this->greedy_;
  options.sampling.adjust = [&](std::span<float>) {
    enter();
    refusals.push_back(refusal([&] { (void)answer->next(); }));
  };
  struct Made {  // an Answer is made in its place
    decltype(talk)& session;
    io::Image const& picture;
    AskOptions const& options;
    operator Answer<Session<MiniGemini<float, TypeParam>>>() const { return session.ask({picture}, "One?", options); }
  };
  answer.emplace(Made{talk, this->picture_, options});
  EXPECT_EQ(answer->text(), expected);
  EXPECT_EQ(refusals.size(), 3 + 4 * answer->ids().size());
  for (auto const& r : refusals) EXPECT_TRUE(says(r, kInUse)) << r;
  EXPECT_EQ(talk.turns().size(), 1u);
  EXPECT_EQ(talk.turns()[0].answer, expected);
}

TYPED_TEST(SessionUse, AnAnswerIsReadOrDroppedBeforeTheNextQuestion) {
  Context<TypeParam> ctx({.threads = 1});
  auto const m = this->model(ctx);
  auto talk = m.session(ctx);
  std::string const one = talk.ask({this->picture_}, "One?", this->greedy_).text(), two = talk.ask("Two?", this->greedy_).text();
  talk.reset();
  {
    auto answer = talk.ask({this->picture_}, "One?", this->greedy_);
    for (auto const& call : std::vector<std::function<void()>>{[&] { (void)talk.ask("Two?", this->greedy_); }, [&] { talk.reset(); },
                                                               [&] { talk.recall({}, {}); }}) {
      std::string const why = refusal(call);
      EXPECT_TRUE(says(why, kUnread)) << why;
    }
    (void)answer.next();
    EXPECT_TRUE(says(refusal([&] { talk.reset(); }), kUnread));
    EXPECT_EQ(answer.text(), one);
    EXPECT_EQ(talk.ask("Two?", this->greedy_).text(), two) << "one that was read to its end is in nobody's way";
    EXPECT_EQ(answer.text(), one);
  }
  talk.reset();
  { auto dropped = talk.ask({this->picture_}, "One?", this->greedy_); }
  EXPECT_EQ(talk.turns().at(0).answer, "");
  talk.reset();
  EXPECT_EQ(talk.ask({this->picture_}, "One?", this->greedy_).text(), one);
}

TYPED_TEST(SessionUse, ASecondThreadIsRefusedAndTheFirstGoesOn) {
  Context<TypeParam> ctx({.threads = 1});
  auto const m = this->model(ctx);
  auto talk = m.session(ctx);
  AskOptions options = this->greedy_;
  std::string const one = talk.ask({this->picture_}, "One?", options).text(), two = talk.ask("Two?", options).text();
  talk.reset();
  std::atomic<bool> stop{false};
  std::atomic<int> refused{0}, accepted{0};
  std::thread intruder;
  int draws = 0;
  // it comes at the first draw, has been refused before the second, and goes at the third
  options.sampling.adjust = [&](std::span<float>) {
    if (++draws == 1) {
      intruder = std::thread([&] {
        while (!stop) {
          std::string const why[] = {refusal([&] { talk.reset(); }), refusal([&] { (void)talk.ask("Three?", this->greedy_); })};
          for (auto const& w : why) ++(says(w, kInUse) || says(w, kUnread) ? refused : accepted);
          std::this_thread::yield();
        }
      });
      while (refused == 0 && accepted == 0) std::this_thread::yield();
    } else if (draws == 3) {
      stop = true, intruder.join();
    }
  };
  std::string const said = talk.ask({this->picture_}, "One?", options).text();
  if (intruder.joinable()) stop = true, intruder.join();
  EXPECT_EQ(said, one);
  EXPECT_GE(draws, 3);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(accepted, 0);
  EXPECT_EQ(talk.ask("Two?", this->greedy_).text(), two);
}

}  // namespace session_use_test
