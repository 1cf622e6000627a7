// What is said about a picture of the world: questions with exactly one right answer, captions, and wishes that start from a picture.
#pragma once
#include <mgm/core/error.hpp>

#include "scene.hpp"

namespace world {

using mgm::text;

struct Turn {
  std::string kind, question, answer;
};
using Turns = std::vector<Turn>;  ///< of one question; follow-ups have two; none where the scene does not allow the question

inline constexpr std::string_view kKinds[] = {"back",     "colour", "where",    "exist", "count", "at",
                                              "relation", "sign",   "describe", "multi", "draw"};
inline constexpr std::string_view kNumbers[] = {"no", "one", "two", "three", "four", "five", "six", "seven"};
struct Step {
  std::string_view words;
  int dx, dy;
};
inline constexpr Step kSteps[] = {{"left of", -1, 0}, {"right of", 1, 0}, {"above", 0, -1}, {"below", 0, 1}};

// ---- words
inline std::string article(std::string_view word) { return std::string_view("aeiou").find(word[0]) == std::string_view::npos ? "a" : "an"; }
inline std::string a_thing(Thing const& t) { return text(article(t.colour), " ", t.colour, " ", t.kind); }
inline std::string placed(Thing const& t) { return text(a_thing(t), " ", kPlaces[t.place]); }
inline std::string listed(std::vector<std::string> const& items) {
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) out += text(i == 0 ? "" : i + 1 == items.size() ? " and " : ", ", items[i]);
  return out;
}
inline std::string plural(std::string const& noun) { return noun + (noun.ends_with('s') ? "es" : "s"); }
inline std::string capital(std::string words) {
  words[0] = static_cast<char>(words[0] - 'a' + 'A');
  return words;
}

// ---- things
using Wanted = std::optional<std::string_view>;
inline Things alike(Things const& things, Wanted kind = {}, Wanted colour = {}) {
  Things out;
  for (auto const& t : things)
    if (kind.value_or(t.kind) == t.kind && colour.value_or(t.colour) == t.colour) out.push_back(t);
  return out;
}
/// Things that share their form, and with `coloured` their colour too, with no other.
inline Things unique(Things const& things, bool coloured = true) {
  Things out;
  for (auto const& t : things)
    if (alike(things, t.kind, coloured ? Wanted(t.colour) : std::nullopt).size() == 1) out.push_back(t);
  return out;
}
/// "the star" where it is the only star, else "the green star".
inline std::string the_thing(Thing const& t, Scene const& s) {
  return alike(s.things, t.kind).size() == 1 ? text("the ", t.kind) : text("the ", t.colour, " ", t.kind);
}

// ---- sentences
/// What stands in <h>…</h>: the shapes in reading order and the background, no signs.
inline std::string caption(Scene const& s) {
  std::vector<std::string> said;
  for (auto const& t : s.shapes()) said.push_back(placed(t));
  return text(said.empty() ? "nothing" : listed(said), " on a ", s.background, " background");
}
inline std::string wished(Scene const& s) { return text("Here is your picture. <h>", caption(s), "</h>"); }
/// The whole picture in one sentence; the print of the signs too where it is legible.
inline std::string told(Scene const& s, bool legible) {
  std::vector<std::string> said;
  for (auto const& t : s.things) said.push_back(placed(t) + (t.is_sign() && legible ? text(" that says \"", t.text, "\"") : ""));
  return text("The picture shows ", listed(said), " on a ", s.background, " background.");
}

