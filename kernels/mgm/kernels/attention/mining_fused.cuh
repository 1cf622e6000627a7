/// Patch info mining in one launch (Li et al. 2024, arXiv:2403.18814): statistics, scores, softmax and sums of a token, from pixels that
/// are read once. One block a token; nothing is upsampled or concatenated, keys and values are never projected.
///   1 fetch     the pixels S_l(a) beneath the token, of all stages l, come to shared memory
///   2 products  dot(a) = Σ u(S(a) − κ), sum(a), and neighbours' products own, right, down, across, per pixel; κ is about a stage's mean
///   3 scores    by cell j, interpolated from these scalars: μ_j, r_j, s_j = scale · r_j Σ u(x_j − μ_j)
///   4 weights   ω_j = softmax_j(s) r_j, pushed down to the pixels: W(a) = Σ_j ω_j · (share of pixel a in cell j)
///   5 sums      z = gain ⊙ (Σ_a W(a) S(a) − Σ_j ω_j μ_j) + bias
/// The algebra: Σ_c of a product of interpolated pixels is the interpolated products of neighbouring pixels.
#pragma once
#include <vector>

#include <mgm/kernels/attention/mining.cuh>
#include <mgm/kernels/attention/mining_plan.hpp>
#include <mgm/simt/async_copy.hpp>
#include <mgm/tile/warp_sums.hpp>

namespace mgm::inline v0::kernels {

struct MiningFusedTraits {
  static constexpr int kWarps = 12, kThreads = 32 * kWarps;  // not measured yet; two blocks of 102 KB live on a multiprocessor of 227 KB
  static constexpr int kRegisters = 80;                      // of a thread, at most: nvcc-gate
  static constexpr int kBlocks = 2;
};

/// A token's place and its shared memory.
template <class T, class Dev>
struct FusedToken {
  using Tr = MiningFusedTraits;
  static constexpr int kVec = 16 / static_cast<int>(sizeof(T));
  using Stage = MiningPlan::Stage;

  MiningPlan const& plan;
  Size top, left;       // first cell
  T* element;           // pixels of all stages, row by row
  MinedPixel* pixel;
  MinedCell* cell;
  LocalTap* tap;        // of each stage: its rows, then its columns
  float *middle, *query;  // of each stage: κ, and Σ u

  MGM_DEVICE FusedToken(MiningPlan const& p, Size cell_row, Size cell_col, unsigned char* shared) : plan(p), top(cell_row), left(cell_col) {
    element = reinterpret_cast<T*>(shared);
    pixel = reinterpret_cast<MinedPixel*>(shared + (static_cast<unsigned>(p.elements) * sizeof(T) + 15) / 16 * 16);
    cell = reinterpret_cast<MinedCell*>(pixel + p.pixels);
    tap = reinterpret_cast<LocalTap*>(cell + p.cells());
    middle = reinterpret_cast<float*>(tap + p.count * p.taps()), query = middle + MiningPlan::kMost;
  }
  /// The warp's first pixel of a stage, so that pixels of all stages go round the warps.
  [[nodiscard]] MGM_DEVICE int first_pixel(Stage const& s) const {
    return (simt::warp_idx() + Tr::kWarps - s.pixel % Tr::kWarps) % Tr::kWarps;
  }
  [[nodiscard]] MGM_DEVICE T* at(Stage const& s, int a) const { return element + s.element + a * s.channels; }
  [[nodiscard]] MGM_DEVICE LocalTap row_tap(int l, int row) const { return tap[l * plan.taps() + row]; }
  [[nodiscard]] MGM_DEVICE LocalTap col_tap(int l, int col) const { return tap[l * plan.taps() + plan.cell_rows + col]; }

