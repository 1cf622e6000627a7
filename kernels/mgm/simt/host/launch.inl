/// launch.hpp on the host: blocks are shared among the machine's threads; each is run by one of them from begin to end.
#pragma once
#include <algorithm>
#include <atomic>
#include <tuple>

#include <mgm/simt/host/runner.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

namespace detail {
inline void run_blocks(Machine& machine, LaunchShape const& shape, void (*body)(void const*), void const* arguments) {
  Limits const limits = machine.limits();
  require<LimitError>(shape.block >= 1 && shape.block <= limits.threads, shape.name, ": a block has 1 to ", limits.threads,
                      " threads, found ", shape.block);
  require<LimitError>(shape.shared >= 0 && shape.shared <= limits.shared, shape.name, ": ", shape.shared,
                      " bytes of shared memory; compute capability ", machine.config().arch, " has ", limits.shared);
  require<LimitError>(shape.grid.y <= 65535 && shape.grid.z <= 65535, shape.name, ": a grid has at most 65535 rows and layers, found ",
                      shape.grid.y, " and ", shape.grid.z);
  machine.check();
  Size const blocks = shape.grid.count();
  Executor const executor{machine.threads(), Isa::portable};
  Size const workers = std::min<Size>(blocks, machine.threads() ? machine.threads()->concurrency() : 1);
  std::atomic<Size> taken = 0;
  executor.parallel(workers, [&](Size) {
    auto runner = machine.take_runner();
    for (Size i = taken++; i < blocks; i = taken++) {
      Grid at;
      at.x = static_cast<int>(i % shape.grid.x), at.y = static_cast<int>(i / shape.grid.x % shape.grid.y);
      at.z = static_cast<int>(i / shape.grid.x / shape.grid.y);
      try {
        runner->run(machine, shape, at, body, arguments);
      } catch (...) {
        taken = blocks;
        throw;  // this runner is not taken back: threads may hang in the middle of it
      }
    }
    machine.give_runner(std::move(runner));
  });
}
}  // namespace detail

template <KernelDevice Dev, class Kernel, class... Args>
void launch(Stream<Dev> stream, LaunchShape const& shape, Kernel kernel, Args const&... args) {
  static_assert(std::same_as<Dev, Simt>, "kernels for Cuda exist only in what nvcc compiles; call them through mgm_instantiate");
  require<DeviceError>(stream.machine != nullptr, shape.name, ": the stream belongs to no machine; take it from a Context<Simt>");
  if (shape.grid.count() <= 0) return;
  auto const call = [&] { kernel(args...); };
  detail::run_blocks(*stream.machine, shape, [](void const* f) { (*static_cast<decltype(call) const*>(f))(); }, &call);
}

template <KernelDevice Dev>
Size shared_limit(Stream<Dev> stream) {
  require<DeviceError>(stream.machine != nullptr, "shared_limit: the stream belongs to no machine; take it from a Context<Simt>");
  return stream.machine->limits().shared;
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
