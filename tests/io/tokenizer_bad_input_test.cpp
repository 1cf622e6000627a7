// Broken vocabulary files are refused by name, each next to a good twin that is read.
#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

#include <mgm/io/tokenizer.hpp>

namespace tokenizer_bad_input_test {
namespace fs = std::filesystem;
using mgm::io::Json;
using mgm::io::Tokenizer;

std::string const kFamilies = std::string(MGM_TEST_SOURCE) + "/tests/data/tokenizers/";

/// A folder that goes away with the test.
struct Folder {
  fs::path path;
  explicit Folder(std::string const& family = {}) {
    static int count = 0;
    path = fs::temp_directory_path() / ("mgm_tokenizer_" + std::to_string(::getpid()) + "_" + std::to_string(++count));
    fs::create_directory(path);
    if (!family.empty())
      for (auto const& file : fs::directory_iterator(kFamilies + family))
        if (file.path().filename() != "cases.jsonl")
          write(file.path().filename().string(), mgm::io::read_text(file.path().string(), 1 << 20));
  }
  ~Folder() {
    std::error_code none;
    fs::remove_all(path, none);
  }
  Folder(Folder const&) = delete;
  void write(std::string const& name, std::string const& bytes) const { std::ofstream(path / name, std::ios::binary) << bytes; }
  [[nodiscard]] std::string read(std::string const& name) const { return mgm::io::read_text((path / name).string(), 1 << 20); }
};

/// The folder is refused with one line that names the file, and the same process still reads a good one.
void expect_refused(Folder const& folder, std::string const& file, std::string const& kind) {
  try {
    (void)Tokenizer::open(folder.path.string());
    ADD_FAILURE() << kind << ": accepted";
  } catch (mgm::Error const& error) {
    std::string const what = error.what();
    EXPECT_NE(what.find(file), std::string::npos) << kind << ": " << what;
    EXPECT_EQ(what.find('\n'), std::string::npos) << kind << ": " << what;
    EXPECT_LT(what.size(), 600U) << kind << ": " << what;
  }
}
void expect_good(Folder const& folder, std::string const& kind) {
  try {
    EXPECT_FALSE(Tokenizer::open(folder.path.string()).encode("a b").empty()) << kind;
  } catch (std::exception const& error) {
    ADD_FAILURE() << kind << ": the good twin is refused: " << error.what();
  }
}

// ---- SentencePiece: a model written field by field, so that every field can lie
std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(static_cast<unsigned char>(value | 0x80));
  return out + static_cast<char>(value);
}
std::string tag(unsigned field, unsigned wire) { return varint(field << 3 | wire); }
std::string bytes_field(unsigned field, std::string const& bytes) { return tag(field, 2) + varint(bytes.size()) + bytes; }
std::string number_field(unsigned field, std::uint64_t value) { return tag(field, 0) + varint(value); }
std::string float_field(unsigned field, float value) {
  auto const bits = std::bit_cast<std::uint32_t>(value);
  std::string out = tag(field, 5);
  for (int i = 0; i < 4; ++i) out += static_cast<char>(static_cast<unsigned char>(bits >> (8 * i)));
  return out;
}
std::string piece(std::string const& text, float score = 0, unsigned type = 1) {
  return bytes_field(1, bytes_field(1, text) + float_field(2, score) + number_field(3, type));
}
std::string hex_piece(int byte) {
  constexpr char kHex[] = "0123456789ABCDEF";
  return std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">";
}
std::string u32(std::uint32_t v) {
  return {static_cast<char>(v), static_cast<char>(v >> 8), static_cast<char>(v >> 16), static_cast<char>(v >> 24)};
}

struct Model {
  std::string heads = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3), bytes = all_bytes(), tail,
              trainer = number_field(3, 2) + number_field(35, 1), normalizer = number_field(3, 1);
  static std::string all_bytes() {
    std::string out;
    for (int i = 0; i < 256; ++i) out += piece(hex_piece(i), 0, 6);
    return out;
  }
  [[nodiscard]] std::string text() const {
    return heads + bytes + piece("a", -1) + piece("\xE2\x96\x81", -2) + tail + (trainer.empty() ? "" : bytes_field(2, trainer)) +
           bytes_field(3, normalizer);
  }
};

