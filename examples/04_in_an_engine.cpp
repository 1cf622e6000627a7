// What an embedding engine brings along: its memory, its threads, raw pixels, a sampler's mask, progress and a way to stop.
//   04_in_an_engine examples/mgm-tiny
#include <cmath>
#include <cstdio>
#include <thread>

#include <mgm/mgm.hpp>

/// The engine's memory: here the heap, counted.
class CountingAllocator : public mgm::Allocator {
 public:
  void* allocate(mgm::Size bytes) override {
    peak = std::max(peak, used += bytes);
    return heap_.allocate(bytes);
  }
  void release(void* block, mgm::Size bytes) noexcept override {
    used -= bytes;
    heap_.release(block, bytes);
  }
  mgm::Size used = 0, peak = 0;

 private:
  mgm::HeapAllocator heap_;
};

/// The engine's threads: here two of them, started for each call.
class TwoThreads : public mgm::Threads {
 public:
  void run(mgm::Size count, mgm::Task task) override {
    std::thread other([&] {
      for (mgm::Size i = 1; i < count; i += 2) task(i);
    });
    for (mgm::Size i = 0; i < count; i += 2) task(i);
    other.join();
  }
  [[nodiscard]] int concurrency() const noexcept override { return 2; }
};

/// Hears of every layer; `cancel()` may be called from any thread or a signal handler.
struct Watch : mgm::Monitor {
  void progress(mgm::Stage, mgm::Size, mgm::Size) noexcept override { ++steps; }
  int steps = 0;
};

int main(int argc, char** argv) try {
  if (argc < 2) return std::fputs("usage: 04_in_an_engine MODEL\n", stderr), 2;
  auto const memory = std::make_shared<CountingAllocator>();
  Watch watch;
  mgm::Context<mgm::Cpu> ctx({.pool = std::make_shared<TwoThreads>(), .allocator = memory, .monitor = &watch});
  auto const model = mgm::models::MiniGemini<float>::open(ctx, argv[1]);

  std::vector<std::uint8_t> frame(4 * 320 * 240, 255);  // BGRA, as a frame buffer has it: white, with a red block at the left
  for (int y = 90; y < 150; ++y)
    for (int x = 20; x < 80; ++x)
      frame[4 * (320 * static_cast<std::size_t>(y) + static_cast<std::size_t>(x))] = 30,
                                                     frame[4 * (320 * static_cast<std::size_t>(y) + static_cast<std::size_t>(x)) + 1] = 30;
  mgm::io::PixelView const view(frame.data(), 320, 240, mgm::io::PixelFormat::bgra);

  auto chat = model.session(ctx, {.max_positions = 512});
  mgm::models::Sampling const no_question_marks{.temperature = 0, .adjust = [&](std::span<float> logits) {
                                                  if (auto const id = model.vocabulary->id_of("?"))
                                                    logits[static_cast<std::size_t>(*id)] = -INFINITY;
                                                }};
  auto answer = chat.ask(std::span(&view, 1), "What colour is the background?", {.max_new_tokens = 32, .sampling = no_question_marks});
  std::printf("%s\n", answer.text().c_str());
  std::printf("%d steps watched, %.1f MB of the engine's memory at the peak\n", watch.steps, static_cast<double>(memory->peak) / 1e6);

  watch.cancel();
  try {
    (void)chat.ask("And now?").text();
    return 1;
  } catch (mgm::Cancelled const&) {  // the session is as before the call
    watch.reset();
  }
  return chat.turns().size() == 1 ? 0 : 1;
} catch (mgm::Error const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
