// The known traps of Stable Diffusion, each shown to be seen by a test: a folder is changed as a wrong reader would take it, and the
// comparison with its golden must then differ (or, where a thing must have no influence, must not). Where each is held down:
//    1 attention_head_dim counts heads                             HeadsAreCounted
//    2 epsilons of norms                                           Epsilons; DrawParity: inputs of the norms are small; models: TinyUnet,
//    TinyVae 3 cosines first, half in the divisor                          models/diffusion_test.cpp: Sinusoids, GuidanceWave 4 no
//    activation on the sum of time and sizes                  models/diffusion_test.cpp: TinyUnet 5 value and gate, exact gelu, quick_gelu
//    Activations; models/diffusion_test.cpp: TinyUnet, TinyTextEncoder 6 which states of the text encoders LayersThatNeverRun, FinalNorms
//    7 padding                                                     PadTokens
//    8 eos_token_id 2 is no id                                     EndOfText
//    9 "!" is a token of its own in tokenizer_2                    PadTokens
//   10 absent and empty negative prompts                           NegativePrompts
//   11 which half is negative                                      DrawParity: `noise_pred` of every guided case
//   12 first noise by the first sigma of this run                  Spacing; models/scheduler_test.cpp
//   13 range of Karras' levels                                     DrawParity: sd_dpmpp_karras; models/scheduler_test.cpp
//   14 fractional timesteps                                        models/scheduler_test.cpp; DrawParity: sd15_euler
//   15 which methods draw, and when                                DrawParity: sdxl_euler_a, sd_lcm, sd_mask_lcm, sdxl_mask_euler_a
//   16 clip_sample                                                 ClipSample
//   17 1000 / 30 = 33                                              models/scheduler_test.cpp: TablesOfLeadingSteps
//   18 scaling factors                                             ScalingFactor
//   19 the encoder pads right and below                            DrawParity: `latents.0` of sd_init_pndm, sdxl_init_dpmpp; models:
//   TinyVae 20 the autoencoder's attention: one head, biases               BiasesOfTheAttention; models/diffusion_test.cpp: TinyVae 21 f16
//   overflows in the autoencoder                            draw_test.cpp: SixteenBitsComeNear, PicturesThatAreNotNumbers 22 tiles are not
//   the whole                                     draw_test.cpp: BeginWhereThePictureIsLargerThanOne; DrawParity: sd_tiles, sdxl_init_tiles
//   23 order of the skips                                          models/diffusion_test.cpp: TinyUnet
//   24 the first of transformer_layers_per_block                   TransformerLayers
//   25 projections as 1×1 convolutions                             DrawParity: sd
//   26 odd sizes                                                   DrawParity: sdxl_ddim; models/diffusion_test.cpp: TinyUnet
//   27 noise in f32                                                models/noise_test.cpp
//   28 halves to even after clamping                               models/diffusion_test.cpp: Levels
//   32 height before width                                         DrawParity: pictures that are not square
//   33 a scheduler in f32                                          DrawParity: every `latents.k`
//   34 no negative prompt without guidance                         DrawParity: sd_lcm, sdxl_euler_a have no `negative_prompt_embeds`
//   35 groups across the seam of a skip                            DrawParity: 16 + 8 channels in 4 groups in sdxl; models: TinyUnet
// 29, 30 (IP-Adapter) and 31 (original single files) stand with their own tests.
#include <gtest/gtest.h>

#include <cctype>

#include "support/draw_case.hpp"