TEST(TokenizerBadInput, SentencePieceModels) {
  Model const good;
  auto const with = [&](auto change) {
    Model model = good;
    change(model);
    return model.text();
  };
  std::string const whole = good.text();
  std::string no_byte = good.bytes, zero_trie(2048, '\0');
  no_byte.erase(0, piece(hex_piece(0), 0, 6).size());
  float const nan = std::numeric_limits<float>::quiet_NaN();
  std::pair<char const*, std::string> const kinds[] = {
      {"empty", ""},
      {"a text", "hello, this is no model"},
      {"git-lfs pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"},
      {"HTML page", "<!DOCTYPE html><html><body>404</body></html>"},
      {"JSON", "{\"model\": 1}"},
      {"cut in a piece", whole.substr(0, 40)},
      {"cut in the trainer settings", whole.substr(0, whole.size() - 6)},
      {"length past the end", whole + tag(1, 2) + varint(1000) + "x"},
      {"length of 2^63", whole + tag(1, 2) + varint(std::uint64_t{1} << 63)},
      {"number of eleven bytes", whole + tag(9, 0) + std::string(10, '\xFF') + "\x01"},
      {"number without an end", whole + tag(9, 0) + "\xFF"},
      {"field number 0", whole + std::string(1, '\0') + "\x01"},
      {"wire type 3", whole + tag(9, 3)},
      {"wire type 7", whole + tag(9, 7)},
      {"eight bytes cut", whole + tag(9, 1) + "1234"},
      {"pieces as numbers", whole + number_field(1, 5)},
      {"trainer as number", with([](Model& m) { m.tail = number_field(2, 5); })},
      {"text as number", with([](Model& m) { m.tail = bytes_field(1, number_field(1, 5)); })},
      {"score as number", with([](Model& m) { m.tail = bytes_field(1, bytes_field(1, "b") + number_field(2, 5)); })},
      {"score as eight bytes", with([](Model& m) { m.tail = bytes_field(1, bytes_field(1, "b") + tag(2, 1) + "12345678"); })},
      {"type as bytes", with([](Model& m) { m.tail = bytes_field(1, bytes_field(1, "b") + bytes_field(3, "x")); })},
      {"type 0", with([](Model& m) { m.tail = piece("b", 0, 0); })},
      {"type 9", with([](Model& m) { m.tail = piece("b", 0, 9); })},
      {"score NaN", with([&](Model& m) { m.tail = piece("b", nan); })},
      {"empty piece", with([](Model& m) { m.tail = piece(""); })},
      {"piece without text", with([](Model& m) { m.tail = bytes_field(1, float_field(2, 1)); })},
      {"piece twice", with([](Model& m) { m.tail = piece("a"); })},
      {"control piece twice", with([](Model& m) { m.tail = piece("<s>", 0, 3); })},
      {"piece not UTF-8", with([](Model& m) { m.tail = piece("\xFF"); })},
      {"two unknown pieces", with([](Model& m) { m.tail = piece("<u2>", 0, 2); })},
      {"no unknown piece", with([](Model& m) { m.heads = piece("<s>", 0, 3) + piece("</s>", 0, 3); })},
      {"byte <0x-1>", with([](Model& m) { m.tail = piece("<0x-1>", 0, 6); })},
      {"byte <0xZZ>", with([](Model& m) { m.tail = piece("<0xZZ>", 0, 6); })},
      {"byte <0x0a>", with([](Model& m) { m.tail = piece("<0x0a>", 0, 6); })},
      {"byte missing", with([&](Model& m) { m.bytes = no_byte; })},
      {"bytes missing", with([](Model& m) { m.bytes.clear(); })},
      {"bytes without byte_fallback", with([](Model& m) { m.trainer = number_field(3, 2); })},
      {"unigram", with([](Model& m) { m.trainer = number_field(3, 1) + number_field(35, 1); })},
      {"word", with([](Model& m) { m.trainer = number_field(3, 3) + number_field(35, 1); })},
      {"char", with([](Model& m) { m.trainer = number_field(3, 4) + number_field(35, 1); })},
      {"type of model left out", with([](Model& m) { m.trainer = number_field(35, 1); })},
      {"no trainer settings", with([](Model& m) { m.trainer.clear(); })},
      {"no pieces", bytes_field(2, good.trainer)},
      {"rules of 3 bytes", with([](Model& m) { m.normalizer += bytes_field(2, "abc"); })},
      {"rules with a trie past their end",
       with([&](Model& m) { m.normalizer += bytes_field(2, u32(4096) + zero_trie + std::string(1, '\0')); })},
      {"rules with an odd trie", with([&](Model& m) { m.normalizer += bytes_field(2, u32(2047) + zero_trie + std::string(9, '\0')); })},
      {"rules without a last zero", with([&](Model& m) { m.normalizer += bytes_field(2, u32(2048) + zero_trie + "abc"); })},
      {"rules that point outside",
       with([&](Model& m) { m.normalizer += bytes_field(2, u32(2048) + zero_trie.substr(4) + u32(0x80FFFFFF) + std::string(1, '\0')); })},
      {"denormalizer", whole + bytes_field(5, bytes_field(2, "x"))},
  };
  for (auto const& [kind, bytes] : kinds) {
    Folder const folder;
    folder.write("tokenizer.model", bytes);
    expect_refused(folder, "tokenizer.model", kind);
  }
  std::pair<char const*, std::string> const twins[] = {
      {"as it is", whole},
      {"with an unknown field", whole + bytes_field(77, "x") + number_field(78, 1)},
      {"with infinite scores", with([](Model& m) { m.tail = piece("b", -std::numeric_limits<float>::infinity()); })},
      {"with every type", with([](Model& m) { m.tail = piece("b", 0, 4) + piece("c", 0, 5) + piece("<ctl>", 0, 3); })},
      {"without bytes", with([](Model& m) { m.bytes.clear(), m.trainer = number_field(3, 2); })},
      {"with an empty denormalizer", whole + bytes_field(5, number_field(3, 0))},
      {"with rules that match nothing",
       with([&](Model& m) { m.normalizer += bytes_field(2, u32(2048) + zero_trie + std::string(1, '\0')); })},
  };
  for (auto const& [kind, bytes] : twins) {
    Folder const folder;
    folder.write("tokenizer.model", bytes);
    expect_good(folder, kind);
  }
}

