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
