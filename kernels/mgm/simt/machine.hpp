/// The Simt machine as Contexts hold it: `Machine` and `MachineConfig`. In what nvcc compiles there is none.
#pragma once
#include <mgm/simt/stream.hpp>

#if !defined(__CUDACC__)
#  include <mgm/simt/host/machine.hpp>
#endif
