// What a picture of the world shows, told from its pixels alone: the judge of drawn pictures. Any square picture from 48 pixels a side on.
#pragma once
#include <bitset>
#include <climits>

#include <mgm/core/error.hpp>

#include "paint.hpp"

namespace world {

/// A form scaled to fill 24×24 cells, whatever its size and place.
using Mask = std::bitset<24 * 24>;

/// `inside(x, y)` over the box [left, right) × [top, bottom) as a Mask.
template <class Inside>
[[nodiscard]] Mask masked(double left, double top, double right, double bottom, Inside&& inside) {
  Mask out;
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = inside(left + (right - left) * (static_cast<double>(i % 24) + 0.5) / 24,
                    top + (bottom - top) * (static_cast<double>(i / 24) + 0.5) / 24);
  return out;
}
/// The six forms, in the order of kShapes.
inline std::vector<Mask> const& silhouettes() {
  static auto const kAll = [] {
    std::vector<Mask> out;
    for (auto const kind : kShapes) {
      double left = 2, top = 2, right = -2, bottom = -2;
      for (double y = -1.2; y < 1.2; y += 0.005)
        for (double x = -1.2; x < 1.2; x += 0.005)
          if (covers(kind, x, y))
            left = std::min(left, x), right = std::max(right, x), top = std::min(top, y), bottom = std::max(bottom, y);
      out.push_back(masked(left, top, right, bottom, [&](double x, double y) { return covers(kind, x, y); }));
    }
    return out;
  }();
  return kAll;
}

/// The middle of each channel's values.
[[nodiscard]] inline Rgb median(std::vector<Rgb> colours) {
  Rgb out{};
  for (std::size_t c = 0; c < 3 && !colours.empty(); ++c) {
    auto const middle = colours.begin() + static_cast<std::ptrdiff_t>(colours.size() / 2);
    std::nth_element(colours.begin(), middle, colours.end(), [c](Rgb const& a, Rgb const& b) { return a[c] < b[c]; });
    out[c] = (*middle)[c];
  }
  return out;
}
template <class List>
[[nodiscard]] std::string_view nearest(List const& palette, Rgb colour) {
  std::string_view out;
  int least = INT_MAX;
  for (auto const& entry : palette) {
    int far = 0;
    for (std::size_t c = 0; c < 3; ++c) far += (entry.rgb[c] - colour[c]) * (entry.rgb[c] - colour[c]);
    if (far < least) least = far, out = entry.name;
  }
  return out;
}

/// The scene, signs without their print. Foreground is what differs from the border's middle colour; it belongs to the place in which the
/// centre of its connected part lies; its colour is the nearest of the palette, its form the silhouette with the largest intersection over
/// union. What is half as wide again as high is a sign. Throws ArgumentError for a picture that is too small or not square.
[[nodiscard]] inline Scene look(mgm::io::PixelView picture) {
  int const side = picture.width();
  mgm::require<mgm::ArgumentError>(side == picture.height() && side >= 48, "look: expected a square picture of 48 pixels or more, found ",
                                   side, "x", picture.height());
  std::vector<std::uint8_t> row(3 * static_cast<std::size_t>(side));
  std::vector<Rgb> pixels, border;
  for (int y = 0; y < side; ++y) {
    mgm::io::detail::to_rgb(picture.row(y), picture.format(), side, row.data());
    for (int x = 0; x < side; ++x) {
      auto const* p = row.data() + 3 * x;
      pixels.push_back({p[0], p[1], p[2]});
      if (x == 0 || y == 0 || x == side - 1 || y == side - 1) border.push_back(pixels.back());
    }
  }
  auto const at = [&](int x, int y) { return static_cast<std::size_t>(y * side + x); };
  Rgb const ground = median(border);
  std::vector<signed char> left(pixels.size());  // foreground that no part holds yet
  for (std::size_t i = 0; i < pixels.size(); ++i)
    for (std::size_t c = 0; c < 3; ++c) left[i] = left[i] || std::abs(pixels[i][c] - ground[c]) > 40;

  std::vector<int> parts[9];  // pixels of each place
  for (int start = 0; start < side * side; ++start) {
    if (!left[static_cast<std::size_t>(start)]) continue;
    std::vector<int> part{start};
    left[static_cast<std::size_t>(start)] = 0;
    long sum_x = 0, sum_y = 0;
    for (std::size_t i = 0; i < part.size(); ++i) {
      int const x = part[i] % side, y = part[i] / side;
      sum_x += x, sum_y += y;
      for (auto const& [nx, ny] : {std::pair{x - 1, y}, {x + 1, y}, {x, y - 1}, {x, y + 1}})
        if (nx >= 0 && ny >= 0 && nx < side && ny < side && left[at(nx, ny)]) left[at(nx, ny)] = 0, part.push_back(ny * side + nx);
    }
    long const count = static_cast<long>(part.size());
    if (count * 900 < long{side} * side) continue;  // a hundredth of a place: a stain
    auto& place = parts[3 * (3 * sum_y / count / side) + 3 * sum_x / count / side];
    place.insert(place.end(), part.begin(), part.end());
  }

  Scene scene{nearest(kBackgrounds, ground), {}};
  for (int p = 0; p < 9; ++p) {
    auto const& part = parts[p];
    if (static_cast<long>(part.size()) * 450 < long{side} * side) continue;  // the smallest star covers a tenth of a place, this is 2 %
    int x0 = side, y0 = side, x1 = 0, y1 = 0;
    std::vector<signed char> own(pixels.size());
    std::vector<Rgb> ink, plate;
    for (int const i : part) {
      x0 = std::min(x0, i % side), x1 = std::max(x1, i % side + 1), y0 = std::min(y0, i / side), y1 = std::max(y1, i / side + 1);
      own[static_cast<std::size_t>(i)] = 1, ink.push_back(pixels[static_cast<std::size_t>(i)]);
    }
    if (90 * (x1 - x0) * (y1 - y0) < side * side) continue;  // a box of a tenth of a place; the smallest thing's has a sixth
    if (2 * (x1 - x0) > 3 * (y1 - y0)) {
      for (int y = y0; y < y1; ++y)
        for (int x = x0; x < x1; ++x) plate.push_back(pixels[at(x, y)]);
      scene.things.push_back({"sign", nearest(kPlates, median(plate)), p});
      continue;
    }
    Mask const form = masked(x0, y0, x1, y1, [&](double x, double y) { return own[at(static_cast<int>(x), static_cast<int>(y))] != 0; });
    std::size_t best = 0;
    double most = -1;
    for (std::size_t k = 0; k < silhouettes().size(); ++k) {
      auto const& s = silhouettes()[k];
      double const shared = static_cast<double>((s & form).count()) / static_cast<double>((s | form).count());
      if (shared > most) most = shared, best = k;
    }
    scene.things.push_back({kShapes[best], nearest(kColours, median(ink)), p});
  }
  return scene;
}

/// The scene that a caption of the drawing grammar asks for; nothing when it is no such caption.
[[nodiscard]] inline std::optional<Scene> read_caption(std::string_view caption) {
  constexpr std::string_view kOn = " on a ", kEnd = " background";
  auto const on = caption.rfind(kOn);
  if (on == caption.npos || !caption.ends_with(kEnd) || caption.size() < on + kOn.size() + kEnd.size()) return {};
  int const background = index_of(kBackgrounds, caption.substr(on + kOn.size(), caption.size() - kEnd.size() - on - kOn.size()));
  if (background < 0) return {};
  Scene out{kBackgrounds[background].name, {}};
  for (std::string_view rest = caption.substr(0, on); !rest.empty() && rest != "nothing";) {
    std::optional<Thing> found;
    std::size_t length = 0;
    for (auto const& colour : kColours)
      for (auto const kind : kShapes)
        for (int place = 0; place < 9; ++place) {
          Thing const t{kind, colour.name, place};
          std::string const said = mgm::text(std::string_view("aeiou").find(colour.name[0]) == std::string_view::npos ? "a " : "an ",
                                             colour.name, " ", kind, " ", kPlaces[place]);
          if (rest.starts_with(said) && said.size() > length) found = t, length = said.size();
        }
    if (!found) return {};
    out.things.push_back(*found);
    rest.remove_prefix(length);
    for (std::string_view const joint : {", ", " and "})
      if (rest.starts_with(joint) && rest.size() > joint.size()) {
        rest.remove_prefix(joint.size());
        break;
      }
  }
  return out;
}

/// How much of what was asked for is there.
struct Verdict {
  int asked = 0, right = 0;  ///< things with their colour, form and place
  int strange = 0;           ///< things where nothing was asked for
  bool background = false;
};
[[nodiscard]] inline Verdict judge(Scene const& asked, Scene const& seen) {
  Verdict v{.asked = static_cast<int>(asked.things.size()), .background = asked.background == seen.background};
  for (auto const& s : seen.things) {
    auto const same = std::find_if(asked.things.begin(), asked.things.end(), [&](Thing const& a) { return a.place == s.place; });
    if (same == asked.things.end())
      ++v.strange;
    else
      v.right += same->kind == s.kind && same->colour == s.colour;
  }
  return v;
}

}  // namespace world
