// What is said, shown and written: pictures, prompts, outputs, vocabularies, and conversations at a pipe and at a terminal.
#include <gtest/gtest.h>

#include <mgm/io/png.hpp>

#include "support/broken_model.hpp"
#include "support/terminal.hpp"

#if defined(MGM_TOOL)
namespace talk_test {

using support::ask, support::AtTerminal, support::BrokenModel, support::expect_failure, support::expect_good, support::Json,
    support::mgm_tool, support::slurp, support::TempDir;

std::string const kModel = MGM_TEST_SOURCE "/tests/data/mgm/llama_std/model",
                  kPicture = MGM_TEST_SOURCE "/tests/data/mgm/llama_std/picture_1.png";

TEST(ToolPictures, OnlyWholePngAndJpeg) {
  TempDir const scratch;
  auto const shown = [&](std::string const& bytes) { return ask(kModel, {"--image", scratch.write("picture.jpg", bytes)}); };
  std::string const good = slurp(kPicture);
  expect_good(shown(good), "a PNG named .jpg");
  expect_failure(shown(""), 1, "empty", "nothing");
  expect_failure(shown("hello, I am a text"), 1, "first bytes", "text");
  expect_failure(shown("GIF89a........."), 1, "first bytes", "GIF");
  expect_failure(shown(good.substr(0, 20)), 1, "truncated", "20 bytes");
  expect_failure(shown(good.substr(0, good.size() - 40)), 1, "truncated", "cut");
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(~flipped[good.size() / 2]);
  expect_failure(shown(flipped), 1, "damaged", "flipped");
  for (std::string const path : {"/dev/zero", "/nope", "/", ""}) expect_failure(ask(kModel, {"--image", path}), 1, "cannot", path);
  for (auto const& [width, height] : {std::pair{1, 1}, {1, 5000}, {5000, 1}}) {
    mgm::io::write_png(scratch.path("odd.png"),
                       {width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * width * height), 77)});
    expect_good(ask(kModel, {"--image", scratch.path("odd.png")}), mgm::text(width, " x ", height));
  }
  std::vector<std::string> many;
  for (int i = 0; i < 300; ++i) many.insert(many.end(), {"--image", kPicture});
  expect_failure(ask(kModel, many), 1, "4800 of them for images", "300 pictures");
}

TEST(ToolPrompts, WhateverIsTyped) {
  auto const answer = [](std::string const& said, std::vector<std::string> more = {}) {
    more.push_back("--json");
    auto const ran = ask(kModel, more, said);
    expect_good(ran, said.substr(0, 20));
    return Json::parse(ran.out);
  };
  auto const plain = answer("");
  for (char const* key : {"text", "prompt_tokens", "image_tokens", "new_tokens", "finish", "generation_prompt", "image", "timings_ms"})
    EXPECT_TRUE(plain.contains(key)) << key;
  EXPECT_EQ(answer("<image>").at("image_tokens"), 0);  // letters, not a picture
  EXPECT_EQ(answer("what <image> is <image>", {"--image", kPicture}).at("image_tokens"), 16);
  EXPECT_GT(answer("</s><s>").at("prompt_tokens"), plain.at("prompt_tokens").get<int>() + 2);  // letters, not control tokens
  (void)answer("\xff\xfe\xc0\x80\xed\xa0\x80 \xf0\x9f");
  (void)answer("\xef\xbb\xbfhello\n\n   ");
  expect_failure(ask(kModel, {}, std::string(100000, 'a')), 1, "the session has 4096", "long");
  expect_failure(ask(kModel, {}, std::string(100000, '\n')), 1, "the session has 4096", "line ends");
}

TEST(ToolOutputs, WholeOrNotAtAll) {
  TempDir const scratch;
  auto const dumped = [&](std::string const& path) {
    return mgm_tool({"dump", kModel, "--prompt", "x", "--image", kPicture, "--max-new-tokens", "2", "-o", path, "--progress", "never"});
  };
  auto const mapped = [&](std::string const& path) { return ask(kModel, {"--image", kPicture, "--heatmap", path}); };
  expect_good(dumped(scratch.path("dump.safetensors")), "dump");
  expect_good(mapped(scratch.path("map.png")), "heatmap");
  EXPECT_EQ(mgm_tool({"inspect", scratch.path("dump.safetensors")}).status, 0);
  EXPECT_EQ(scratch.count(), 2u);
  for (std::string const& path :
       {scratch.path(), scratch.path("nowhere/x"), std::string("/dev/full"), std::string(), scratch.path(std::string(300, 'x'))}) {
    expect_failure(dumped(path), 1, "cannot write", path);
    if (!path.empty()) expect_failure(mapped(path), 1, "cannot write", path);
  }
  EXPECT_EQ(scratch.count(), 2u);  // no leavings
  std::string const before = slurp(scratch.path("dump.safetensors"));
  expect_failure(mgm_tool({"dump", kModel, "--prompt", std::string(1, '\0'), "--image", "/nope", "-o", scratch.path("dump.safetensors")}),
                 1, "/nope", "a failed dump");
  EXPECT_EQ(slurp(scratch.path("dump.safetensors")), before);

  for (std::vector<std::string> const& printing :
       std::vector<std::vector<std::string>>{{"chat", kModel, "--prompt", "x", "--max-new-tokens", "1", "--progress", "never"},
                                             {"inspect", kModel},
                                             {"inspect", kModel, "--json"},
                                             {"tokenize", kModel, "--text", "a"},
                                             {"--version"}}) {
    expect_failure(mgm_tool(printing, {.output = "/dev/full"}), 1, "standard output", printing[0]);
    expect_good(mgm_tool(printing, {.output = "/dev/null"}), printing[0]);
  }
}

