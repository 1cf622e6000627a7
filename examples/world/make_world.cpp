// Pictures of MGM-Tiny's world with conversations about them, as PNGs and records of the training-data format; as many as one likes.
//   make_world OUT [--pictures N] [--first SEED] [--split train|comp|any] [--kinds colour,where] [--turns K] [--talks N]
// One question of each kind a picture, each in a record of its own, as `mgm eval` reads them; with --turns K instead one record a picture
// with K questions as training asks them. --talks adds conversations without a picture: small talk, and wishes for pictures. Training draws
// from seeds below 900000, so pictures from there on are held out; of split `train` they hold no (colour, shape, place) that training never
// shows, of `comp` at least one.
#include <charconv>
#include <cstdio>
#include <filesystem>

#include <mgm/core/names.hpp>
#include <mgm/io/atomic_file.hpp>
#include <mgm/io/png.hpp>

#include "paint.hpp"
#include "records.hpp"

namespace {
struct Wanted {
  std::string out, kinds;
  std::uint64_t pictures = 300, first = 900'000, turns = 0, talks = 0;
  world::Split split = world::Split::train;
};

Wanted read(int argc, char** argv) {
  Wanted w;
  for (int i = 1; i < argc; ++i) {
    std::string_view const name = argv[i];
    if (!name.starts_with("--") && w.out.empty()) {
      w.out = name;
      continue;
    }
    mgm::require<mgm::ArgumentError>(i + 1 < argc, "make_world: ", mgm::quoted(name), " has no value");
    std::string_view const value = argv[++i];
    auto const number = [&](std::uint64_t& to) {
      auto const [end, error] = std::from_chars(value.data(), value.data() + value.size(), to);
      mgm::require<mgm::ArgumentError>(error == std::errc() && end == value.data() + value.size() && to < std::uint64_t{1} << 31,
                                       "make_world: ", name, ": expected a number, found ", mgm::quoted(value));
    };
    constexpr std::string_view kSplits[] = {"train", "comp", "any"};
    if (name == "--pictures")
      number(w.pictures);
    else if (name == "--first")
      number(w.first);
    else if (name == "--turns")
      number(w.turns);
    else if (name == "--talks")
      number(w.talks);
    else if (name == "--split")
      w.split = mgm::by_name<world::Split>("--split", value, kSplits);
    else if (name == "--kinds")
      w.kinds = value;
    else
      throw mgm::ArgumentError(mgm::text("make_world: option ", mgm::quoted(name), " is not known"));
  }
  mgm::require<mgm::ArgumentError>(!w.out.empty(),
                                   "usage: make_world OUT [--pictures N] [--first SEED] [--split train|comp|any] "
                                   "[--kinds colour,where] [--turns K] [--talks N]");
  for (std::string_view rest = w.kinds; !rest.empty(); rest.remove_prefix(std::min(rest.size(), rest.find(',') + 1)))
    if (auto const kind = rest.substr(0, rest.find(',')); true) (void)mgm::by_name<int>("--kinds", kind, world::kKinds);
  return w;
}
}  // namespace

int main(int argc, char** argv) try {
  auto const w = read(argc, argv);
  std::filesystem::create_directories(w.out);
  auto records = mgm::io::Json::array();
  constexpr std::uint64_t kQuestions = std::uint64_t{1} << 32, kTalks = std::uint64_t{2} << 32;  // streams of their own, whatever the seed
  for (std::uint64_t seed = w.first; seed < w.first + w.pictures; ++seed) {
    auto const [scene, image] = world::sample(seed, w.split);
    std::string const id = std::to_string(seed), file = id + ".png";
    mgm::io::write_png((std::filesystem::path(w.out) / file).string(), image);
    world::Random rng(kQuestions + seed);
    world::Turns all;
    for (std::uint64_t k = 0; k < w.turns; ++k)
      for (auto& turn : world::ask_balanced(rng, scene)) all.push_back(std::move(turn));
    if (!all.empty()) records.push_back(world::record(id, file, "", all));
    if (w.turns > 0) continue;
    for (auto const kind : world::kKinds) {
      auto const turns = world::ask(rng, scene, kind);
      if (!turns.empty() && (w.kinds.empty() || ("," + w.kinds + ",").find(mgm::text(",", kind, ",")) != std::string::npos))
        records.push_back(world::record(mgm::text(id, "-", kind), file, world::counted_as(turns, scene), turns));
    }
  }
  for (std::uint64_t seed = w.first; seed < w.first + w.talks; ++seed) {
    world::Random rng(kTalks + seed);
    records.push_back(world::record("talk-" + std::to_string(seed), "", "", world::chat(rng)));
  }
  mgm::io::write_file((std::filesystem::path(w.out) / "records.json").string(), records.dump(1) + "\n");
  std::printf("%s: %llu pictures, %zu records\n", w.out.c_str(), static_cast<unsigned long long>(w.pictures), records.size());
  return 0;
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
