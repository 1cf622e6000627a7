/// Our threads: created once, woken per call within microseconds, asleep when nothing is to do.
#pragma once
#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <unistd.h>

#include <mgm/core/executor.hpp>

namespace mgm::inline v0 {

/// A pool of `threads` workers, the caller of `run` being one of them. Tasks are taken one by one in rising order by whoever is free.
///   Idle workers watch for work for some 20 µs, since a model calls kernel after kernel, and then sleep until woken.
///   A call from inside a task, or while another thread's call is under way, runs on the caller alone: it never waits for the pool.
///   A process that was forked from the pool's has none of its threads: there too all calls run on the caller alone.
class ThreadPool final : public Threads {
 public:
  /// 0: as many threads as this process may use. Throws ArgumentError when negative; std::system_error when the system refuses one.
  explicit ThreadPool(int threads = 0) {
    require<ArgumentError>(threads >= 0, "thread pool: the number of threads must be 0 (all) or more, found ", threads);
    int const total = threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    workers_->reserve(static_cast<std::size_t>(total - 1));
    try {
      for (int i = 1; i < total; ++i) workers_->emplace_back([this] { serve(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~ThreadPool() override { stop(); }
  ThreadPool(ThreadPool const&) = delete;
  ThreadPool& operator=(ThreadPool const&) = delete;

  [[nodiscard]] int concurrency() const noexcept override { return forked() ? 1 : static_cast<int>(workers_->size()) + 1; }

  void run(Size count, Task task) override {
    std::unique_lock<std::mutex> turn(busy_, std::defer_lock);
    // the order counts: in a forked process the lock may be held by a thread that is not there
    if (count <= 1 || workers_->empty() || inside() || forked() || !turn.try_lock()) {
      Job alone{&task, count};
      drain(alone);
      if (alone.failure) std::rethrow_exception(alone.failure);
      return;
    }
    Job job{&task, count};
    job_.store(&job);
    round_.fetch_add(1);
    round_.notify_all();
    drain(job);
    job_.store(nullptr);  // whoever comes now goes back to sleep; whoever is in counts in visitors_
    for (int i = 0; visitors_.load() != 0; ++i)
      if (i < kWatch) pause();
      else if (int const v = visitors_.load(); v != 0) visitors_.wait(v);
    if (job.failure) std::rethrow_exception(job.failure);
  }

 private:
  struct Job {
    Task const* task;
    Size count;
    std::atomic<Size> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr failure{};
  };
  static constexpr int kWatch = 600;  // pauses: about 10 to 25 µs on x86

  [[nodiscard]] bool forked() const noexcept { return ::getpid() != process_; }
  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  /// Whether this thread is within a task of some pool.
  static bool& inside() {
    thread_local bool flag = false;
    return flag;
  }
  /// Takes tasks until none is left. Keeps the first exception.
  static void drain(Job& job) {
    bool const outer = inside();
    inside() = true;
    for (Size i; (i = job.next.fetch_add(1, std::memory_order_relaxed)) < job.count;) {
      try {
        (*job.task)(i);
      } catch (...) {
        if (!job.failed.exchange(true)) job.failure = std::current_exception();
      }
    }
    inside() = outer;
  }
  void serve() {
    unsigned seen = 0;
    for (;;) {
      unsigned now = round_.load();
      for (int i = 0; now == seen && i < kWatch; ++i) {
        pause();
        now = round_.load();
      }
      if (now == seen) {
        round_.wait(seen);
        continue;
      }
      seen = now;
      if (stopping_.load()) return;
      // Enter first, then look: `run` clears job_ first, then waits until nobody is in. So a job seen here is alive until we leave.
      visitors_.fetch_add(1);
      if (Job* const job = job_.load()) drain(*job);
      if (visitors_.fetch_sub(1) == 1) visitors_.notify_all();
    }
  }
  void stop() noexcept {
    if (forked()) {  // nobody to end or to wait for, and a std::thread that nobody waited for must not be destroyed: the list stays
      (void)workers_.release();
      return;
    }
    stopping_.store(true);
    round_.fetch_add(1);
    round_.notify_all();
    for (std::thread& worker : *workers_) worker.join();
    workers_->clear();
  }

  pid_t const process_ = ::getpid();
  std::unique_ptr<std::vector<std::thread>> workers_ = std::make_unique<std::vector<std::thread>>();
  std::mutex busy_;
  std::atomic<Job*> job_{nullptr};
  alignas(64) std::atomic<unsigned> round_{0};
  alignas(64) std::atomic<int> visitors_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace mgm::inline v0
