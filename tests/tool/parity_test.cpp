// `mgm dump` beside the float64 activations of a reference: our own random folders (tests/reference/README.md), and those of others.
#include <gtest/gtest.h>

#include <cctype>
#include <set>

#include "support/parity.hpp"

#if defined(MGM_TOOL)
namespace parity_test {

std::string const kOwn = MGM_TEST_SOURCE "/tests/data/mgm", kOthers = MGM_TEST_DATA "/mgm";

/// Dumps a case and says what is wrong with the result.
void expect_parity(std::string const& folder, std::string const& dtype, std::vector<std::string> const& more = {}) {
  support::TempDir const scratch;
  support::ParityCase const wanted(folder);
  auto const ran = support::run(wanted.command(MGM_TOOL, dtype, scratch.path("dump.safetensors"), more));
  ASSERT_EQ(ran.status, 0) << folder << ": " << ran.err;
  for (auto const& difference : support::differences(wanted, scratch.path("dump.safetensors"), dtype == "f32"))
    ADD_FAILURE() << folder << " in " << dtype << (more.empty() ? "" : " " + more.back()) << ": " << difference;
}

/// What to force so that each of the CPU's paths runs that this machine has.
std::vector<std::string> paths() {
  support::TempDir const scratch;
  support::ParityCase const small(kOwn + "/llama_text");
  std::vector<std::string> out;
  for (std::string const path : {"portable", "avx2", "avx512", "avx512_bf16"})
    if (support::run(small.command(MGM_TOOL, "f32", scratch.path("x"), {"--isa", path})).status == 0) out.push_back(path);
  return out;
}

class Parity : public testing::TestWithParam<std::string> {};
TEST_P(Parity, F32) { expect_parity(GetParam(), "f32"); }
TEST_P(Parity, Bf16) { expect_parity(GetParam(), "bf16"); }
TEST_P(Parity, F16) { expect_parity(GetParam(), "f16"); }  // finer than bf16: the same bound holds
// The CUDA kernels on the Simt machine: general ones, with exact float sums; then those that an architecture has matrix instructions for.
TEST_P(Parity, SimtF32) { expect_parity(GetParam(), "f32", {"--device", "simt"}); }
TEST_P(Parity, SimtBf16) { expect_parity(GetParam(), "bf16", {"--device", "simt:80"}); }
TEST_P(Parity, SimtF16) { expect_parity(GetParam(), "f16", {"--device", "simt:80"}); }

std::string case_name(testing::TestParamInfo<std::string> const& info) { return std::filesystem::path(info.param).filename().string(); }
INSTANTIATE_TEST_SUITE_P(Own, Parity, testing::ValuesIn(support::case_folders(kOwn)), case_name);
INSTANTIATE_TEST_SUITE_P(Others, Parity, testing::ValuesIn(support::case_folders(kOthers)), case_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Parity);

TEST(ParityFolders, EveryFamilyIsThereStandardAndHd) {
  std::set<std::string> kinds;
  for (auto const& folder : support::case_folders(kOwn)) {
    auto const config = mgm::io::read_json(support::ParityCase(folder).at("model") + "/config.json");
    auto const type = config.at("model_type").get<std::string>();
    std::string const family = type.ends_with("gemma") ? "gemma" : type.ends_with("mixtral") ? "mixtral" : "llama";
    kinds.insert(type == "mini_gemini" ? "old names" : family + (config.at("image_grid").get<int>() > 1 ? " HD" : ""));
  }
  EXPECT_EQ(kinds, (std::set<std::string>{"gemma", "gemma HD", "llama", "llama HD", "mixtral", "mixtral HD", "old names"}));
}

TEST(ParityFolders, LargerOnesWrittenByOthers) {
  if (support::case_folders(kOthers).empty()) GTEST_SKIP() << kOthers << " is absent";
  EXPECT_GE(support::case_folders(kOthers).size(), 5u);
}

TEST(ParityPaths, EveryInstructionSet) {
  auto const there = paths();
  ASSERT_FALSE(there.empty());
  ASSERT_EQ(there.front(), "portable");
  for (auto const& path : there)
    for (std::string const name : {"llama_hd_2_images", "llama_odd_stages", "gemma_std", "mixtral_hd", "yi_std"})
      for (std::string const dtype : {"f32", "bf16"}) expect_parity(kOwn + "/" + name, dtype, {"--isa", path});
}

TEST(ParityPaths, ThreadsGiveTheSameBytes) {
  for (std::string const name : {"llama_hd", "gemma_hd", "mixtral_std", "llama_text"}) {
    support::ParityCase const wanted(kOwn + "/" + name);
    for (std::string const dtype : {"f32", "bf16"}) {
      support::TempDir const scratch;
      for (std::string const threads : {"1", "2", "3"}) {
        auto const ran = support::run(wanted.command(MGM_TOOL, dtype, scratch.path(threads), {"--threads", threads}));
        ASSERT_EQ(ran.status, 0) << ran.err;
      }
      auto const one = support::slurp(scratch.path("1"));
      EXPECT_GT(one.size(), 1000u);
      EXPECT_TRUE(one == support::slurp(scratch.path("2"))) << name << " in " << dtype << ": 2 threads";
      EXPECT_TRUE(one == support::slurp(scratch.path("3"))) << name << " in " << dtype << ": 3 threads";
    }
  }
}

// The comparison itself: one golden number moved by a little more than is allowed must show.
TEST(ParityComparison, SeesOneNumberThatIsOff) {
  support::TempDir const scratch;
  std::string const folder = scratch.path("case");
  std::filesystem::copy(kOwn + "/llama_cut", folder, std::filesystem::copy_options::recursive);
  support::ParityCase const wanted(folder);
  ASSERT_EQ(support::run(wanted.command(MGM_TOOL, "f32", scratch.path("dump"))).status, 0);
  ASSERT_TRUE(support::differences(wanted, scratch.path("dump"), true).empty());
  auto const file = mgm::io::TensorFile::open(folder + "/golden.safetensors");
  auto const info = *file->find("mined");
  auto golden = support::slurp(folder + "/golden.safetensors");
  float number = 0;
  std::memcpy(&number, golden.data() + info.offset + 40, 4);
  number += static_cast<float>(1e-4 * wanted.description.at("tensors").at("mined").at("scale").get<double>());
  std::memcpy(golden.data() + info.offset + 40, &number, 4);
  scratch.write("case/golden.safetensors", golden);
  auto const seen = support::differences(wanted, scratch.path("dump"), true);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].substr(0, 16), "mined: 1 of 384 ");
  EXPECT_TRUE(support::differences(wanted, scratch.path("dump"), false).empty());
}

