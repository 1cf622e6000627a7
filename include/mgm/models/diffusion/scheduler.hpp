/// From noise to a picture in a few steps: each step of each method is one weighted sum, so that one kernel serves them all.
#pragma once
#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include <mgm/models/diffusion/noise_levels.hpp>

namespace mgm::inline v0::models {

/// One step. With x the latents, m_k the network's output k calls ago (m_0 now), o the clean sample now and o' at the step before (o is
/// known in every step, whether or not the step is made of it):
///   m = Σ_k past[k]·m_k,   o = clamp(data_x·x + data_m·m, ±clip),   x ← keep·x + model·m + data·o + before·o' + noise·N(0, 1)
struct SchedulerStep {
  double timestep = 0;  ///< what the network is told
  double input = 1;     ///< what the latents are multiplied by on their way into the network
  double past[4] = {1, 0, 0, 0};
  double data_x = 0, data_m = 0, clip = 0;  ///< clip 0: none
  double keep = 1, model = 0, data = 0, before = 0, noise = 0;
  double clean = 1, spread = 0;  ///< latents at the step's start: clean·(those of a picture) + spread·N(0, 1)
  bool draws = false;            ///< noise is drawn, even where its weight is 0
  bool stored = true;            ///< the network's output is kept for later steps
  bool restart = false;          ///< x is that before the step before
};

class Scheduler {
 public:
  /// A run of `steps` steps, of which those before number `begin` are left out, as a run from a picture does: methods that look back do not
  /// look back behind it. Throws ArgumentError when there are no steps, or more than the method has.
  Scheduler(SchedulerConfig const& c, int steps, int begin = 0) : config_(c), levels_(c), begin_(begin) {
    require<ArgumentError>(steps >= 1 && steps <= c.train_steps, "steps: expected 1 to ", c.train_steps, ", found ", steps);
    switch (c.kind) {
      case SchedulerKind::euler:
      case SchedulerKind::euler_a:
        plan_euler(steps);
        break;
      case SchedulerKind::ddim:
        plan_ddim(steps);
        break;
      case SchedulerKind::dpmpp_2m:
        plan_dpmpp(steps);
        break;
      case SchedulerKind::lcm:
        plan_lcm(steps);
        break;
      case SchedulerKind::pndm:
        plan_pndm(steps);
        break;
    }
    int const all = static_cast<int>(timesteps_.size());
    require<ArgumentError>(begin >= 0 && begin < all, "steps: a run of ", all, " cannot begin at number ", begin);
    if (static_cast<int>(steps_.size()) == all) steps_.erase(steps_.begin(), steps_.begin() + begin);
  }
  [[nodiscard]] SchedulerConfig const& config() const { return config_; }
  [[nodiscard]] NoiseLevels const& levels() const { return levels_; }
  /// From `begin` on, in order; pndm has one more than was asked for.
  [[nodiscard]] std::vector<SchedulerStep> const& steps() const { return steps_; }
  /// Of all steps, those before `begin` too.
  [[nodiscard]] std::vector<double> const& timesteps() const { return timesteps_; }
  /// σ of each of all steps and the last one's end; empty for methods that have none.
  [[nodiscard]] std::vector<double> const& sigmas() const { return sigmas_; }
  /// What N(0, 1) is multiplied by to begin with, where no picture is given.
  [[nodiscard]] double first_noise() const { return first_noise_; }
  /// The number of the first step whose timestep lies below (1 − share)·(all of training), the half rounded to even: where a refiner takes
  /// over after `share` of the denoising. At most the number of steps.
  [[nodiscard]] int step_at(double share) const {
    double const cutoff = std::nearbyint(config_.train_steps - share * config_.train_steps);
    auto const below = [&](double t) { return t < cutoff; };
    return static_cast<int>(std::ssize(timesteps_) - std::count_if(timesteps_.begin(), timesteps_.end(), below));
  }

