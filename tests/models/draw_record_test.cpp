// How a picture was drawn, written into it and read back.
#include <gtest/gtest.h>

#include <mgm/io/png.hpp>
#include <mgm/models/diffusion/draw_record.hpp>

#include "support/files.hpp"

namespace draw_record_test {
using namespace mgm;
using namespace mgm::models;

DrawRecord full() {
  return {.prompt = "a red \"ring\",\nfine \xE7\x8C\xAB",
          .options = {.negative = "blurry",
                      .steps = 20,
                      .guidance = 7.5,
                      .width = 512,
                      .height = 384,
                      .seed = ~std::uint64_t{0},
                      .scheduler = SchedulerKind::dpmpp_2m,
                      .karras = true},
          .model = "sd-1.5",
          .more = {{"dtype", "bf16"}}};
}

TEST(DrawRecord, ComesBackFromThePicture) {
  support::TempDir const folder;
  auto const r = full();
  io::write_png(folder.path("x.png"), {1, 1, {1, 2, 3}}, png_texts(r));
  auto const back = read_draw_record(folder.path("x.png"));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(to_json(*back), to_json(r));
  EXPECT_EQ(back->options.seed, ~std::uint64_t{0});
  EXPECT_EQ(back->options.guidance, 7.5);
  EXPECT_EQ(back->more, (io::Json{{"dtype", "bf16"}}));
  auto const texts = io::read_png_texts(folder.path("x.png"));
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].text, text("a red \"ring\",\nfine \xE7\x8C\xAB\nNegative prompt: blurry\nSteps: 20, Sampler: DPM++ 2M, Schedule type: "
                                "Karras, CFG scale: 7.5, "
                                "Seed: 18446744073709551615, Size: 512x384, Model: sd-1.5, Version: mgm ",
                                kVersion));
  EXPECT_TRUE(std::all_of(texts[1].text.begin(), texts[1].text.end(), [](char c) { return c >= 0x20 && c < 0x7F; })) << texts[1].text;
}

TEST(DrawRecord, WhatIsAbsentStaysAbsent) {
  DrawRecord const r{.prompt = "x"};
  auto const back = draw_record(png_texts(r), "x.png").value();
  EXPECT_FALSE(back.options.negative || back.options.guidance || back.options.scheduler || back.options.karras);
  EXPECT_EQ(back.options.width, 0);
  EXPECT_FALSE(draw_record({{"parameters", "x"}}, "x.png").has_value());
  EXPECT_FALSE(draw_record({}, "x.png").has_value());
  DrawRecord bytes{.prompt = "a\xFF"};
  bytes.options.negative = "";
  auto const repaired = draw_record(png_texts(bytes), "x.png").value();
  EXPECT_EQ(repaired.prompt, "a\xEF\xBF\xBD");  // as the tokenizer takes it too
  EXPECT_EQ(repaired.options.negative, "");
}

TEST(DrawRecord, RefusesWhatIsNone) {
  auto const refused = [](std::string const& json, Code code, std::string const& fragment) {
    support::expect_refused([&] { (void)draw_record({{kDrawJsonKey, json}}, "x.png"); }, code, fragment, json);
  };
  refused("{", Code::file, "not JSON");
  refused("[]", Code::config, "prompt");
  refused("{}", Code::config, "prompt");
  refused(R"({"prompt": "x", "steps": "many"})", Code::config, "steps");
  refused(R"({"prompt": "x", "scheduler": "heun"})", Code::config, "heun");
  refused(R"({"prompt": "x", "seed": -1})", Code::config, "seed");
}
}  // namespace draw_record_test
