// Small vocabularies of every family against ids from the original libraries (tests/reference/make_tokenizer_cases.py made both).
#include <gtest/gtest.h>

#include <sstream>

#include <mgm/io/tokenizer.hpp>

namespace tokenizer_cases_test {
using mgm::io::Json;
using mgm::io::Part;
using mgm::io::Prefer;
using mgm::io::Special;
using mgm::io::StreamDecoder;
using mgm::io::Tokenizer;

std::string const kFolder = std::string(MGM_TEST_SOURCE) + "/tests/data/tokenizers/";

std::vector<Json> read_cases(std::string const& family) {
  std::istringstream lines(mgm::io::read_text(kFolder + family + "/cases.jsonl", 1 << 20));
  std::vector<Json> out;
  for (std::string line; std::getline(lines, line);) out.push_back(mgm::io::parse_json(line, family));
  return out;
}
std::string stream(Tokenizer const& tokenizer, std::vector<int> const& ids, bool skip) {
  StreamDecoder decoder(tokenizer, {.skip_special = skip});
  std::string all;
  for (int const id : ids) {
    std::string const piece = decoder.push(id);
    EXPECT_EQ(mgm::io::vocab::first_invalid(piece), std::string::npos) << "a piece ends inside a character";
    all += piece;
  }
  return all + decoder.flush();
}

class TokenizerCases : public testing::TestWithParam<char const*> {};

TEST_P(TokenizerCases, EqualToTheOriginalLibraries) {
  Tokenizer const tokenizer = Tokenizer::open(kFolder + GetParam());
  auto const cases = read_cases(GetParam());
  ASSERT_GT(cases.size(), 60U);
  for (Json const& c : cases) {
    if (!c.contains("text")) {
      EXPECT_EQ(tokenizer.size(), c["size"].get<int>());
      for (auto const& [name, id] :
           {std::pair{"bos", tokenizer.bos()}, {"eos", tokenizer.eos()}, {"unk", tokenizer.unk()}, {"pad", tokenizer.pad()}})
        EXPECT_EQ(id, c[name].is_null() ? std::optional<int>() : c[name].get<int>()) << name;
      continue;
    }
    auto const text = c["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text), c["ids"].get<std::vector<int>>()) << c["text"];
    EXPECT_EQ(tokenizer.encode(text, {.bos = false, .eos = false}), c["bare"].get<std::vector<int>>()) << c["text"];
    auto const list = c["list"].get<std::vector<int>>();
    EXPECT_EQ(tokenizer.decode(list), c["decoded"].get<std::string>()) << c["list"];
    EXPECT_EQ(tokenizer.decode(list, {.skip_special = true}), c["skipped"].get<std::string>()) << c["list"];
    EXPECT_EQ(stream(tokenizer, list, false), c["decoded"].get<std::string>()) << c["list"];
    EXPECT_EQ(stream(tokenizer, list, true), c["skipped"].get<std::string>()) << c["list"];
  }
}

TEST_P(TokenizerCases, PlainTextNeverBecomesASpecialToken) {
  Tokenizer const tokenizer = Tokenizer::open(kFolder + GetParam());
  int specials = 0;
  for (int id = 0; id < tokenizer.size(); ++id) {
    if (!tokenizer.is_special(id)) continue;
    ++specials;
    for (std::string const& text : {tokenizer.token(id), "a" + tokenizer.token(id) + "b", tokenizer.token(id) + tokenizer.token(id)}) {
      for (int const found : tokenizer.encode(text, {.special = Special::plain, .bos = false, .eos = false}))
        EXPECT_TRUE(!tokenizer.is_special(found) || found == tokenizer.unk()) << text << " gave " << tokenizer.token(found);
      Part const parts[] = {{"x ", false}, {text, true}, {" y", false}};
      for (int const found : tokenizer.encode(parts, {.bos = false, .eos = false}))
        EXPECT_TRUE(!tokenizer.is_special(found) || found == tokenizer.unk())
            << text << " between control text gave " << tokenizer.token(found);
    }
  }
  EXPECT_GE(specials, 2);
}

TEST_P(TokenizerCases, PartsGiveWhatTheWholeTextGives) {
  Tokenizer const tokenizer = Tokenizer::open(kFolder + GetParam());
  std::string const control = tokenizer.token(*tokenizer.eos());
  for (std::string const user : {"Hello  world", " What colour?\n", "東京 🚀", "don't", "", " ", "1234"}) {
    std::string const whole = "USER: " + user + " ASSISTANT:" + control + "USER:" + user;
    std::string const front = "USER: ", middle = " ASSISTANT:" + control + "USER:";
    Part const parts[] = {{front, false}, {user, true}, {middle, false}, {user, true}};
    EXPECT_EQ(tokenizer.encode(parts), tokenizer.encode(whole)) << user;
  }
  std::string const half = control.substr(0, control.size() / 2),
                    rest = control.substr(control.size() / 2);  // no match across into plain text
  Part const torn[] = {{half, false}, {rest, true}};
  for (int const id : tokenizer.encode(torn, {.bos = false, .eos = false})) EXPECT_NE(id, tokenizer.eos());
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerCases,
                         testing::Values("vicuna", "vicuna_legacy", "yi", "yi_not_legacy", "gemma", "mixtral", "llama3", "clip", "rules",
                                         "rules_not_legacy", "metaspace"),
                         [](auto const& param) { return std::string(param.param); });

TEST(Tokenizer, AddedTokens) {
  for (char const* family : {"vicuna", "gemma", "llama3"}) {
    Tokenizer const before = Tokenizer::open(kFolder + family);
    Tokenizer after = before;
    int const id = after.add_token("<im_patch>", true);
    EXPECT_EQ(id, before.size());
    EXPECT_EQ(after.size(), before.size() + 1);
    EXPECT_EQ(after.add_token("<im_patch>", true), id);
    EXPECT_EQ(after.id_of("<im_patch>"), id);
    EXPECT_TRUE(after.is_special(id));
    auto const ids = after.encode("a<im_patch>", {.bos = false});
    EXPECT_EQ(ids.back(), id);
    EXPECT_EQ(after.decode(ids, {.skip_special = true}), "a");
    EXPECT_FALSE(before.id_of("<im_patch>"));
  }
}

TEST(Tokenizer, TextThatIsNotUtf8) {
  Tokenizer const tokenizer = Tokenizer::open(kFolder + "vicuna");
  using namespace std::string_literals;
  std::pair<std::string, std::string> const pairs[] = {{"a\x80z", "a\uFFFDz"},
                                                       {"\xC0\xAF", "\uFFFD\uFFFD"},
                                                       {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
                                                       {"\xF0\x9F\x9A", "\uFFFD"},
                                                       {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
                                                       {"\xE6\x9D", "\uFFFD"},
                                                       {"\xFF\xFE", "\uFFFD\uFFFD"}};
  for (auto const& [broken, repaired] : pairs) {
    EXPECT_EQ(tokenizer.encode(broken), tokenizer.encode(repaired));
    EXPECT_THROW((void)tokenizer.encode(broken, {.strict = true}), mgm::ArgumentError);
    EXPECT_NO_THROW((void)tokenizer.encode(repaired, {.strict = true}));
  }
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a\0b"s, {.bos = false})), "a\0b"s);
}

TEST(Tokenizer, StreamHoldsUnfinishedCharacters) {
  Tokenizer const tokenizer = Tokenizer::open(kFolder + "llama3");
  auto const ids = tokenizer.encode("🚀", {.bos = false});
  ASSERT_GE(ids.size(), 4U);  // not learned: bytes
  StreamDecoder stream(tokenizer);
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) EXPECT_EQ(stream.push(ids[i]), "");
  EXPECT_EQ(stream.push(ids.back()), "🚀");
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.flush(), "\uFFFD");
  EXPECT_EQ(stream.flush(), "");
}

TEST(Tokenizer, RefusesIdsOutOfRangeAndGoesOn) {
  for (char const* family : {"vicuna", "gemma", "clip"}) {
    Tokenizer const tokenizer = Tokenizer::open(kFolder + family);
    for (int const bad : {-1, tokenizer.size(), 1 << 30, -(1 << 30)}) {
      EXPECT_THROW((void)tokenizer.decode(std::vector{bad}), mgm::ArgumentError);
      EXPECT_THROW((void)tokenizer.token(bad), mgm::ArgumentError);
      StreamDecoder stream(tokenizer);
      EXPECT_THROW((void)stream.push(bad), mgm::ArgumentError);
    }
    EXPECT_NO_THROW((void)tokenizer.decode(std::vector{0, tokenizer.size() - 1}));
  }
  Tokenizer const tokenizer = Tokenizer::open(kFolder + "vicuna");
  EXPECT_THROW((void)tokenizer.encode("12345", {.max_bytes = 4}), mgm::LimitError);
  EXPECT_NO_THROW((void)tokenizer.encode("1234", {.max_bytes = 4}));
}

TEST(Tokenizer, WorkGrowsAsTheTextDoes) {
  using namespace mgm::io::vocab;
  std::string const file = kFolder + "vicuna/tokenizer.model";
  SentencePiece const model(read_sentencepiece_file(mgm::io::read_text(file, 1 << 20), file), file);
  for (std::string const unit : {"e", "the ", "\n", " ", "ab"}) {
    std::uint64_t work[2];
    for (std::size_t i = 0; i < 2; ++i) {
      std::string text;
      for (std::size_t n = 0; n < (20000U << i); ++n) text += unit;
      std::vector<int> ids;
      MergeWork const done = model.encode(text, true, {}, ids);
      work[i] = done.merges + done.looked_up + done.queued;
      EXPECT_LE(done.queued, 3 * (text.size() + 1));
    }
    EXPECT_LE(work[1], 2 * work[0] + 100) << unit;
  }
}
}  // namespace tokenizer_cases_test
