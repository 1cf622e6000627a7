// What the command line says, and what several commands share.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/io/image.hpp>
#include <mgm/mem/monitor.hpp>

namespace tool {

struct Options {
  std::string command, model;
  std::vector<std::string> images;
  std::optional<std::string> prompt;
  std::string output;                      // -o
  std::string device = "auto", dtype, weights = "native", isa;
  int threads = 0;
  bool json = false;
  std::string progress = "auto", exif = "apply";
  std::uint64_t seed = 0;
  std::string clip, openclip, prompt_template;
  float temperature = 0.2f;
  std::optional<float> top_p;  // absent: what the model's generation_config.json says, else 1
  std::optional<int> top_k;    // the same, else 50
  std::int64_t max_new_tokens = 512;
  std::vector<std::string> stop;
  std::string ocr, heatmap;
  bool gen = false, no_mining = false, blur_aux = false;
  // eval
  std::string data, image_folder, turn = "last", answer_prefix;
  bool show = false;
  // drawing: `draw`, and `chat` with a generator
  std::string generator, draw_dtype;
  std::optional<std::string> negative;
  std::optional<double> guidance;
  int steps = 50;
  std::string size, scheduler, karras = "auto", latents, dump;
  std::string init, mask, refiner, tile = "off";
  std::optional<double> strength, refiner_at;
  int pictures = 1, preview = 0;
  // what its generator is opened with
  std::string tokenizer, ip_adapter, ip_encoder, ip_image;
  std::vector<std::string> loras;
  double ip_scale = 1;
  // tokenize
  std::optional<std::string> text, jsonl, decode, decode_jsonl, conversation;
  std::int64_t max_length = 0;  // 0: not cut
  bool user_text = false, no_bos = false, skip_special = false;
  // inspect
  bool hash = false, scan = false;
};

/// Wrong usage: exit status 2.
struct UsageError {
  std::string message;
};

/// One line on standard error, whatever the message holds: file names may hold line ends too.
void complain(std::string_view message);

/// Progress on a terminal's standard error, and what Ctrl-C does: at the prompt it leaves the program, else it ends the work.
class Terminal : public mgm::Monitor {
 public:
  explicit Terminal(bool shown) : shown_(shown) {}
  void progress(mgm::Stage stage, mgm::Size done, mgm::Size total) noexcept override;
  /// `done` of `steps` steps of a picture are done.
  void step(int done, int steps) noexcept { step_ = done, steps_ = steps; }
  void clear() noexcept;
  void wait_for_a_line(bool on) noexcept { waiting_.store(on, std::memory_order_relaxed); }
  [[nodiscard]] bool waits_for_a_line() const noexcept { return waiting_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> waiting_{false};
  bool shown_;
  int percent_ = -1, step_ = 0, steps_ = 0;
  mgm::Stage stage_{};
  std::chrono::steady_clock::time_point since_{};  // the stage's beginning
};

mgm::io::Image read_picture(Options const& o, std::string const& path);

/// The commands. Each returns the exit status.
template <class T, class Dev>
int chat(Options const& o, Terminal& terminal);
template <class T, class Dev>
int dump(Options const& o, Terminal& terminal);
template <class T, class Dev>
int eval(Options const& o, Terminal& terminal);
template <class T, class Dev>
int draw(Options const& o, Terminal& terminal);
int tokenize(Options const& o);
int inspect(Options const& o);

}  // namespace tool