// ---- questions
inline Turns ask_colour(Random& rng, Scene const& s) {
  auto const single = unique(s.things, false);
  if (single.empty()) return {};
  auto const& t = rng.choice(single);
  bool const first = rng.below(2) == 0;
  return {{"colour", first ? text("What colour is the ", t.kind, "?") : text("Which colour does the ", t.kind, " have?"),
           text("The ", t.kind, " is ", t.colour, ".")}};
}
inline Turns ask_count(Random& rng, Scene const& s) {
  double const way = rng.unit();
  auto const shapes = s.shapes();
  auto const& shape = rng.choice(shapes);
  std::string noun;
  std::size_t number;
  if (way < 0.35) {
    auto const colour = rng.chance(0.3) ? rng.choice(kColours).name : shape.colour;
    noun = text(colour, " ", shape.kind), number = alike(s.things, shape.kind, colour).size();
  } else if (way < 0.65) {
    noun = rng.chance(0.3) ? rng.choice(kShapes) : shape.kind, number = alike(s.things, noun).size();
  } else if (way < 0.8) {
    noun = "shape", number = shapes.size();
  } else if (way < 0.9) {
    noun = "sign", number = s.signs().size();
  } else {
    noun = text(shape.colour, " shape"), number = alike(shapes, {}, shape.colour).size();
  }
  return {{"count", text("How many ", plural(noun), " are there?"),
           number == 1 ? text("There is one ", noun, ".") : text("There are ", kNumbers[number], " ", plural(noun), ".")}};
}
inline Turns ask_where(Random& rng, Scene const& s) {
  auto const only = unique(s.things);
  if (only.empty()) return {};
  auto const& t = rng.choice(only);
  auto const name = the_thing(t, s);
  return {{"where", text("Where is ", name, "?"), text(capital(name), " is ", kPlaces[t.place], ".")}};
}
/// The nearest thing in the same row or column.
inline Turns ask_relation(Random& rng, Scene const& s) {
  auto const only = unique(s.things);
  if (only.empty()) return {};
  auto const& t = rng.choice(only);
  auto const [words, dx, dy] = rng.choice(kSteps);
  auto const name = the_thing(t, s), question = text("What is ", words, " ", name, "?");
  for (int x = t.place % 3 + dx, y = t.place / 3 + dy; x >= 0 && x < 3 && y >= 0 && y < 3; x += dx, y += dy)
    for (auto const& o : s.things)
      if (o.place == 3 * y + x) return {{"relation", question, text(capital(a_thing(o)), " is ", words, " ", name, ".")}};
  return {{"relation", question, text("Nothing is ", words, " ", name, ".")}};
}
inline Turns ask_exist(Random& rng, Scene const& s) {
  Thing wanted{};
  if (rng.chance(0.5))
    wanted = rng.choice(s.things);
  else
    wanted = random_shape(rng, 0);
  auto const hit = alike(s.things, wanted.kind, wanted.colour);
  return {{"exist", text("Is there ", a_thing(wanted), "?"),
           hit.empty() ? text("No, there is no ", wanted.colour, " ", wanted.kind, ".") : text("Yes, there is ", placed(hit[0]), ".")}};
}
inline Turns ask_back(Random& rng, Scene const& s) {
  bool const first = rng.below(2) == 0;
  return {{"back", first ? "What colour is the background?" : "Which colour is the background?",
           text("The background is ", s.background, ".")}};
}
inline Turns ask_at(Random& rng, Scene const& s) {
  bool const something = rng.chance(0.7);
  int const place = something ? rng.choice(s.things).place : rng.below(9);
  std::string hit = "nothing";
  for (auto const& t : s.things)
    if (t.place == place) hit = a_thing(t);
  return {{"at", text("What is ", kPlaces[place], "?"), text(capital(hit), " is ", kPlaces[place], ".")}};
}
inline Turns ask_sign(Random& rng, Scene const& s, bool legible) {
  auto const signs = s.signs();
  if (signs.empty()) {
    std::string const question = rng.below(2) == 0 ? "What does the sign say?" : "Read the sign.";
    if (!rng.chance(0.25)) return {};
    return {{"sign", question, "There is no sign in the picture."}};
  }
  auto const& t = rng.choice(signs);
  auto const name = the_thing(t, s);
  auto const answer = legible ? text(capital(name), " says \"", t.text, "\".") : text("I cannot read ", name, ", the print is too small.");
  std::string const questions[] = {text("What does ", name, " say?"), text("Read ", name, "."), text("What is written on ", name, "?")};
  return {{"sign", rng.choice(questions), answer}};
}
inline Turns ask_describe(Random& rng, Scene const& s, bool legible) {
  constexpr std::string_view kQuestions[] = {"Describe the picture.", "What do you see?", "What is in the picture?"};
  return {{"describe", std::string(rng.choice(kQuestions)), told(s, legible)}};
}
/// A question and one that leans on it.
inline Turns ask_multi(Random& rng, Scene const& s, bool legible) {
  auto const only = unique(s.things);
  if (only.empty()) return {};
  auto const& t = rng.choice(only);
  auto const name = the_thing(t, s);
  Turn const where{"where", text("Where is ", name, "?"), text(capital(name), " is ", kPlaces[t.place], ".")};
  if (t.is_sign() && rng.chance(0.5))
    return {where,
            {"multi", "And what does it say?", legible ? text("It says \"", t.text, "\".") : "I cannot read it, the print is too small."}};
  if (name != text("the ", t.kind))
    return {{"at", text("What is ", kPlaces[t.place], "?"), text(capital(a_thing(t)), " is ", kPlaces[t.place], ".")},
            {"multi", "Is there only one?", "Yes, there is only one."}};
  if (rng.chance(0.5))
    return {{"colour", text("What colour is ", name, "?"), text(capital(name), " is ", t.colour, ".")},
            {"multi", "And where is it?", text("It is ", kPlaces[t.place], ".")}};
  return {where, {"multi", "And which colour is it?", text("It is ", t.colour, ".")}};
}
/// A wish that starts from the picture. What is wished for holds no held-out triple unless the picture does.
inline Turns ask_draw(Random& rng, Scene const& s) {
  auto const shapes = s.shapes(), single = unique(shapes, false);
  for (int tries = 0; tries < 20; ++tries) {
    double const way = rng.unit();
    Scene wanted{s.background, shapes};
    std::string wish;
    if (way < 0.2) {
      wish = rng.below(2) == 0 ? "Draw this picture again." : "Draw the same picture.";
    } else if (way < 0.55 && !single.empty()) {
      auto const& t = rng.choice(single);
      auto const colour = rng.choice(kColours).name;
      for (auto& o : wanted.things)
        if (o.place == t.place) o.colour = colour;
      wish = text("Draw the same but with ", article(colour), " ", colour, " ", t.kind, ".");
    } else if (0.55 <= way && way < 0.7) {
      wanted.background = rng.choice(kBackgrounds).name;
      wish = text("Draw the same on a ", wanted.background, " background.");
    } else if (0.7 <= way && way < 0.85 && !single.empty() && shapes.size() > 1) {
      auto const& t = rng.choice(single);
      std::erase_if(wanted.things, [&](Thing const& o) { return o.place == t.place; });
      wish = text("Draw the same without the ", t.kind, ".");
    } else if (way >= 0.85) {
      std::vector<int> free;
      for (int p = 0; p < 9; ++p)
        if (std::none_of(shapes.begin(), shapes.end(), [&](Thing const& o) { return o.place == p; })) free.push_back(p);
      Thing const added = random_shape(rng, rng.choice(free));
      wanted.things.push_back(added);
      wanted.things = in_reading_order(wanted.things);
      wish = text("Draw the same and add ", placed(added), ".");
    } else {
      continue;
    }
    if (seen_in_training(wanted.things) || !seen_in_training(s.things)) return {{"draw", wish + " <GEN>", wished(wanted)}};
  }
  return {};
}

/// One question of a kind. legible = false: the print cannot be read, and the right answer says so.
inline Turns ask(Random& rng, Scene const& s, std::string_view kind, bool legible = true) {
  return kind == "back"       ? ask_back(rng, s)
         : kind == "colour"   ? ask_colour(rng, s)
         : kind == "where"    ? ask_where(rng, s)
         : kind == "exist"    ? ask_exist(rng, s)
         : kind == "count"    ? ask_count(rng, s)
         : kind == "at"       ? ask_at(rng, s)
         : kind == "relation" ? ask_relation(rng, s)
         : kind == "sign"     ? ask_sign(rng, s, legible)
         : kind == "describe" ? ask_describe(rng, s, legible)
         : kind == "multi"    ? ask_multi(rng, s, legible)
                              : ask_draw(rng, s);
}

}  // namespace world
