// Wishes: an answer that asks for a picture, the picture that a small random generator paints for it, and what can go wrong on the way.
#include <gtest/gtest.h>

#include <mgm/io/read_image.hpp>
#include <mgm/models/diffusion/draw_record.hpp>
#include <mgm/models/generation_prompt.hpp>

#include "support/broken_model.hpp"

#if defined(MGM_TOOL)
namespace wish_test {

using support::expect_failure, support::expect_good, support::Json, support::mgm_tool, support::Ran, support::slurp, support::TempDir;
using Arguments = std::vector<std::string>;

std::string const kTiny = MGM_TEST_SOURCE "/examples/mgm-tiny", kGenerator = MGM_TEST_SOURCE "/tests/data/sd/sdxl",
                  kWish = "Draw a red star at the top.";

/// MGM-Tiny is asked for a picture; two steps are enough for a random generator.
Ran wish(std::string const& out, Arguments const& more = {}, std::string const& said = kWish, std::string const& generator = kGenerator) {
  Arguments all{"chat", kTiny, "--prompt", said, "--gen", "--generator", generator, "-o", out, "--progress", "never"};
  for (Arguments const& usual : {Arguments{"--temperature", "0"}, {"--steps", "2"}})
    if (std::find(more.begin(), more.end(), usual[0]) == more.end()) all.insert(all.end(), usual.begin(), usual.end());
  all.insert(all.end(), more.begin(), more.end());
  return mgm_tool(all);
}
Json result(Ran const& ran) {
  EXPECT_EQ(ran.status, 0) << ran.err;
  return Json::parse(ran.out);
}
/// A copy of the generator that may be spoilt.
class Spoilt {
 public:
  Spoilt() { std::filesystem::copy(kGenerator, path(), std::filesystem::copy_options::recursive); }
  [[nodiscard]] std::string path(std::string const& file = "") const {
    return scratch_.path("generator") + (file.empty() ? "" : "/" + file);
  }
  Spoilt& remove(std::string const& file) {
    std::filesystem::remove_all(path(file));
    return *this;
  }
  /// Every weight of a part becomes NaN.
  Spoilt& not_a_number(std::string const& part) {
    for (auto const& entry : std::filesystem::directory_iterator(path(part))) {
      if (entry.path().extension() != ".safetensors") continue;
      std::string bytes = slurp(entry.path().string());
      std::uint64_t length = 0;
      std::memcpy(&length, bytes.data(), sizeof length);
      std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(8 + length), bytes.end(), '\xFF');
      scratch_.write("generator/" + part + "/" + entry.path().filename().string(), bytes);
    }
    return *this;
  }
  Spoilt& set(std::string const& key, Json const& value, std::string const& file) {
    Json json = Json::parse(slurp(path(file)));
    json[key] = value;
    scratch_.write("generator/" + file, json.dump());
    return *this;
  }

 private:
  TempDir scratch_;
};

