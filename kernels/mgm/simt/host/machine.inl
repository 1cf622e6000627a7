/// The Machine's functions, for which a Runner must be complete.
#pragma once
#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt {

inline Machine::Machine(MachineConfig config, std::shared_ptr<Threads> threads) : config_(config), threads_(std::move(threads)) {
  require<DeviceError>(config.arch >= 75 && config.arch < 130,
                       "simt: the machine can play compute capability 7.5 to 12.9 (75 to 129), found ", config.arch);
  if (config.races) watch_ = std::make_unique<host::LaunchWatch>();
}
inline Machine::~Machine() = default;
inline std::unique_ptr<host::Runner> Machine::take_runner() {
  {
    std::lock_guard const lock(mutex_);
    if (!idle_.empty()) {
      auto runner = std::move(idle_.back());
      idle_.pop_back();
      return runner;
    }
  }
  return std::make_unique<host::Runner>();
}
inline void Machine::give_runner(std::unique_ptr<host::Runner> runner) noexcept {
  try {
    std::lock_guard const lock(mutex_);
    idle_.push_back(std::move(runner));
  } catch (...) {  // no memory to keep it: it goes
  }
}

}  // namespace mgm::inline v0::simt
