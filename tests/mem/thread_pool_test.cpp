#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <mgm/mem/thread_pool.hpp>

namespace thread_pool_test {
using namespace mgm;

TEST(ThreadPool, RunsEachTaskOnceAndReturnsWhenAllAreDone) {
  for (int const threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.concurrency(), threads);
    for (Size const count : {Size{0}, Size{1}, Size{2}, Size{5}, Size{1000}}) {
      std::vector<int> done(static_cast<std::size_t>(count));  // no atomics: run() itself must order these writes before its return
      pool.run(count, [&](Size i) { ++done[static_cast<std::size_t>(i)]; });
      for (int const d : done) ASSERT_EQ(d, 1);
    }
  }
}
TEST(ThreadPool, ManyShortRunsBackToBack) {
  ThreadPool pool(3);
  Size total = 0;
  for (int round = 0; round < 20000; ++round) {
    std::atomic<Size> sum{0};
    pool.run(4, [&](Size i) { sum += i + 1; });
    total += sum;
  }
  EXPECT_EQ(total, 200000);
}
TEST(ThreadPool, WakesAfterSleeping) {
  ThreadPool pool(2);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    std::atomic<int> met{0};
    pool.run(2, [&](Size) {  // each task waits for the other: only two threads can end this
      ++met;
      while (met < 2) std::this_thread::yield();
    });
    EXPECT_EQ(met, 2);
  }
}
TEST(ThreadPool, CarriesTheFirstExceptionAfterTheOthersHaveEnded) {
  for (int const threads : {1, 3}) {
    ThreadPool pool(threads);
    std::atomic<int> ended{0};
    try {
      pool.run(20, [&](Size i) {
        if (i == 7) throw std::runtime_error("seven");
        ++ended;
      });
      ADD_FAILURE() << "nothing thrown";
    } catch (std::runtime_error const& e) {
      EXPECT_EQ(std::string(e.what()), "seven");
    }
    EXPECT_EQ(ended, 19);
    pool.run(3, [&](Size) { ++ended; });  // still usable
    EXPECT_EQ(ended, 22);
  }
}
TEST(ThreadPool, NestedRunsStayOnTheirThread) {
  ThreadPool pool(3);
  std::atomic<int> count{0}, strayed{0};
  pool.run(6, [&](Size) {
    auto const self = std::this_thread::get_id();
    pool.run(5, [&](Size) {
      ++count;
      if (std::this_thread::get_id() != self) ++strayed;
    });
  });
  EXPECT_EQ(count, 30);
  EXPECT_EQ(strayed, 0);
}
TEST(ThreadPool, SeveralCallersAtOnce) {
  ThreadPool pool(2);
  std::atomic<int> count{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int round = 0; round < 500; ++round) pool.run(3, [&](Size) { ++count; });
    });
  for (std::thread& c : callers) c.join();
  EXPECT_EQ(count, 4 * 500 * 3);
}
/// Whether a child process that does `work` ends well within a minute; SIGALRM ends one that hangs.
template <class Work>
bool child_does(Work const& work) {
  pid_t const child = ::fork();
  if (child == 0) {
    ::alarm(60);
    int failed = 1;
    try {
      failed = work() ? 0 : 2;
    } catch (...) {
    }
    ::_exit(failed);
  }
  int status = -1;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
/// All tasks of a run on the caller's own thread; an exception of one is carried.
bool works_alone(ThreadPool& pool) {
  std::vector<int> done(100);  // no atomics: nobody else is there
  auto const self = std::this_thread::get_id();
  bool strayed = false, thrown = false;
  pool.run(100, [&](Size i) { ++done[static_cast<std::size_t>(i)], strayed = strayed || std::this_thread::get_id() != self; });
  try {
    pool.run(3, [](Size) { throw std::runtime_error("carried"); });
  } catch (std::runtime_error const&) {
    thrown = true;
  }
  return pool.concurrency() == 1 && !strayed && thrown && done == std::vector<int>(100, 1);
}

TEST(ThreadPool, AForkedChildWorksAlone) {
  auto pool = std::make_unique<ThreadPool>(3);
  pool->run(3, [](Size) {});
  EXPECT_TRUE(child_does([&] {
    bool const alone = works_alone(*pool);
    pool.reset();  // joins nobody
    ThreadPool own(2);
    std::atomic<int> met{0};
    own.run(2, [&](Size) {  // two threads alone can end this
      ++met;
      while (met < 2) std::this_thread::yield();
    });
    return alone && own.concurrency() == 2;
  }));
  EXPECT_EQ(pool->concurrency(), 3);
  std::atomic<int> count{0};
  pool->run(50, [&](Size) { ++count; });
  EXPECT_EQ(count, 50) << "the parent's pool is as it was";
}
TEST(ThreadPool, AChildForkedWhileOthersWorkWorksAlone) {
  ThreadPool pool(3);
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) pool.run(3, [](Size) {});
  });
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(child_does([&] { return works_alone(pool); }));
  stop = true;
  busy.join();
  pool.run(2, [&](Size i) {  // and from within a task
    if (i == 0) {
      EXPECT_TRUE(child_does([&] { return works_alone(pool); }));
    }
  });
}
TEST(ThreadPool, RefusesNegativeNumbers) {
  EXPECT_THROW(ThreadPool(-1), ArgumentError);
  EXPECT_GE(ThreadPool(0).concurrency(), 1);
}

}  // namespace thread_pool_test