// ---- tokenizer.json
TEST(TokenizerBadInput, TokenizerJson) {
  Json const good = mgm::io::parse_json(mgm::io::read_text(kFamilies + "mixtral/tokenizer.json", 1 << 20), "mixtral");
  using Change = std::function<void(Json&)>;
  auto const regex = [](char const* pattern) {
    return [pattern](Json& j) {
      j["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
    };
  };
  std::pair<char const*, Change> const kinds[] = {
      {"no model", [](Json& j) { j.erase("model"); }},
      {"model is a text", [](Json& j) { j["model"] = "BPE"; }},
      {"Unigram", [](Json& j) { j["model"]["type"] = "Unigram"; }},
      {"WordPiece", [](Json& j) { j["model"]["type"] = "WordPiece"; }},
      {"no vocab", [](Json& j) { j["model"].erase("vocab"); }},
      {"empty vocab", [](Json& j) { j["model"]["vocab"] = Json::object(); }},
      {"vocab is an array",
       [](Json& j) {
         j["model"]["vocab"] = Json::array({1, 2});
       }},
      {"merge of an absent left piece", [](Json& j) { j["model"]["merges"].push_back("qqq a"); }},
      {"merge of an absent right piece", [](Json& j) { j["model"]["merges"].push_back("a qqq"); }},
      {"merge to an absent piece", [](Json& j) { j["model"]["merges"].push_back("<s> </s>"); }},
      {"merge of one piece", [](Json& j) { j["model"]["merges"].push_back("a"); }},
      {"merge of three pieces", [](Json& j) { j["model"]["merges"].push_back("a b c"); }},
      {"merge that is a number", [](Json& j) { j["model"]["merges"].push_back(7); }},
      {"merge that is null", [](Json& j) { j["model"]["merges"].push_back(nullptr); }},
      {"merge array of three",
       [](Json& j) {
         j["model"]["merges"].push_back({"a", "b", "c"});
       }},
      {"merge that is an object", [](Json& j) { j["model"]["merges"].push_back(Json::object()); }},
      {"negative id", [](Json& j) { j["model"]["vocab"]["qq"] = -1; }},
      {"fractional id", [](Json& j) { j["model"]["vocab"]["qq"] = 1.5; }},
      {"text as id", [](Json& j) { j["model"]["vocab"]["qq"] = "12"; }},
      {"true as id", [](Json& j) { j["model"]["vocab"]["qq"] = true; }},
      {"array as id", [](Json& j) { j["model"]["vocab"]["qq"] = Json::array(); }},
      {"two pieces, one id", [](Json& j) { j["model"]["vocab"]["qq"] = 5; }},
      {"gap in the ids", [](Json& j) { j["model"]["vocab"]["qq"] = 9000; }},
      {"id 2^40", [](Json& j) { j["model"]["vocab"]["qq"] = std::uint64_t{1} << 40; }},
      {"dropout", [](Json& j) { j["model"]["dropout"] = 0.5; }},
      {"absent unk_token", [](Json& j) { j["model"]["unk_token"] = "<none>"; }},
      {"fuse_unk as text", [](Json& j) { j["model"]["fuse_unk"] = "yes"; }},
      {"unknown normalizer", [](Json& j) { j["normalizer"] = {{"type", "BertNormalizer"}}; }},
      {"unknown normalizer within", [](Json& j) { j["normalizer"]["normalizers"].push_back({{"type", "Precompiled"}}); }},
      {"normalizer without type", [](Json& j) { j["normalizer"] = Json::object(); }},
      {"Prepend without text", [](Json& j) { j["normalizer"] = {{"type", "Prepend"}}; }},
      {"Replace of an empty text",
       [](Json& j) { j["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", "x"}}; }},
      {"Replace of an unknown pattern",
       [](Json& j) { j["normalizer"] = {{"type", "Replace"}, {"pattern", {{"Glob", "*"}}}, {"content", "x"}}; }},
      {"unknown pre-tokenizer", [](Json& j) { j["pre_tokenizer"] = {{"type", "Punctuation"}}; }},
      {"unknown split behavior",
       [](Json&
              j) { j["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"String", "a"}}}, {"behavior", "Dropped"}, {"invert", false}}; }},
      {"Metaspace of two characters", [](Json& j) { j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "ab"}}; }},
      {"Metaspace with an unknown scheme",
       [](Json& j) { j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}}; }},
      {"pattern with a back reference", regex("(a)\\1")},
      {"pattern with an open group", regex("(?:a")},
      {"pattern with an open class", regex("[a")},
      {"pattern with a stray )", regex("a)")},
      {"pattern with a lookbehind", regex("(?<=a)b")},
      {"pattern with an unknown property", regex("\\p{Greek}")},
      {"pattern that matches nothing", regex("a*")},
      {"pattern that repeats nothing", regex("(?:a*)*b")},
      {"pattern with a large count", regex("a{1,100000}")},
      {"pattern with a count backwards", regex("a{3,2}")},
      {"unknown decoder", [](Json& j) { j["decoder"] = {{"type", "WordPiece"}}; }},
      {"decoders that are a text", [](Json& j) { j["decoder"]["decoders"] = "x"; }},
      {"unknown post-processor", [](Json& j) { j["post_processor"] = {{"type", "Other"}}; }},
      {"template without its token", [](Json& j) { j["post_processor"]["special_tokens"] = Json::object(); }},
      {"template without the text", [](Json& j) { j["post_processor"]["single"] = Json::array(); }},
      {"template with an id out of range", [](Json& j) { j["post_processor"]["special_tokens"]["<s>"]["ids"] = {90000}; }},
      {"added token with another id", [](Json& j) { j["added_tokens"][1]["id"] = 7; }},
      {"added token without text", [](Json& j) { j["added_tokens"][1].erase("content"); }},
      {"added token behind a gap", [](Json& j) { j["added_tokens"].push_back({{"id", 99999}, {"content", "<far>"}, {"special", true}}); }},
      {"added tokens that are an object", [](Json& j) { j["added_tokens"] = Json::object(); }},
  };
  auto const put = [](Folder const& folder, Json const& json) {
    folder.write("tokenizer.json", json.dump());
    folder.write("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
  };
  for (auto const& [kind, change] : kinds) {
    Folder const folder;
    Json bad = good;
    change(bad);
    put(folder, bad);
    expect_refused(folder, "tokenizer.json", kind);
  }
  std::string const whole = good.dump();
  auto const deep = std::string(1000000, '[');
  std::pair<char const*, std::string> const texts[] = {
      {"empty", ""},
      {"cut", whole.substr(0, whole.size() / 2)},
      {"garbage behind", whole + "x"},
      {"an array", "[]"},
      {"nested 10^6 deep", deep},
      {"NUL", whole + '\0'},
      {"git-lfs pointer", "version https://git-lfs.github.com/spec/v1\n"},
      {"HTML", "<html></html>"},
      {"piece twice", R"({"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}})"},
      {"vocab twice", R"({"model": {"type": "BPE", "vocab": {"a": 0}, "vocab": {"b": 1}, "merges": []}})"},
      {"single quotes", "{'model': 1}"},
      {"not UTF-8", "{\"model\": \"\xFF\"}"}};
  for (auto const& [kind, bytes] : texts) {
    Folder const folder;
    folder.write("tokenizer.json", bytes);
    expect_refused(folder, "tokenizer.json", kind);
  }
  std::pair<char const*, Change> const twins[] = {
      {"as it is", [](Json&) {}},
      {"with unknown keys",
       [](Json& j) {
         j["model"]["more"] = 1, j["more"] = {1, 2};
       }},
      {"with dropout 0", [](Json& j) { j["model"]["dropout"] = 0.0; }},
      {"with merges as pairs",
       [](Json& j) {
         for (Json& merge : j["model"]["merges"]) {
           auto const line = merge.get<std::string>();
           merge = {line.substr(0, line.find(' ')), line.substr(line.find(' ') + 1)};
         }
       }},
      {"without a decoder and processor", [](Json& j) { j["decoder"] = nullptr, j["post_processor"] = nullptr; }},
      {"with a pattern", regex("(?i:'s|'re)|[^\\r\\n\\p{L}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|.")},
      {"with an added token behind", [](Json& j) {
         j["added_tokens"].push_back({{"id", j["model"]["vocab"].size()}, {"content", "<next>"}, {"special", true}});
       }}};
  for (auto const& [kind, change] : twins) {
    Folder const folder;
    Json twin = good;
    change(twin);
    put(folder, twin);
    expect_good(folder, kind);
  }
}

