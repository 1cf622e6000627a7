// A model filled part by part from a checkpoint equals the one that `open` makes; parts may come from elsewhere.
#include <gtest/gtest.h>

#include "support/tiny_model.hpp"

namespace by_hand_test {
using namespace mgm;
using namespace mgm::models;

std::string const kFolder = MGM_TEST_SOURCE "/tests/data/mgm/llama_std/model";

TEST(ByHand, EqualsOpen) {
  Context<Cpu> ctx({.threads = 2});
  auto const opened = MiniGemini<float>::open(ctx, kFolder);
  MiniGemini<float> model{
      .vision_tower = {ctx, opened.vision_tower->config()},
      .vision_tower_aux = {ctx, opened.vision_tower_aux->config()},
      .mining = {ctx, {.query = opened.vision_tower->config().width, .detail = opened.vision_tower_aux->config().channels()}},
      .projector = {ctx, opened.projector->config()},
      .language_model = {ctx, opened.language_model->config()},
      .vision = opened.vision,
  };
  io::load_parameters(ctx, {io::Checkpoint::open(kFolder), ""}, model);
  auto const picture = support::test_picture(50, 40);
  auto const a = opened.see(ctx, picture), b = model.see(ctx, picture);
  ASSERT_EQ(a.extents(), b.extents());
  for (Size i = 0; i < a.count(); ++i) ASSERT_EQ(a.data()[i], b.data()[i]) << i;
}

TEST(ByHand, AllThatIsMissingIsSaidAtOnce) {
  Context<Cpu> ctx({.threads = 1});
  auto const opened = MiniGemini<float>::open(ctx, kFolder);
  auto config = opened.language_model->config();
  config.depth += 1;
  config.ffn += 8;
  Decoder<float> larger(ctx, config);
  try {
    io::load_parameters(ctx, {io::Checkpoint::open(kFolder), ""}, larger);
    FAIL();
  } catch (FileError const& e) {
    std::string const what = e.what(), last = text("model.layers.", config.depth - 1, ".");
    EXPECT_NE(what.find(last + "self_attn.q_proj.weight"), std::string::npos) << what;
    EXPECT_NE(what.find("mlp.down_proj.weight"), std::string::npos) << what;
    EXPECT_EQ(what.find('\n'), std::string::npos);
  }
}

TEST(ByHand, WhatIsConvertedIsSaidOnce) {
  auto const said = [](std::string const& folder) {
    Context<Cpu> ctx({.threads = 1});
    std::vector<std::string> out;
    for (auto const& note : MiniGemini<float>::open(ctx, std::string(MGM_TEST_SOURCE "/tests/data/mgm/") + folder).notes)
      if (note.find("converted") != note.npos) out.push_back(note);
    return out;
  };
  EXPECT_TRUE(said("gemma_hd/model").empty()) << "stored in f32 as it is used";
  auto const notes = said("llama_std/model");
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_TRUE(notes[0].starts_with("converted while loading: ") && notes[0].ends_with(" tensors from BF16 to F32")) << notes[0];
}

TEST(ByHand, WeightsStoredAsTheyAreUsedStayMapped) {
  Context<Cpu> ctx({.threads = 1});
  auto const checkpoint = io::Checkpoint::open(kFolder);
  auto const& entry = checkpoint.at("model.layers.0.self_attn.q_proj.weight");
  io::LoadReport report;
  auto const take = [&]<class T>(std::type_identity<T>) {
    Parameter<T, 2> p(Extents{entry.info->shape[0], entry.info->shape[1]});
    return static_cast<void const*>(io::detail::take(ctx, entry, p).data());
  };
  auto const bytes = entry.file->bytes(*entry.info);
  visit_real(entry.info->dtype, [&]<class S>(std::type_identity<S> stored) {
    if constexpr (Real<S>) {
      EXPECT_EQ(take(stored), static_cast<void const*>(bytes.data)) << "no copy";
    }
  });
  bool const is_f32 = entry.info->dtype == Dtype::f32;
  EXPECT_NE(is_f32 ? take(std::type_identity<bf16>{}) : take(std::type_identity<float>{}), static_cast<void const*>(bytes.data));
}
}  // namespace by_hand_test
