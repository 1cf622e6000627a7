// `mgm eval`: the questions of recorded conversations, answered greedily; how many answers are exact, by kind, and the loss of training.
#pragma once
#include <filesystem>
#include <map>

#include <mgm/models/conversation.hpp>
#include <mgm/models/evaluate.hpp>

#include "chat.hpp"

namespace tool {

/// A record as a conversation with this library: exchanges without tags, the pictures with the first that had one.
inline std::vector<mgm::models::Turn> exchanges(mgm::models::Conversation const& record, std::string const& where) {
  using mgm::models::Turn;
  (void)training_text(record, mgm::models::TrainingTemplate::gemma, where);  // refuses unknown speakers, and turns that do not alternate
  std::vector<Turn> turns;
  std::size_t const first = record.turns[0].from == "gpt" ? 1 : 0;
  bool shown = !record.has_image;
  for (std::size_t i = first; i + 1 < record.turns.size(); i += 2) {
    Turn turn{record.turns[i].value, 0, record.turns[i + 1].value};
    if (record.has_image && turn.user.find(mgm::models::kImageTag) != std::string::npos) {
      turn.user = mgm::models::detail::one_tag_in_front(turn.user);
      turn.user.erase(0, std::min(turn.user.size(), mgm::models::kImageTag.size() + 1));
      if (!shown) turn.images = static_cast<int>(record.images.size());
      shown = true;
    }
    turns.push_back(std::move(turn));
  }
  mgm::require<mgm::ArgumentError>(!turns.empty(), where, ": there is no question with an answer");
  mgm::require<mgm::ArgumentError>(shown, where, ": it has a picture, and no <image> in what the human says");
  return turns;
}

struct Score {
  std::int64_t n = 0, exact = 0;
};

template <class T, class Dev>
int eval(Options const& o, Terminal& terminal) {
  using namespace mgm::models;
  mgm::Context<Dev> ctx(context_config<Dev>(o, terminal));
  auto const asked = template_of(o);
  auto const json = mgm::io::read_json(o.data, {.bytes = mgm::Size{1} << 32});
  mgm::require<mgm::FileError>(json.is_array(), o.data, ": expected a list of records");
  auto const model = open_model<T, Dev>(ctx, o, terminal);
  auto const kind = asked.value_or(model.language.prompt_template);
  auto const training = training_template(kind);
  auto talk = model.session(ctx, {.prompt_template = asked, .see = {.no_mining = o.no_mining, .blur_aux = o.blur_aux}});

  std::map<std::string, Score> scores;
  std::vector<std::pair<std::string, std::string>> failed;  // which, why
  MaskedLoss loss;
  for (std::size_t number = 0; number < json.size(); ++number) {
    std::string const where = mgm::text("record ", number);
    try {
      auto const record = conversation_from(json[number], where);
      auto const turns = exchanges(record, where);
      std::vector<mgm::io::Image> pictures;
      for (auto const& path : record.images) pictures.push_back(read_picture(o, (std::filesystem::path(o.image_folder) / path).string()));
      std::vector<mgm::io::PixelView> const views(pictures.begin(), pictures.end());
      std::size_t const from = o.turn == "last" ? turns.size() - 1 : 0, to = o.turn == "first" ? 1 : turns.size();
      for (std::size_t i = from; i < to; ++i) {
        bool const now = turns[i].images > 0;  // its own pictures come with the question, those of turns before it are recalled
        talk.recall({turns.begin(), turns.begin() + static_cast<std::ptrdiff_t>(i)},
                    now ? std::span<mgm::io::PixelView const>() : std::span(views).first(i > 0 ? views.size() : 0));
        auto answer =
            talk.ask(now ? std::span(views) : std::span<mgm::io::PixelView const>(), turns[i].user,
                     {.max_new_tokens = o.max_new_tokens, .sampling = {.temperature = 0}, .stop = o.stop, .prefix = o.answer_prefix});
        std::string const said = answer.text();
        mgm::require<mgm::Cancelled>(answer.finish() != Finish::cancelled, "eval: cancelled at ", where);
        auto& score = scores[record.kind.empty() ? "other" : record.kind];
        ++score.n, score.exact += said == mgm::models::stripped(*turns[i].answer);
        if (o.show) std::printf("%s\t%s\t%s\n", where.c_str(), quote(*turns[i].answer).c_str(), quote(said).c_str());
      }
      loss += masked_loss(ctx, model, label_record(*model.vocabulary, training, record, where), talk.pictures());
    } catch (mgm::Cancelled const&) {
      throw;
    } catch (mgm::MemoryError const&) {
      throw;
    } catch (mgm::Error const& error) {
      failed.emplace_back(where, error.what());
    }
  }
  terminal.clear();
  std::int64_t all = 0, exact = 0;
  for (auto const& [name, score] : scores) all += score.n, exact += score.exact;
  if (o.json) {
    std::string kinds, list;
    for (auto const& [name, score] : scores)
      kinds += mgm::text(kinds.empty() ? "" : ", ", quote(name), ": {\"n\": ", score.n, ", \"exact\": ", score.exact, "}");
    for (auto const& [which, why] : failed)
      list += mgm::text(list.empty() ? "" : ", ", "{\"record\": ", quote(which), ", \"error\": ", quote(why), "}");
    std::printf("{\"kinds\": {%s}, \"loss\": %s, \"failed\": [%s]}\n", kinds.c_str(),
                loss.count > 0 ? mgm::text(loss.mean()).c_str() : "null", list.c_str());
    return 0;
  }
  for (auto const& [name, score] : scores)
    std::printf("%-20s %6lld of %6lld exact, %5.1f %%\n", name.c_str(), static_cast<long long>(score.exact),
                static_cast<long long>(score.n), 100 * static_cast<double>(score.exact) / static_cast<double>(score.n));
  std::printf("%-20s %6lld of %6lld exact; loss %.4f over %lld ids; %zu records failed\n", "all", static_cast<long long>(exact),
              static_cast<long long>(all), loss.mean(), static_cast<long long>(loss.count), failed.size());
  for (auto const& [which, why] : failed) std::printf("failed: %s: %s\n", which.c_str(), why.c_str());
  return 0;
}

}  // namespace tool