// ---- CLIP
TEST(TokenizerBadInput, VocabularyAndMerges) {
  std::string const vocab = mgm::io::read_text(kFamilies + "clip/vocab.json", 1 << 20),
                    merges = mgm::io::read_text(kFamilies + "clip/merges.txt", 1 << 20);
  auto const changed = [&](auto change) {
    Json json = mgm::io::parse_json(vocab, "vocab");
    change(json);
    return json.dump();
  };
  struct Kind {
    char const* name;
    std::string vocab, merges, file;
  };
  Kind const kinds[] = {
      {"empty vocabulary file", "", merges, "vocab.json"},
      {"cut vocabulary", vocab.substr(0, 200), merges, "vocab.json"},
      {"array", "[1]", merges, "vocab.json"},
      {"number", "1", merges, "vocab.json"},
      {"no pieces", "{}", merges, "vocab.json"},
      {"git-lfs pointer", "version https://git-lfs.github.com/spec/v1\n", merges, "vocab.json"},
      {"key twice", "{\"a\": 0, \"a\": 1}", merges, "vocab.json"},
      {"id twice", changed([](Json& j) { j["qq"] = 3; }), merges, "vocab.json"},
      {"gap", changed([](Json& j) { j["qq"] = 5000; }), merges, "vocab.json"},
      {"negative id", changed([](Json& j) { j["qq"] = -3; }), merges, "vocab.json"},
      {"fractional id", changed([](Json& j) { j["qq"] = 0.5; }), merges, "vocab.json"},
      {"text id", changed([](Json& j) { j["qq"] = "1"; }), merges, "vocab.json"},
      {"null id", changed([](Json& j) { j["qq"] = nullptr; }), merges, "vocab.json"},
      {"huge id", changed([](Json& j) { j["qq"] = std::uint64_t{1} << 60; }), merges, "vocab.json"},
      {"empty merges file", vocab, "", "merges.txt"},
      {"only a comment", vocab, "#version: 0.2\n", "merges.txt"},
      {"one piece", vocab, "#version: 0.2\nab\n", "merges.txt"},
      {"three pieces", vocab, "#version: 0.2\na b c\n", "merges.txt"},
      {"leading space", vocab, "#version: 0.2\n a b\n", "merges.txt"},
      {"two spaces", vocab, "#version: 0.2\na  b\n", "merges.txt"},
      {"empty line", vocab, "#version: 0.2\n\na b\n", "merges.txt"},
      {"not UTF-8", vocab, "#version: 0.2\n\xFF b\n", "merges.txt"},
      {"absent piece", vocab, "#version: 0.2\nqqqq b\n", "vocab.json"},
      {"absent result", vocab, "#version: 0.2\n! !</w>\n", "vocab.json"},
  };
  for (Kind const& kind : kinds) {
    Folder const folder("clip");
    folder.write("vocab.json", kind.vocab), folder.write("merges.txt", kind.merges);
    expect_refused(folder, kind.file, kind.name);
  }
  Folder const twin("clip");
  expect_good(twin, "as it is");
  std::string windows;
  for (char const c : merges) windows += c == '\n' ? "\r\n" : std::string(1, c);
  twin.write("merges.txt", windows);
  expect_good(twin, "with the line ends of Windows");
}

