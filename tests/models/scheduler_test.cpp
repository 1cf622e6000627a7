// Schedulers: the tables and the runs of a made-up network that a reference implementation gave.
#include <gtest/gtest.h>

#include <vector>

#include <mgm/models/diffusion/noise.hpp>
#include <mgm/models/diffusion/scheduler.hpp>

namespace scheduler_test {

using namespace mgm;
using namespace mgm::models;

io::Json constants(std::string_view type, std::string_view more = "") {
  return io::parse_json(text(R"({"_class_name": ")", type, R"(", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "steps_offset": 1, "clip_sample": false, "set_alpha_to_one": false, "skip_prk_steps": true)",
                             more, "}"),
                        "scheduler_config.json");
}
SchedulerConfig config(std::string_view type, std::string_view more = "") {
  return scheduler_config(constants(type, more), "scheduler_config.json");
}

std::vector<double> timesteps(Scheduler const& s) {
  std::vector<double> out;
  for (auto const& step : s.steps()) out.push_back(step.timestep);
  return out;
}
void expect_near(std::vector<double> const& got, std::vector<double> const& want, double within) {
  ASSERT_GE(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], within) << i;
}

/// A step as it is defined, in double.
std::vector<double> run(Scheduler const& scheduler, CpuNoise* noise = nullptr) {
  std::vector<double> x{1, -0.5, 0.25, 2}, data_before(4), started;
  for (double& v : x) v *= scheduler.first_noise();
  std::vector<std::vector<double>> outputs;  // the newest first
  for (auto const& s : scheduler.steps()) {
    std::vector<double> m(4), data(4), next(4);
    std::vector<float> drawn(4);
    if (s.draws) noise->draw(drawn);
    for (std::size_t i = 0; i < 4; ++i) {
      double const in = x[i] * s.input;
      m[i] = 0.5 * std::sin(in) + 0.2 * in + s.timestep / 5000;
    }
    auto const before = x;
    if (s.restart) x = started;
    started = before;
    std::vector<std::vector<double>> known{m};
    known.insert(known.end(), outputs.begin(), outputs.end());
    for (std::size_t i = 0; i < 4; ++i) {
      double sum = 0;
      for (std::size_t k = 0; k < 4 && k < known.size(); ++k) sum += s.past[k] * known[k][i];
      data[i] = s.data_x * x[i] + s.data_m * sum;
      if (s.clip > 0) data[i] = std::clamp(data[i], -s.clip, s.clip);
      next[i] = s.keep * x[i] + s.model * sum + s.data * data[i] + s.before * data_before[i] + s.noise * double(drawn[i]);
    }
    if (s.stored) outputs.insert(outputs.begin(), m);
    data_before = data, x = next;
  }
  return x;
}

TEST(NoiseLevels, AreThoseOfTheTraining) {
  NoiseLevels const levels(config("EulerDiscreteScheduler"));
  EXPECT_NEAR(levels.alpha_bar[0], 0.99915, 1e-6);
  EXPECT_NEAR(levels.alpha_bar[1], 0.998296, 1e-6);
  EXPECT_NEAR(levels.alpha_bar[249], 0.675432, 1e-6);
  EXPECT_NEAR(levels.alpha_bar[499], 0.277669, 1e-6);
  EXPECT_NEAR(levels.alpha_bar[749], 0.0566235, 1e-7);
  EXPECT_NEAR(levels.alpha_bar[999], 0.00466010, 1e-8);
  EXPECT_NEAR(levels.sigma[0], 0.0291675, 1e-7);
  EXPECT_NEAR(levels.sigma[999], 14.614645, 1e-5);
}

constexpr std::string_view kLeading = R"(, "timestep_spacing": "leading")", kTrailing = R"(, "timestep_spacing": "trailing")";
constexpr std::string_view kKarras = R"(, "timestep_spacing": "leading", "use_karras_sigmas": true)";
constexpr std::string_view kVelocity = R"(, "timestep_spacing": "leading", "prediction_type": "v_prediction")";

TEST(Scheduler, TablesOfEuler) {
  Scheduler const four(config("EulerDiscreteScheduler", kLeading), 4);
  EXPECT_NEAR(four.first_noise(), 4.236413, 2e-6);  // levels in float err by some 1e-7 of themselves
  EXPECT_EQ(timesteps(four), (std::vector<double>{751, 501, 251, 1}));
  expect_near(four.sigmas(), {4.116698, 1.623693, 0.698399, 0.041314, 0}, 1e-6);
  Scheduler const fifty(config("EulerDiscreteScheduler", kLeading), 50);
  EXPECT_NEAR(fifty.first_noise(), 13.158467, 1e-5);
  expect_near(fifty.sigmas(), {13.120415687561035}, 0);  // PyTorch 2.15's own, to the last bit
  EXPECT_EQ(fifty.steps().back().timestep, 1);
  Scheduler const trailing(config("EulerAncestralDiscreteScheduler", kTrailing), 30);
  EXPECT_EQ(timesteps(trailing), (std::vector<double>{999, 966, 932, 899, 866, 832, 799, 766, 732, 699, 666, 632, 599, 566, 532,
                                                      499, 466, 432, 399, 366, 332, 299, 266, 232, 199, 166, 132, 99,  66,  32}));
  EXPECT_NEAR(trailing.first_noise(), 14.614645, 1e-5);
  Scheduler const karras(config("EulerDiscreteScheduler", kKarras), 4);
  expect_near(timesteps(karras), {751, 411.4154, 69.4032, 1}, 1e-3);
  expect_near(karras.sigmas(), {4.116698, 1.208778, 0.273387, 0.041314, 0}, 1e-5);
}