  MGM_DEVICE void fetch(MiningStages<T, Dev> const& stages) const;
  MGM_DEVICE void find_middles(float const* u) const;
  MGM_DEVICE void products(float const* u) const;
  MGM_DEVICE void scores(float scale, float eps) const;
  MGM_DEVICE void weigh_cells(View<float, 2, Dev> probabilities, Size n) const;
  MGM_DEVICE void weigh_pixels() const;
  MGM_DEVICE void sums(T const* gain, T const* bias, T* z) const;
};

/// 1. One warp a pixel, 16 bytes a lane. What lies beyond the map repeats its border; no tap asks for it.
template <class T, class Dev>
MGM_DEVICE void FusedToken<T, Dev>::fetch(MiningStages<T, Dev> const& stages) const {
  for (int l = 0; l < plan.count; ++l) {
    Stage const& s = plan.stage[l];
    auto const& from = stages.at[l];
    int const y0 = from.rows(top).first, x0 = from.cols(left).first;
    int const last_y = static_cast<int>(from.map.extent(0)) - 1, last_x = static_cast<int>(from.map.extent(1)) - 1;
    for (int a = first_pixel(s); a < s.rows * s.cols; a += Tr::kWarps) {
      int const y = y0 + a / s.cols, x = x0 + a % s.cols;
      T const* const map = from.map.row(y < last_y ? y : last_y, x < last_x ? x : last_x);
      for (int c = kVec * simt::lane_idx(); c < s.channels; c += kVec * simt::kWarp) simt::copy_async<16>(at(s, a) + c, map + c);
    }
    for (int i = simt::thread_idx(); i < plan.taps(); i += Tr::kThreads) {
      bool const is_row = i < plan.cell_rows;
      Tap const t = is_row ? from.rows(top + i) : from.cols(left + i - plan.cell_rows);
      int const first = t.first - (is_row ? y0 : x0), most = (is_row ? s.rows : s.cols) - 1;  // a tap beyond the plan stays inside it
      int const inside = first < most ? first : most, step = t.second != t.first && inside < most;
      tap[l * plan.taps() + i] = {inside, step, step != 0 ? t.weight : 0};
    }
  }
  simt::copy_async_commit();
  simt::copy_async_wait<0>();
}

/// κ of a stage, the mean of its first pixel, by which large means leave the squares; and Σ u of its channels. One warp a stage.
template <class T, class Dev>
MGM_DEVICE void FusedToken<T, Dev>::find_middles(float const* u) const {
  for (int l = simt::warp_idx(); l < plan.count; l += Tr::kWarps) {
    Stage const& s = plan.stage[l];
    float sum = 0, asked = 0;
    for (int c = simt::lane_idx(); c < s.channels; c += simt::kWarp) sum += simt::widen(at(s, 0)[c]), asked += u[s.channel + c];
    sum = simt::warp_sum(sum) / float(s.channels), asked = simt::warp_sum(asked);
    if (simt::lane_idx() == 0) middle[l] = sum, query[l] = asked;
  }
}

/// 2. With s = S − κ and pixels a, b to its right, d below, e below b:
///   dot Σ u·s(a), sum Σ s(a), own Σ s(a)², right Σ s(a)s(b), down Σ s(a)s(d), across Σ s(a)s(e) + s(b)s(d). One warp a pixel.
template <class T, class Dev>
MGM_DEVICE void FusedToken<T, Dev>::products(float const* u) const {
  for (int l = plan.count - 1; l >= 0; --l) {                                 // the widest first
    Stage const& s = plan.stage[l];
    float const kappa = middle[l];
    for (int a = first_pixel(s); a < s.rows * s.cols; a += Tr::kWarps) {
      int const right = a % s.cols + 1 < s.cols ? s.channels : 0, down = a / s.cols + 1 < s.rows ? s.cols * s.channels : 0;
      float sums[8] = {};
      for (int c = 4 * simt::lane_idx(); c < s.channels; c += 4 * simt::kWarp) {  // 16 bytes of u a lane: no sector is half used
        T const* const here = at(s, a) + c;
        auto const p = simt::load<4>(here);                                   // (4)
        auto const q = simt::load_readonly<4>(u + s.channel + c);             // (4)
        float v[4];
        MGM_UNROLL for (int i = 0; i < 4; ++i) {
          v[i] = simt::widen(p[i]) - kappa;
          sums[MinedPixel::dot] = simt::fma(q[i], v[i], sums[MinedPixel::dot]);
          sums[MinedPixel::sum] += v[i];
          sums[MinedPixel::own] = simt::fma(v[i], v[i], sums[MinedPixel::own]);
        }
        if (s.between == 0) continue;
        auto const pb = simt::load<4>(here + right), pd = simt::load<4>(here + down), pe = simt::load<4>(here + right + down);
        MGM_UNROLL for (int i = 0; i < 4; ++i) {
          float const b = simt::widen(pb[i]) - kappa, d = simt::widen(pd[i]) - kappa, e = simt::widen(pe[i]) - kappa;
          sums[MinedPixel::right] = simt::fma(v[i], b, sums[MinedPixel::right]);
          sums[MinedPixel::down] = simt::fma(v[i], d, sums[MinedPixel::down]);
          sums[MinedPixel::across] = simt::fma(b, d, simt::fma(v[i], e, sums[MinedPixel::across]));
        }
      }
      float const total = tile::warp_sums(sums);
      if (simt::lane_idx() % 4 == 0) pixel[s.pixel + a].at[simt::lane_idx() / 4] = total;
    }
  }
}

/// 3. One thread a cell. Stages are joined by Chan's update of Σ C_l (m_l − mean)²; Σ u(x − μ) = Σ_l dot_l + (κ_l − μ) Σ u_l.
template <class T, class Dev>
MGM_DEVICE void FusedToken<T, Dev>::scores(float scale, float eps) const {
  for (int j = simt::thread_idx(); j < plan.cells(); j += Tr::kThreads) {
    float total = 0, squares = 0, dots = 0, count = 0;                        // Σ x, Σ (x − mean)², Σ u(x − κ), of the channels so far
    for (int l = 0; l < plan.count; ++l) {
      Stage const& s = plan.stage[l];
      LocalTap const v = row_tap(l, j / plan.cell_cols), h = col_tap(l, j % plan.cell_cols);
      float const a1 = v.weight, a0 = 1 - a1, b1 = h.weight, b0 = 1 - b1, a = a0 * a1, b = b0 * b1;
      MinedPixel const* const p = pixel + s.pixel + v.first * s.cols + h.first;
      float const *p00 = p[0].at, *p01 = p[h.step].at, *p10 = p[v.step * s.cols].at, *p11 = p[v.step * s.cols + h.step].at;
      auto const blend = [&](int k) { return a0 * (b0 * p00[k] + b1 * p01[k]) + a1 * (b0 * p10[k] + b1 * p11[k]); };
      float const norm = a0 * a0 * (b0 * b0 * p00[MinedPixel::own] + b1 * b1 * p01[MinedPixel::own] + 2 * b * p00[MinedPixel::right]) +
                         a1 * a1 * (b0 * b0 * p10[MinedPixel::own] + b1 * b1 * p11[MinedPixel::own] + 2 * b * p10[MinedPixel::right]) +
                         2 * a * (b0 * b0 * p00[MinedPixel::down] + b1 * b1 * p01[MinedPixel::down] + b * p00[MinedPixel::across]);
      float const channels = float(s.channels), off = blend(MinedPixel::sum) / channels, mean = middle[l] + off;
      float const apart = count > 0 ? mean - total / count : 0;
      squares += simt::max(0.0f, norm - off * off * channels) + apart * apart * (count * channels / (count + channels));
      dots += blend(MinedPixel::dot), total = simt::fma(channels, mean, total), count += channels;
    }
    float const mean = total / count, rstd = 1 / simt::sqrt(squares / count + eps);
    for (int l = 0; l < plan.count; ++l) dots = simt::fma(middle[l] - mean, query[l], dots);
    float const score = scale * rstd * dots, largest = largest_score<T>();
    cell[j] = {score == score ? simt::max(-largest, simt::min(score, largest)) : 0, mean, rstd, 0};
  }
}

/// 4. ω, each thread its cells; every warp finds the softmax's peak and mass.
template <class T, class Dev>
MGM_DEVICE void FusedToken<T, Dev>::weigh_cells(View<float, 2, Dev> probabilities, Size n) const {
  float peak = -INFINITY, mass = 0;
  for (int j = simt::lane_idx(); j < plan.cells(); j += simt::kWarp) peak = simt::max(peak, cell[j].score);
  peak = simt::warp_max(peak);
  for (int j = simt::lane_idx(); j < plan.cells(); j += simt::kWarp) mass += simt::exp(cell[j].score - peak);
  mass = simt::warp_sum(mass);
  for (int j = simt::thread_idx(); j < plan.cells(); j += Tr::kThreads) {
    float const p = simt::exp(cell[j].score - peak) / mass;
    if (probabilities.data()) probabilities(n, j) = p;
    cell[j].weight = p * cell[j].rstd;
  }
}

/// 4. W, one thread a pixel, from the cells whose taps name it.
template <class T, class Dev>
MGM_DEVICE void FusedToken<T, Dev>::weigh_pixels() const {
  auto const share = [](LocalTap const& t, int at) { return (t.first == at ? 1 - t.weight : 0) + (t.first + t.step == at ? t.weight : 0); };
  for (int n = simt::thread_idx(); n < plan.pixels; n += Tr::kThreads) {
    int l = 0;
    while (l + 1 < plan.count && n >= plan.stage[l + 1].pixel) ++l;
    Stage const& s = plan.stage[l];
    int const y = (n - s.pixel) / s.cols, x = (n - s.pixel) % s.cols;
    float sum = 0;
    for (int i = 0; i < plan.cell_rows; ++i) {
      float const rows = share(row_tap(l, i), y);
      if (rows == 0) continue;
      for (int k = 0; k < plan.cell_cols; ++k) sum = simt::fma(rows * share(col_tap(l, k), x), cell[i * plan.cell_cols + k].weight, sum);
    }
    pixel[n].at[MinedPixel::weight] = sum;
  }
}

/// 5. One thread 8 bytes of channels, pixels in reading order.
template <class T, class Dev>
MGM_DEVICE void FusedToken<T, Dev>::sums(T const* gain, T const* bias, T* z) const {
  constexpr int kPart = 8 / static_cast<int>(sizeof(T));
  float shift = 0;
  for (int j = simt::lane_idx(); j < plan.cells(); j += simt::kWarp) shift = simt::fma(cell[j].weight, cell[j].mean, shift);
  shift = simt::warp_sum(shift);
  for (int c = kPart * simt::thread_idx(); c < plan.channels; c += kPart * Tr::kThreads) {
    int l = 0;
    while (l + 1 < plan.count && c >= plan.stage[l + 1].channel) ++l;
    Stage const& s = plan.stage[l];
    T const* const from = element + s.element + (c - s.channel);
    float sum[kPart] = {};
    for (int a = 0; a < s.rows * s.cols; ++a) {
      float const weight = pixel[s.pixel + a].at[MinedPixel::weight];
      auto const p = simt::load<kPart>(from + a * s.channels);
      MGM_UNROLL for (int i = 0; i < kPart; ++i) sum[i] = simt::fma(weight, simt::widen(p[i]), sum[i]);
    }
    auto const g = simt::load_readonly<kPart>(gain + c), b = simt::load_readonly<kPart>(bias + c);
    simt::Vec<T, kPart> out;
    MGM_UNROLL for (int i = 0; i < kPart; ++i) out[i] = simt::narrow<T>(simt::fma(sum[i] - shift, simt::widen(g[i]), simt::widen(b[i])));
    simt::store<kPart>(z + c, out);
  }
}

template <class T, class Dev>
MGM_GLOBAL(MiningFusedTraits::kThreads, MiningFusedTraits::kBlocks)
void mining_fused_kernel(View<float const, 2, Dev> u, MiningViews views, MiningStages<T, Dev> stages, MiningPlan plan, float eps,
                         float scale, View<T const, 1, Dev> gain, View<T const, 1, Dev> bias, View<T, 2, Dev> z,
                         View<float, 2, Dev> probabilities) {
  MiningGrid const g = views.grid;
  Size const n = simt::block_idx().x, view = n / (g.rows * g.cols), i = n % (g.rows * g.cols);
  Size const row = view / views.across * g.rows + i / g.cols, col = view % views.across * g.cols + i % g.cols;
  FusedToken<T, Dev> const token(plan, row * plan.cell_rows, col * plan.cell_cols, &simt::shared<unsigned char>());
  token.fetch(stages);
  simt::sync_block();
  token.find_middles(u.row(n));
  simt::sync_block();
  token.products(u.row(n));
  simt::sync_block();
  token.scores(scale, eps);
  simt::sync_block();
  token.weigh_cells(probabilities, n);
  simt::sync_block();
  token.weigh_pixels();
  simt::sync_block();
  token.sums(gain.data(), bias.data(), z.row(n));
}

/// Whether `mining_fused` takes these arguments, and why not.
template <Real T, KernelDevice Dev>
[[nodiscard]] MiningChoice choose_mining(simt::Stream<Dev> stream, In<float, 2, Dev> u, MiningViews views,
                                         std::span<MiningStage<T, Dev> const> stages, std::span<MiningReach const> reach,
                                         In<T, 1, Dev> gain, In<T, 1, Dev> bias, View<T const, 2, Dev> z) {
  if (stages.empty() || stages.size() > MiningPlan::kMost || views.tokens() < 1)
    return {MiningForm::general, "there are no tokens, no stages or too many"};
  std::vector<Size> channels;
  bool aligned = is_aligned(u, 16) && is_aligned(gain, 16) && is_aligned(bias, 16) && is_aligned(z, 16);
  for (auto const& stage : stages) channels.push_back(stage.map.extent(2)), aligned = aligned && is_aligned(stage.map, 16);
  if (!aligned) return {MiningForm::general, "a map's pixels or an argument's rows do not begin on 16 bytes"};
  return mining_form(reach, channels, stages[0].rows.extent(0) / (views.grid.rows * views.down),
                     stages[0].cols.extent(0) / (views.grid.cols * views.across), sizeof(T), simt::shared_limit(stream));
}

/// z and, when given, p of all tokens of all views of one picture, in one launch: `mining_statistics` and `mining` in one.
/// u (N, F) in float, N = views.tokens(), view by view; 1 to 8 stages of F channels together, whose taps are those of the picture's cells
/// and lie on the device; `reach` of each, from `reach_of` the same taps: pixels beyond it are not read. gain, bias (F); z (N, F);
/// `probabilities` (N, M) or empty. Sums in float. Scores that are NaN become 0, infinite ones the largest numbers of T.
/// Enqueues and returns. Throws ShapeError, ArgumentError and LimitError naming the argument, the latter where `choose_mining` says no.
template <Real T, KernelDevice Dev>
void mining_fused(simt::Stream<Dev> stream, In<float, 2, Dev> u, MiningViews views, std::span<MiningStage<T, Dev> const> stages,
                  std::span<MiningReach const> reach, float eps, float scale, In<T, 1, Dev> gain, In<T, 1, Dev> bias, Out<T, 2, Dev> z,
                  std::type_identity_t<View<float, 2, Dev>> probabilities = {}) {
  require<LimitError>(!stages.empty(), "mining_fused: takes 1 to ", MiningPlan::kMost, " stage maps, found 0");
  Size const rows = stages[0].rows.extent(0), cols = stages[0].cols.extent(0);
  auto const given = check_mining<T, Dev>("mining_fused", u, views, stages, rows, cols, gain, bias, z, probabilities);
  auto const choice = choose_mining<T, Dev>(stream, u, views, stages, reach, gain, bias, z);
  require<LimitError>(choice.form == MiningForm::fused, "mining_fused: ", choice.why, "; call mining_statistics and mining");
  std::vector<Size> channels;
  for (auto const& stage : stages) channels.push_back(stage.map.extent(2));
  auto const plan = make_mining_plan(reach, channels, rows / (views.grid.rows * views.down), cols / (views.grid.cols * views.across));
  Size const shared = plan.shared_bytes(sizeof(T));
  simt::launch(stream, {.name = "mining_fused", .grid = views.tokens(), .block = MiningFusedTraits::kThreads, .shared = shared},
               mining_fused_kernel<T, Dev>, u, views, given, plan, eps, scale, gain, bias, z, probabilities);
}

/// As `mining_cost`, with the statistics: eight flops more an element of pixels, none of them read again.
constexpr Cost mining_fused_cost(Size tokens, Size channels, Size map_elements, Size pixels, Size bytes) {
  return {map_elements * bytes + tokens * channels * (bytes + 4), 12 * tokens * pixels};
}

}  // namespace mgm::inline v0::kernels
