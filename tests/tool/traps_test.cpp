// The known traps of this model, each shown to be seen by a test: a folder is changed as a wrong reader would take it, and the comparison
// with its golden must then differ (or, where a thing must have no influence, must not). Where each is held down:
//    1 state -2 of CLIP, no post-norm, class token dropped last    StatesOfClip, LayersThatNeverRun
//    2 which activation where                                      Activations, and the stage maps, `projected`, `hidden_states.last` of Parity
//    3 patches without bias, `pre_layrnorm`                        Parity: `vision_tower` of every folder
//    4 epsilons                                                    Epsilons; models/traps_test.cpp for the largest ConvNeXt
//    5 ConvNeXt's depths come from its tensors                     models/traps_test.cpp; Parity: folders of other depths
//    6 stage maps without a norm, stage 0 first                    Parity: `vision_tower_aux.*`, `mined`; nn/patch_info_mining_test.cpp
//    7 nothing is dropped at random                                ParityPaths.ThreadsGiveTheSameBytes
//    8 half-pixel upsampling with repeated borders                 nn/patch_info_mining_test.cpp; Parity: `mined`, llama_odd_stages
//    9 low views from the normalised picture, not antialiased      Parity: `images`
//   10 the global view is a mean                                   Parity: `images`, `mined` of llama_hd, gemma_hd, mixtral_hd
//   11 upsample first, cut later                                   nn/patch_info_mining_test.cpp; Parity: the HD folders
//   12 crops then global, global then crops                        GlobalView; Parity: the HD folders
//   13 candidates per token, all stages together                   MisfitsAreRefused
//   14 keys divided by the root of the mining width                Parity: `mined`, with scores that vary; nn/patch_info_mining_test.cpp
//   15 residual on the raw feature, then the projector             Parity: `mined`, `projected`
//   16 separate norms of keys and values                           KeysAndValuesHaveTheirOwnNorms
//   17 image_size_aux left out                                     MisfitsAreRefused
//   18 padding colour truncated, before resizing, offset floored   io/pixels_test.cpp
//   19 rescaled in double, divided by the deviation                io/pixels_test.cpp
//   20 Pillow's bicubic, 8 bits between the passes                 io/resize_test.cpp
//   21 EXIF as asked, alpha dropped                                io/exif_test.cpp, io/png_test.cpp
//   22 LLaMA-3's assistant is `system`, stops on 128009            models/prompt_test.cpp; Parity: llama3_std
//   23 pieces around pictures tokenized apart, one BOS             io/tokenizer_cases_test.cpp; Parity: `input_ids` of every folder
//   24 no BOS for 34B, exactly one for 8B                          Parity: `input_ids` of yi_std, llama3_std
//   25 pictures are numbered from two on                           models/prompt_test.cpp; Parity: llama_hd_2_images
//   26 spaces and line ends of the templates                       models/prompt_test.cpp
//   27 which system text                                           models/prompt_test.cpp
//   28 top_k is 50 unless something is said                        models/sampler_test.cpp; Folder.MaySayHowTokensAreDrawn
//   29 a long prompt loses its end, pictures counted               Parity: llama_cut
//   30 <GEN> in the user's turn, behind OCR                        models/prompt_test.cpp
//   31 special tokens are left out of answers                      io/tokenizer_cases_test.cpp, models/session_test.cpp
//   32 Gemma scales pictures too, its head is not scaled           Parity: gemma_std, gemma_hd
//   33 1 + w                                                       Parity: gemma_std, gemma_hd
//   34 half rotation, theta from the config                        Rotation; Parity: llama3_std, yi_std; cpu/rope_test.cpp
//   35 the kept probabilities are divided by their sum             Experts; Parity: mixtral_std, mixtral_hd
//   36 pictures are causal                                         Parity: `hidden_states.last` of every row
//   37 logits of the last position alone                           Parity: the shape of `logits`
//   38 no output table                                             TiedTables
//   39 old names                                                   OldNames; models/traps_test.cpp
//   40 a missing mm_use_im_patch_token means true                  AddedTokens
//   41 two copies of a tower                                       TheRightCopyOfATower
//   42 bf16 is not squeezed into f16                               LargeWeights
#include <gtest/gtest.h>