 private:
  /// ᾱ at a timestep of the run before the picture's own end.
  [[nodiscard]] double alpha_before(double t) const {
    if (t < 0) return config_.alpha_to_one ? 1 : levels_.alpha_bar.front();
    return levels_.alpha_bar[std::min(static_cast<std::size_t>(t), levels_.alpha_bar.size() - 1)];
  }
  /// Weights of x and m in the clean sample of variance-preserving latents x = √ᾱ·o + √(1 − ᾱ)·ε.
  void predict_data(SchedulerStep& s, double alpha) const {
    double const a = std::sqrt(alpha), b = std::sqrt(1 - alpha);
    s.clean = a, s.spread = b;
    if (config_.prediction == Prediction::epsilon) s.data_x = 1 / a, s.data_m = -b / a;
    if (config_.prediction == Prediction::v_prediction) s.data_x = a, s.data_m = -b;
    if (config_.prediction == Prediction::sample) s.data_x = 0, s.data_m = 1;
  }
  /// Adds weight·ε to a step, ε from x and m as they are, whatever was clamped.
  void add_noise_part(SchedulerStep& s, double alpha, double weight) const {
    double const a = std::sqrt(alpha), b = std::sqrt(1 - alpha);
    if (config_.prediction == Prediction::epsilon) s.model += weight;
    if (config_.prediction == Prediction::v_prediction) s.model += weight * a, s.keep += weight * b;
    if (config_.prediction == Prediction::sample) s.keep += weight / b, s.model -= weight * a / b;
  }

  /// x ← x + d·(σ' − σ),  d = (x − o)/σ; ancestral: to a lower σ' and up again by noise (Karras et al. 2022).
  void plan_euler(int steps) {
    auto times = spaced_timesteps(config_, steps, false);
    for (double const t : times) sigmas_.push_back(levels_.sigma_at(t, config_.log_interpolation));
    if (config_.karras) {
      sigmas_ = karras_levels(sigmas_.front(), sigmas_.back(), steps);
      for (std::size_t i = 0; i < times.size(); ++i) times[i] = levels_.timestep_at(sigmas_[i]);
    }
    first_noise_ = config_.spacing == Spacing::leading ? std::sqrt(sigmas_.front() * sigmas_.front() + 1) : sigmas_.front();
    sigmas_.push_back(config_.final_sigma_zero ? 0 : levels_.sigma.front());
    timesteps_ = times;
    for (std::size_t i = 0; i < times.size(); ++i) {
      double const now = sigmas_[i];
      double next = sigmas_[i + 1], up = 0;
      if (config_.kind == SchedulerKind::euler_a) {
        up = std::sqrt(next * next * (now * now - next * next) / (now * now));
        next = std::sqrt(next * next - up * up);
      }
      SchedulerStep s{
          .timestep = times[i], .input = 1 / std::sqrt(now * now + 1), .noise = up, .draws = config_.kind == SchedulerKind::euler_a};
      s.spread = now;
      double const k = (next - now) / now;
      if (config_.prediction == Prediction::epsilon) s.model = next - now, s.data_x = 1, s.data_m = -now;
      if (config_.prediction == Prediction::v_prediction)
        s.keep = 1 + k * (1 - 1 / (now * now + 1)), s.model = k * now / std::sqrt(now * now + 1), s.data_x = 1 / (now * now + 1),
        s.data_m = -now / std::sqrt(now * now + 1);
      if (config_.prediction == Prediction::sample) s.keep = 1 + k, s.model = -k, s.data_m = 1;
      steps_.push_back(s);
    }
  }

  /// x ← √ᾱ'·o + √(1 − ᾱ')·ε (Song et al. 2021, arXiv:2010.02502), η = 0.
  void plan_ddim(int steps) {
    timesteps_ = spaced_timesteps(config_, steps, true);
    for (double const t : timesteps_) {
      double const now = levels_.alpha_bar[checked(t)], next = alpha_before(t - config_.train_steps / steps);
      SchedulerStep s{.timestep = t, .clip = config_.clip, .keep = 0, .data = std::sqrt(next)};
      predict_data(s, now);
      add_noise_part(s, now, std::sqrt(1 - next));
      steps_.push_back(s);
    }
  }

  /// DPM-Solver++ of order 2, midpoint (Lu et al. 2022, arXiv:2211.01095): with a = 1/√(σ² + 1), s = σa, λ = −ln σ, h = λ' − λ,
  ///   x ← (s'/s)·x − a'·(e^(−h) − 1)·(o + ½·(o − o')·h/h_before).
  void plan_dpmpp(int steps) {
    std::vector<double> times;
    int const all = config_.train_steps;
    if (config_.spacing == Spacing::trailing) times = spaced_timesteps(config_, steps, true);
    for (int k = steps; k >= 1 && config_.spacing == Spacing::leading; --k) times.push_back(k * (all / (steps + 1)) + config_.offset);
    for (int k = steps; k >= 1 && config_.spacing == Spacing::linspace; --k)
      times.push_back(std::nearbyint(static_cast<double>(all - 1) * k / steps));
    if (config_.karras) {
      sigmas_ = karras_levels(levels_.sigma.back(), levels_.sigma.front(), steps);
      for (std::size_t i = 0; i < times.size(); ++i) times[i] = std::nearbyint(levels_.timestep_at(sigmas_[i]));
    } else {
      for (double const t : times) sigmas_.push_back(levels_.sigma_at(t));
    }
    sigmas_.push_back(config_.final_sigma_zero ? 0 : levels_.sigma.front());
    timesteps_ = times;
    for (std::size_t i = 0; i < times.size(); ++i) {
      double const now = sigmas_[i], next = sigmas_[i + 1], a = 1 / std::sqrt(next * next + 1);
      SchedulerStep s{.timestep = times[i], .keep = next * a * std::sqrt(now * now + 1) / now};
      predict_data(s, 1 / (now * now + 1));
      double const whole = -a * (next / now - 1);  // −a'·(e^(−h) − 1), e^(−h) = σ'/σ
      bool const last = i + 1 == times.size() && (config_.final_sigma_zero || steps < 15);
      if (static_cast<int>(i) == begin_ || last || config_.order == 1) {
        s.data = whole;
      } else {
        double const ratio = std::log(now / next) / std::log(sigmas_[i - 1] / now);
        s.data = whole * (1 + ratio / 2), s.before = -whole * ratio / 2;
      }
      steps_.push_back(s);
    }
  }