TEST(Scheduler, TablesOfLeadingSteps) {
  Scheduler const twenty(config("EulerDiscreteScheduler", kLeading), 20), thirty(config("EulerDiscreteScheduler", kLeading), 30);
  EXPECT_NEAR(twenty.first_noise(), 11.073580, 1e-5);
  expect_near(twenty.sigmas(),
              {11.028335, 8.390687, 6.506400, 5.134433, 4.116698, 3.347764, 2.756197, 2.292855, 1.923444, 1.623693, 1.376179,
               1.168216,  0.990409, 0.835653, 0.698399, 0.574051, 0.458333, 0.346187, 0.228147, 0.041314, 0},
              1e-5);
  EXPECT_NEAR(thirty.first_noise(), 11.520333, 1e-5);
  std::vector<double> by_33;
  for (int k = 29; k >= 0; --k) by_33.push_back(33 * k + 1);  // 1000 / 30 = 33: the first is 958
  EXPECT_EQ(timesteps(thirty), by_33);
  expect_near(thirty.sigmas(), {11.476850, 9.543585, 8.004313, 6.768384, 5.767774, 4.951042, 4.279002, 3.721591, 3.255588, 2.862931}, 1e-5);
  EXPECT_NEAR(thirty.sigmas()[29], 0.041314, 1e-6);
  EXPECT_EQ(timesteps(Scheduler(config("DDIMScheduler", kLeading), 30)), by_33);
  for (auto const& [n, sigmas] : std::vector<std::pair<int, std::vector<double>>>{{1, {14.614645}},
                                                                                  {2, {14.614645, 1.612887}},
                                                                                  {4, {14.614645, 4.081731, 1.612887, 0.693205}},
                                                                                  {20, {14.614645, 10.904239, 8.302805, 6.442957}}})
    expect_near(Scheduler(config("EulerDiscreteScheduler", kTrailing), n).sigmas(), sigmas, 1e-5);
}

TEST(Scheduler, BeginsInTheMiddle) {
  for (std::string_view const type : {"EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DDIMScheduler",
                                      "DPMSolverMultistepScheduler", "LCMScheduler", "PNDMScheduler"}) {
    Scheduler const whole(config(type, kLeading), 6), late(config(type, kLeading), 6, 2);
    EXPECT_EQ(late.timesteps(), whole.timesteps()) << type;
    EXPECT_EQ(late.sigmas(), whole.sigmas()) << type;
    ASSERT_EQ(late.steps().size() + 2, whole.steps().size()) << type;
    EXPECT_EQ(late.steps()[0].timestep, whole.timesteps()[2]) << type;
    EXPECT_EQ(late.steps()[0].before, 0) << type;  // nothing to look back to
    EXPECT_EQ(late.steps()[0].past[1], 0) << type;
    auto const& s = late.steps()[1];  // x = clean·o + spread·noise, o found again with the true noise as the prediction
    EXPECT_NEAR(s.data_x * s.clean, 1, 1e-9) << type;
    EXPECT_NEAR(s.data_x * s.spread + s.data_m, 0, 1e-9) << type;
    EXPECT_THROW(Scheduler(config(type, kLeading), 6, 7), ArgumentError) << type;
  }
  Scheduler const four(config("EulerDiscreteScheduler", kLeading), 4);  // 751, 501, 251, 1
  EXPECT_EQ(four.step_at(0.5), 2);
  EXPECT_EQ(four.step_at(0.499), 2);
  EXPECT_EQ(four.step_at(0.498), 1);  // 501 lies below the cut at 502
  EXPECT_EQ(four.step_at(0.2), 0);
  EXPECT_EQ(four.step_at(0.001), 0);
  EXPECT_EQ(four.step_at(0.9999), 4);
}