#include "support/parity.hpp"

#if defined(MGM_TOOL)
namespace traps_test {

using mgm::io::Json;

/// A copy of one of our case folders that may be spoilt.
class Spoilt {
 public:
  explicit Spoilt(std::string const& name) : folder_(scratch_.path(name)) {
    std::filesystem::copy(std::string(MGM_TEST_SOURCE "/tests/data/mgm/") + name, folder_, std::filesystem::copy_options::recursive);
  }
  /// Sets a key of a JSON file of the model; null takes it out.
  Spoilt& set(std::string const& key, Json const& value, std::string const& file = "config.json") {
    std::string const path = folder_ + "/model/" + file;
    auto json = mgm::io::read_json(path);
    auto& object = json.contains("vision_config") ? json["vision_config"] : json;
    if (value.is_null()) object.erase(key);
    else object[key] = value;
    scratch_.write(std::filesystem::relative(path, scratch_.path()).string(), json.dump());
    return *this;
  }
  /// Leaves an argument of the case out, or changes it.
  Spoilt& argument(std::string const& key, Json const& value) {
    auto json = mgm::io::read_json(folder_ + "/case.json");
    json[key] = value;
    scratch_.write(std::filesystem::path(folder_).filename().string() + "/case.json", json.dump());
    return *this;
  }
  /// Hands the bytes of a tensor to `change`, and puts back what it leaves there.
  template <class Change>
  Spoilt& bytes(std::string const& tensor, Change&& change) {
    for (auto const& entry : std::filesystem::directory_iterator(folder_ + "/model")) {
      if (entry.path().extension() != ".safetensors") continue;
      auto const file = mgm::io::TensorFile::open(entry.path().string());
      auto const* found = file->find(tensor);
      if (found == nullptr) continue;
      auto all = support::slurp(entry.path().string());
      std::string part = all.substr(static_cast<std::size_t>(found->offset), static_cast<std::size_t>(found->bytes));
      change(part);
      all.replace(static_cast<std::size_t>(found->offset), part.size(), part);
      scratch_.write(std::filesystem::relative(entry.path(), scratch_.path()).string(), all);
      return *this;
    }
    ADD_FAILURE() << folder_ << " has no " << tensor;
    return *this;
  }
  [[nodiscard]] support::Ran run() const { return support::run(support::ParityCase(folder_).command(MGM_TOOL, "f32", scratch_.path("dump"))); }
  /// The names of the tensors that are off now.
  [[nodiscard]] std::vector<std::string> off() const {
    auto const ran = run();
    EXPECT_EQ(ran.status, 0) << ran.err;
    std::vector<std::string> out;
    if (ran.status == 0)
      for (auto const& line : support::differences(support::ParityCase(folder_), scratch_.path("dump"), true)) out.push_back(line.substr(0, line.find(':')));
    return out;
  }
  [[nodiscard]] bool is_off(std::string const& tensor) const {
    auto const all = off();
    return std::find(all.begin(), all.end(), tensor) != all.end();
  }

