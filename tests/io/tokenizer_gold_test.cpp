// The published vocabularies against their published ids; skipped where the files are absent.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <mgm/io/tokenizer.hpp>

#include "support/files.hpp"

namespace tokenizer_gold_test {
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

// The vectors of a prompt's ids; "!" is cut out of the text where it is the padding token, as SDXL's second tokenizer has it.
TEST(TokenizerGold, ClipPrompts) {
  fs::path const folder = kData + "/tokenizers/clip";
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder;
  Tokenizer const tokenizer = Tokenizer::open(folder.string());
  auto const ids = [](Tokenizer const& t, std::string const& text) { return t.encode(text, {.bos = false, .eos = false}); };
  struct Row {
    std::string text;
    std::vector<int> ids;
  };
  for (Row const& row : {
           Row{"a photo of an astronaut riding a horse on mars", {320, 1125, 539, 550, 18376, 6765, 320, 4558, 525, 7496}},
           Row{"hello world!", {3306, 1002, 256}},
           Row{"Caf\u00E9 na\u00EFve \u6771\u4EAC \U0001F680", {15304, 1097, 35689, 563, 48338, 21078, 361, 13542}},
           Row{"  MiXeD\t\nCase  ", {6780, 2068}},
           Row{"Astronaut in a jungle, cold color palette, muted colors, detailed, 8k",
               {18376, 530, 320, 10865, 267, 3153, 3140, 13901, 267, 48028, 5389, 267, 12609, 267, 279, 330}},
           Row{"I'D We'LL they've", {328, 1896, 649, 1342, 889, 1200}},
           Row{"3.14159 #hashtag @user http://x.y/z?q=1&r=2", {274, 269, 272, 275, 272, 276, 280, 258, 9238, 287, 7031, 15066, 12441,
                                                               343, 269, 344, 270, 345, 286, 336, 284, 272,  261, 337,  284,   273}},
           Row{"", {}},
       })
    EXPECT_EQ(ids(tokenizer, row.text), row.ids) << row.text;
  support::TempDir const scratch;
  fs::path const second = scratch.path();
  for (std::string const name : {"vocab.json", "merges.txt"})
    fs::copy_file(folder / name, second / name);
  std::ofstream(second / "tokenizer_config.json")
      << R"({"tokenizer_class": "CLIPTokenizer", "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "!"})";
  Tokenizer const other = Tokenizer::open(second.string());
  EXPECT_EQ(ids(other, "hello world!"), (std::vector{3306, 1002, 0}));
  EXPECT_EQ(other.encode("! !! !!!"), (std::vector{49406, 0, 0, 0, 0, 0, 0, 49407}));
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
}  // namespace tokenizer_gold_test
