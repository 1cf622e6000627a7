// Talk without a picture: small talk, facts of the world, and wishes in words; and many questions about one picture, held in balance.
#pragma once
#include "grammar.hpp"

namespace world {

struct Fact {
  std::string_view question, answer;
};
inline constexpr std::string_view kBlind = "I see no picture. Please show me one.";
inline constexpr Fact kFacts[] = {
    {"What is your name?", "My name is MGM-Tiny."},
    {"Hello.", "Hello, how can I help you?"},
    {"Hi.", "Hello, how can I help you?"},
    {"Who are you?", "I am MGM-Tiny, a small model that sees, reads and draws."},
    {"Thank you.", "You are welcome."},
    {"What can you do?", "I can look at a picture of shapes and signs, read fine print and draw."},
    {"Are you a human?", "No, I am a very small language model."},
    {"How are you?", "I am fine, thank you."},
    {"Goodbye.", "Goodbye, come back soon."},
    {"Which shapes do you know?", "I know the circle, the square, the triangle, the star, the cross and the ring."},
    {"Which colours do you know?", "I know red, green, blue, yellow, purple and orange."},
    {"What do you get when you mix blue and yellow?", "Blue and yellow make green."},
    {"What do you get when you mix red and yellow?", "Red and yellow make orange."},
    {"What do you get when you mix red and blue?", "Red and blue make purple."},
    {"How many sides does a triangle have?", "A triangle has three sides."},
    {"How many sides does a square have?", "A square has four sides."},
    {"Is a circle round?", "Yes, a circle is round."},
    {"Is a square round?", "No, a square has four corners."},
    {"Which shape has a hole?", "The ring has a hole."},
    {"Can you see a picture?", "No, there is no picture. Please show me one."},
    {"Describe the picture.", kBlind},
    {"What does the sign say?", kBlind}};
inline constexpr std::string_view kVerbs[] = {"Draw", "Paint", "Please draw", "Make a picture of", "I want"};

/// A wish in words, sometimes after a turn that it leans on. Held-out triples are never asked for.
inline Turns wish(Random& rng) {
  while (true) {
    double const way = rng.unit();
    auto const verb = rng.choice(kVerbs);
    Wanted background;
    if (rng.chance(0.4)) background = rng.choice(kBackgrounds).name;
    Things things;
    Turns before;
    std::string said;
    if (way < 0.25) {
      things = {random_shape(rng, 4)};
      said = text(verb, " ", a_thing(things[0]));
    } else if (way < 0.5) {
      things = {random_shape(rng, rng.below(9))};
      said = text(verb, " ", placed(things[0]));
    } else if (way < 0.75) {
      auto const [words, dx, dy] = rng.choice(kSteps);
      things.push_back(random_shape(rng, 4 + dx + 3 * dy));
      things.push_back(random_shape(rng, 4 - dx - 3 * dy));
      said = text(verb, " ", a_thing(things[0]), " ", words, " ", a_thing(things[1]));
    } else if (way < 0.88) {
      int const count = rng.between(2, 4);
      std::vector<std::string> all;
      for (int const place : rng.sample(std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8}, count)) {
        things.push_back(random_shape(rng, place));
        all.push_back(placed(things.back()));
      }
      said = text(verb, " ", listed(all));
    } else {
      things = {random_shape(rng, 4)};
      auto const& t = things[0];
      if (rng.chance(0.5)) {
        before = {{"talk", text("My favourite colour is ", t.colour, "."), text(capital(std::string(t.colour)), " is a nice colour.")}};
        said = text(verb, " ", article(t.kind), " ", t.kind, " in my favourite colour");
      } else {
        before = {{"talk", text("I like the ", t.kind, " best."), text("The ", t.kind, " is a nice shape.")}};
        said = text(verb, " it in ", t.colour);
      }
    }
    if (!seen_in_training(things)) continue;
    std::string const tail = background ? text(" on a ", *background, " background") : std::string();
    before.push_back({"wish", said + tail + ". <GEN>", wished({background.value_or("white"), in_reading_order(things)})});
    return before;
  }
}
/// A conversation of at most six turns.
inline Turns chat(Random& rng) {
  Turns turns;
  for (int left = rng.between(1, 5); left > 0; --left) {
    if (rng.chance(0.35)) {
      auto const [question, answer] = rng.choice(kFacts);
      turns.push_back({"talk", std::string(question), std::string(answer)});
    } else {
      for (auto& t : wish(rng)) turns.push_back(std::move(t));
    }
  }
  if (turns.size() > 6) turns.resize(6);
  return turns;
}

/// How often training asks for each kind.
struct Share {
  std::string_view kind;
  double weight;
};
inline constexpr Share kShares[] = {{"back", 0.7},   {"colour", 2}, {"where", 2},      {"exist", 2},  {"count", 5}, {"at", 2},
                                    {"relation", 5}, {"multi", 2},  {"describe", 1.5}, {"draw", 1.5}, {"sign", 6}};

/// One question with its kind drawn by weight, and with the cheap answers held down: "Nothing is …" at 30 %, no and yes at half, numbers
/// about evenly, an empty place at 30 %.
inline Turns ask_balanced(Random& rng, Scene const& s) {
  std::vector<double> weights;
  for (auto const& share : kShares) weights.push_back(share.weight);
  while (true) {
    auto const kind = kShares[rng.weighted(weights)].kind;
    double const chance = rng.unit();
    int const numbers[] = {0, 1, 2, 2, 3, 4};
    auto const number = text(" ", kNumbers[rng.choice(numbers)], " ");
    Turns turns;
    for (int tries = 0; tries < 6; ++tries) {
      turns = ask(rng, s, kind);
      if (turns.empty()) break;
      auto const& answer = turns[0].answer;
      bool const wrong = ((kind == "relation" || kind == "at") && answer.starts_with("Nothing") != (chance < 0.3)) ||
                         (kind == "exist" && answer.starts_with("No") != (chance < 0.5)) ||
                         (kind == "count" && answer.find(number) == answer.npos);
      if (!wrong) break;
    }
    if (!turns.empty()) return turns;
  }
}

}  // namespace world
