/// Which form of mining a shape takes, and how the fused form lays out its shared memory. Plain host code, and what of it kernels read.
#pragma once
#include <string>

#include <mgm/kernels/attention/mining_stages.hpp>
#include <mgm/simt/launch.hpp>
#include <mgm/simt/limits.hpp>

namespace mgm::inline v0::kernels {

/// What shared memory holds for one token: its pixels, then these numbers.
struct MinedPixel {
  enum { dot, sum, own, right, down, across, weight };
  float at[8];
};
struct MinedCell {
  float score, mean, rstd, weight;
};
/// A tap from the first pixel of the token's box on: (1 − weight)·pixel[first] + weight·pixel[first + step].
struct LocalTap {
  int first, step;
  float weight;
};

struct MiningPlan {
  static constexpr int kMost = 8;
  struct Stage {
    int rows, cols, channels;      ///< of the box of pixels beneath a token
    int pixel, element, channel;   ///< number of its first pixel, element of shared memory, channel of u and z
    int between;                   ///< whether cells lie between pixels, so that neighbours' products are needed
  };
  Stage stage[kMost];
  int count = 0, pixels = 0, elements = 0, channels = 0, cell_rows = 0, cell_cols = 0;

  [[nodiscard]] MGM_HD constexpr int cells() const { return cell_rows * cell_cols; }
  [[nodiscard]] MGM_HD constexpr int taps() const { return cell_rows + cell_cols; }  // of a stage
  [[nodiscard]] constexpr Size shared_bytes(Size element) const {
    return (elements * element + 15) / 16 * 16 + Size{sizeof(MinedPixel)} * pixels + Size{sizeof(MinedCell)} * cells() +
           Size{sizeof(LocalTap)} * count * taps() + Size{2 * sizeof(float)} * kMost;
  }
};

/// The plan for boxes of `reach` and `channels`, stage by stage. All numbers must be small enough for shared memory; `mining_form` says so.
[[nodiscard]] inline MiningPlan make_mining_plan(std::span<MiningReach const> reach, std::span<Size const> channels, Size cell_rows,
                                                 Size cell_cols) {
  MiningPlan plan;
  plan.cell_rows = static_cast<int>(cell_rows), plan.cell_cols = static_cast<int>(cell_cols);
  for (auto const& r : reach) {
    int const rows = static_cast<int>(r.rows), cols = static_cast<int>(r.cols);
    int const width = static_cast<int>(channels[static_cast<std::size_t>(plan.count)]);
    plan.stage[plan.count++] = {rows, cols, width, plan.pixels, plan.elements, plan.channels, r.between};
    plan.pixels += rows * cols, plan.elements += rows * cols * width, plan.channels += width;
  }
  return plan;
}

enum class MiningForm {
  general,  ///< `mining_statistics`, then `mining`: any shape
  fused,    ///< `mining_fused`: pixels of a token in shared memory, vectors of 16 bytes
};

/// The choice, with its reason.
struct MiningChoice {
  MiningForm form;
  char const* why;
};

/// What the shape alone says: channels of each stage in whole vectors of 16 bytes, and room in one block's shared memory for all pixels
/// beneath a token. `element` and `shared_limit` in bytes.
[[nodiscard]] inline MiningChoice mining_form(std::span<MiningReach const> reach, std::span<Size const> channels, Size cell_rows,
                                              Size cell_cols, Size element, Size shared_limit) {
  using enum MiningForm;
  if (reach.size() != channels.size()) return {general, "the reach of the taps is not known"};
  MiningChoice const too_large{general, "the pixels beneath a token exceed shared memory"};
  if (cell_rows > shared_limit || cell_cols > shared_limit) return too_large;
  for (Size const c : channels) {
    if (c * element % 16 != 0) return {general, "a stage's channels are no whole vectors of 16 bytes"};
    if (c > shared_limit) return too_large;
  }
  Size pixels = 0;
  for (auto const& r : reach) {
    if (r.rows > shared_limit || r.cols > shared_limit || (pixels += r.rows * r.cols) > shared_limit) return too_large;
  }
  if (make_mining_plan(reach, channels, cell_rows, cell_cols).shared_bytes(element) > shared_limit) return too_large;
  return {fused, "the pixels beneath a token fit in shared memory"};
}

/// The choice for the published models' shapes on a device whose blocks may have `shared_limit` bytes, one line each, for people.
[[nodiscard]] inline std::string mining_table(Size shared_limit) {
  struct Row {
    char const* name;
    Size channels[4];
    MiningReach reach[4];
  };
  constexpr Row kRows[] = {
      {"ConvNeXt-L, 768 px, and crops of 1536 px", {192, 384, 768, 1536}, {{8, 8}, {6, 6, true}, {4, 4, true}, {3, 3, true}}},
      {"ConvNeXt-L, global view of 1536 px", {192, 384, 768, 1536}, {{8, 8}, {8, 8}, {6, 6, true}, {4, 4, true}}},
      {"ConvNeXt-XXL, 768 px", {384, 768, 1536, 3072}, {{8, 8}, {6, 6, true}, {4, 4, true}, {3, 3, true}}},
  };
  std::string out = text("mining, ", shared_limit, " bytes of shared memory a block; 8x8 cells a token\n");
  for (Row const& row : kRows)
    for (Size const element : {2, 4}) {
      auto const choice = mining_form(row.reach, row.channels, 8, 8, element, shared_limit);
      Size const bytes = make_mining_plan(row.reach, row.channels, 8, 8).shared_bytes(element);
      out += text(choice.form == MiningForm::fused ? "fused    " : "general  ", bytes, " bytes  ", row.name, ", ", 8 * element, " bits: ",
                  choice.why, "\n");
    }
  return out;
}

}  // namespace mgm::inline v0::kernels
