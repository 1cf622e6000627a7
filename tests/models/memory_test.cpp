// What opening and running a model costs in memory, as the system counts it: a child process opens a folder of 150 MB and reports.
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include <mgm/io/atomic_file.hpp>
#include <mgm/io/safetensors_writer.hpp>
#include <mgm/models/open.hpp>

namespace memory_test {
using namespace mgm;

constexpr Size kMiB = Size{1} << 20, kVocab = 6000, kWidth = 768, kDepth = 3, kFfn = 3072, kPositions = 256;
constexpr Size kParameters = 2 * kVocab * kWidth + kDepth * (4 * kWidth * kWidth + 3 * kWidth * kFfn + 2 * kWidth) + kWidth;
constexpr Size kLargest = kVocab * kWidth;

/// A LLaMA folder in f32 whose tensors all show the same numbers, so that writing it needs little memory. Gone with the object.
struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / text("mgm-memory-test-", ::getpid());
  Folder() {
    std::filesystem::create_directories(path);
    std::vector<float> numbers(static_cast<std::size_t>(kLargest));
    unsigned state = 1;
    for (float& n : numbers) state = state * 1664525u + 1013904223u, n = static_cast<float>(state >> 8) * 0x1p-24f * 0.1f - 0.05f;
    std::vector<io::TensorToWrite> tensors;
    auto const add = [&](std::string const& name, std::vector<Size> shape) { tensors.emplace_back(name, Dtype::f32, std::move(shape), numbers.data()); };
    add("model.embed_tokens.weight", {kVocab, kWidth}), add("lm_head.weight", {kVocab, kWidth}), add("model.norm.weight", {kWidth});
    for (Size i = 0; i < kDepth; ++i) {
      std::string const at = text("model.layers.", i, ".");
      for (char const* p : {"q_proj", "k_proj", "v_proj", "o_proj"}) add(at + "self_attn." + p + ".weight", {kWidth, kWidth});
      add(at + "mlp.gate_proj.weight", {kFfn, kWidth}), add(at + "mlp.up_proj.weight", {kFfn, kWidth}), add(at + "mlp.down_proj.weight", {kWidth, kFfn});
      add(at + "input_layernorm.weight", {kWidth}), add(at + "post_attention_layernorm.weight", {kWidth});
    }
    io::write_safetensors((path / "model.safetensors").string(), tensors);
    io::write_file((path / "config.json").string(),
                   text(R"({"model_type": "llama", "hidden_size": )", kWidth, R"(, "intermediate_size": )", kFfn, R"(, "num_hidden_layers": )", kDepth,
                        R"(, "num_attention_heads": 12, "vocab_size": )", kVocab, R"(, "max_position_embeddings": )", kPositions, "}"));
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

/// The numbers of /proc/self/status, in bytes.
std::map<std::string, Size> memory() {
  std::map<std::string, Size> out;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (auto const colon = line.find(':'); line.ends_with(" kB")) out[line.substr(0, colon)] = std::stoll(line.substr(colon + 1)) * 1024;
  return out;
}

/// Growth of a child process that opens the folder as T, fills a cache with a prompt and takes a step.
struct Growth {
  Size peak = -1, after_open_anonymous = -1, after_open_file = -1;
};
template <class T>
Growth measure(std::filesystem::path const& folder) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return {};
  pid_t const child = ::fork();
  if (child == 0) {
    Growth g;
    try {
#if defined(__GLIBC__)
      ::malloc_trim(0);  // what the tests before this one left free would hide growth
#endif
      auto const before = memory();
      Context<Cpu> ctx({.threads = 2});
      auto const model = models::MiniGemini<T>::open(ctx, folder, {.vocabulary = false});
      auto const opened = memory();
      auto const& lm = *model.language_model;
      nn::KvCache<T> cache(ctx, lm.cache_config(kPositions));
      for (std::vector<int> ids(64, 7); !ids.empty(); ids.resize(ids.size() > 1 ? 1 : 0)) {
        auto const x = ctx.template empty<T>(Extents{static_cast<Size>(ids.size()), kWidth});
        lm.embed(ctx, ids, x);
        lm(ctx, x, cache);
        (void)lm.logits(ctx, lm.normed(ctx, x.slice(0, x.extent(0) - 1, 1)), kVocab);
      }
      g = {memory().at("VmHWM") - before.at("VmRSS"), opened.at("RssAnon") - before.at("RssAnon"), opened.at("RssFile") - before.at("RssFile")};
    } catch (...) {  // the parent sees −1
    }
    [[maybe_unused]] auto const written = ::write(ends[1], &g, sizeof g);
    ::_exit(0);
  }
  Growth g;
  ::close(ends[1]);
  if (::read(ends[0], &g, sizeof g) != static_cast<ssize_t>(sizeof g)) g = {};
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return g;
}

/// Final form, twice the largest tensor as it is stored, 64 MiB, the session's cache.
template <class T>
constexpr Size kAllowed = kParameters* Size{sizeof(T)} + 2 * kLargest * 4 + 64 * kMiB + 2 * kDepth * kPositions * kWidth* Size{sizeof(T)};

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kShadowed = true;
#elif defined(__has_feature)
constexpr bool kShadowed = __has_feature(address_sanitizer);
#else
constexpr bool kShadowed = false;
#endif

TEST(Memory, ConvertedWeightsTakeTheirFinalFormAndLittleMore) {
  if (kShadowed) GTEST_SKIP() << "the sanitizer's own memory counts too";
  Folder const folder;
  Size const source = kParameters * 4;
  ASSERT_GT(source + kParameters * 2, kAllowed<bf16>) << "holding the source and the result at once must not pass";
  Growth const g = measure<bf16>(folder.path);
  ASSERT_GT(g.peak, kParameters * 2) << "all weights are in memory";
  EXPECT_LE(g.peak, kAllowed<bf16>);
  EXPECT_LE(g.after_open_file, 16 * kMiB) << "the source's pages are given back";
  RecordProperty("peak_MiB", static_cast<int>(g.peak / kMiB));
}

TEST(Memory, WeightsReadAsStoredStayMapped) {
  if (kShadowed) GTEST_SKIP() << "the sanitizer's own memory counts too";
  Folder const folder;
  Growth const g = measure<float>(folder.path);
  ASSERT_GE(g.peak, 0) << "the child failed";
  EXPECT_LE(g.peak, kAllowed<float>);
  EXPECT_LE(g.after_open_anonymous, 8 * kMiB) << "nothing was copied";
  EXPECT_LE(g.after_open_file, 16 * kMiB) << "nothing was read before it is needed";
  RecordProperty("peak_MiB", static_cast<int>(g.peak / kMiB));
}

}  // namespace memory_test
