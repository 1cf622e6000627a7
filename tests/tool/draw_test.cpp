// `mgm draw` beside diffusers: every tensor of a float64 run and the picture, on our own random folders (tests/reference/README.md) and
// those of others.
#include <gtest/gtest.h>

#include <cctype>

#include "support/draw_case.hpp"

#if defined(MGM_TOOL)
namespace draw_test {

using support::DrawCase, support::SpoiltDraw;

std::string const kOwn = MGM_TEST_SOURCE "/tests/data/sd", kOthers = MGM_TEST_DATA "/sd/cases";

void expect_parity(std::string const& folder, std::vector<std::string> const& more = {}) {
  support::TempDir const scratch;
  DrawCase const wanted(folder);
  auto const ran = support::run(wanted.command(MGM_TOOL, scratch.path("out.png"), scratch.path("dump"), more));
  ASSERT_EQ(ran.status, 0) << folder << ": " << ran.err;
  for (auto const& difference : support::differences(wanted, scratch.path("dump"), true)) ADD_FAILURE() << folder << ": " << difference;
  EXPECT_LE(support::differing_share(support::read_png(scratch.path("out.png")), support::read_png(folder + "/golden.png")), 0.005)
      << folder;
}

class DrawParity : public testing::TestWithParam<std::string> {};
TEST_P(DrawParity, F32) { expect_parity(GetParam()); }
std::string case_name(testing::TestParamInfo<std::string> const& info) { return std::filesystem::path(info.param).stem().string(); }
INSTANTIATE_TEST_SUITE_P(Own, DrawParity, testing::ValuesIn(support::case_folders(kOwn)), case_name);
INSTANTIATE_TEST_SUITE_P(Others, DrawParity, testing::ValuesIn(support::case_folders(kOthers)), case_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DrawParity);

TEST(DrawParityFolders, AreThere) { EXPECT_GE(support::case_folders(kOwn).size(), 13u); }

// The CUDA kernels on the Simt machine: text encoders, UNet, steps and decoder; then the encoder too; guidance, and a method that looks
// back; what the host puts back between the steps; two networks in turn.
TEST(DrawOnSimt, TextToImage) { expect_parity(kOwn + "/sdxl_euler_a.case", {"--device", "simt"}); }
TEST(DrawOnSimt, ImageToImage) { expect_parity(kOwn + "/sdxl_init_dpmpp.case", {"--device", "simt"}); }
TEST(DrawOnSimt, Guided) { expect_parity(kOwn + "/sd_pndm.case", {"--device", "simt"}); }
TEST(DrawOnSimt, Masked) { expect_parity(kOwn + "/sd_mask_lcm.case", {"--device", "simt"}); }
TEST(DrawOnSimt, Refined) { expect_parity(kOwn + "/sdxl_refiner.case", {"--device", "simt"}); }

TEST(DrawDeterminism, ThreadsGiveTheSameBytes) {
  for (std::string const name : {"sd_mask_lcm", "sdxl_init_tiles", "sdxl_refiner"}) {
    support::TempDir const scratch;
    DrawCase const wanted(kOwn + "/" + name + ".case");
    for (std::string const threads : {"1", "2", "16"}) {
      auto const ran =
          support::run(wanted.command(MGM_TOOL, scratch.path(threads + ".png"), scratch.path(threads), {"--threads", threads}));
      ASSERT_EQ(ran.status, 0) << ran.err;
    }
    for (std::string const end : {"", ".png"}) {
      auto const one = support::slurp(scratch.path("1" + end));
      EXPECT_GT(one.size(), 500u);
      EXPECT_TRUE(one == support::slurp(scratch.path("2" + end))) << name << end << ": 2 threads";
      EXPECT_TRUE(one == support::slurp(scratch.path("16" + end))) << name << end << ": 16 threads";
    }
  }
}

// 16-bit types, through the matrix instructions too; the autoencoder stays in f32 for f16.
TEST(DrawTypes, SixteenBitsComeNear) {
  DrawCase const wanted(kOwn + "/sdxl_euler_a.case");
  auto const want = support::read_png(wanted.folder + "/golden.png");
  for (auto const& [dtype, bits] : {std::pair("bf16", 8), {"f16", 11}})
    for (std::string const device : {"cpu", "simt:80"}) {
      support::TempDir const scratch;
      auto const command = wanted.command(MGM_TOOL, scratch.path("out.png"), scratch.path("dump"), {"--dtype", dtype, "--device", device});
      ASSERT_EQ(support::run(command).status, 0);
      for (auto const& difference : support::differences(wanted, scratch.path("dump"), false, bits))
        ADD_FAILURE() << dtype << " on " << device << ": " << difference;
      auto const got = support::read_png(scratch.path("out.png"));
      ASSERT_EQ(got.rgb.size(), want.rgb.size());
      // levels of what `decoded` may be off by, and one for the rounding
      double const decoded = wanted.description.at("tensors").at("decoded").at("tolerance").at("f32").get<double>(),
                   levels = 127.5 * std::ldexp(decoded, 24 - bits) + 1;
      for (std::size_t i = 0; i < got.rgb.size(); ++i) ASSERT_NEAR(got.rgb[i], want.rgb[i], levels) << dtype << " on " << device;
    }
}

/// A small drawing with `more` options, which win.
std::vector<std::string> base(std::string const& out, std::vector<std::string> const& more = {}) {
  std::vector<std::string> c{MGM_TOOL, "draw", kOwn + "/sd", "--prompt", "snow", "-o", out, "--progress", "never"};
  for (auto const& [option, value] : {std::pair("--size", "32x24"), {"--steps", "3"}})
    if (std::find(more.begin(), more.end(), option) == more.end()) c.insert(c.end(), {option, value});
  c.insert(c.end(), more.begin(), more.end());
  return c;
}

TEST(DrawImages, AreThoseOfTheirSeeds) {
  support::TempDir const scratch;
  auto const ran = support::run(base(scratch.path("sea.png"), {"--images", "3", "--seed", "5", "--scheduler", "euler_a", "--json"}));
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(mgm::io::parse_json(ran.out, "json").at("images").size(), 3u);
  EXPECT_EQ(scratch.count(), 3u);
  std::string before;
  for (int i = 0; i < 3; ++i) {
    auto const one = scratch.path(mgm::text("alone", i, ".png"));
    ASSERT_EQ(support::run(base(one, {"--seed", std::to_string(5 + i), "--scheduler", "euler_a"})).status, 0);
    auto const picture = support::slurp(scratch.path(i == 0 ? "sea.png" : mgm::text("sea-", i + 1, ".png")));
    EXPECT_TRUE(support::read_png(one).rgb == support::read_png(scratch.path(i == 0 ? "sea.png" : mgm::text("sea-", i + 1, ".png"))).rgb)
        << i;
    EXPECT_NE(picture, before);
    before = picture;
  }
}

TEST(DrawPreview, HasAPixelForEachLatentAndLeavesThePictureAlone) {
  std::vector<std::uint8_t> first;
  for (std::string const device : {"cpu", "simt"}) {
    support::TempDir const scratch;
    ASSERT_EQ(support::run(base(scratch.path("plain.png"), {"--device", device})).status, 0);
    auto const seen = support::run(base(scratch.path("seen.png"), {"--device", device, "--preview", "2"}));
    ASSERT_EQ(seen.status, 0) << seen.err;  // pndm: four calls for three steps
    EXPECT_TRUE(support::read_png(scratch.path("plain.png")).rgb == support::read_png(scratch.path("seen.png")).rgb) << device;
    auto const glance = support::read_png(scratch.path("seen.step-2.png"));
    EXPECT_EQ(glance.width, 4);
    EXPECT_EQ(glance.height, 3);
    EXPECT_EQ(scratch.count(), 3u);
    if (first.empty()) first = glance.rgb;
    for (std::size_t i = 0; i < first.size(); ++i) EXPECT_NEAR(glance.rgb[i], first[i], 1) << device;
  }
}

TEST(DrawTiles, BeginWhereThePictureIsLargerThanOne) {
  support::TempDir const scratch;
  auto const draw = [&](std::string const& name, std::string const& size, std::string const& tile) {
    std::string const out = scratch.path(name + ".png");
    EXPECT_EQ(support::run(base(out, {"--size", size, "--tile", tile, "--steps", "1"})).status, 0);
    return support::read_png(out).rgb;
  };
  EXPECT_TRUE(draw("a", "64x64", "on") == draw("b", "64x64", "off"));
  EXPECT_FALSE(draw("c", "72x64", "on") == draw("d", "72x64", "off"));
}

/// A refusal is one line that holds `part`, and no picture is there.
void expect_refused(std::vector<std::string> const& more, int status, std::string const& part) {
  support::TempDir const scratch;
  std::string const out = scratch.path("out.png");
  auto const ran = support::run(base(out, more));
  EXPECT_EQ(ran.status, status) << ran.err;
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  EXPECT_NE(ran.err.find(part), std::string::npos) << "expected " << part << " in: " << ran.err;
  EXPECT_EQ(scratch.count(), 0u) << part;
}

TEST(DrawRefuses, ValuesThatCannotBe) {
  std::string const init = kOwn + "/init.png", mask = kOwn + "/mask.png";
  expect_refused({"--size", "1001x64"}, 1, "multiples of 8");
  expect_refused({"--size", "64"}, 2, "WIDTHxHEIGHT");
  expect_refused({"--size", "0x64"}, 2, "WIDTHxHEIGHT");
  expect_refused({"--steps", "0"}, 2, "--steps");
  expect_refused({"--steps", "1000000"}, 2, "--steps");
  expect_refused({"--steps", "1001"}, 1, "1 to 1000");
  expect_refused({"--guidance", "nan"}, 2, "guidance");
  expect_refused({"--scheduler", "heun"}, 2, "heun");
  expect_refused({"--scheduler", "lcm", "--steps", "51"}, 1, "at most the 50");
  expect_refused({"--scheduler", "ddim", "--karras", "on"}, 1, "ddim has none; euler and dpmpp_2m have");
  expect_refused({"--images", "0"}, 2, "--images");
  expect_refused({"--images", "2", "--dump", "x"}, 2, "--dump");
  expect_refused({"--preview", "-1"}, 2, "--preview");
  expect_refused({"--tile", "yes"}, 2, "yes");
  expect_refused({"--seed", "18446744073709551616"}, 2, "--seed");
  expect_refused({"--strength", "0.5"}, 2, "--init");
  expect_refused({"--mask", mask}, 2, "--init");
  expect_refused({"--init", init, "--strength", "1.5"}, 2, "0 to 1");
  expect_refused({"--init", init, "--strength", "nan"}, 2, "0 to 1");
  expect_refused({"--init", init, "--strength", "0.3"}, 1, "none of 3 steps");
  expect_refused({"--init", init, "--latents", "x"}, 2, "exclude each other");
  expect_refused({"--init", kOwn + "/sd/model_index.json"}, 1, "model_index.json");
  expect_refused({"--init", kOwn + "/nothing.png"}, 1, "nothing.png");
  expect_refused({"--refiner-at", "0.5"}, 2, "--refiner");
  expect_refused({"--refiner", kOwn + "/refiner", "--init", init, "--mask", mask}, 2, "--mask");
  expect_refused({"--refiner", kOwn + "/refiner", "--refiner-at", "1"}, 1, "between 0 and 1");
  expect_refused({"--refiner", kOwn + "/refiner", "--refiner-at", "0.01"}, 1, "both need one");
  expect_refused({"--latents", kOwn + "/sd_pndm.case/golden.safetensors"}, 1, "tensor 'latents' is missing");
}

TEST(DrawRefuses, OutputsThatCannotBeWritten) {
  support::TempDir const scratch;
  for (std::string const& out : {scratch.path(), std::string("/proc/no/out.png"), scratch.path(std::string(300, 'x') + ".png")}) {
    auto const ran = support::run(base(out));
    EXPECT_EQ(ran.status, 1) << out;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
  EXPECT_EQ(scratch.count(), 0u);
}

TEST(DrawPrompts, OfAnyLengthAreDefined) {
  support::TempDir const scratch;
  for (std::string const& prompt : {std::string(), std::string("   \n\t"), std::string("a"), std::string(100000, 'a'),
                                    std::string(100000, '\n'), std::string("<|endoftext|>"), std::string("\xff\xfe\xc0")}) {
    auto const ran = support::run({MGM_TOOL, "draw", kOwn + "/sd", "--prompt", prompt, "--size", "16x16", "--steps", "1", "-o",
                                   scratch.path("o.png"), "--progress", "never"});
    EXPECT_EQ(ran.status, 0) << prompt.substr(0, 20) << ": " << ran.err;
  }
  std::string words;
  for (int i = 0; i < 90; ++i) words += "sea ";
  auto const cut = support::run({MGM_TOOL, "draw", kOwn + "/sd", "--prompt", words, "--size", "16x16", "--steps", "1", "-o",
                                 scratch.path("o.png"), "--progress", "never"});
  EXPECT_EQ(cut.status, 0) << cut.err;
  EXPECT_NE(cut.err.find("note: "), std::string::npos) << cut.err;
  auto const ran = support::run({MGM_TOOL, "draw", kOwn + "/sd", "--prompt", "", "--negative", std::string(100000, 'x'), "--size", "16x16",
                                 "--steps", "1", "-o", scratch.path("o.png"), "--progress", "never"});
  EXPECT_EQ(ran.status, 0) << ran.err;
}

// What overflows is said; a black picture is not written.
TEST(DrawRefuses, PicturesThatAreNotNumbers) {
  auto const infinite = [](std::string& b) { b[0] = '\0', b[1] = '\x7c'; };  // in f16
  for (std::string const dtype : {"f32", "f16", "bf16"}) {
    SpoiltDraw one("sdxl_euler_a");
    auto const ran = one.bytes("vae", "decoder.up_blocks.3.resnets.1.conv2.bias", infinite).run(MGM_TOOL, {"--dtype", dtype});
    EXPECT_EQ(ran.status, 1) << dtype;
    EXPECT_NE(ran.err.find("not a number"), std::string::npos) << ran.err;
    EXPECT_FALSE(std::filesystem::exists(one.picture()));
  }
  auto const net = SpoiltDraw("sdxl_euler_a").bytes("unet", "conv_out.bias", infinite).run(MGM_TOOL);
  EXPECT_EQ(net.status, 1);
  EXPECT_NE(net.err.find("after step 1 the latents are not numbers"), std::string::npos) << net.err;
  for (bool const dumped : {true, false}) {  // on a device the latents are looked at where they are shown, and at the end
    SpoiltDraw one("sdxl_euler_a");
    one.bytes("unet", "conv_out.bias", infinite);
    auto const ran = dumped ? one.run(MGM_TOOL, {"--device", "simt"})
                            : support::run({MGM_TOOL, "draw", one.generator(), "--prompt", "a", "--steps", "2", "--size", "16x16", "-o",
                                            one.picture(), "--progress", "never", "--device", "simt"});
    EXPECT_EQ(ran.status, 1);
    EXPECT_NE(ran.err.find(mgm::text("after step ", dumped ? 1 : 2, " the latents are not numbers")), std::string::npos) << ran.err;
    EXPECT_FALSE(std::filesystem::exists(one.picture()));
  }
  auto const read = SpoiltDraw("sdxl_init_dpmpp").bytes("vae", "encoder.conv_out.bias", infinite).run(MGM_TOOL);
  EXPECT_EQ(read.status, 1);
  EXPECT_NE(read.err.find("the encoded picture is not a number"), std::string::npos) << read.err;
}

}  // namespace draw_test
#else
TEST(Draw, NeedsTheTool) { FAIL() << "the mgm tool is not built here: it needs CLI11, libpng and libjpeg (and MGM_EXAMPLES=ON)"; }
#endif
