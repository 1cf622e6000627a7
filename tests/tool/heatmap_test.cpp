// `--heatmap`: a file a picture, by chat and by dump, or a refusal before anything is loaded.
#include <gtest/gtest.h>

#include <filesystem>

#include <mgm/io/safetensors.hpp>

#include "support/broken_model.hpp"

#if defined(MGM_TOOL)
namespace heatmap_test {

using support::expect_failure, support::expect_good, support::mgm_tool;

std::string const kTwo = MGM_TEST_SOURCE "/tests/data/mgm/llama_hd_2_images";

bool is_png(std::string const& path) { return std::filesystem::exists(path) && support::slurp(path).starts_with("\x89PNG"); }

TEST(Heatmap, IsAFileForEachPicture) {
  support::TempDir const scratch;
  for (std::string const command : {"chat", "dump"}) {
    std::string const one = scratch.path(command + ".png"), two = scratch.path(command + "-2.png");
    std::vector<std::string> all{command,
                                 kTwo + "/model",
                                 "--image",
                                 kTwo + "/picture_1.png",
                                 "--image",
                                 kTwo + "/picture_2.png",
                                 "--prompt",
                                 "x",
                                 "--heatmap",
                                 one,
                                 "--max-new-tokens",
                                 "1",
                                 "--progress",
                                 "never",
                                 "--temperature",
                                 "0"};
    if (command == "dump") all.insert(all.end(), {"-o", scratch.path("out.safetensors")});
    expect_good(mgm_tool(all), command);
    EXPECT_TRUE(is_png(one) && is_png(two)) << command;
    EXPECT_NE(support::slurp(one), support::slurp(two)) << command << ": both of one picture";
  }
}

TEST(Heatmap, IsRefusedBeforeTheModelIsLoaded) {
  support::TempDir const scratch;
  std::string const picture = kTwo + "/picture_1.png", out = scratch.path("out.safetensors");
  for (std::string const command : {"chat", "dump"}) {
    std::vector<std::string> all{command, "/no/such/model", "--prompt", "x", "--progress", "never", "--dtype", "f32"};
    if (command == "dump") all.insert(all.end(), {"-o", out});
    auto with = [&](std::vector<std::string> const& more) {
      auto both = all;
      both.insert(both.end(), more.begin(), more.end());
      return mgm_tool(both);
    };
    expect_failure(with({"--heatmap", scratch.path("h.png")}), 2, "--heatmap: there is no picture", command);
    expect_failure(with({"--image", picture, "--heatmap", "/no/such/folder/h.png"}), 1, "/no/such/folder/h.png", command);
  }
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(Dump, ReadsWhatChatReads) {
  support::TempDir const scratch;
  std::string const model = MGM_TEST_SOURCE "/tests/data/mgm/llama_text/model", out = scratch.path("out.safetensors");
  auto const dump = [&](std::vector<std::string> const& more) {
    std::vector<std::string> all{"dump", model, "--prompt", "x", "-o", out, "--progress", "never"};
    all.insert(all.end(), more.begin(), more.end());
    return mgm_tool(all);
  };
  for (auto const& [option, value] : {std::pair{"--temperature", "-1"}, {"--top-k", "-3"}, {"--top-p", "9"}})
    expect_failure(dump({option, value}), 1, "", option);
  EXPECT_FALSE(std::filesystem::exists(out));
  expect_good(dump({"--max-new-tokens", "8"}), "eight tokens");
  auto const tokens = [&] {
    auto const file = mgm::io::TensorFile::open(out);
    return file->find("new_tokens")->count();
  };
  auto const all = tokens();
  expect_good(dump({"--max-new-tokens", "8", "--stop", ""}), "an empty stop ends nothing");
  EXPECT_EQ(tokens(), all);
}

TEST(Inspect, SaysWhatAFolderIsWithoutItsWeights) {
  support::BrokenModel model;
  model.remove("model.safetensors");
  for (auto const& entry : std::filesystem::directory_iterator(model.path()))
    if (entry.path().extension() == ".safetensors") std::filesystem::remove(entry.path());
  auto const ran = mgm_tool({"inspect", model.path(), "--json", "--progress", "never"});
  EXPECT_EQ(ran.status, 1);
  auto const json = mgm::io::parse_json(ran.out, "inspect");
  EXPECT_EQ(json.at("format").get<std::string>(), "mgm");
  for (char const* key : {"missing", "unexpected", "misshaped"}) EXPECT_TRUE(json.contains(key)) << key;
}

}  // namespace heatmap_test
#endif