TEST(Scheduler, TablesOfTheOthers) {
  Scheduler const dpm(config("DPMSolverMultistepScheduler", kKarras), 20);
  EXPECT_EQ(timesteps(dpm),
            (std::vector<double>{999, 962, 921, 876, 827, 772, 710, 640, 561, 474, 380, 285, 197, 123, 69, 35, 15, 6, 2, 0}));
  expect_near(dpm.sigmas(), {14.614645, 11.725371, 9.340211, 7.383626, 5.789421, 4.499844, 3.464755, 2.640847, 1.990921, 1.483217}, 1e-5);
  Scheduler const thirty(config("DPMSolverMultistepScheduler", kKarras), 30);
  EXPECT_EQ(timesteps(thirty), (std::vector<double>{999, 975, 949, 923, 894, 863, 830, 795, 757, 716, 672, 624, 572, 517, 458,
                                                    397, 334, 273, 214, 162, 117, 80,  53,  33,  20,  11,  6,   3,   1,   0}));
  expect_near(Scheduler(config("DPMSolverMultistepScheduler", kKarras), 4).sigmas(), {14.614645, 3.168611, 0.446921, 0.029168, 0}, 1e-5);
  EXPECT_EQ(timesteps(Scheduler(config("DPMSolverMultistepScheduler", kLeading), 4)), (std::vector<double>{801, 601, 401, 201}));
  EXPECT_EQ(timesteps(Scheduler(config("DDIMScheduler", kLeading), 4)), (std::vector<double>{751, 501, 251, 1}));
  for (auto const& [n, want] : std::vector<std::pair<int, std::vector<double>>>{
           {1, {999}}, {2, {999, 499}}, {4, {999, 759, 499, 259}}, {8, {999, 879, 759, 639, 499, 379, 259, 139}}})
    EXPECT_EQ(timesteps(Scheduler(config("LCMScheduler"), n)), want);
  EXPECT_EQ(timesteps(Scheduler(config("PNDMScheduler"), 4)), (std::vector<double>{751, 501, 501, 251, 1}));
  EXPECT_EQ(timesteps(Scheduler(config("PNDMScheduler"), 1)), (std::vector<double>{1}));
}

TEST(Scheduler, RunsOfAMadeUpNetwork) {
  auto const at = [](std::string_view type, std::string_view more, int n, std::vector<double> const& want, bool draws = false) {
    SCOPED_TRACE(std::string(type) + std::string(more) + " " + std::to_string(n));
    CpuNoise noise(7);
    auto const got = run(Scheduler(config(type, more), n), draws ? &noise : nullptr);
    for (std::size_t i = 0; i < 4; ++i)
      EXPECT_NEAR(got[i], want[i], 2e-6 * (std::abs(want[i]) + 1)) << i;  // seven digits of float arithmetic
  };
  at("EulerDiscreteScheduler", kLeading, 4, {1.020751, -0.8279145, 0.01250011, 4.971648});
  at("EulerDiscreteScheduler", kKarras, 4, {1.039878, -0.8962437, -0.01020981, 4.861336});
  at("EulerDiscreteScheduler", kVelocity, 4, {0.17053, -0.1671316, -0.004377584, 0.5234952});
  at("DDIMScheduler", kLeading, 4, {1.039043, -0.8434607, 0.01276331, 4.984607});
  at("DDIMScheduler", kVelocity, 4, {0.1742454, -0.1707616, -0.00446716, 0.5345432});
  at("DPMSolverMultistepScheduler", kLeading, 4, {1.097082, -0.8057715, 0.0467806, 6.100512});
  at("DPMSolverMultistepScheduler", kKarras, 4, {1.912112, -1.844563, 0.3875383, 13.89029});
  at("DPMSolverMultistepScheduler", kKarras, 20, {1.910702, -1.643417, -0.04574329, 12.69339});
  at("EulerAncestralDiscreteScheduler", kTrailing, 4, {1.590456, -2.497772, 0.006744638, 7.3112}, true);
  at("LCMScheduler", kLeading, 4, {0.8960474, -2.280298, -0.1088584, 5.603393}, true);
}

TEST(SchedulerConfig, RefusesByName) {
  auto const refused = [](std::string_view type, std::string_view more, std::string_view part) {
    try {
      (void)config(type, more);
      ADD_FAILURE() << "accepted; expected: " << part;
    } catch (ConfigError const& e) {
      EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos) << e.what();
    }
  };
  refused("HeunDiscreteScheduler", "", "_class_name 'HeunDiscreteScheduler' is not known; there are EulerDiscreteScheduler");
  refused("EulerDiscreteScheduler", R"(, "timestep_spacing": "even")", "timestep_spacing 'even'");
  refused("EulerDiscreteScheduler", R"(, "use_beta_sigmas": true)", "use_beta_sigmas");
  refused("EulerDiscreteScheduler", R"(, "trained_betas": [0.1])", "trained_betas");
  refused("DPMSolverMultistepScheduler", R"(, "algorithm_type": "sde-dpmsolver++")", "algorithm_type 'sde-dpmsolver++'");
  refused("DPMSolverMultistepScheduler", R"(, "solver_order": 3)", "solver_order 3");
  refused("DDIMScheduler", R"(, "prediction_type": "flow")", "prediction_type 'flow'");
  refused("DDIMScheduler", R"(, "beta_start": 0.5, "beta_end": 0.1)", "must rise");
  EXPECT_THROW(Scheduler(config("LCMScheduler"), 51), ArgumentError);
  EXPECT_THROW(Scheduler(config("DDIMScheduler"), 0), ArgumentError);
  EXPECT_THROW((void)scheduler_config(io::parse_json(R"({"_class_name": "PNDMScheduler"})", "x"), "x"), ConfigError);
  EXPECT_EQ(scheduler_config(constants("PNDMScheduler"), "x", SchedulerKind::ddim).spacing, Spacing::leading);
}

}  // namespace scheduler_test
