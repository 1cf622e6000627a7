// The published vocabularies against their published ids; skipped where the files are absent.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include <mgm/io/tokenizer.hpp>

namespace {
namespace fs = std::filesystem;
using mgm::io::Tokenizer;

std::string const kData = MGM_TEST_DATA;

struct Gold {
  std::vector<std::string> texts;
  std::vector<std::vector<int>> ids;
};

Gold read_gold(std::string const& name) {
  Gold gold;
  std::string const marker = "\n__ggml_vocab_test__\n";
  std::string const input = mgm::io::read_text(kData + "/tokenizers/gold/" + name + ".inp", 1 << 20);
  for (std::size_t at = 0; at < input.size();) {
    std::size_t const end = input.find(marker, at);
    gold.texts.push_back(input.substr(at, end - at));
    if (end == std::string::npos) break;
    at = end + marker.size();
  }
  std::istringstream lines(mgm::io::read_text(kData + "/tokenizers/gold/" + name + ".out", 1 << 20));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    gold.ids.emplace_back();
    for (int id; numbers >> id;) gold.ids.back().push_back(id);
  }
  return gold;
}

void expect_gold(std::string const& folder, std::string const& name) {
  if (!fs::exists(kData + "/tokenizers/gold")) GTEST_SKIP() << "no " << kData << "/tokenizers/gold";
  Tokenizer const tokenizer = Tokenizer::open(kData + "/tokenizers/" + folder);
  Gold const gold = read_gold(name);
  ASSERT_EQ(gold.texts.size(), gold.ids.size());
  ASSERT_EQ(gold.ids.size(), 46U);
  for (std::size_t i = 0; i < gold.texts.size(); ++i)
    EXPECT_EQ(tokenizer.encode(gold.texts[i], {.bos = false}), gold.ids[i]) << "case " << i << ": " << gold.texts[i];
}

TEST(TokenizerGold, Llama2) { expect_gold("llama2", "llama-spm"); }

TEST(TokenizerGold, Llama3) { expect_gold("llama3", "llama-bpe"); }

TEST(TokenizerGold, Clip) {
  std::string const folder = kData + "/tokenizers/clip";
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder;
  Tokenizer const tokenizer = Tokenizer::open(folder);
  EXPECT_EQ(tokenizer.size(), 49408);
  EXPECT_EQ(tokenizer.encode("It's 2024, isn't it?"), (std::vector{49406, 585, 568, 273, 271, 273, 275, 267, 2923, 713, 585, 286, 49407}));
  EXPECT_EQ(tokenizer.encode("\uFB01ne \u00BD \u0130stanbul \u0391\u03A3", {.bos = false, .eos = false}),
            (std::vector{171, 105, 223, 1422, 33613, 328, 16384, 11231, 138, 109, 139, 481}));
  EXPECT_EQ(tokenizer.encode("<|endoftext|>", {.special = mgm::io::Special::plain}).size(), 8U);
}

TEST(TokenizerGold, FilesOfOneFolderByPreference) {
  std::string const folder = kData + "/tokenizers/mistral";
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder;
  Tokenizer const slow = Tokenizer::open(folder, {.prefer = mgm::io::Prefer::slow}),
                  quick = Tokenizer::open(folder, {.prefer = mgm::io::Prefer::fast});
  EXPECT_EQ(slow.kind(), "SentencePiece BPE, legacy");
  EXPECT_EQ(quick.kind(), "tokenizer.json BPE");
  EXPECT_EQ(slow.encode("[INST] hi [/INST]"), quick.encode("[INST] hi [/INST]"));
  EXPECT_EQ(quick.encode("[INST] "), (std::vector{1, 733, 16289, 28793, 28705}));
}

TEST(TokenizerGold, Stories) {
  std::string const folder = kData + "/stories260K";
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder;
  Tokenizer const tokenizer = Tokenizer::open(folder);
  EXPECT_EQ(tokenizer.size(), 512);
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_FALSE(tokenizer.legacy());
  std::vector<int> const ids = tokenizer.encode("Once upon a time");
  EXPECT_EQ(ids, (std::vector{1, 403, 407, 261, 378}));
  EXPECT_EQ(tokenizer.decode(ids, {.skip_special = true}), "Once upon a time");
}
}  // namespace
