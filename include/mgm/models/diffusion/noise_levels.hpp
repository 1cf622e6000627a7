/// How much noise a diffusion model saw at each timestep of its training, and which of them a run visits.
#pragma once
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include <mgm/models/diffusion/scheduler_config.hpp>

namespace mgm::inline v0::models {

/// ᾱ_t, the share of the picture's variance that is left after t + 1 steps of noising (Ho et al. 2020, arXiv:2006.11239), and
/// σ_t = √((1 − ᾱ_t) / ᾱ_t). β and σ in float, the running product in double and rounded to float,
/// as PyTorch has them: in double alone the levels differ by 1e-5.
struct NoiseLevels {
  std::vector<double> alpha_bar, sigma;

  explicit NoiseLevels(SchedulerConfig const& c) {
    std::size_t const count = static_cast<std::size_t>(c.train_steps);
    std::vector<float> beta(count);
    auto const evenly = [&](double from, double to, std::size_t i) {  // torch.linspace: from both ends, in float
      float const first = static_cast<float>(from), last = static_cast<float>(to);
      float const step = count > 1 ? (last - first) / static_cast<float>(count - 1) : 0;
      return i < count / 2 ? first + step * static_cast<float>(i) : last - step * static_cast<float>(count - 1 - i);
    };
    for (std::size_t i = 0; i < count; ++i) {
      if (c.beta_schedule == BetaSchedule::linear) beta[i] = evenly(c.beta_start, c.beta_end, i);
      if (c.beta_schedule == BetaSchedule::scaled_linear) {
        float const root = evenly(std::sqrt(c.beta_start), std::sqrt(c.beta_end), i);
        beta[i] = root * root;
      }
      if (c.beta_schedule == BetaSchedule::squaredcos_cap_v2) {
        auto const bar = [&](std::size_t t) {
          return std::pow(std::cos((static_cast<double>(t) / static_cast<double>(count) + 0.008) / 1.008 * std::numbers::pi / 2), 2);
        };
        beta[i] = static_cast<float>(std::min(1 - bar(i + 1) / bar(i), 0.999));
      }
    }
    double product = 1;
    for (float const b : beta) alpha_bar.push_back(static_cast<float>(product *= static_cast<double>(1.0f - b)));
    if (c.zero_snr) {  // the last step holds no picture at all (Lin et al. 2023, arXiv:2305.08891)
      double const first = std::sqrt(alpha_bar.front()), last = std::sqrt(alpha_bar.back());
      double before = 1;
      product = 1;
      for (double& a : alpha_bar) {
        double const now = std::pow((std::sqrt(a) - last) * first / (first - last), 2);
        product *= static_cast<double>(1.0f - static_cast<float>(1 - now / before));
        before = now, a = static_cast<float>(product);
      }
      bool const levels = c.kind == SchedulerKind::euler || c.kind == SchedulerKind::euler_a || c.kind == SchedulerKind::dpmpp_2m;
      if (levels) alpha_bar.back() = 0x1p-24;
    }
    for (double const a : alpha_bar) {
      float const share = static_cast<float>(a);
      sigma.push_back(std::sqrt((1 - share) / share));
    }
  }

  /// σ at a timestep between whole ones.
  [[nodiscard]] double sigma_at(double t, bool logarithmic = false) const {
    std::size_t const low = std::min(static_cast<std::size_t>(std::max(t, 0.0)), sigma.size() - 1),
                      high = std::min(low + 1, sigma.size() - 1);
    double const w = t - static_cast<double>(low);
    if (logarithmic) return std::exp((1 - w) * std::log(sigma[low]) + w * std::log(sigma[high]));
    return (1 - w) * sigma[low] + w * sigma[high];
  }
  /// The timestep of a σ, between whole ones by ln σ.
  [[nodiscard]] double timestep_at(double s) const {
    double const wanted = std::log(std::max(s, 1e-10));
    std::size_t low = 0;
    while (low + 2 < sigma.size() && std::log(sigma[low + 1]) <= wanted) ++low;
    double const a = std::log(sigma[low]), b = std::log(sigma[low + 1]), w = std::clamp((a - wanted) / (a - b), 0.0, 1.0);
    return (1 - w) * static_cast<double>(low) + w * static_cast<double>(low + 1);
  }
};

/// `steps` levels from `most` down to `least`, dense where the picture is made (Karras et al. 2022, arXiv:2206.00364, eq. 5, ρ = 7).
[[nodiscard]] inline std::vector<double> karras_levels(double most, double least, int steps) {
  std::vector<double> out;
  double const a = std::pow(most, 1.0 / 7), b = std::pow(least, 1.0 / 7);
  for (int j = 0; j < steps; ++j) out.push_back(std::pow(a + (steps > 1 ? static_cast<double>(j) / (steps - 1) : 0.0) * (b - a), 7));
  return out;
}

/// The timesteps that `steps` steps visit, falling. Whole numbers, but for linspace with `rounded` false.
[[nodiscard]] inline std::vector<double> spaced_timesteps(SchedulerConfig const& c, int steps, bool rounded) {
  std::vector<double> out;
  int const all = c.train_steps;
  for (int k = 0; k < steps; ++k) {
    if (c.spacing == Spacing::leading) out.push_back(static_cast<double>((steps - 1 - k) * (all / steps) + c.offset));
    if (c.spacing == Spacing::trailing) out.push_back(std::nearbyint(all - k * (static_cast<double>(all) / steps)) - 1);
    if (c.spacing == Spacing::linspace) {
      double const t = steps > 1 ? static_cast<double>(all - 1) * (steps - 1 - k) / (steps - 1) : 0.0;
      out.push_back(rounded ? std::nearbyint(t) : t);
    }
  }
  return out;
}

}  // namespace mgm::inline v0::models