 private:
  support::TempDir scratch_;
  std::string folder_;
};

std::vector<std::string> const kNothing{};
std::string const kClip = "model_zoo/OpenAI/clip-vit-small-patch14/config.json";

TEST(Traps, StatesOfClip) {
  for (int const state : {-1, -3, 0}) EXPECT_TRUE(Spoilt("llama_std").set("mm_vision_select_layer", state).is_off("vision_tower")) << state;
  EXPECT_EQ(Spoilt("llama_std").set("mm_vision_select_layer", 2).off(), kNothing);  // of 0 … 3, where -2 is 2
}

TEST(Traps, LayersThatNeverRun) {
  auto const spoil = [](std::string& b) { std::fill(b.begin(), b.end(), '\x55'); };
  std::string const tower = "model.vision_tower.vision_tower.vision_model.";
  EXPECT_EQ(Spoilt("llama_std").bytes(tower + "encoder.layers.2.mlp.fc1.weight", spoil).bytes(tower + "post_layernorm.weight", spoil).off(), kNothing);
  EXPECT_TRUE(Spoilt("llama_std").bytes(tower + "encoder.layers.1.mlp.fc2.bias", [](std::string& b) { b[1] = '\x40'; }).is_off("vision_tower"));
}

TEST(Traps, Activations) {
  EXPECT_TRUE(Spoilt("llama_towers_apart").set("hidden_act", "quick_gelu", kClip).is_off("vision_tower"));
  EXPECT_TRUE(Spoilt("llama_std").set("hidden_act", "gelu", kClip).is_off("vision_tower"));
  EXPECT_TRUE(Spoilt("gemma_std").set("hidden_activation", "gelu").is_off("hidden_states.last"));
  EXPECT_EQ(Spoilt("gemma_std").set("hidden_act", "gelu").off(), kNothing);  // the tanh form, whatever the older key says
  EXPECT_TRUE(Spoilt("gemma_hd").set("hidden_activation", nullptr).is_off("hidden_states.last"));
}

TEST(Traps, Epsilons) {
  EXPECT_TRUE(Spoilt("llama_std").set("layer_norm_eps", 1e-6, kClip).is_off("vision_tower"));
  EXPECT_TRUE(Spoilt("llama_towers_apart").set("layer_norm_eps", 1e-5, kClip).is_off("vision_tower"));
  EXPECT_TRUE(Spoilt("llama_std").set("rms_norm_eps", 1e-6).is_off("hidden_states.last"));
  EXPECT_TRUE(Spoilt("gemma_std").set("rms_norm_eps", 1e-5).is_off("hidden_states.last"));
}

TEST(Traps, GlobalView) {
  Spoilt without("llama_hd");
  without.set("image_global", false);
  EXPECT_TRUE(without.is_off("images"));
  EXPECT_TRUE(without.is_off("mined"));
}

TEST(Traps, MisfitsAreRefused) {
  for (int const side : {63, 12}) EXPECT_EQ(Spoilt("llama_odd_stages").set("image_size_aux", side).run().status, 1) << side;
  auto const absent = Spoilt("llama_grid_3").set("image_size_aux", nullptr).run();  // 80 cells over 9 tokens
  EXPECT_EQ(absent.status, 1);
  EXPECT_EQ(std::count(absent.err.begin(), absent.err.end(), '\n'), 1) << absent.err;
  auto const channels = Spoilt("llama_std").set("mm_hidden_size_aux", 18).run();  // the last stage alone
  EXPECT_EQ(channels.status, 1);
  EXPECT_NE(channels.err.find("44"), std::string::npos) << channels.err;
}

TEST(Traps, KeysAndValuesHaveTheirOwnNorms) {
  std::string keys;
  Spoilt one("llama_std");
  one.bytes("model.vlm_uni_aux_projector.0.weight", [&](std::string& b) { keys = b; });
  EXPECT_EQ(one.off(), kNothing);
  EXPECT_TRUE(one.bytes("model.vlm_uni_val_projector.0.weight", [&](std::string& b) { b = keys; }).is_off("mined"));
}

TEST(Traps, Rotation) {
  EXPECT_TRUE(Spoilt("llama3_std").set("rope_theta", 10000.0).is_off("hidden_states.last"));
  EXPECT_TRUE(Spoilt("yi_std").set("rope_theta", nullptr).is_off("hidden_states.last"));
  EXPECT_EQ(Spoilt("llama_std").set("rope_theta", nullptr).off(), kNothing);
}

TEST(Traps, Experts) {
  EXPECT_TRUE(Spoilt("mixtral_hd").set("num_experts_per_tok", 2).is_off("hidden_states.last"));
  EXPECT_EQ(Spoilt("mixtral_std").set("num_experts_per_tok", nullptr).off(), kNothing);
}

TEST(Traps, TiedTables) {
  EXPECT_EQ(Spoilt("llama3_std").set("tie_word_embeddings", nullptr).off(), kNothing);  // there is no output table to take
  EXPECT_EQ(Spoilt("llama3_std").set("tie_word_embeddings", false).run().status, 1);  // then it is missing
  EXPECT_EQ(Spoilt("gemma_std").set("tie_word_embeddings", nullptr).off(), kNothing);
  EXPECT_TRUE(Spoilt("llama_std").set("tie_word_embeddings", true).is_off("logits"));
}

TEST(Traps, OldNames) {
  EXPECT_EQ(Spoilt("llama_old_names").set("model_type", "mgm").off(), kNothing);
  EXPECT_EQ(Spoilt("gemma_hd").set("model_type", "mgm_gemma").off(), kNothing);
  EXPECT_EQ(Spoilt("mixtral_std").set("model_type", "mini_gemini_mixtral").off(), kNothing);
  EXPECT_EQ(Spoilt("mixtral_hd").set("model_type", nullptr).off(), kNothing);  // `architectures` says it too
}

TEST(Traps, WidthsThatTheTowersSay) {
  EXPECT_EQ(Spoilt("llama_std").set("mm_hidden_size", nullptr).set("mm_hidden_size_aux", nullptr).off(), kNothing);
}

TEST(Traps, AddedTokens) {
  EXPECT_TRUE(Spoilt("llama_old_names").set("mm_use_im_patch_token", false).is_off("logits"));
  EXPECT_EQ(Spoilt("llama_old_names").set("mm_use_im_patch_token", true).off(), kNothing);
}

TEST(Traps, TheRightCopyOfATower) {
  EXPECT_TRUE(Spoilt("llama_towers_given").argument("clip", nullptr).is_off("vision_tower"));
  EXPECT_TRUE(Spoilt("llama_towers_given").argument("openclip", nullptr).is_off("vision_tower_aux.stage_0"));
  EXPECT_TRUE(Spoilt("llama_std").argument("clip", "model/model_zoo/OpenAI/clip-vit-small-patch14").is_off("vision_tower"));
}

TEST(Traps, PicturesAsTheyLie) {
  EXPECT_TRUE(Spoilt("llama_towers_given").argument("exif", "apply").is_off("images_aux"));
  EXPECT_TRUE(Spoilt("llama_towers_apart").argument("exif", "ignore").is_off("images_aux"));
  EXPECT_TRUE(Spoilt("llama_std").set("image_aspect_ratio", "square").is_off("images_aux"));
}

// 2^17 is beyond f16: a gain of that size and an output table smaller by as much give the same logits only where nothing saturates.
TEST(Traps, LargeWeights) {
  auto const shift = [](int by) {  // of the exponent of every bf16
    return [by](std::string& b) {
      for (std::size_t i = 1; i < b.size(); i += 2) {
        auto const bits = static_cast<unsigned>(static_cast<unsigned char>(b[i])) << 8 | static_cast<unsigned char>(b[i - 1]);
        if ((bits & 0x7F80) == 0) continue;
        auto const moved = static_cast<unsigned>(static_cast<int>(bits) + by * 128);
        b[i] = static_cast<char>(moved >> 8), b[i - 1] = static_cast<char>(moved & 255);
      }
    };
  };
  auto const off = Spoilt("llama_std").bytes("model.norm.weight", shift(17)).bytes("lm_head.weight", shift(-17)).off();
  EXPECT_EQ(off, std::vector<std::string>{"hidden_states.last"});
}

}  // namespace traps_test
#else
TEST(Traps, NeedsTheTool) { FAIL() << "the mgm tool is not built here: it needs CLI11, libpng and libjpeg (and MGM_EXAMPLES=ON)"; }
#endif