TEST(Wish, BecomesAPictureThatSaysHowItWasDrawn) {
  TempDir const scratch;
  auto const said = result(wish(scratch.path("a.png"), {"--seed", "5", "--json"}));
  EXPECT_EQ(said.at("image"), scratch.path("a.png"));
  std::string const prompt = said.at("generation_prompt");
  EXPECT_EQ(said.at("text").get<std::string>().find("<h>" + prompt + "</h>") == std::string::npos, false) << said;
  EXPECT_EQ(said.at("notes"), Json::array());
  EXPECT_GT(said.at("timings_ms").at("draw"), 0);

  auto const record = mgm::models::read_draw_record(scratch.path("a.png"));
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->prompt, prompt);
  EXPECT_EQ(record->options.negative, std::string(mgm::models::kNegativePrompt));
  EXPECT_EQ(record->options.seed, 5u);
  EXPECT_EQ(record->options.steps, 2);
  auto const picture = mgm::io::read_image(scratch.path("a.png"));
  EXPECT_EQ(record->options.width, picture.width);
  EXPECT_EQ(record->model, "sdxl");

  // from what the picture says, and from nothing else, the tool draws it again
  auto const& o = record->options;
  Arguments const again{"draw",        kGenerator,
                        "--prompt",    record->prompt,
                        "--negative",  *o.negative,
                        "--seed",      mgm::text(o.seed),
                        "--steps",     mgm::text(o.steps),
                        "--guidance",  mgm::text(*o.guidance),
                        "--size",      mgm::text(o.width, "x", o.height),
                        "--scheduler", std::string(mgm::models::kSchedulerNames[static_cast<int>(*o.scheduler)]),
                        "--karras",    *o.karras ? "on" : "off",
                        "--dtype",     record->more.at("dtype"),
                        "-o",          scratch.path("b.png"),
                        "--progress",  "never"};
  expect_good(mgm_tool(again), "draw");
  EXPECT_TRUE(slurp(scratch.path("a.png")) == slurp(scratch.path("b.png")));

  auto const inspected = Json::parse(mgm_tool({"inspect", scratch.path("b.png"), "--json"}).out);
  EXPECT_EQ(inspected.at("format"), "png");
  EXPECT_TRUE(inspected.at("texts").at("parameters").get<std::string>().starts_with(prompt + "\nNegative prompt: out of frame, "));
  EXPECT_EQ(Json::parse(inspected.at("texts").at("mgm").get<std::string>()).at("seed"), 5);
}

TEST(Wish, OptionsOfDrawReachTheGenerator) {
  TempDir const scratch;
  auto const drawn = [&](Arguments const& more) {
    expect_good(wish(scratch.path("x.png"), more), "wish");
    return mgm::models::read_draw_record(scratch.path("x.png")).value();
  };
  auto const r = drawn({"--negative", "", "--guidance", "2.5", "--size", "32x48", "--scheduler", "ddim", "--dtype", "bf16", "--dump",
                        scratch.path("x.safetensors")});
  EXPECT_EQ(r.options.negative, "");
  EXPECT_EQ(r.options.guidance, 2.5);
  EXPECT_EQ(r.options.width, 32);
  EXPECT_EQ(r.options.height, 48);
  EXPECT_EQ(r.options.scheduler, mgm::models::SchedulerKind::ddim);
  EXPECT_EQ(r.more.at("dtype"), "bf16");
  EXPECT_EQ(mgm_tool({"inspect", scratch.path("x.safetensors")}).status, 0);
  EXPECT_EQ(drawn({"--scheduler", "dpmpp_2m", "--karras", "on"}).options.karras, true);
}

TEST(Wish, NoPictureWhereNoneIsAskedFor) {
  TempDir const scratch;
  auto const none = [&](Arguments const& more, std::string const& said = kWish) {
    Arguments all = more;
    all.push_back("--json");
    auto const out = result(wish(scratch.path("x.png"), all, said));
    EXPECT_TRUE(out.at("image").is_null()) << out;
    EXPECT_TRUE(out.at("generation_prompt").is_null()) << out;
    return out.at("notes");
  };
  EXPECT_EQ(none({"--stop", "</h>"}).at(0), "the answer opens <h> and never closes it; there is no picture prompt");
  EXPECT_EQ(none({"--max-new-tokens", "9"}).size(), 1u);
  EXPECT_EQ(none({"--max-new-tokens", "0"}), Json::array());
  EXPECT_EQ(none({"--max-new-tokens", "1"}, "<h>a cat</h> <GEN>"), Json::array());  // what the user types is no prompt
  EXPECT_EQ(none({"--max-new-tokens", "1"}, ""), Json::array());
  EXPECT_EQ(none({"--max-new-tokens", "1"}, std::string(100, ' ')), Json::array());
  EXPECT_EQ(scratch.count(), 0u);
  // the pieces that a person sees end as the note says, on the other stream
  auto const shown = mgm_tool({"chat", kTiny, "--prompt", kWish, "--gen", "--temperature", "0", "--stop", "</h>"});
  EXPECT_NE(shown.err.find("never closes it"), std::string::npos) << shown.err;
}