  /// Latent consistency (Luo et al. 2023, arXiv:2310.04378): d = c_out·o + c_skip·x, noised again to the next level.
  void plan_lcm(int steps) {
    int const grid = config_.train_steps / config_.original_steps;
    require<ArgumentError>(steps <= config_.original_steps, "steps: lcm takes at most the ", config_.original_steps,
                           " of its distillation, found ", steps);
    auto const at = [&](int j) { return static_cast<double>((config_.original_steps - j * config_.original_steps / steps) * grid - 1); };
    for (int j = 0; j < steps; ++j) {
      double const t = at(j), scaled = t * config_.timestep_scaling, skip = 0.25 / (scaled * scaled + 0.25),
                   out = scaled / std::sqrt(scaled * scaled + 0.25);
      bool const last = j + 1 == steps;
      double const next = last ? 1 : levels_.alpha_bar[checked(at(j + 1))];
      SchedulerStep s{.timestep = t,
                      .clip = config_.clip,
                      .keep = std::sqrt(next) * skip,
                      .data = std::sqrt(next) * out,
                      .noise = std::sqrt(1 - next),
                      .draws = !last};
      timesteps_.push_back(t);
      predict_data(s, levels_.alpha_bar[checked(t)]);
      steps_.push_back(s);
    }
  }

  /// Pseudo linear multistep (Liu et al. 2022, arXiv:2202.09778) without Runge-Kutta steps: the second timestep is visited twice.
  void plan_pndm(int steps) {
    auto times = spaced_timesteps(config_, steps, true);
    if (times.size() > 1) times.insert(times.begin() + 1, times[1]);
    timesteps_ = times;
    times.erase(times.begin(), times.begin() + std::clamp<std::ptrdiff_t>(begin_, 0, std::ssize(times)));
    require<ConfigError>(config_.prediction != Prediction::sample,
                         "pndm: prediction_type sample is not supported; there are epsilon, v_prediction");
    int const apart = config_.train_steps / steps;
    for (std::size_t i = 0; i < times.size(); ++i) {
      double const t = i == 1 ? times[1] + apart : times[i], before = i == 1 ? times[1] : t - apart;
      SchedulerStep s{.timestep = times[i], .stored = i != 1, .restart = i == 1};
      constexpr double kWeights[][4] = {
          {1}, {0.5, 0.5}, {1.5, -0.5}, {23.0 / 12, -16.0 / 12, 5.0 / 12}, {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24}};
      for (int k = 0; k < 4; ++k) s.past[k] = kWeights[std::min<std::size_t>(i, 4)][k];
      double const now = alpha_before(t), next = alpha_before(before);
      s.keep = std::sqrt(next / now);
      double const weight = -(next - now) / (now * std::sqrt(1 - next) + std::sqrt(now * (1 - now) * next));
      add_noise_part(s, now, weight);
      predict_data(s, levels_.alpha_bar[checked(times[i])]);
      steps_.push_back(s);
    }
  }

  [[nodiscard]] std::size_t checked(double t) const {
    require<ArgumentError>(t >= 0 && t < config_.train_steps, "steps: timestep ", t, " is beyond the ", config_.train_steps,
                           " of training; use fewer steps or another spacing");
    return static_cast<std::size_t>(t);
  }

  SchedulerConfig config_;
  NoiseLevels levels_;
  int begin_;
  std::vector<SchedulerStep> steps_;
  std::vector<double> timesteps_, sigmas_;
  double first_noise_ = 1;
};

}  // namespace mgm::inline v0::models
