/// graph.hpp on the host: the launches run again, in their order.
#pragma once
#include <mgm/simt/launch.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// Keeps what `body` launches on the machine instead of running it. What `body` throws ends the recording and goes on. Throws DeviceError
/// within another recording.
template <class Body>
[[nodiscard]] Graph<Simt> record(Stream<Simt> stream, Body&& body) {
  auto const launches = std::make_shared<host::Recording>();
  stream.machine->begin_recording(launches.get());
  struct End {
    Machine* machine;
    ~End() { machine->end_recording(); }
  } const end{stream.machine};
  body();
  return {launches};
}

/// Throws what the launches throw.
inline void replay(Stream<Simt> stream, Graph<Simt> const& graph) {
  stream.machine->refuse_recording("replay");
  for (auto const& l : graph.launches->launches) detail::run_blocks(*stream.machine, l.shape, l.body, l.arguments.get(), l.argument_bytes);
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
