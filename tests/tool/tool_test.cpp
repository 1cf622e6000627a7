// The tool as a hostile or clumsy user drives it: wrong usage gives status 2, a failure 1, both with one line on standard error; beside
// each refusal stands a good twin.
#include <gtest/gtest.h>

#include <functional>

#include "support/broken_model.hpp"

#if defined(MGM_TOOL)
namespace tool_test {

using support::ask, support::BrokenModel, support::expect_failure, support::expect_good, support::Json, support::mgm_tool;
using Arguments = std::vector<std::string>;

std::string const kCases = MGM_TEST_SOURCE "/tests/data/mgm", kModel = kCases + "/llama_std/model",
                  kPicture = kCases + "/llama_std/picture_1.png";

std::string joined(Arguments const& arguments) {
  std::string out;
  for (auto const& argument : arguments) out += " " + argument;
  return out;
}

TEST(ToolUsage, WrongUsageIsTwo) {
  for (Arguments const& bad : std::vector<Arguments>{{},
                                                     {"frob"},
                                                     {""},
                                                     {"frob\nnicate"},
                                                     {"chat"},
                                                     {"chat", kModel, "--frob"},
                                                     {"chat", kModel, "--prompt"},
                                                     {"chat", kModel, kModel},
                                                     {"dump", kModel, "--prompt", "x"},
                                                     {"dump", kModel, "-o", "x"},
                                                     {"inspect"},
                                                     {"tokenize", kModel},
                                                     {"tokenize", kModel, "--text", "a", "--decode", "[1]"},
                                                     {"chat", kModel, "--prompt", "x", "--heatmap", "x.png"}})
    expect_failure(mgm_tool(bad), 2, "--help", joined(bad));
  for (Arguments const& good :
       std::vector<Arguments>{{"--help"}, {"--version"}, {"chat", "--help"}, {"inspect", kModel, "--threads", "1", "--progress", "never"}})
    expect_good(mgm_tool(good), joined(good));
}

TEST(ToolUsage, OptionValues) {
  struct Bad {
    int status;
    std::string option, value;
  };
  for (auto const& [status, option, value] : std::vector<Bad>{{1, "--temperature", "-1"},    {2, "--temperature", "nan"},
                                                              {2, "--temperature", "1e999"}, {2, "--temperature", ""},
                                                              {2, "--temperature", "0x10"},  {2, "--temperature", "1,5"},
                                                              {1, "--top-p", "0"},           {1, "--top-p", "1.5"},
                                                              {1, "--top-k", "-1"},          {2, "--top-k", "99999999999"},
                                                              {2, "--seed", "-1"},           {2, "--seed", "18446744073709551616"},
                                                              {2, "--max-new-tokens", "-1"}, {2, "--max-new-tokens", "1099511627776"},
                                                              {2, "--threads", "-1"},        {1, "--device", "cuda"},
                                                              {1, "--device", "simt:9999"},  {1, "--device", "simt:"},
                                                              {1, "--device", "gpu"},        {1, "--weights", "int8"},
                                                              {2, "--dtype", "f8"},          {1, "--template", "nope"},
                                                              {1, "--isa", "sse"},           {2, "--exif", "maybe"},
                                                              {1, "--image", "/nope.png"},   {1, "--clip", "/nope"}}) {
    Arguments all{"chat", kModel, "--prompt", "x", "--progress", "never", option, value};
    expect_failure(mgm_tool(all), status, option == "--clip" || option == "--image" ? value : "", joined(all));
  }
  for (Arguments const& good : std::vector<Arguments>{{"--temperature", "0"},
                                                      {"--temperature", "1e30", "--top-k", "0"},
                                                      {"--top-p", "1e-20"},
                                                      {"--seed", "18446744073709551615"},
                                                      {"--threads", "3"},
                                                      {"--device", "cpu"},
                                                      {"--device", "simt"},
                                                      {"--device", "simt:90"},
                                                      {"--stop", ""},
                                                      {"--ocr", ""},
                                                      {"--template", "none"}})
    expect_good(ask(kModel, good), joined(good));
  expect_good(mgm_tool({"chat", kModel, "--prompt", "x", "--max-new-tokens", "0", "--progress", "never"}), "no tokens");
}

TEST(ToolFiles, WeightsThatLie) {
  std::string const shard = "model-00001-of-00002.safetensors", index = "model.safetensors.index.json";
  auto const length = [&](std::uint64_t n) { return [=](BrokenModel& m) { m.write(shard, support::le(n) + m.bytes(shard).substr(8)); }; };
  auto const entry = [&](std::string const& key, Json const& value) {
    return [=](BrokenModel& m) { m.edit_header(shard, [&](Json& h) { h["lm_head.weight"][key] = value; }); };
  };
  auto const names = [&](std::string const& before) {
    return [=](BrokenModel& m) {
      m.edit(index, [&](Json& json) {
        for (auto& [name, file] : json["weight_map"].items()) file = before + file.get<std::string>();
      });
    };
  };
  struct Case {
    std::string fragment;
    std::function<void(BrokenModel&)> spoil;
  };
  for (auto const& [fragment, spoil] : std::vector<Case>{
           {"0 bytes", [&](BrokenModel& m) { m.write(shard, ""); }},
           {"5 bytes", [&](BrokenModel& m) { m.cut(shard, 5); }},
           {"header length 0", length(0)},
           {"limit", length(~std::uint64_t{0})},
           {"cut short", length(90000000)},
           {"data_offsets end", [&](BrokenModel& m) { m.cut(shard, m.bytes(shard).size() - 10); }},
           {"no bytes after", [&](BrokenModel& m) { m.write(shard, m.bytes(shard) + "xxxx"); }},
           {"git-LFS", [&](BrokenModel& m) { m.write(shard, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"); }},
           {"HTML", [&](BrokenModel& m) { m.write(shard, "<!DOCTYPE html><html></html>"); }},
           {"F12", entry("dtype", "F12")},
           {"negative", entry("shape", Json{-1, 2})},
           {"overflows", entry("shape", Json{std::uint64_t{1} << 40, std::uint64_t{1} << 40})},
           {"after their end", entry("data_offsets", Json{100, 0})},
           {"2 of 2 shards are missing", [&](BrokenModel& m) { m.remove(shard).remove("model-00002-of-00002.safetensors"); }},
           {"inside the folder", names("../model/")},
           {"inside the folder", names("/")},
           {"not JSON", [&](BrokenModel& m) { m.write(index, "{\"weight_map\": ["); }},
           {"model.extra", [&](BrokenModel& m) { m.edit(index, [&](Json& json) { json["weight_map"]["model.extra"] = shard; }); }}}) {
    BrokenModel model;
    spoil(model);
    expect_failure(ask(model.path()), 1, fragment, "chat");
    auto const seen = mgm_tool({"inspect", model.path(), "--json"});
    expect_failure(seen, 1, fragment, "inspect");
    EXPECT_TRUE(Json::parse(seen.out).contains("error"));  // the JSON is printed all the same
  }
  expect_good(ask(kModel), "as it is");
}

TEST(ToolFiles, PickledCode) {
  BrokenModel model("llama_towers_apart");
  std::string const file = "model_zoo/OpenAI/clip-vit-small-patch14/pytorch_model.bin";
  auto const good = mgm_tool({"inspect", model.path(file), "--json"});
  EXPECT_EQ(good.status, 0) << good.err;
  EXPECT_TRUE(Json::parse(good.out).at("format").get<std::string>().starts_with("torch-"));
  std::string bytes = model.bytes(file);
  std::string const from = "_rebuild_tensor_v2", to = "_rebuild_anything_";
  auto const at = bytes.find(from);
  ASSERT_NE(at, std::string::npos);
  model.write(file, bytes.replace(at, from.size(), to));
  expect_failure(mgm_tool({"inspect", model.path(file), "--json"}), 1, to, "another global");
  expect_failure(ask(model.path()), 1, to, "a tower with another global");
  model.write(file,
              "\x80\x02"
              "cposix\nsystem\nU\x04true\x85R.");
  expect_failure(mgm_tool({"inspect", model.path(file)}), 1, "pickle", "a bare pickle");
}

TEST(ToolFiles, ConfigsThatCannotBe) {
  struct Case {
    std::string key;
    Json value;
    std::string fragment, folder = "llama_std";
  };
  for (auto const& [key, value, fragment, folder] :
       std::vector<Case>{{"model_type", "gpt2", "gpt2"},
                         {"model_type", "a\nb", "a?b"},
                         {"num_attention_heads", 5, "5 heads"},
                         {"num_attention_heads", 0, "found 0"},
                         {"num_key_value_heads", 3, "3 key"},
                         {"hidden_size", std::int64_t{1} << 31, "hidden_size"},
                         {"hidden_size", 1e300, "hidden_size"},
                         {"hidden_size", "32", "hidden_size"},
                         {"hidden_size", nullptr, "missing"},
                         {"num_hidden_layers", 1000000000, "num_hidden_layers"},
                         {"num_hidden_layers", 4000, "missing"},
                         {"vocab_size", std::int64_t{1} << 40, "vocab_size"},
                         {"max_position_embeddings", -1, "max_position"},
                         {"rope_theta", 0, "rope_theta"},
                         {"rope_scaling", Json{{"type", "linear"}, {"factor", 2}}, "rope_scaling"},
                         {"rms_norm_eps", -1, "rms_norm_eps"},
                         {"hidden_act", "relu9", "relu9"},
                         {"head_dim", 7, "even"},
                         {"mm_hidden_size", 25, "24"},
                         {"mm_hidden_size_aux", 45, "44"},
                         {"image_grid", 3, "crops"},
                         {"image_grid", 0, "image_grid"},
                         {"image_size_aux", 63, "image_size_aux"},
                         {"mm_projector_type", "resampler", "resampler"},
                         {"mm_vision_select_layer", -20, "-20"},
                         {"mm_vision_select_feature", "cls_patch", "patch"},
                         {"num_experts_per_tok", 99, "99", "mixtral_std"},
                         {"num_local_experts", std::int64_t{1} << 31, "num_local_experts", "mixtral_std"}})
    expect_failure(ask(BrokenModel(folder).set(key, value).path(), {"--image", kPicture}), 1, fragment, key + " " + value.dump());
  for (std::string const& garbage :
       {std::string(), std::string("{\"a\":"), std::string("[]"), std::string(1000000, '['), std::string("{}\0", 3), std::string("{}")})
    expect_failure(ask(BrokenModel().write("config.json", garbage).path()), 1, "config.json", garbage.substr(0, 10));
  expect_failure(ask(BrokenModel().remove("config.json").path()), 1, "config.json", "no config");
  expect_failure(ask("/nope"), 1, "/nope", "no folder");
  expect_good(ask(BrokenModel().set("model_type", nullptr).path()), "model_type is not needed");
  expect_good(ask(BrokenModel().set("num_hidden_layers", 1).path()), "fewer layers");
}

TEST(ToolFiles, TowersThatAreNotThere) {
  std::string const clip = "model_zoo/OpenAI/clip-vit-small-patch14", convnext = "model_zoo/OpenAI/openclip-convnext-large-d-320-small";
  auto const good = [] { return BrokenModel("llama_towers_apart"); };
  expect_good(ask(good().path(), {"--image", kPicture}), "as it is");
  expect_failure(ask(good().remove(clip).path()), 1, "--clip", "no CLIP");
  expect_failure(ask(good().remove(convnext).path()), 1, "--openclip", "no ConvNeXt");
  expect_failure(ask(good().path(), {"--clip", kModel}), 1, kModel + "/model.safetensors.index.json: tensor", "a folder without CLIP");
  for (std::string const key : {"hidden_size", "intermediate_size", "image_size", "patch_size", "num_attention_heads"})
    expect_failure(ask(good().set(key, 7, clip + "/config.json").path()), 1, "7", key);
}

TEST(ToolFiles, Vocabularies) {
  expect_failure(ask(BrokenModel().remove("tokenizer.model").path()), 1, "tokenizer", "none");
  for (std::size_t const bytes : {0u, 10u, 1000u})
    expect_failure(ask(BrokenModel().cut("tokenizer.model", bytes).path()), 1, "tokenizer.model", "cut");
  auto const gemma = [](auto const& change) { return ask(BrokenModel("gemma_std").edit("tokenizer.json", change).path()); };
  expect_failure(gemma([](Json& j) { j["model"]["type"] = "WordPiece"; }), 1, "WordPiece", "model");
  expect_failure(gemma([](Json& j) { j["normalizer"] = Json{{"type", "Nmt"}}; }), 1, "Nmt", "normalizer");
  expect_failure(gemma([](Json& j) { j["model"]["vocab"]["zzzz"] = std::int64_t{1} << 40; }), 1, "zzzz", "id");
  expect_good(gemma([](Json&) {}), "as it is");
}

TEST(ToolInspect, ListsWhatDoesNotFit) {
  BrokenModel model("llama_identity");
  Json const good = Json::parse(mgm_tool({"inspect", model.path(), "--json", "--hash"}).out);
  EXPECT_EQ(good.at("format"), "mgm");
  for (char const* list : {"missing", "unexpected", "misshaped"}) EXPECT_EQ(good.at(list), Json::array()) << list;
  EXPECT_EQ(good.at("tensors").at(0).at("sha256").get<std::string>().size(), 64u);

  model.edit_header("model.safetensors", [](Json& header) {
    header["model.nork.weight"] = header.at("model.norm.weight"), header.erase("model.norm.weight");
    header["embed"] = header.at("model.embed_tokens.weight"), header.erase("model.embed_tokens.weight");
    header.at("model.layers.0.input_layernorm.weight").at("shape") = Json{4, 6};
  });
  auto const ran = mgm_tool({"inspect", model.path(), "--json"});
  expect_failure(ran, 1, "model.nork.weight?", "inspect");
  Json const bad = Json::parse(ran.out);
  EXPECT_EQ(bad.at("missing"), (Json{"model.embed_tokens.weight", "model.norm.weight"}));
  EXPECT_EQ(bad.at("misshaped"), Json{"model.layers.0.input_layernorm.weight"});
  EXPECT_EQ(bad.at("unexpected").size(), 2u);
  EXPECT_EQ(bad.at("tensors").size(), good.at("tensors").size());
  expect_failure(ask(model.path()), 1, "model.layers.0.input_layernorm.weight", "chat");

  // without this one nobody knows the tower's shape; the rest is reported all the same
  std::string const patch = "model.vision_tower.vision_tower.vision_model.embeddings.patch_embedding.weight";
  model.edit_header("model.safetensors", [&](Json& header) { header["gone"] = header.at(patch), header.erase(patch); });
  Json const blind = Json::parse(mgm_tool({"inspect", model.path(), "--json"}).out);
  EXPECT_EQ(blind.at("missing").size(), 3u) << blind.at("missing");
  EXPECT_EQ(blind.at("misshaped").size(), 1u);

  for (std::string const& path : {std::string("/nope"), std::string("/dev/zero"), kPicture, std::string(MGM_TEST_SOURCE "/tests")})
    expect_failure(mgm_tool({"inspect", path, "--json"}), 1, path, path);
  EXPECT_EQ(Json::parse(mgm_tool({"inspect", kModel + "/model-00001-of-00002.safetensors", "--json"}).out).at("format"), "safetensors");
}

}  // namespace tool_test
#endif