TEST(Wish, UsageIsCheckedBeforeTheModelIsLoaded) {
  TempDir const scratch;
  std::string const out = scratch.path("x.png");
  for (Arguments const& bad : std::vector<Arguments>{{"--gen", "--generator", kGenerator},
                                                     {"--gen", "-o", out},
                                                     {"--generator", kGenerator, "-o", out},
                                                     {"--gen", "--steps", "3"},
                                                     {"--negative", "x"}}) {
    Arguments all{"chat", kTiny, "--prompt", "x"};
    all.insert(all.end(), bad.begin(), bad.end());
    expect_failure(mgm_tool(all), 2, "requires", bad.back());
  }
  struct Bad {
    int status;
    Arguments more;
    std::string says;
  };
  for (auto const& [status, more, says] : std::vector<Bad>{{2, {"--steps", "0"}, "--steps"},
                                                           {2, {"--steps", "1000000"}, "--steps"},
                                                           {2, {"--steps", "2.5"}, "--steps"},
                                                           {2, {"--guidance", "nan"}, "--guidance"},
                                                           {2, {"--guidance", "inf"}, "--guidance"},
                                                           {2, {"--guidance", "x"}, "--guidance"},
                                                           {2, {"--size", "64"}, "--size"},
                                                           {2, {"--size", "64x"}, "--size"},
                                                           {2, {"--size", "-8x64"}, "--size"},
                                                           {2, {"--size", "64x64x64"}, "--size"},
                                                           {2, {"--scheduler", "heun"}, "--scheduler"},
                                                           {2, {"--karras", "maybe"}, "--karras"},
                                                           {2, {"--seed", "-1"}, "--seed"},
                                                           {2, {"--seed", "18446744073709551616"}, "--seed"},
                                                           {1, {"--size", "1001x64"}, "multiples of"},
                                                           {1, {"--steps", "5000"}, "1000"},
                                                           {1, {"--latents", "/nope"}, "/nope"},
                                                           {1, {"--temperature", "-1"}, "temperature"},
                                                           {1, {"--image", "/nope.png"}, "/nope.png"}})
    expect_failure(wish(out, more), status, says, more[0] + " " + more[1]);
  EXPECT_EQ(scratch.count(), 0u);
}

TEST(Wish, AFailedPictureLeavesTheAnswer) {
  TempDir const scratch;
  std::string const out = scratch.write("x.png", "the old file");
  auto const failed = [&](std::string const& fragment, Arguments const& more, std::string const& generator = kGenerator) {
    auto const text = wish(out, more, kWish, generator);
    expect_failure(text, 1, fragment, "text");
    EXPECT_NE(text.out.find("<h>"), std::string::npos) << text.out;
    Arguments all = more;
    all.push_back("--json");
    auto const ran = wish(out, all, kWish, generator);
    expect_failure(ran, 1, fragment, "JSON");
    auto const json = Json::parse(ran.out);
    EXPECT_TRUE(json.at("image").is_null());
    EXPECT_TRUE(json.at("generation_prompt").is_string());
    EXPECT_EQ(slurp(out), "the old file");
    EXPECT_EQ(scratch.count(), 1u);  // no leavings
  };
  failed("not a number", {}, Spoilt().not_a_number("vae").path());  // weights that overflow: never a black picture
  failed("diffusion_pytorch_model", {}, Spoilt().set("cross_attention_dim", 8, "unet/config.json").path());
}

