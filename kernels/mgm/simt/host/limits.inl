/// limits.hpp on the host: those of the architecture that the machine plays.
#pragma once
#include <mgm/simt/host/machine.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

template <KernelDevice Dev>
Size shared_limit(Stream<Dev> stream) {
  require<DeviceError>(stream.machine != nullptr, "shared_limit: the stream belongs to no machine; take it from a Context<Simt>");
  return stream.machine->limits().shared;
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