#if defined(MGM_TOOL)
namespace draw_traps_test {

using mgm::io::Json;
using support::SpoiltDraw;

std::vector<std::string> const kNothing{};
void garble(std::string& b) { std::fill(b.begin(), b.end(), '\x3c'); }  // 1.06 in f16

TEST(DrawTraps, HeadsAreCounted) {
  EXPECT_TRUE(SpoiltDraw("sdxl_euler_a").set("unet/config.json", "attention_head_dim", Json{8, 4, 8}).is_off(MGM_TOOL, "noise_pred.0"));
  EXPECT_TRUE(SpoiltDraw("sd_lcm").set("unet/config.json", "attention_head_dim", 4).is_off(MGM_TOOL, "noise_pred.0"));
  EXPECT_EQ(SpoiltDraw("sd_lcm").set("unet/config.json", "attention_head_dim", Json{2, 2, 2, 2}).off(MGM_TOOL), kNothing);
}

TEST(DrawTraps, Epsilons) {
  EXPECT_TRUE(SpoiltDraw("sdxl_euler_a").set("unet/config.json", "norm_eps", 1e-6).is_off(MGM_TOOL, "noise_pred.0"));
  EXPECT_EQ(SpoiltDraw("sdxl_euler_a").set("unet/config.json", "norm_eps", nullptr).off(MGM_TOOL), kNothing);
  EXPECT_TRUE(SpoiltDraw("sdxl_euler_a").set("text_encoder/config.json", "layer_norm_eps", 1e-3).is_off(MGM_TOOL, "prompt_embeds"));
}

TEST(DrawTraps, Activations) {
  EXPECT_TRUE(SpoiltDraw("sdxl_euler_a").set("text_encoder/config.json", "hidden_act", "gelu").is_off(MGM_TOOL, "prompt_embeds"));
  EXPECT_TRUE(
      SpoiltDraw("sdxl_euler_a").set("text_encoder_2/config.json", "hidden_act", "quick_gelu").is_off(MGM_TOOL, "pooled_prompt_embeds"));
  EXPECT_EQ(SpoiltDraw("sd_lcm").set("text_encoder/config.json", "hidden_act", nullptr).off(MGM_TOOL), kNothing);
}

TEST(DrawTraps, LayersThatNeverRun) {
  std::string const layers = "text_model.encoder.layers.";
  SpoiltDraw xl("sdxl_euler_a");  // the state before the last layer of the first encoder; all of the second, for the pooled vector
  EXPECT_EQ(xl.bytes("text_encoder", layers + "1.mlp.fc1.weight", garble)
                .bytes("text_encoder", "text_model.final_layer_norm.weight", garble)
                .off(MGM_TOOL),
            kNothing);
  auto const last = SpoiltDraw("sdxl_euler_a").bytes("text_encoder_2", layers + "2.mlp.fc1.bias", garble).off(MGM_TOOL);
  EXPECT_NE(std::find(last.begin(), last.end(), "pooled_prompt_embeds"), last.end());
  EXPECT_EQ(std::find(last.begin(), last.end(), "prompt_embeds"), last.end());
  EXPECT_TRUE(SpoiltDraw("sd_lcm").bytes("text_encoder", layers + "1.mlp.fc1.bias", garble).is_off(MGM_TOOL, "prompt_embeds"));
}

TEST(DrawTraps, FinalNorms) {
  EXPECT_TRUE(SpoiltDraw("sd_lcm").bytes("text_encoder", "text_model.final_layer_norm.bias", garble).is_off(MGM_TOOL, "prompt_embeds"));
  auto const pooled = SpoiltDraw("sdxl_euler_a").bytes("text_encoder_2", "text_model.final_layer_norm.bias", garble).off(MGM_TOOL);
  EXPECT_NE(std::find(pooled.begin(), pooled.end(), "pooled_prompt_embeds"), pooled.end());
  EXPECT_EQ(std::find(pooled.begin(), pooled.end(), "prompt_embeds"), pooled.end());
}

TEST(DrawTraps, PadTokens) {
  SpoiltDraw second("sdxl_euler");
  second.set("tokenizer_2/special_tokens_map.json", "pad_token", "<|endoftext|>")
      .set("tokenizer_2/tokenizer_config.json", "pad_token", "<|endoftext|>");
  EXPECT_TRUE(second.is_off(MGM_TOOL, "prompt_embeds"));
  SpoiltDraw first("sdxl_euler");
  first.set("tokenizer/special_tokens_map.json", "pad_token", "!").set("tokenizer/tokenizer_config.json", "pad_token", "!");
  EXPECT_TRUE(first.is_off(MGM_TOOL, "prompt_embeds"));
  // where the two files disagree, the map of special tokens is right
  EXPECT_EQ(SpoiltDraw("sdxl_euler").set("tokenizer_2/tokenizer_config.json", "pad_token", "<|endoftext|>").off(MGM_TOOL), kNothing);
}

TEST(DrawTraps, EndOfText) {
  EXPECT_EQ(SpoiltDraw("sdxl_euler_a").set("text_encoder_2/config.json", "eos_token_id", 613).off(MGM_TOOL), kNothing);  // its true id
  EXPECT_TRUE(SpoiltDraw("sdxl_euler_a").set("text_encoder_2/config.json", "eos_token_id", 612).is_off(MGM_TOOL, "pooled_prompt_embeds"));
}

TEST(DrawTraps, NegativePrompts) {
  EXPECT_TRUE(SpoiltDraw("sdxl_euler").is_off(MGM_TOOL, "negative_prompt_embeds", {"--negative", ""}));
  EXPECT_TRUE(
      SpoiltDraw("sdxl_euler").set("model_index.json", "force_zeros_for_empty_prompt", false).is_off(MGM_TOOL, "negative_prompt_embeds"));
  EXPECT_EQ(SpoiltDraw("sd_pndm").off(MGM_TOOL, {"--negative", ""}), kNothing);
}

TEST(DrawTraps, Spacing) {
  std::string const file = "scheduler/scheduler_config.json";
  EXPECT_TRUE(SpoiltDraw("sdxl_euler").set(file, "timestep_spacing", "trailing").is_off(MGM_TOOL, "latents.0"));
  EXPECT_TRUE(SpoiltDraw("sdxl_euler").set(file, "timestep_spacing", nullptr).is_off(MGM_TOOL, "timesteps"));
  EXPECT_TRUE(SpoiltDraw("sdxl_euler").set(file, "steps_offset", 0).is_off(MGM_TOOL, "timesteps"));
  EXPECT_TRUE(SpoiltDraw("sdxl_euler").set(file, "prediction_type", "v_prediction").is_off(MGM_TOOL, "latents.1"));
  EXPECT_TRUE(SpoiltDraw("sdxl_euler").set(file, "use_karras_sigmas", true).is_off(MGM_TOOL, "sigmas"));
}

TEST(DrawTraps, ClipSample) {
  EXPECT_TRUE(SpoiltDraw("sdxl_ddim").set("scheduler/scheduler_config.json", "clip_sample", nullptr).is_off(MGM_TOOL, "latents.1"));
}

TEST(DrawTraps, ScalingFactor) {
  EXPECT_EQ(SpoiltDraw("sd_lcm").set("vae/config.json", "scaling_factor", 0.18215).off(MGM_TOOL), kNothing);  // the default
  EXPECT_TRUE(SpoiltDraw("sdxl_euler_a").set("vae/config.json", "scaling_factor", nullptr).is_off(MGM_TOOL, "decoded"));
  EXPECT_TRUE(SpoiltDraw("sdxl_init_dpmpp").set("vae/config.json", "scaling_factor", nullptr).is_off(MGM_TOOL, "latents.0"));
}

TEST(DrawTraps, BiasesOfTheAttention) {
  std::string const attention = "decoder.mid_block.attentions.0.";
  EXPECT_TRUE(SpoiltDraw("sdxl_euler_a").bytes("vae", attention + "to_v.bias", garble).is_off(MGM_TOOL, "decoded"));
  EXPECT_TRUE(SpoiltDraw("sdxl_euler_a").bytes("vae", attention + "group_norm.bias", garble).is_off(MGM_TOOL, "decoded"));
  EXPECT_TRUE(SpoiltDraw("sd_lcm").bytes("vae", attention + "value.bias", garble).is_off(MGM_TOOL, "decoded"));  // the names of 2022
}

TEST(DrawTraps, TransformerLayers) {
  EXPECT_EQ(SpoiltDraw("sdxl_euler_a").set("unet/config.json", "transformer_layers_per_block", Json{7, 1, 2}).off(MGM_TOOL), kNothing);
  auto const more = SpoiltDraw("sdxl_euler_a").set("unet/config.json", "transformer_layers_per_block", Json{1, 1, 3}).run(MGM_TOOL);
  EXPECT_EQ(more.status, 1);
  EXPECT_NE(more.err.find("transformer_blocks.2"), std::string::npos) << more.err;
}

/// The folder is refused in one line that holds `part`.
void expect_refused(SpoiltDraw const& folder, std::string const& part) {
  auto const ran = folder.run(MGM_TOOL);
  EXPECT_EQ(ran.status, 1) << part;
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  EXPECT_NE(ran.err.find(part), std::string::npos) << "expected " << part << " in: " << ran.err;
  EXPECT_FALSE(std::filesystem::exists(folder.picture()));
}

TEST(DrawFolders, RefusedByName) {
  std::string const unet = "unet/config.json", vae = "vae/config.json", scheduler = "scheduler/scheduler_config.json",
                    index = "model_index.json";
  auto const xl = [] { return SpoiltDraw("sdxl_euler_a"); };
  for (std::string const part : {"unet", "vae", "scheduler", "tokenizer", "tokenizer_2"}) {
    expect_refused(xl().set(index, part, Json{nullptr, nullptr}), "component " + part + " is missing");
    expect_refused(xl().remove(part), part);
  }
  expect_refused(SpoiltDraw("sd_lcm").set(index, "text_encoder", nullptr), "component text_encoder is missing");
  expect_refused(xl().set(index, "unet", Json{"diffusers", "FluxTransformer2DModel"}), "FluxTransformer2DModel");
  expect_refused(xl().set(index, "vae", Json{"diffusers", "AutoencoderTiny"}), "AutoencoderTiny");
  expect_refused(xl().set(index, "text_encoder", Json{"transformers", "T5EncoderModel"}), "T5EncoderModel");
  expect_refused(xl().set(unet, "class_embed_type", "timestep"), "class_embed_type");
  expect_refused(xl().set(unet, "act_fn", "gelu"), "act_fn 'gelu'");
  expect_refused(xl().set(unet, "down_block_types", Json{"DownBlock2D", "AttnDownBlock2D", "CrossAttnDownBlock2D"}), "AttnDownBlock2D");
  expect_refused(xl().set(unet, "addition_embed_type", "image"), "addition_embed_type");
  expect_refused(xl().set(unet, "in_channels", 8), "8 channels in");
  expect_refused(xl().set(unet, "projection_class_embeddings_input_dim", 90), "90");
  expect_refused(xl().set(vae, "act_fn", "mish"), "act_fn 'mish'");
  expect_refused(xl().set(vae, "latents_mean", Json{0, 0, 0, 0}), "latents_mean");
  expect_refused(xl().set(vae, "scaling_factor", 0), "scaling_factor");
  expect_refused(xl().set(vae, "latent_channels", 16), "16");
  expect_refused(SpoiltDraw("sdxl_euler").set(scheduler, "_class_name", "UniPCMultistepScheduler"), "UniPCMultistepScheduler");
  expect_refused(SpoiltDraw("sdxl_euler").set(scheduler, "timestep_spacing", "even"), "timestep_spacing 'even'");
  expect_refused(SpoiltDraw("sd_pndm").set(scheduler, "skip_prk_steps", nullptr), "skip_prk_steps");
  expect_refused(xl().remove("unet/diffusion_pytorch_model.fp16.safetensors"), "unet");
}

}  // namespace draw_traps_test
#else
TEST(DrawTraps, NeedsTheTool) { FAIL() << "the mgm tool is not built here: it needs CLI11, libpng and libjpeg (and MGM_EXAMPLES=ON)"; }
#endif