// ---- the small files, and folders
TEST(TokenizerBadInput, SettingsFiles) {
  struct Kind {
    char const *name, *file, *content;
  };
  Kind const kinds[] = {
      {"not JSON", "tokenizer_config.json", "{"},
      {"empty", "tokenizer_config.json", ""},
      {"array", "tokenizer_config.json", "[]"},
      {"class as number", "tokenizer_config.json", R"({"tokenizer_class": 3})"},
      {"bos as number", "tokenizer_config.json", R"({"bos_token": 3})"},
      {"bos without content", "tokenizer_config.json", R"({"bos_token": {"lstrip": true}})"},
      {"unk null", "tokenizer_config.json", R"({"unk_token": null})"},
      {"bos null, but added", "tokenizer_config.json", R"({"bos_token": null, "add_bos_token": true})"},
      {"eos null, but added", "tokenizer_config.json", R"({"eos_token": null, "add_eos_token": true})"},
      {"legacy as text", "tokenizer_config.json", R"({"legacy": "yes"})"},
      {"decoder as array", "tokenizer_config.json", R"({"added_tokens_decoder": []})"},
      {"id as word", "tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "<x>"}}})"},
      {"negative id", "tokenizer_config.json", R"({"added_tokens_decoder": {"-1": {"content": "<x>"}}})"},
      {"id 2^40", "tokenizer_config.json", R"({"added_tokens_decoder": {"1099511627776": {"content": "<x>"}}})"},
      {"id with a tail", "tokenizer_config.json", R"({"added_tokens_decoder": {"500x": {"content": "<x>"}}})"},
      {"id of another piece", "tokenizer_config.json", R"({"added_tokens_decoder": {"5": {"content": "<x>"}}})"},
      {"id behind a gap", "tokenizer_config.json", R"({"added_tokens_decoder": {"900": {"content": "<x>"}}})"},
      {"no content", "tokenizer_config.json", R"({"added_tokens_decoder": {"500": {}}})"},
      {"flag as number", "tokenizer_config.json", R"({"added_tokens_decoder": {"500": {"content": "<x>", "lstrip": 1}}})"},
      {"twice", "tokenizer_config.json", R"({"added_tokens_decoder": {"500": {"content": "<x>"}, "501": {"content": "<x>"}}})"},
      {"more as text", "tokenizer_config.json", R"({"additional_special_tokens": "<x>"})"},
      {"map not JSON", "special_tokens_map.json", "x"},
      {"map as array", "special_tokens_map.json", "[]"},
      {"added as array", "added_tokens.json", "[]"},
      {"added with text id", "added_tokens.json", R"({"<x>": "1"})"},
      {"added with negative id", "added_tokens.json", R"({"<x>": -1})"},
  };
  for (Kind const& kind : kinds) {
    Folder const folder("vicuna");
    if (std::string(kind.file) != "tokenizer_config.json") folder.write("tokenizer_config.json", "{}");
    folder.write(kind.file, kind.content);
    if (std::string(kind.file) != "special_tokens_map.json") folder.write("special_tokens_map.json", "{}");
    expect_refused(folder, kind.file, kind.name);
  }
  Folder const twin("vicuna");
  twin.write("tokenizer_config.json",
             R"({"added_tokens_decoder": {"500": {"content": "<x>"}, "501": {"content": "<y>", "special": true}}, "legacy": null})");
  expect_good(twin, "two tokens behind the vocabulary");
  EXPECT_EQ(Tokenizer::open(twin.path.string()).size(), 502);
  twin.write("tokenizer_config.json", "{}");
  twin.write("added_tokens.json", R"({"<x>": 500})");
  expect_good(twin, "added_tokens.json");
}

TEST(TokenizerBadInput, Folders) {
  Folder const empty;
  expect_refused(empty, empty.path.filename().string(), "no files");
  EXPECT_THROW((void)Tokenizer::open((empty.path / "absent").string()), mgm::FileError);
  EXPECT_THROW((void)Tokenizer::open(kFamilies + "clip/vocab.json"), mgm::FileError);
  Folder const only_vocab("clip");
  fs::remove(only_vocab.path / "merges.txt");
  expect_refused(only_vocab, only_vocab.path.filename().string(), "vocab.json alone");
  fs::create_directory(empty.path / "tokenizer.model");
  expect_refused(empty, "tokenizer.model", "a folder of that name");
}
}  // namespace tokenizer_bad_input_test
