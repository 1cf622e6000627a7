/// What an operation must move and compute at least: for documentation, benchmarks and tests.
#pragma once
#include <mgm/core/platform.hpp>

namespace mgm::inline v0 {

struct Cost {
  Size bytes = 0;  ///< read and written once each
  Size flops = 0;
  friend constexpr bool operator==(Cost const&, Cost const&) = default;
};

}  // namespace mgm::inline v0