TEST(ToolTokenize, LinesAndIds) {
  TempDir const scratch;
  auto const tokenize = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"tokenize", kModel});
    return mgm_tool(more);
  };
  auto const ids = [&](std::vector<std::string> const& more) { return Json::parse(tokenize(more).out); };
  Json const hello = ids({"--text", "hello <s> x"});
  EXPECT_EQ(std::count(hello.begin(), hello.end(), 1), 2);  // the BOS and the typed one
  Json const typed = ids({"--text", "hello <s> x", "--user-text"});
  EXPECT_EQ(std::count(typed.begin(), typed.end(), 1), 1);
  EXPECT_EQ(ids({"--text", "", "--no-bos"}), Json::array());
  EXPECT_EQ(tokenize({"--decode", typed.dump(), "--skip-special"}).out, "hello <s> x\n");
  EXPECT_TRUE(tokenize({"--decode", typed.dump()}).out.starts_with("<s>"));
  for (std::string const bad : {"[400]", "[-1]", "[2147483648]", "[1.5]", "[\"a\"]", "{}", "[", "", "[1]x"})
    expect_failure(tokenize({"--decode", bad}), 1, "", bad);

  std::string const good = scratch.write("good.jsonl", "\"a\"\n\"\\ud83d\\ude00 b\"\r\n\"\"");
  auto const three = tokenize({"--jsonl", good});
  expect_good(three, "three lines");
  EXPECT_EQ(std::count(three.out.begin(), three.out.end(), '\n'), 3);
  std::string const lists = scratch.write("lists.jsonl", three.out);
  EXPECT_EQ(tokenize({"--decode-jsonl", lists, "--skip-special"}).out, "\"a\"\n\"\xf0\x9f\x98\x80 b\"\n\"\"\n");
  for (std::string const bad : {"\"a\"\nb\n", "\"a\"\n3\n", "\"a\"\n\n\"b\"\n", "\"a\"\n\"\xff\"\n", "\"a\"\n\"b\" \"c\"\n"}) {
    auto const ran = tokenize({"--jsonl", scratch.write("bad.jsonl", bad)});
    expect_failure(ran, 1, "line 2", bad);
    EXPECT_EQ(ran.out, "");  // all or nothing
  }
  for (std::string const bad : {"[1]\n[400]\n", "[1]\n\"a\"\n", "[1]\n[1\n", "[1]\n[-1]\n"})
    expect_failure(tokenize({"--decode-jsonl", scratch.write("bad.jsonl", bad)}), 1, "line 2", bad);
  for (std::string const path : {"/nope", "/", "/dev/zero"}) expect_failure(tokenize({"--jsonl", path}), 1, path, path);
}

std::vector<std::string> talk(std::string const& tokens, std::vector<std::string> const& more = {}) {
  std::vector<std::string> all{"chat", kModel, "--dtype", "f32", "--temperature", "0", "--max-new-tokens", tokens, "--progress", "never"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}
AtTerminal at_terminal(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), MGM_TOOL);
  return AtTerminal(arguments);
}

TEST(ToolConversation, AtAPipe) {
  auto const ran = mgm_tool(talk("3", {"--json"}), {.input = "hello\n" + std::string(9000, 'a') + "\n\nagain"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_NE(ran.err.find("the session has 4096"), std::string::npos) << ran.err;  // the long line, refused; the talk goes on
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  ASSERT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 3) << ran.out;
  std::vector<int> prompts;
  for (std::size_t at = 0; at < ran.out.size(); at = ran.out.find('\n', at) + 1)
    prompts.push_back(Json::parse(ran.out.substr(at, ran.out.find('\n', at) - at)).at("prompt_tokens").get<int>());
  EXPECT_LT(prompts[0], prompts[1]);  // each turn stands behind the ones before
  EXPECT_LT(prompts[1], prompts[2]);
  expect_good(mgm_tool(talk("3")), "nothing said");
}

TEST(ToolConversation, CtrlCEndsTheAnswerThenThePrompt) {
  auto person = at_terminal(talk("16777216"));
  EXPECT_TRUE(person.shown_until("> ").ends_with("> "));
  for (char const* said : {"hello\n", "and again\n"}) {
    person.type(said);
    EXPECT_TRUE(person.shown_until("\n").ends_with('\n'));  // the echo
    EXPECT_FALSE(person.shown_until("").empty());           // the answer, which goes on for seconds
    person.type(support::kCtrlC);
    EXPECT_TRUE(person.shown_until("\n> ").ends_with("\n> ")) << "no prompt after " << said;
  }
  person.type("half a line");
  person.type(support::kCtrlC);
  EXPECT_EQ(person.status(), 130);
}

TEST(ToolConversation, EndOfInputLeavesWithZero) {
  auto person = at_terminal(talk("2"));
  (void)person.shown_until("> ");
  person.type("hello\n");
  EXPECT_TRUE(person.shown_until("\n> ").ends_with("\n> "));
  person.type(support::kCtrlD);
  EXPECT_EQ(person.status(), 0);
}

TEST(ToolConversation, AnInterruptedCommandIs130) {
  auto const ran = mgm_tool(talk("16777216", {"--prompt", "hello", "--json"}), {.interrupt_ms = 300});
  EXPECT_EQ(ran.status, 130) << ran.err;
  if (!ran.out.empty()) {
    EXPECT_EQ(Json::parse(ran.out).at("finish"), "cancelled");
  }
  TempDir const scratch;
  auto const dump =
      mgm_tool({"dump", kModel, "--prompt", "hello", "-o", scratch.path("x"), "--max-new-tokens", "16777216"}, {.interrupt_ms = 300});
  EXPECT_EQ(dump.status, 130) << dump.err;
  EXPECT_EQ(scratch.count(), 0u);
}

}  // namespace talk_test
#endif
