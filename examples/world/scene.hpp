// The world of MGM-Tiny: coloured shapes on a 3×3 layout, and signs with fine print.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "random.hpp"

namespace world {

using Rgb = std::array<int, 3>;
struct Colour {
  std::string_view name;
  Rgb rgb;
};
inline constexpr Colour kColours[] = {{"red", {220, 40, 40}},     {"green", {40, 160, 60}},   {"blue", {50, 90, 220}},
                                      {"yellow", {240, 210, 40}}, {"purple", {140, 60, 170}}, {"orange", {245, 140, 30}}};
inline constexpr Colour kBackgrounds[] = {{"white", {250, 250, 250}}, {"grey", {170, 170, 170}}, {"black", {25, 25, 25}}};
inline constexpr Colour kPlates[] = {{"white", {255, 255, 255}}, kColours[3], kColours[1], kColours[2], kColours[0]};
inline constexpr std::string_view kShapes[] = {"circle", "square", "triangle", "star", "cross", "ring"};
inline constexpr std::string_view kPlaces[] = {"in the top left",    "at the top",    "in the top right",
                                               "on the left",        "in the middle", "on the right",
                                               "in the bottom left", "at the bottom", "in the bottom right"};
inline constexpr std::string_view kWords[] = {"SHUT", "BANK", "CAFE", "FARM", "GATE", "PARK", "ZEBRA", "HELP",
                                              "FAST", "EAST", "WEST", "BUS",  "TRAM", "HUT",  "LAKE",  "PATH",
                                              "TREE", "CUP",  "SALE", "FREE", "PLAY", "QUAY", "YARD"};
inline constexpr std::string_view kLetters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";  // no I, O, 0, 1

/// A shape or a sign at one of the nine places.
struct Thing {
  std::string_view kind, colour;
  int place;
  std::string text{};  ///< of a sign
  [[nodiscard]] bool is_sign() const { return kind == "sign"; }
};
using Things = std::vector<Thing>;

struct Scene {
  std::string_view background;
  Things things;  ///< in reading order of their places
  [[nodiscard]] Things only(bool signs) const {
    Things out;
    for (auto const& t : things)
      if (t.is_sign() == signs) out.push_back(t);
    return out;
  }
  [[nodiscard]] Things shapes() const { return only(false); }
  [[nodiscard]] Things signs() const { return only(true); }
};

template <class List>
[[nodiscard]] int index_of(List const& list, std::string_view name) {
  int i = 0;
  for (auto const& entry : list) {
    std::string_view found;
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(entry)>, Colour>)
      found = entry.name;
    else
      found = entry;
    if (found == name) return i;
    ++i;
  }
  return -1;
}

/// One (colour, shape, place) in eleven is in no training picture and no training text.
[[nodiscard]] inline bool held_out(Thing const& t) {
  return !t.is_sign() && (7 * index_of(kColours, t.colour) + 5 * index_of(kShapes, t.kind) + 3 * t.place) % 11 == 0;
}
[[nodiscard]] inline bool seen_in_training(Things const& things) { return std::none_of(things.begin(), things.end(), held_out); }

inline Things in_reading_order(Things things) {
  std::stable_sort(things.begin(), things.end(), [](Thing const& a, Thing const& b) { return a.place < b.place; });
  return things;
}
inline Thing random_shape(Random& rng, int place) {
  auto const kind = rng.choice(kShapes);
  return {kind, rng.choice(kColours).name, place};
}
/// One of the short words, or 3 to 5 random characters.
inline std::string sign_text(Random& rng, double word_share) {
  if (rng.chance(word_share)) return std::string(rng.choice(kWords));
  std::string out(static_cast<std::size_t>(rng.between(3, 5)), ' ');
  for (char& c : out) c = rng.choice(kLetters);
  return out;
}

enum class Split { train, comp, any };  ///< none of the held-out triples, at least one, whatever comes

/// 1 to 4 shapes, a quarter of them copies of another's colour and form, and 0, 1 or 2 signs (15, 60, 25 %); crowded: 2 to 4 and 3 to 5.
inline Scene sample_scene(Random& rng, Split split = Split::train, bool crowded = false, double word_share = 0.25) {
  while (true) {
    int shapes = rng.between(1, 4), signs = rng.weighted({0.15, 0.6, 0.25});
    if (crowded) shapes = rng.between(2, 4), signs = rng.between(3, 5);
    auto const places = rng.sample(std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8}, shapes + signs);
    Things things;
    for (int i = 0; i < shapes; ++i) {
      int const place = places[static_cast<std::size_t>(i)];
      if (!things.empty() && rng.chance(0.25)) {
        Thing copy = rng.choice(things);
        copy.place = place;
        things.push_back(copy);
      } else {
        things.push_back(random_shape(rng, place));
      }
    }
    if (split != Split::any && seen_in_training(things) != (split == Split::train)) continue;
    auto const plates = rng.sample(std::vector<Colour>(std::begin(kPlates), std::end(kPlates)), signs);
    for (int i = 0; i < signs; ++i)
      things.push_back(
          {"sign", plates[static_cast<std::size_t>(i)].name, places[static_cast<std::size_t>(shapes + i)], sign_text(rng, word_share)});
    auto const background = rng.choice(kBackgrounds).name;
    return {background, in_reading_order(std::move(things))};
  }
}

}  // namespace world
