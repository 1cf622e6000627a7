/// Where a launch goes, and its shape. Plain data for every compiler; no CUDA header.
#pragma once
#include <mgm/core/device.hpp>
#include <mgm/core/platform.hpp>

struct CUstream_st;  // what a cudaStream_t points to

namespace mgm::inline v0::simt {

class Machine;  // host/machine.hpp

/// An order of work on a device, borrowed from the user or from a Context.
template <KernelDevice Dev>
struct Stream;
template <>
struct Stream<Simt> {
  Machine* machine = nullptr;
};
template <>
struct Stream<Cuda> {
  ::CUstream_st* handle = nullptr;  ///< a cudaStream_t; null is the legacy default stream
};

/// A block's place in its grid, or a grid's extents. Extents beyond 2³¹ − 1 become negative; `launch` refuses them.
struct Grid {
  int x = 1, y = 1, z = 1;
  constexpr Grid() = default;
  constexpr Grid(Size blocks, Size rows = 1, Size layers = 1)  // NOLINT: a count is a grid
      : x(counted(blocks)), y(counted(rows)), z(counted(layers)) {}
  [[nodiscard]] constexpr Size count() const { return Size{x} * y * z; }
  /// Whether a device takes so many blocks, rows of blocks and layers.
  [[nodiscard]] constexpr bool fits() const { return x >= 0 && y >= 0 && z >= 0 && y <= 65535 && z <= 65535; }

 private:
  static constexpr int counted(Size n) { return n == static_cast<int>(n) ? static_cast<int>(n) : -1; }
};

/// What a launch asks for. Blocks are one-dimensional; `shared` counts bytes of dynamic shared memory.
struct LaunchShape {
  char const* name;  ///< of the kernel, for messages
  Grid grid;
  int block;
  Size shared = 0;
};

[[nodiscard]] MGM_HD constexpr Size ceil_div(Size a, Size b) { return (a + b - 1) / b; }

}  // namespace mgm::inline v0::simt
