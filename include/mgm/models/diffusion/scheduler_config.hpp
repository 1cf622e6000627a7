/// What a diffusers `scheduler_config.json` says, with each class's own defaults; what is not supported is refused by name.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include <mgm/core/names.hpp>
#include <mgm/io/json.hpp>

namespace mgm::inline v0::models {

enum class SchedulerKind { euler, euler_a, ddim, dpmpp_2m, lcm, pndm };
enum class Spacing { leading, trailing, linspace };
enum class Prediction { epsilon, v_prediction, sample };
enum class BetaSchedule { linear, scaled_linear, squaredcos_cap_v2 };

inline constexpr std::string_view kSchedulerNames[] = {"euler", "euler_a", "ddim", "dpmpp_2m", "lcm", "pndm"};
inline constexpr std::string_view kSchedulerClasses[] = {"EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler",
                                                         "DDIMScheduler",          "DPMSolverMultistepScheduler",
                                                         "LCMScheduler",           "PNDMScheduler"};
inline constexpr std::string_view kSpacingNames[] = {"leading", "trailing", "linspace"};
inline constexpr std::string_view kPredictionNames[] = {"epsilon", "v_prediction", "sample"};
inline constexpr std::string_view kBetaScheduleNames[] = {"linear", "scaled_linear", "squaredcos_cap_v2"};

struct SchedulerConfig {
  SchedulerKind kind = SchedulerKind::euler;
  int train_steps = 1000;
  double beta_start = 0.00085, beta_end = 0.012;
  BetaSchedule beta_schedule = BetaSchedule::scaled_linear;
  Prediction prediction = Prediction::epsilon;
  Spacing spacing = Spacing::leading;
  int offset = 0;                  ///< `steps_offset`, of leading spacing
  bool karras = false;             ///< Karras et al. 2022's noise levels (euler, dpmpp_2m)
  bool log_interpolation = false;  ///< euler: levels between whole timesteps in ln σ
  bool zero_snr = false;           ///< `rescale_betas_zero_snr`
  bool final_sigma_zero = true;    ///< else the last level is the table's least
  double clip = 0;                 ///< clean samples are held within ±clip; 0: not
  bool alpha_to_one = false;       ///< ddim, pndm: ᾱ before the first timestep is 1, else ᾱ₀
  int order = 2;                   ///< dpmpp_2m
  int original_steps = 50;         ///< lcm: of the distillation
  double timestep_scaling = 10;    ///< lcm
};

/// The scheduler called `wanted` on a command line: euler, euler_a, ddim, dpmpp_2m, lcm, pndm. Throws ConfigError with the list.
[[nodiscard]] inline SchedulerKind scheduler_by_name(std::string_view wanted) {
  return by_name<SchedulerKind, ConfigError>("scheduler", wanted, kSchedulerNames);
}

/// From a folder's JSON; `kind` takes another class than the file names, with the file's keys and that class's own defaults for those that
/// are missing. Throws ConfigError for values that are out of range, unknown, or belong to methods that are not built.
[[nodiscard]] inline SchedulerConfig scheduler_config(io::Json const& json, std::string_view where,
                                                      std::optional<SchedulerKind> kind = std::nullopt) {
  using enum SchedulerKind;
  SchedulerConfig c;
  auto const choice = [&]<class Enum>(Enum, std::string_view key, std::string const& found, auto const& names) {
    return by_name<Enum, ConfigError>(text(where, ": ", key), found, names);
  };
  auto const said = [&](std::string_view key, std::string fallback) { return io::get_or(json, key, std::move(fallback), where); };
  c.kind = kind ? *kind : choice(c.kind, "_class_name", io::get<std::string>(json, "_class_name", where), kSchedulerClasses);
  bool const levels = c.kind == euler || c.kind == euler_a || c.kind == dpmpp_2m;  // works on σ
  c.train_steps = io::get_or(json, "num_train_timesteps", 1000, where);
  c.beta_start = io::get_or(json, "beta_start", c.kind == lcm ? 0.00085 : 0.0001, where);
  c.beta_end = io::get_or(json, "beta_end", c.kind == lcm ? 0.012 : 0.02, where);
  c.beta_schedule =
      choice(c.beta_schedule, "beta_schedule", said("beta_schedule", c.kind == lcm ? "scaled_linear" : "linear"), kBetaScheduleNames);
  c.prediction = choice(c.prediction, "prediction_type", said("prediction_type", "epsilon"), kPredictionNames);
  c.spacing = choice(c.spacing, "timestep_spacing", said("timestep_spacing", levels ? "linspace" : "leading"), kSpacingNames);
  c.offset = io::get_or(json, "steps_offset", 0, where);
  c.karras = (c.kind == euler || c.kind == dpmpp_2m) && io::get_or(json, "use_karras_sigmas", false, where);
  c.zero_snr = c.kind != pndm && io::get_or(json, "rescale_betas_zero_snr", false, where);  // a key that the class does not have
  c.alpha_to_one = io::get_or(json, "set_alpha_to_one", c.kind == ddim || c.kind == lcm, where);
  if ((c.kind == ddim || c.kind == lcm) && io::get_or(json, "clip_sample", c.kind == ddim, where))
    c.clip = io::get_or(json, "clip_sample_range", 1.0, where);
  c.order = io::get_or(json, "solver_order", 2, where);
  c.original_steps = io::get_or(json, "original_inference_steps", 50, where);
  c.timestep_scaling = io::get_or(json, "timestep_scaling", 10.0, where);
  auto const only = [&](std::string_view key, std::string const& value, bool concerned = true) {
    if (!concerned || !io::find_key(json, key, where)) return;
    auto const found = io::get<std::string>(json, key, where);
    require<ConfigError>(found == value, where, ": ", key, " ", mgm::quoted(found), " is not supported; there is ", value);
  };
  if (c.kind == euler) {
    auto const how = io::get_or<std::string>(json, "interpolation_type", "linear", where);
    require<ConfigError>(how == "linear" || how == "log_linear", where, ": interpolation_type ", mgm::quoted(how),
                         " is not supported; there are linear, log_linear");
    c.log_interpolation = how == "log_linear";
  }
  if (levels && c.kind != euler_a) {
    auto const last = io::get_or<std::string>(json, "final_sigmas_type", "zero", where);
    require<ConfigError>(last == "zero" || last == "sigma_min", where, ": final_sigmas_type ", mgm::quoted(last),
                         " is not supported; there are zero, sigma_min");
    c.final_sigma_zero = last == "zero";
  }
  only("timestep_type", "discrete", c.kind == euler);
  only("algorithm_type", "dpmsolver++", c.kind == dpmpp_2m);
  only("solver_type", "midpoint", c.kind == dpmpp_2m);
  for (std::string_view const key : {"thresholding", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas"})
    require<ConfigError>(!io::get_or(json, key, false, where), where, ": ", key, " is not supported; it must be false");
  require<ConfigError>(!io::find_key(json, "trained_betas", where), where, ": trained_betas are not supported; they must be null");
  require<ConfigError>(c.kind != pndm || io::get_or(json, "skip_prk_steps", false, where), where,
                       ": skip_prk_steps must be true; Runge-Kutta steps are not supported");
  require<ConfigError>(c.train_steps >= 1 && c.train_steps <= 100000, where, ": num_train_timesteps ", c.train_steps,
                       " must be 1 to 100000");
  require<ConfigError>(c.beta_start > 0 && c.beta_end >= c.beta_start && c.beta_end < 1, where, ": beta_start ", c.beta_start,
                       " and beta_end ", c.beta_end, " must rise within (0, 1)");
  require<ConfigError>(c.offset >= 0 && c.offset < c.train_steps, where, ": steps_offset ", c.offset, " must be 0 to ", c.train_steps - 1);
  require<ConfigError>(c.order == 1 || c.order == 2 || c.kind != dpmpp_2m, where, ": solver_order ", c.order,
                       " is not supported; there are 1, 2");
  require<ConfigError>(c.original_steps >= 1 && c.original_steps <= c.train_steps, where, ": original_inference_steps ", c.original_steps,
                       " must be 1 to ", c.train_steps);
  return c;
}

}  // namespace mgm::inline v0::models
