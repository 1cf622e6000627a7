/// What a method remembers from step to step, and the weighted sum that a step is.
#pragma once
#include <algorithm>
#include <vector>

#include <mgm/models/diffusion/scheduler.hpp>

namespace mgm::inline v0::models {

/// Runs the steps of a Scheduler over latents on the host: sums in double, states in float, as a reference in float keeps them.
class Stepper {
 public:
  /// x becomes the latents after the step. `m`: the network's output; `noise`: N(0, 1) where the step draws. All of one size.
  void advance(SchedulerStep const& s, std::vector<float> m, std::vector<float> const& noise, std::vector<float>& x) {
    before_ = x;
    if (s.restart) x = started_;
    started_ = before_;
    data_.resize(x.size());
    std::size_t const known = outputs_.size();
    for (std::size_t i = 0; i < x.size(); ++i) {
      double sum = s.past[0] * static_cast<double>(m[i]);
      for (std::size_t k = 0; k < known && k < 3; ++k) sum += s.past[k + 1] * static_cast<double>(outputs_[k][i]);
      double clean = s.data_x * static_cast<double>(x[i]) + s.data_m * sum;
      if (s.clip > 0) clean = std::clamp(clean, -s.clip, s.clip);
      double next = s.keep * static_cast<double>(x[i]) + s.model * sum + s.before * static_cast<double>(data_[i]);
      if (s.data != 0) next += s.data * clean;  // where it has no part it may be infinite
      if (s.draws) next += s.noise * static_cast<double>(noise[i]);
      data_[i] = static_cast<float>(clean), x[i] = static_cast<float>(next);
    }
    if (!s.stored) return;
    outputs_.insert(outputs_.begin(), std::move(m));
    if (outputs_.size() > 3) outputs_.pop_back();
  }

  /// The clean latents that the last step saw behind the noise.
  [[nodiscard]] std::vector<float> const& clean() const { return data_; }

 private:
  std::vector<std::vector<float>> outputs_;  // the newest first
  std::vector<float> data_, before_, started_;
};

}  // namespace mgm::inline v0::models
