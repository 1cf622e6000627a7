/// Which form of an operation is taken where there are several.
#pragma once

namespace mgm::inline v0 {

/// Between our own kernels and somebody else's library.
enum class Prefer {
  table,   ///< what the operation's table says of the shape
  ours,    ///< our own kernels
  vendor,  ///< the library, wherever it has such a form
};

}  // namespace mgm::inline v0
