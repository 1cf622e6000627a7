// The templates byte for byte, the order of what is added to a turn, the numbering of images; picture prompts; stop strings.
#include <gtest/gtest.h>

#include <mgm/models/generation_prompt.hpp>
#include <mgm/models/prompt.hpp>
#include <mgm/models/stop_strings.hpp>

namespace prompt_test {
using namespace mgm::models;

/// The whole prompt, image places written as the tag.
std::string flat(std::vector<Piece> const& pieces) {
  std::string out;
  for (auto const& p : pieces) out += p.kind == Piece::Kind::image ? std::string(kImageTag) : p.text;
  return out;
}
std::vector<Turn> two_turns() { return {{"Q1", 1, "A1"}, {"Q2", 0, std::nullopt}}; }

TEST(Prompt, Vicuna) {
  EXPECT_EQ(flat(build_prompt(Template::vicuna_v1, two_turns())),
            "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite "
            "answers to the user's "
            "questions. USER: <image>\nQ1 ASSISTANT: A1</s>USER: Q2 ASSISTANT:");
}
TEST(Prompt, Gemma) {
  EXPECT_EQ(flat(build_prompt(Template::gemma, two_turns())),
            "<start_of_turn>user\n<image>\nQ1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n<eos><start_of_turn>user\nQ2<end_of_"
            "turn>\n<start_of_turn>model\n");
}
TEST(Prompt, Llama3CallsItsAssistantSystem) {
  EXPECT_EQ(flat(build_prompt(Template::llama_3, two_turns())),
            "<|start_header_id|>system<|end_header_id|>\n\nYou are a helpful language and vision assistant. You are able to understand the "
            "visual content that the "
            "user provides, and assist the user with a variety of tasks using natural "
            "language.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n<image>\n"
            "Q1<|eot_id|><|start_header_id|>system<|end_header_id|>\n\nA1<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nQ2<|eot_id|>"
            "<|start_header_id|>system<|end_header_id|>\n\n");
}
TEST(Prompt, MistralWritesTheLaterBos) {
  EXPECT_EQ(flat(build_prompt(Template::mistral_instruct, two_turns())), "[INST] <image>\nQ1 [/INST] A1 </s><s>[INST] Q2 [/INST]");
}
TEST(Prompt, ChatmlHasNoNewlineAfterTheEndOfATurn) {
  EXPECT_EQ(flat(build_prompt(Template::chatml_direct, two_turns())),
            "<|im_start|>system\nAnswer the "
            "questions.<|im_end|><|im_start|>user\n<image>\nQ1<|im_end|><|im_start|>assistant\nA1<|im_end|><|im_start|>user\nQ2<|im_end|>"
            "<|im_start|>assistant\n");
}
TEST(Prompt, NoneIsTheTextItself) {
  EXPECT_EQ(flat(build_prompt(Template::none, std::vector<Turn>{{"as it is", 0, std::nullopt}})), "as it is");
}

TEST(Prompt, ImagesAreNumberedFromTwoOn) {
  std::vector<Turn> const two{{"Which?", 2, std::nullopt}}, one{{"Which?", 1, std::nullopt}};
  EXPECT_EQ(flat(build_prompt(Template::mistral_instruct, two)), "[INST] Image 1:<image>\nImage 2:<image>\nWhich? [/INST]");
  EXPECT_EQ(flat(build_prompt(Template::mistral_instruct, one)), "[INST] <image>\nWhich? [/INST]");
}
TEST(Prompt, WhatPeopleTypeIsPlain) {
  std::vector<Turn> const turns{{"a <image> and </s>", 0, std::nullopt}};
  auto const typed = build_prompt(Template::vicuna_v1, turns);
  ASSERT_EQ(typed.size(), 3u);
  EXPECT_EQ(typed[1].kind, Piece::Kind::plain);
  EXPECT_EQ(typed[1].text, "a <image> and </s>");
  auto const special = build_prompt(Template::vicuna_v1, turns, true);
  ASSERT_EQ(special.size(), 3u);
  EXPECT_EQ(special[1].kind, Piece::Kind::image);
  EXPECT_TRUE(special[2].text.starts_with(" and </s> ASSISTANT:"));
}
TEST(Prompt, OcrComesBeforeTheWishToDraw) {
  EXPECT_EQ(user_text("Read.", "EXIT", true), "Read.\nReference OCR Token: EXIT\n <GEN>");
  EXPECT_EQ(user_text("Read.", "", false), "Read.");
}
TEST(Prompt, UnknownTemplateNamesTheKnownOnes) {
  try {
    (void)template_by_name("llama-3");
    FAIL();
  } catch (mgm::ArgumentError const& e) {
    EXPECT_NE(std::string(e.what()).find("llama_3"), std::string::npos);
  }
  EXPECT_EQ(template_by_name("gemma"), Template::gemma);
}

TEST(GenerationPrompt, TheLastCompletePairCounts) {
  using State = GenerationPrompt::State;
  EXPECT_EQ(read_generation_prompt("Here. <h>a red ring</h>").prompt, "a red ring");
  EXPECT_EQ(read_generation_prompt("<h>one</h> or <h> two </h>.").prompt, " two ");
  EXPECT_EQ(read_generation_prompt("<h>one</h> or <h> two </h>.").pairs, 2);
  EXPECT_EQ(read_generation_prompt("<h>a<h>b</h>").prompt, "b");
  EXPECT_EQ(read_generation_prompt("nothing").state, State::none);
  EXPECT_EQ(read_generation_prompt("</h> nothing").state, State::none);
  EXPECT_EQ(read_generation_prompt("so <h>endless").state, State::unclosed);
  EXPECT_EQ(read_generation_prompt("<h>one</h> so <h>endless").prompt, "one");
  EXPECT_EQ(read_generation_prompt("<h>one</h> two</h>").prompt, "one");  // nothing opens the last `</h>`
  EXPECT_EQ(read_generation_prompt("<h></h>").state, State::found);
  EXPECT_EQ(read_generation_prompt("< h>no</h> <H>no</H> <h >no</h>").state, State::none);
  EXPECT_EQ(read_generation_prompt("<<h>yes</h>").prompt, "yes");
}
TEST(GenerationPrompt, WhatIsOddIsReported) {
  auto const odd = [](std::string_view answer) {
    auto const p = read_generation_prompt(answer);
    return std::tuple(p.nested, p.unclosed, p.stray, p.notes().size());
  };
  EXPECT_EQ(odd("Here. <h>a red ring</h>"), std::tuple(false, false, false, 0u));
  EXPECT_EQ(odd("nothing"), std::tuple(false, false, false, 0u));
  EXPECT_EQ(odd("<h>a<h>b</h>"), std::tuple(true, false, false, 1u));
  EXPECT_EQ(odd("<h>a<h>b</h> <h>c</h>"), std::tuple(false, false, false, 1u));  // two pairs; the one that counts is whole
  EXPECT_EQ(odd("<h>a<h>b</h>c</h>"), std::tuple(true, false, true, 2u));
  EXPECT_EQ(odd("so <h>endless"), std::tuple(false, true, false, 1u));
  EXPECT_EQ(odd("<h>one</h> so <h>endless"), std::tuple(false, true, false, 1u));
  EXPECT_EQ(odd("</h> nothing"), std::tuple(false, false, true, 1u));
  EXPECT_EQ(odd("<h> \n</h>"), std::tuple(false, false, false, 1u));
  std::string many;
  for (int i = 0; i < 100000; ++i) many += "<h>";
  EXPECT_EQ(read_generation_prompt(many).state, GenerationPrompt::State::unclosed);
  EXPECT_EQ(read_generation_prompt(many + "x</h>").prompt, "x");
}

TEST(StopStrings, NeverShowAPart) {
  StopStrings s({"STOP", "</a>"});
  EXPECT_EQ(s.push("one ST"), "one ");
  EXPECT_EQ(s.push("AR </"), "STAR ");
  EXPECT_EQ(s.push("b> S"), "</b> ");
  EXPECT_EQ(s.push("TOP rest"), "");
  EXPECT_TRUE(s.stopped());
  EXPECT_EQ(s.flush(), "");
}
TEST(StopStrings, WhatWasHeldComesAtTheEnd) {
  StopStrings s({"abc", ""});
  EXPECT_EQ(s.push("xab"), "x");
  EXPECT_EQ(s.flush(), "ab");
  EXPECT_FALSE(s.stopped());
}
}  // namespace prompt_test
