// Traps in how folders are read that need no model to run; tests/tool/traps_test.cpp lists all of them.
#include <gtest/gtest.h>

#include <mgm/io/safetensors_writer.hpp>
#include <mgm/models/towers.hpp>

#include "support/files.hpp"

namespace traps_test {

using namespace mgm::models;

TEST(FolderTraps, FamiliesByOldAndNewNames) {
  auto const family = [](std::string const& name) { return detail::family_of(name); };
  for (std::string const llama : {"mgm", "mini_gemini", "llama", "mgm_mistral", "MGMLlamaForCausalLM", "MiniGeminiLlamaForCausalLM"})
    EXPECT_EQ(family(llama), Family::llama) << llama;
  for (std::string const gemma : {"mgm_gemma", "mini_gemini_gemma", "gemma", "MGMGemmaForCausalLM", "MiniGeminiGemmaForCausalLM"})
    EXPECT_EQ(family(gemma), Family::gemma) << gemma;
  for (std::string const mixtral : {"mgm_mixtral", "mini_gemini_mixtral", "mixtral", "MGMMixtralForCausalLM", "MiniGeminiMixtralForCausalLM"})
    EXPECT_EQ(family(mixtral), Family::mixtral) << mixtral;
  for (std::string const other : {"gemma2", "qwen2", "gpt2", ""}) EXPECT_FALSE(family(other).has_value()) << other;
}

/// A folder config with the least keys, and `more` of them.
FolderConfig config_with(std::string const& more) {
  support::TempDir const folder;
  folder.write("config.json", R"({"model_type": "mgm", "vocab_size": 32000, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
                                  "intermediate_size": 96, "mm_vision_tower": "clip")" + more + "}");
  return read_folder_config(folder.path());
}

TEST(FolderTraps, KeysThatAreLeftOut) {
  auto const c = config_with("");
  EXPECT_TRUE(c.im_patch_token);
  EXPECT_FALSE(c.im_start_end);
  EXPECT_EQ(c.select_layer, -2);
  EXPECT_EQ(c.vision.image_size_aux, 320);
  EXPECT_EQ(c.vision.grid, 1);
  EXPECT_FALSE(c.vision.global);
  EXPECT_FALSE(c.vision.pad);
  EXPECT_EQ(c.decoder.kv_heads, 4);
  EXPECT_EQ(c.decoder.rope_theta, 10000.0f);
  EXPECT_EQ(c.decoder.eps, 1e-6f);
  EXPECT_EQ(c.text.max_prompt, 0);
  EXPECT_FALSE(config_with(R"(, "mm_use_im_patch_token": false)").im_patch_token);
  EXPECT_TRUE(config_with(R"(, "image_aspect_ratio": "pad")").vision.pad);
}

TEST(FolderTraps, TemplateByFamilyAndVocabulary) {
  EXPECT_EQ(config_with("").text.prompt_template, Template::vicuna_v1);
  EXPECT_EQ(config_with(R"(, "vocab_size": 64000)").text.prompt_template, Template::chatml_direct);
  EXPECT_EQ(config_with(R"(, "vocab_size": 128256)").text.prompt_template, Template::llama_3);
  EXPECT_EQ(config_with(R"(, "model_type": "mgm_gemma")").text.prompt_template, Template::gemma);
  EXPECT_EQ(config_with(R"(, "model_type": "mini_gemini_mixtral")").text.prompt_template, Template::mistral_instruct);
  EXPECT_EQ(config_with(R"(, "vocab_size": 64000, "model_type": "mixtral")").text.prompt_template, Template::mistral_instruct);
}

TEST(FolderTraps, SizesThatNoMachineHoldsAreRefusedByName) {
  auto const refused = [](std::string const& key, std::int64_t value, std::string const& more = "") {
    try {
      (void)config_with(mgm::text(", \"", key, "\": ", value, more));
      ADD_FAILURE() << "accepted: " << key << " " << value;
    } catch (mgm::ConfigError const& error) {
      std::string const what = error.what();
      EXPECT_NE(what.find(mgm::text("key '", key, "': expected ")), what.npos) << what;
      EXPECT_NE(what.find(mgm::text("found ", value)), what.npos) << what;
    }
  };
  for (std::string const key :
       {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
        "max_position_embeddings", "mm_hidden_size", "mm_hidden_size_aux", "image_grid", "image_size_aux"})
    for (int const bits : {32, 40, 62}) refused(key, std::int64_t{1} << bits);
  refused("hidden_size", std::int64_t{1} << 31);
  refused("num_hidden_layers", 1000000000);
  refused("num_hidden_layers", 4097);
  for (std::string const key : {"num_local_experts", "num_experts_per_tok"})
    refused(key, std::int64_t{1} << 40, R"(, "model_type": "mgm_mixtral")");
  refused("num_local_experts", 40000, R"(, "model_type": "mgm_mixtral")");  // in each of two layers
  EXPECT_EQ(config_with(R"(, "vocab_size": 256000, "hidden_size": 8192, "intermediate_size": 28672)").decoder.vocab, 256000);
}

/// What is found of a ConvNeXt whose layer scales alone are in a checkpoint.
ConvNeXtConfig convnext_of(std::vector<mgm::Size> const& depths, std::vector<mgm::Size> const& widths) {
  support::TempDir const folder;
  std::vector<std::vector<float>> numbers;
  std::vector<mgm::io::TensorToWrite> tensors;
  for (mgm::Size const w : widths) numbers.emplace_back(static_cast<std::size_t>(w), 1.0f);
  for (std::size_t i = 0; i < depths.size(); ++i)
    for (mgm::Size j = 0; j < depths[i]; ++j)
      tensors.emplace_back(mgm::text("model.vision_tower_aux.vision_stages.", i, ".blocks.", j, ".gamma"), mgm::Dtype::f32,
                           std::vector<mgm::Size>{widths[i]}, numbers[i].data());
  mgm::io::write_safetensors(folder.path("model.safetensors"), tensors);
  return detail::find_convnext(mgm::io::Checkpoint::open(folder.path()), folder.path(), {}, "").config;
}

TEST(FolderTraps, ConvNeXtShapesAndEpsilonComeFromItsTensors) {
  auto const large = convnext_of({3, 3, 27, 3}, {192, 384, 768, 1536}), largest = convnext_of({3, 4, 30, 3}, {384, 768, 1536, 3072});
  EXPECT_EQ(large.depths, (std::vector<mgm::Size>{3, 3, 27, 3}));
  EXPECT_EQ(large.channels(), 2880);
  EXPECT_EQ(large.eps, 1e-6f);
  EXPECT_EQ(largest.depths, (std::vector<mgm::Size>{3, 4, 30, 3}));
  EXPECT_EQ(largest.channels(), 5760);
  EXPECT_EQ(largest.eps, 1e-5f);
  EXPECT_EQ(convnext_of({3, 4, 29, 3}, {384, 768, 1536, 3072}).eps, 1e-6f);
}

}  // namespace traps_test
