/// What the folders of the towers say of pixels, in preprocessor_config.json and open_clip_config.json: it must be what is done here.
#pragma once
#include <array>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/io/json.hpp>
#include <mgm/io/pixels.hpp>

namespace mgm::inline v0::models {

namespace detail {

/// Three numbers that are said must be CLIP's: the pixels of both towers are normalised by them.
inline void check_pixel_constants(io::Json const& json, char const* key, std::array<double, 3> const& clip, std::string const& where) {
  if (io::find_key(json, key, where) == nullptr) return;
  auto const said = io::get<std::vector<double>>(json, key, where);
  bool same = said.size() == clip.size();
  for (std::size_t i = 0; same && i < clip.size(); ++i) same = std::abs(said[i] - clip[i]) < 1e-6;
  require<ConfigError>(same, where, ": key '", key, "': expected CLIP's ", clip[0], ", ", clip[1], ", ", clip[2],
                       ", found others; towers that are normalised in another way are not supported");
}

/// Refuses towers that want their pixels made in another way; a CLIP folder that says nothing gets CLIP's own, and a note says so.
inline void check_preprocessing(std::optional<std::filesystem::path> const& clip, std::optional<std::filesystem::path> const& convnext,
                                std::vector<std::string>& notes) {
  std::error_code ignored;
  if (auto const file = clip ? *clip / "preprocessor_config.json" : std::filesystem::path();
      clip && std::filesystem::exists(file, ignored)) {
    std::string const where = file.string();
    io::Json const json = io::read_json(where);
    check_pixel_constants(json, "image_mean", io::kPixelMean, where), check_pixel_constants(json, "image_std", io::kPixelStd, where);
    if (io::find_key(json, "resample", where)) {
      constexpr int kBicubic = 3;  // of Pillow's filters
      int const resample = io::get<int>(json, "resample", where);
      require<ConfigError>(resample == kBicubic, where, ": key 'resample': expected 3 (bicubic), found ", resample);
    }
    require<ConfigError>(io::get_or<bool>(json, "do_normalize", true, where), where, ": key 'do_normalize': expected true, found false");
  } else {
    notes.push_back(text(clip ? clip->string() : "CLIP's folder",
                         ": preprocessor_config.json is missing; CLIP's own mean, deviation and bicubic "
                         "resizing are taken"));
  }
  if (auto const file = convnext ? *convnext / "open_clip_config.json" : std::filesystem::path();
      convnext && std::filesystem::exists(file, ignored)) {
    std::string const where = file.string();
    io::Json const json = io::read_json(where);
    if (auto const* pixels = io::find_key(json, "preprocess_cfg", where))
      check_pixel_constants(*pixels, "mean", io::kPixelMean, where), check_pixel_constants(*pixels, "std", io::kPixelStd, where);
  }
}

}  // namespace detail

}  // namespace mgm::inline v0::models
