/// One step from noise towards a picture as numbers, and what it does to one number of the latents: one body for the host and for kernels.
#pragma once
#include <mgm/core/view.hpp>

namespace mgm::inline v0 {

/// With x the latents, m_k the network's output k calls ago, o the clean sample and o' that of the step before (models' SchedulerStep says
/// how each method fills it):
///   m_0 = base + guidance·(prediction − base),  m = Σ_k past[k]·m_k,  o = clamp(data_x·x + data_m·m, ±clip),
///   x ← keep·x + model·m + data·o + before·o' + noise·N(0, 1);   the network's next input is input·x
struct DenoiseStep {
  float guidance = 1;
  double past[4] = {1, 0, 0, 0};
  double data_x = 0, data_m = 0, clip = 0;  ///< clip 0: none
  double keep = 1, model = 0, data = 0, before = 0, noise = 0;
  bool stored = true;    ///< m_0 is kept for later steps
  bool restart = false;  ///< x is that before the step before
  double input = 1;      ///< of the next step
};

/// What is remembered of one number: zeros before the first step.
struct DenoiseState {
  float x, data, started, past[3];  ///< the clean sample; x before this step; the outputs, the newest first
};

/// What a run remembers, on a device; zeros but for x before the first step.
template <Device Dev = DefaultDevice>
struct DenoiseMemory {
  View<float, 2, Dev> x, data, started;  // (P, C)
  View<float, 3, Dev> past;              // (3, P, C): the network's outputs, the newest first

  /// What a launch that takes it writes.
  template <class Visit>
  MGM_HD void outputs(Visit&& visit) const {
    visit(x), visit(data), visit(started), visit(past);
  }
};

/// base + guidance·(prediction − base), Ho & Salimans 2022, arXiv:2207.12598.
MGM_HD constexpr float guided(float prediction, float base, float guidance) { return base + guidance * (prediction - base); }

/// One step of one number: sums in double, states in float, as a reference in float keeps them.
MGM_HD constexpr void advance(DenoiseStep const& s, float m, float noise, DenoiseState& at) {
  float const before = at.x;
  double const x = s.restart ? static_cast<double>(at.started) : static_cast<double>(before);
  double sum = s.past[0] * static_cast<double>(m);
  for (int k = 0; k < 3; ++k) sum += s.past[k + 1] * static_cast<double>(at.past[k]);
  double clean = s.data_x * x + s.data_m * sum;
  if (s.clip > 0) clean = clean > s.clip ? s.clip : clean < -s.clip ? -s.clip : clean;
  double next = s.keep * x + s.model * sum + s.before * static_cast<double>(at.data);
  if (s.data != 0) next += s.data * clean;  // where it has no part it may be infinite
  next += s.noise * static_cast<double>(noise);
  at.started = before, at.data = static_cast<float>(clean), at.x = static_cast<float>(next);
  if (s.stored) at.past[2] = at.past[1], at.past[1] = at.past[0], at.past[0] = m;
}

}  // namespace mgm::inline v0