/// Without white space at either end, as answers are given.
std::string stripped(std::string const& text) {
  auto const first = text.find_first_not_of(" \n"), last = text.find_last_not_of(" \n");
  return first == text.npos ? "" : text.substr(first, last + 1 - first);
}

// A trained model, and its greedy text as another program printed it, the prompt in front. That program fills positions 0 (BOS) to 199 and
// prints the choice made at each of them, so the answer holds 201 - (ids of the prompt) tokens.
TEST(Stories, GreedyTextIsTheGold) {
  std::string const folder = MGM_TEST_DATA "/stories260K";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is absent";
  for (auto const& gold : mgm::io::read_json(folder + "/greedy_gold.json")) {
    auto const prompt = gold.at("prompt").get<std::string>(), text = gold.at("text").get<std::string>();
    ASSERT_EQ(text.substr(0, prompt.size()), prompt);
    auto const ids = support::run({MGM_TOOL, "tokenize", folder, "--text", prompt});
    ASSERT_EQ(ids.status, 0) << ids.err;
    auto const tokens = gold.at("steps").get<std::size_t>() + 1 - mgm::io::parse_json(ids.out, "ids").size();
    auto const ran = support::run({MGM_TOOL, "chat", folder, "--template", "none", "--dtype", "f32", "--temperature", "0", "--prompt", prompt,
                                   "--progress", "never", "--json", "--max-new-tokens", std::to_string(tokens)});
    ASSERT_EQ(ran.status, 0) << ran.err;
    EXPECT_EQ(mgm::io::parse_json(ran.out, "answer").at("text").get<std::string>(), stripped(text.substr(prompt.size()))) << prompt;
  }
}

// Our own small model changes with its training, so only what must hold for any weights is asked.
TEST(MgmTiny, LoadsAndDumps) {
  support::TempDir const scratch;
  std::string const model = MGM_TEST_SOURCE "/examples/mgm-tiny", picture = kOwn + "/llama_std/picture_1.png";
  auto const ran = support::run({MGM_TOOL, "dump", model, "--image", picture, "--prompt", "What is there?", "-o", scratch.path("dump"),
                                 "--max-new-tokens", "4"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  auto const file = mgm::io::TensorFile::open(scratch.path("dump"));
  for (std::string const name :
       {"images_aux", "images", "vision_tower", "vision_tower_aux.stage_3", "mined", "projected", "hidden_states.last", "logits"}) {
    auto const* tensor = file->find(name);
    ASSERT_NE(tensor, nullptr) << name;
    auto const all = support::numbers<float>(*file, *tensor);
    EXPECT_TRUE(std::all_of(all.begin(), all.end(), [](float x) { return std::isfinite(x); })) << name;
    EXPECT_GT(std::count_if(all.begin(), all.end(), [](float x) { return x != 0; }), std::ssize(all) / 2) << name;
  }
}

// On the CUDA kernels, run by the processor, it answers as on the processor's own.
TEST(MgmTiny, AnswersOnSimtAsOnTheProcessor) {
  auto const answer = [](std::string const& device) {
    auto const ran = support::run({MGM_TOOL, "chat", MGM_TEST_SOURCE "/examples/mgm-tiny", "--device", device, "--dtype", "bf16", "--image",
                                   MGM_TEST_SOURCE "/examples/pictures/scene_1.png", "--prompt", "What colour is the background?", "--temperature",
                                   "0", "--progress", "never"});
    EXPECT_EQ(ran.status, 0) << ran.err;
    return ran.out;
  };
  std::string const on_cpu = answer("cpu");
  EXPECT_EQ(answer("simt"), on_cpu);
  EXPECT_EQ(answer("simt:80"), on_cpu);
}

}  // namespace parity_test
#else
TEST(Parity, NeedsTheTool) { FAIL() << "the mgm tool is not built here: it needs CLI11, libpng and libjpeg (and MGM_EXAMPLES=ON)"; }
#endif