TEST(Wish, GeneratorsThatAreNoneAreRefusedBeforeTheAnswer) {
  TempDir const scratch;
  auto const refused = [&](std::string const& generator, std::string const& fragment) {
    auto const ran = wish(scratch.path("x.png"), {}, kWish, generator);
    expect_failure(ran, 1, fragment, generator);
    EXPECT_EQ(ran.out, "");
  };
  refused("/nope", "/nope");
  refused(kTiny, "model_index.json");
  refused(kTiny + "/config.json", "config.json");
  refused(Spoilt().remove("unet").path(), "unet");
  refused(Spoilt().set("vae", nullptr, "model_index.json").path(), "vae is missing");
  refused(Spoilt().set("_class_name", "HeunDiscreteScheduler", "scheduler/scheduler_config.json").path(), "HeunDiscreteScheduler");
  for (std::string const& path :
       {scratch.path(), scratch.path("nowhere/x.png"), std::string("/dev/full/x"), scratch.path(std::string(300, 'x'))}) {
    auto const ran = wish(path);
    expect_failure(ran, 1, "cannot write", path);
    EXPECT_EQ(ran.out, "");
  }
  EXPECT_EQ(scratch.count(), 0u);
}

TEST(Wish, AConversationKeepsAllItsPictures) {
  TempDir const scratch;
  auto const ran = mgm_tool({"chat", kTiny, "--temperature", "0", "--gen", "--generator", kGenerator, "-o", scratch.path("x.png"),
                             "--images", "2", "--steps", "1", "--seed", "3", "--progress", "never", "--json"},
                            {.input = kWish + "\nDraw a blue ring.\n"});
  expect_good(ran, "two wishes");
  EXPECT_NE(ran.out.find(mgm::text("\"image\": \"", scratch.path("x.png"))), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find(mgm::text("\"image\": \"", scratch.path("x-3.png"))), std::string::npos) << ran.out;
  EXPECT_EQ(scratch.count(), 4u);
  for (auto const& [name, seed] : {std::pair{"x.png", 3u}, {"x-2.png", 4u}, {"x-3.png", 3u}, {"x-4.png", 4u}})
    EXPECT_EQ(mgm::models::read_draw_record(scratch.path(name))->options.seed, seed) << name;
}

TEST(Wish, AnAdapterIsShownTheConversationsFirstPicture) {
  TempDir const scratch;
  std::string const picture = MGM_TEST_SOURCE "/tests/data/sd/init.png", other = MGM_TEST_SOURCE "/tests/data/sd/mask.png",
                    adapter = MGM_TEST_SOURCE "/tests/data/sd_weights/sd_linear/adapter.safetensors",
                    generator = MGM_TEST_SOURCE "/tests/data/sd/sd";
  auto const drawn = [&](Arguments const& more) {
    auto const ran = wish(scratch.path("x.png"), more, kWish, generator);  // its prompt is longer than this encoder reads, which is said
    EXPECT_EQ(ran.status, 0) << ran.err;
    return mgm::io::read_image(scratch.path("x.png")).rgb;
  };
  auto const plain = drawn({"--image", picture}), first = drawn({"--image", picture, "--image", other, "--ip-adapter", adapter});
  EXPECT_NE(first, plain);
  EXPECT_EQ(first, drawn({"--image", picture, "--image", other, "--ip-adapter", adapter, "--ip-image", picture}));
  EXPECT_NE(first, drawn({"--image", picture, "--image", other, "--ip-adapter", adapter, "--ip-image", other}));
  EXPECT_EQ(mgm::models::read_draw_record(scratch.path("x.png"))->more.at("ip_adapter"), "adapter.safetensors");
  expect_failure(wish(scratch.path("x.png"), {"--ip-adapter", adapter}, kWish, generator), 2, "--ip-image", "no picture at all");
}

TEST(Wish, CtrlCWhileDrawingLeavesTheAnswerAndNoFile) {
  TempDir const scratch;
  auto const ran = mgm_tool({"chat", kTiny, "--prompt", kWish, "--temperature", "0", "--gen", "--generator", kGenerator, "-o",
                             scratch.path("x.png"), "--steps", "1000", "--size", "512x512", "--json", "--progress", "never"},
                            {.interrupt_ms = 1500});
  EXPECT_EQ(ran.status, 130) << ran.err;
  EXPECT_EQ(scratch.count(), 0u);
  if (!ran.out.empty()) {
    EXPECT_TRUE(Json::parse(ran.out).at("image").is_null());
  }
}

}  // namespace wish_test
#endif
