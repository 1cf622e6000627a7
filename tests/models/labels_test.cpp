// Ids and label masks of training conversations, as the original training code makes them.
#include <gtest/gtest.h>

#include <filesystem>

#include <mgm/models/labels.hpp>

#include "support/files.hpp"

namespace labels_test {

using namespace mgm;
using namespace mgm::models;
namespace fs = std::filesystem;

std::string const kOthers = MGM_TEST_DATA, kOwn = MGM_TEST_SOURCE "/tests/data/labels";

/// Every line of a golden file: a record, its tokenizer's folders laid together, the ids and the stretches that are asked for.
int compare(std::string const& data, std::string const& file, TrainingTemplate kind) {
  int count = 0;
  std::string const all = io::read_text(data + "/" + file, Size{1} << 28);
  for (std::size_t at = 0; at < all.size(); ++count) {
    std::size_t const end = std::min(all.find('\n', at), all.size());
    std::string const where = text(file, ": line ", count + 1);
    auto const golden = io::parse_json(std::string_view(all).substr(at, end - at), where);
    at = end + 1;
    support::TempDir const folder;
    for (auto const& part : golden.at("tokenizer"))
      for (auto const& entry : fs::directory_iterator(data + "/" + part.get<std::string>()))
        if (entry.is_regular_file())
          fs::copy_file(entry.path(), folder.path(entry.path().filename().string()), fs::copy_options::overwrite_existing);
    auto const vocabulary = io::Tokenizer::open(folder.path(""), {.prefer = training_vocabulary(kind)});
    std::optional<Size> limit;
    if (golden.contains("max_length")) limit = golden.at("max_length").get<Size>();
    auto const record = conversation_from(golden.at("record"), where);
    EXPECT_EQ(training_text(record, kind, where), golden.at("text").get<std::string>()) << where;
    auto const made = label_record(vocabulary, kind, record, where, limit);
    auto const ids = golden.at("ids").get<std::vector<int>>();
    EXPECT_EQ(made.ids, ids) << where;
    std::vector<int> labels(ids.size(), kMasked);
    for (auto const& stretch : golden.at("supervised"))
      for (std::size_t i = stretch.at(0).get<std::size_t>(); i < stretch.at(1).get<std::size_t>(); ++i) labels[i] = ids[i];
    EXPECT_EQ(made.labels, labels) << where;
  }
  return count;
}

class Labels : public testing::TestWithParam<TrainingTemplate> {};
TEST_P(Labels, EqualOurGoldens) { EXPECT_GE(compare(kOwn, text(name(GetParam()), ".jsonl"), GetParam()), 8); }
TEST_P(Labels, EqualTheGoldensOfOthers) {
  if (!fs::exists(kOthers + "/labels")) GTEST_SKIP() << kOthers << "/labels is absent";
  EXPECT_GE(compare(kOthers, text("labels/", name(GetParam()), ".jsonl"), GetParam()), 25);
}
INSTANTIATE_TEST_SUITE_P(All, Labels,
                         testing::Values(TrainingTemplate::vicuna_v1, TrainingTemplate::gemma, TrainingTemplate::llama_3,
                                         TrainingTemplate::mistral_instruct, TrainingTemplate::chatml_direct, TrainingTemplate::plain),
                         [](auto const& kind) { return std::string(name(kind.param)); });

Conversation talk(std::vector<Said> turns, bool image = false) { return {.has_image = image, .images = {}, .turns = std::move(turns)}; }

TEST(TrainingText, RefusesWhatTrainingCannotTemplate) {
  auto const refused = [](Conversation const& c, TrainingTemplate kind, std::string_view part) {
    try {
      (void)training_text(c, kind, "data.json: record 3");
      ADD_FAILURE() << "accepted; expected: " << part;
    } catch (ArgumentError const& e) {
      EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
      EXPECT_TRUE(std::string_view(e.what()).starts_with("data.json: record 3: ")) << e.what();
    }
  };
  refused(talk({}), TrainingTemplate::gemma, "no turns");
  refused(talk({{"human", "a"}, {"system", "b"}}), TrainingTemplate::gemma, "\"from\" is 'system'");
  refused(talk({{"human", "a"}, {"human", "b"}}), TrainingTemplate::vicuna_v1, "do not alternate; turn 1");
  refused(talk({{"human", ""}, {"gpt", "b"}}), TrainingTemplate::mistral_instruct, "the first turn is empty");
  refused(talk({{"human", "<image>"}}), TrainingTemplate::plain, "plain takes two turns");
  refused(talk({{"human", "no tag"}, {"gpt", "b"}}), TrainingTemplate::plain, "the first with <image>");
}

TEST(TrainingText, MovesTagsOnlyInRecordsWithAPicture) {
  std::vector<Said> const turns{{"human", "\u3000 What<image> is\u00A0<image>this? \n"}, {"gpt", " This. "}};
  EXPECT_EQ(training_text(talk(turns, true), TrainingTemplate::gemma, ""),
            "<start_of_turn>user\n<image>\nWhat is\u00A0this?<end_of_turn>\n<start_of_turn>model\n This. <end_of_turn>\n<eos>");
  EXPECT_NE(training_text(talk(turns), TrainingTemplate::gemma, "").find("\u3000 What<image> is"), std::string::npos);
}

TEST(Conversations, AreWrittenAsTheyAreRead) {
  support::TempDir const folder;
  std::vector<Conversation> const all{
      {.id = 7, .has_image = true, .images = {"a.png"}, .turns = {{"human", "<image>\nWhat?"}, {"gpt", "That."}}, .kind = "where"},
      {.id = "two", .has_image = true, .images = {"a.png", "b.png"}, .turns = {{"human", "Which?"}, {"gpt", "\"é\"\n"}}},
      recaption_record("wish-1", "Draw a red house.", "a small red house, flat colours"),
      in_context_record(nullptr, {{"human", "I like the sea."}, {"gpt", "So do I."}}, "Draw it.", "Here it comes.",
                        "blue sea, white waves")};
  write_conversations(folder.path("data.json"), all);
  auto const back = read_conversations(folder.path("data.json"));
  ASSERT_EQ(back.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(to_json(back[i]), to_json(all[i]));
  EXPECT_EQ(back[2].turns[0].value, "Draw a red house. <GEN>");
  EXPECT_EQ(back[3].turns.back().value, "Here it comes. <h>blue sea, white waves</h>");
  EXPECT_FALSE(back[3].has_image);
}

TEST(Conversations, BadRecordsAreNamed) {
  support::TempDir const folder;
  for (auto const& [json, part] : std::vector<std::pair<std::string, std::string>>{
           {"{}", "expected a list of records, found an object"},
           {R"([{"conversations": []}, 3])", "record 1: expected an object"},
           {R"([{"conversations": 3}])", "record 0: \"conversations\" is not a list"},
           {R"([{"conversations": [{"from": "human"}]}])", "record 0: \"conversations\" is not a list of objects with a string \"value\""},
           {R"([{"image": 3, "conversations": []}])", "record 0: key 'image'"}}) {
    folder.write("data.json", json);
    try {
      (void)read_conversations(folder.path("data.json"));
      ADD_FAILURE() << "accepted " << json;
    } catch (Error const& e) {
      EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
    }
  }
}

}  // namespace labels_test
