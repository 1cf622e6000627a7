#include <mgm/io/json.hpp>

#include <gtest/gtest.h>

#include <clocale>

#include <support/files.hpp>

namespace json_test {
using namespace mgm;
using io::get, io::get_or, io::parse_json;
using support::expect_refused;

TEST(Json, ReadsWhatPythonWrites) {
  auto const json = parse_json(
      R"({"a": [1, -2, 3.5, 1e3, true, null, "x\u00e4\ud83d\ude00"],
          "b": {"c": {}}, "a2": 18446744073709551615, "big": 1000000000000000019884624838656})",
      "x");
  EXPECT_EQ(json["a"].size(), 7u);
  EXPECT_EQ(json["a"][6], "x\xC3\xA4\xF0\x9F\x98\x80");
  EXPECT_EQ(json["a2"].get<std::uint64_t>(), ~std::uint64_t{0});
  EXPECT_TRUE(json["big"].is_number_float());
  EXPECT_TRUE(json["b"]["c"].is_object());
  EXPECT_EQ(parse_json("\xEF\xBB\xBF [1] \n", "x").size(), 1u);
  EXPECT_EQ(parse_json(R"({"a":{"b":1},"c":1,"a":2})", "x")["a"], 2);  // the last counts, as in Python
  EXPECT_EQ(parse_json("[[[1],[2,3]],[],{\"k\":[{}]}]", "x").dump(), "[[[1],[2,3]],[],{\"k\":[{}]}]");
}

TEST(Json, BadTextsAreRefusedWithTheByte) {
  struct Case {
    char const* text;
    char const* fragment;
    Code code = Code::file;
  } const cases[] = {
      {"", "not JSON"},
      {" ", "not JSON"},
      {"{", "byte 1: not JSON"},
      {"[1,]", "byte 3: not JSON"},
      {"{\"a\":1,}", "byte 7: not JSON"},
      {"[1 2]", "byte 3"},
      {"[1] 2", "byte 4"},
      {"[01]", "byte 2"},
      {"[+1]", "byte 1"},
      {"[.5]", "byte 1"},
      {"[1.]", "not JSON"},
      {"[0x10]", "byte 2"},
      {"[NaN]", "not JSON"},
      {"[Infinity]", "not JSON"},
      {"['a']", "not JSON"},
      {"{a:1}", "not JSON"},
      {"[1] // x", "not JSON"},
      {"[\"a\nb\"]", "not JSON"},
      {"[\"\\x\"]", "not JSON"},
      {"[\"\\ud800\"]", "not JSON"},
      {"[\"\xC0\x80\"]", "ill-formed UTF-8"},
      {"[\"\xED\xA0\x80\"]", "ill-formed UTF-8"},
      {"[\"\xF5\x80\x80\x80\"]", "ill-formed UTF-8"},
      {"[1e999]", "not JSON"},
      {"[tru]", "not JSON"},
      {"{\"a\":1 \"b\":2}", "not JSON"},
      {"version https://git-lfs.github.com/spec/v1", "expected JSON, found a git-LFS pointer"},
      {"<!doctype html>", "an HTML or XML page"},
  };
  for (auto const& c : cases) expect_refused([&] { (void)parse_json(c.text, "config.json"); }, c.code, c.fragment, c.text);
  expect_refused([] { (void)parse_json(std::string_view("[1]\0[2]", 7), "x"); }, Code::file, "x: byte 3: not JSON: NUL character");
  expect_refused([] { (void)parse_json(R"({"a":{"b":1,"b":2}})", "x", {.unique_keys = true}); }, Code::file, "key 'b' occurs twice");
  (void)parse_json(R"({"a":{"b":1},"b":{"a":2,"b":3}})", "x", {.unique_keys = true});
}

TEST(Json, LimitsAreKept) {
  expect_refused([] { (void)parse_json(std::string(1'000'000, '['), "x"); }, Code::limit, "nested deeper than 100 levels");
  expect_refused([] { (void)parse_json("[[1]]", "x", {.depth = 1}); }, Code::limit, "byte 2: JSON is nested deeper than 1 levels");
  (void)parse_json("[[1]]", "x", {.depth = 2});
  expect_refused([] { (void)parse_json("[1,2,3]", "x", {.values = 3}); }, Code::limit, "more than 3 JSON values");
  (void)parse_json("[1,2,3]", "x", {.values = 4});
  expect_refused([] { (void)parse_json("[1,2,3]", "x", {.bytes = 6}); }, Code::limit, "expected at most 6 bytes, found 7");
  support::TempDir dir;
  expect_refused([&] { (void)io::read_json(dir.path("config.json")); }, Code::file, "No such file");
  expect_refused([&] { (void)io::read_json(dir.write("config.json", "[1,2]"), {.bytes = 4}); }, Code::limit,
                 "config.json: expected at most 4 bytes, found 5");
  EXPECT_EQ(io::read_json(dir.write("config.json", "[1,2]")).size(), 2u);
}

TEST(Json, GettersSayKeyExpectedAndFound) {
  auto const json =
      parse_json(R"({"n": 32, "minus": -1, "half": 0.5, "whole": 32.0, "name": "llama", "yes": true, "none": null, "list": [3, 3, 27, 3],
                                   "mixed": [1, "2"], "big": 5000000000, "huge": 18446744073709551615, "far": 1e300})",
                 "x");
  EXPECT_EQ(get<int>(json, "n", "c"), 32);
  EXPECT_EQ(get<std::int64_t>(json, "minus", "c"), -1);
  EXPECT_EQ(get<double>(json, "n", "c"), 32.0);
  EXPECT_EQ(get<float>(json, "half", "c"), 0.5f);
  EXPECT_EQ(get<std::string>(json, "name", "c"), "llama");
  EXPECT_TRUE(get<bool>(json, "yes", "c"));
  EXPECT_EQ(get<std::vector<int>>(json, "list", "c"), (std::vector<int>{3, 3, 27, 3}));
  EXPECT_EQ(get_or<int>(json, "none", 7, "c"), 7);
  EXPECT_EQ(get_or<int>(json, "absent", 7, "c"), 7);
  EXPECT_EQ(get_or<int>(json, "n", 7, "c"), 32);
  EXPECT_EQ(get<std::uint64_t>(json, "huge", "c"), ~std::uint64_t{0});
  auto const refuse = [&](auto tag, char const* key, char const* fragment) {
    expect_refused([&] { (void)get<decltype(tag)>(json, key, "config.json"); }, Code::config, fragment, key);
  };
  refuse(int{}, "absent", "config.json: key 'absent' is missing");
  refuse(int{}, "none", "key 'none' is missing");
  refuse(int{}, "half", "key 'half': expected an integer from -2147483648 to 2147483647, found 0.5");
  refuse(int{}, "whole", "expected an integer");
  refuse(int{}, "name", "expected an integer from -2147483648 to 2147483647, found the text 'llama'");
  refuse(int{}, "big", "found 5000000000");
  refuse(std::int64_t{}, "huge", "found 18446744073709551615");
  refuse(unsigned{}, "minus", "found -1");
  refuse(float{}, "far", "range of 32 bits");
  refuse(double{}, "yes", "expected a number, found true");
  refuse(bool{}, "n", "expected true or false, found 32");
  refuse(std::string{}, "list", "expected a text, found an array of 4");
  refuse(std::vector<int>{}, "n", "expected an array, found 32");
  refuse(std::vector<int>{}, "mixed", "found the text '2'");
  expect_refused([&] { (void)get<int>(json["list"], "n", "c"); }, Code::config, "expected an object with key 'n', found an array of 4");
}

}  // namespace json_test
