/// launch.hpp on the host: blocks are shared among the machine's threads; each is run by one of them from begin to end. A machine that records
/// keeps the launch instead.
#pragma once
#include <algorithm>
#include <atomic>
#include <numeric>
#include <optional>
#include <tuple>
#include <type_traits>

#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

namespace detail {
/// The i-th block to run. A grid promises no order: `reversed` begins at the end, `random` anywhere, with any step.
inline Size block_at(Size i, Size blocks, MachineConfig const& config) {
  if (config.order == Order::reversed) return blocks - 1 - i;
  if (config.order != Order::random) return i;
  Size step = 1 + static_cast<Size>(config.seed * 2654435761u % static_cast<std::uint64_t>(blocks));
  while (std::gcd(step, blocks) != 1) ++step;
  return (i * (step % blocks) + static_cast<Size>(config.seed % static_cast<std::uint64_t>(blocks))) % blocks;
}

inline void check_launch(Machine const& machine, LaunchShape const& shape, Size argument_bytes) {
  Limits const limits = machine.limits();
  require<LimitError>(shape.block >= 1 && shape.block <= limits.threads, shape.name, ": a block has 1 to ", limits.threads,
                      " threads, found ", shape.block);
  require<LimitError>(shape.shared >= 0 && shape.shared <= limits.shared, shape.name, ": ", shape.shared,
                      " bytes of shared memory; compute capability ", machine.config().arch, " has ", limits.shared);
  require<LimitError>(argument_bytes <= limits.arguments, shape.name, ": a kernel takes at most ", limits.arguments,
                      " bytes of arguments, found ", argument_bytes);
}

inline void run_blocks(Machine& machine, LaunchShape const& shape, void (*body)(void const*), void const* arguments, Size argument_bytes) {
  machine.check();
  std::optional<host::Runner::Busy> outside;  // a launch from a kernel is the host's work
  if (host::Runner::current != nullptr) outside.emplace(*host::Runner::current);
  Size const blocks = shape.grid.count();
  bool const alone = machine.config().races || machine.threads() == nullptr;
  Executor const executor{alone ? nullptr : machine.threads(), Isa::portable};
  Size const workers = alone ? 1 : std::min<Size>(blocks, machine.threads()->concurrency());
  if (machine.watch() != nullptr) machine.watch()->begin();
  host::Launch launch{machine, shape, body, arguments, argument_bytes};
  std::atomic<Size> taken = 0;
  executor.parallel(workers, [&](Size) {
    ++launch.workers;
    try {
      auto runner = machine.take_runner();
      for (Size i = taken++; i < blocks; i = taken++) {
        Size const block = block_at(i, blocks, machine.config());
        Grid at;
        at.x = static_cast<int>(block % shape.grid.x), at.y = static_cast<int>(block / shape.grid.x % shape.grid.y);
        at.z = static_cast<int>(block / shape.grid.x / shape.grid.y);
        runner->run(launch, at);
      }
      machine.give_runner(std::move(runner));
    } catch (...) {  // this runner is not taken back: threads may hang in the middle of it
      taken = blocks;
      --launch.workers, launch.moved();
      throw;
    }
    --launch.workers, launch.moved();
  });
  machine.add({.launches = 1});
}

/// Runs it, or keeps it where the machine records.
inline void send(Machine& machine, LaunchShape const& shape, void (*body)(void const*), void const* arguments, Size argument_bytes) {
  check_launch(machine, shape, argument_bytes);
  if (DryRun::under_way()) return;
  if (auto* const recording = machine.recording()) recording->add(shape, body, arguments, argument_bytes);
  else run_blocks(machine, shape, body, arguments, argument_bytes);
}
}  // namespace detail

template <KernelDevice Dev, class Kernel, class... Args>
void launch(Stream<Dev> stream, LaunchShape const& shape, Kernel kernel, Args const&... args) {
  static_assert(std::same_as<Dev, Simt>, "kernels for Cuda exist only in what nvcc compiles; call them through mgm_instantiate");
  static_assert((std::is_trivially_copyable_v<Args> && ...), "the arguments of a kernel travel as bytes");
  require<DeviceError>(stream.machine != nullptr, shape.name, ": the stream belongs to no machine; take it from a Context<Simt>");
  check_grid(shape);
  if (shape.grid.count() == 0) return;
  auto const call = [kernel, copies = std::tuple<Args...>(args...)] { std::apply(kernel, copies); };
  static_assert(alignof(decltype(call)) <= alignof(std::max_align_t));
  detail::send(*stream.machine, shape, [](void const* f) { (*static_cast<decltype(call) const*>(f))(); }, &call, sizeof call);
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
