// Folders that leave things out or say what we do not do: what is taken instead, and said, or refused by name.
#include <gtest/gtest.h>

#include <filesystem>

#include <mgm/io/read_image.hpp>
#include <mgm/mgm.hpp>

#include "support/broken_model.hpp"

#if defined(MGM_TOOL)
namespace folder_test {

using support::BrokenModel, support::expect_failure, support::expect_good, support::Json, support::mgm_tool;

std::string const kClip = "model_zoo/OpenAI/clip-vit-small-patch14/preprocessor_config.json";

/// Sixteen ids of each family's greedy answer; the folder as it is and as `change` leaves it.
template <class Change>
void expect_same_answer(std::string const& name, Change change) {
  auto const ids = [](std::string const& folder) {
    support::TempDir const scratch;
    auto const ran = mgm_tool({"dump", folder, "--prompt", "x", "-o", scratch.path("d"), "--max-new-tokens", "16", "--progress", "never"});
    expect_good(ran, folder);
    return support::slurp(scratch.path("d"));
  };
  BrokenModel model(name);
  auto const before = ids(model.path());
  change(model);
  EXPECT_EQ(ids(model.path()), before) << name;
}

TEST(Folder, WithoutAModelTypeIsTakenForWhatItIs) {
  for (std::string const name : {"llama_std", "gemma_std", "mixtral_std"})
    expect_same_answer(name, [](BrokenModel& model) { model.set("model_type", nullptr).set("architectures", nullptr); });
  expect_same_answer("mixtral_std", [](BrokenModel& model) {
    model.set("model_type", nullptr).set("architectures", nullptr).set("num_local_experts", nullptr);
  });
}

TEST(Folder, OfAnotherFamilyIsRefused) {
  for (std::string const type : {"llama4", "mistral3", "gemma2", "llava", ""}) {
    BrokenModel model("llama_text");
    model.set("model_type", type);
    if (type.empty()) model.set("architectures", Json::array({"Llama4ForCausalLM"}));
    expect_failure(mgm_tool({"chat", model.path(), "--prompt", "x", "--progress", "never"}), 1, "model_type", type);
  }
}

TEST(Folder, WithOtherPixelsIsRefused) {
  auto const chat = [](BrokenModel const& model) {
    return mgm_tool({"chat", model.path(), "--prompt", "x", "--max-new-tokens", "1", "--progress", "never"});
  };
  ASSERT_TRUE(std::filesystem::exists(MGM_TEST_SOURCE "/tests/data/mgm/llama_std/model/" + kClip));
  for (auto const& [key, value] : std::vector<std::pair<std::string, Json>>{{"image_mean", {0.5, 0.5, 0.5}},
                                                                            {"image_std", {0.5, 0.5, 0.5}},
                                                                            {"image_std", {0.5}},
                                                                            {"image_mean", "clip"},
                                                                            {"resample", 2},
                                                                            {"do_normalize", false}}) {
    BrokenModel model;
    model.set(key, value, kClip);
    expect_failure(chat(model), 1, key, key);
  }
  BrokenModel model;
  expect_failure(chat(model.write(kClip, "{")), 1, kClip, "not JSON");
  model.remove(kClip);
  expect_good(chat(model), "CLIP's own");
  auto const said = mgm_tool({"chat", model.path(), "--prompt", "x", "--max-new-tokens", "1"});
  EXPECT_NE(said.err.find("preprocessor_config.json is missing"), std::string::npos) << said.err;
}

TEST(Folder, MaySayHowTokensAreDrawn) {
  auto const chat = [](std::string const& folder, std::vector<std::string> const& more) {
    std::vector<std::string> all{"chat", folder, "--prompt", "x", "--max-new-tokens", "12", "--progress", "never"};
    all.insert(all.end(), more.begin(), more.end());
    return mgm_tool(all);
  };
  BrokenModel model("llama_text");
  auto const greedy = chat(model.path(), {"--temperature", "0"}).out, free = chat(model.path(), {"--temperature", "5"}).out;
  ASSERT_NE(greedy, free);
  model.write("generation_config.json", R"({"top_k": 1})");
  EXPECT_EQ(chat(model.path(), {"--temperature", "5"}).out, greedy);
  EXPECT_EQ(chat(model.path(), {"--temperature", "5", "--top-k", "50"}).out, free);
  for (char const* bad : {"{", R"({"top_k": -1})", R"({"top_p": 0})", R"({"top_p": "all"})"}) {
    model.write("generation_config.json", bad);
    expect_failure(chat(model.path(), {}), 1, "generation_config.json", bad);
  }
}

TEST(Folder, WithTensorsOfNoWeightsIsReported) {
  BrokenModel model;
  for (auto const& entry : std::filesystem::directory_iterator(model.path())) {
    if (entry.path().extension() != ".safetensors") continue;
    model.edit_header(entry.path().filename().string(), [](Json& header) {
      for (auto& [name, tensor] : header.items())
        if (name == "model.norm.weight") tensor["dtype"] = tensor["dtype"] == "F32" ? "I32" : "I16";
    });
  }
  auto const ran = mgm_tool({"inspect", model.path(), "--json", "--progress", "never"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_EQ(mgm::io::parse_json(ran.out, "inspect").at("misshaped"), Json::array({"model.norm.weight"}));
  expect_failure(mgm_tool({"chat", model.path(), "--prompt", "x", "--progress", "never"}), 1, "expected floating-point numbers", "chat");
}

TEST(Folder, MayBeScannedForWhatIsNoNumber) {
  BrokenModel model;
  std::string const shard = "model-00002-of-00002.safetensors";
  expect_good(mgm_tool({"inspect", model.path(), "--scan", "--progress", "never"}), "as it is");
  std::string bytes = model.bytes(shard);
  bytes.replace(bytes.size() - 4, 4, std::string("\xFF\xFF\xFF\x7F", 4));  // NaN in f32, and its upper half in bf16 and f16
  model.write(shard, bytes);
  expect_failure(mgm_tool({"inspect", model.path(), "--scan", "--progress", "never"}), 1, "is NaN or infinite", "inspect");
  mgm::Context<mgm::Cpu> ctx({.threads = 1});
  using Model = mgm::models::MiniGemini<float>;
  EXPECT_NO_THROW((void)Model::open(ctx, model.path()));
  EXPECT_THROW((void)Model::open(ctx, model.path(), {.scan = true}), mgm::NumericalError);
}

TEST(Folder, OfTextAloneTakesNoTowers) {
  BrokenModel model("llama_text");
  std::string const towers = model.path();
  model.set("mm_vision_tower", nullptr);
  expect_failure(mgm_tool({"chat", model.path(), "--prompt", "x", "--clip", towers, "--dtype", "f32", "--progress", "never"}), 1,
                 "names no towers", "chat");
}

TEST(Session, ChecksItsRoomBeforeItEncodes) {
  mgm::Context<mgm::Cpu> ctx({.threads = 1});
  auto const model = mgm::models::MiniGemini<float>::open(ctx, MGM_TEST_SOURCE "/tests/data/mgm/llama_std/model");
  auto talk = model.session(ctx);
  int seen = 0;
  talk.on_see([&](auto&) { ++seen; });
  std::vector<mgm::io::Image> const one{mgm::io::read_image(MGM_TEST_SOURCE "/tests/data/mgm/llama_std/picture_1.png")};
  std::vector<mgm::io::Image> const many(static_cast<std::size_t>(talk.max_positions() / model.image_tokens() + 1), one[0]);
  EXPECT_THROW(talk.ask(many, "x"), mgm::LimitError);
  EXPECT_EQ(seen, 0);
  auto const needed = talk.positions_needed("x", 1, {.ocr = "a sign"});
  EXPECT_GT(needed, talk.positions_needed("x", 1));
  auto answer = talk.ask(one, "x", {.max_new_tokens = 1, .ocr = "a sign"});
  EXPECT_EQ(answer.prompt_tokens(), needed);
  EXPECT_EQ(seen, 1);
}

}  // namespace folder_test
#endif
