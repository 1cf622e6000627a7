/// A CUDA runtime library without a GPU: device memory is the host's, kernels do nothing, and every call can be made to fail. Linked instead of
/// cudart, so that what our objects call is what a real program calls.
#pragma once
#include <map>
#include <set>
#include <string>

#include <cuda_runtime_api.h>

namespace fake {

struct Cudart {
  // the machine
  int driver = CUDART_VERSION, devices = 1, arch = 80;
  bool has_code = true;           ///< whether the program's kernels run on it
  std::size_t free_bytes = 1 << 20;
  // what happens
  int fail_at = 0;                ///< the number of the call that fails; 0: none
  cudaError_t failure = cudaErrorUnknown;
  bool sticky = false;            ///< after the failure every call fails
  // what was seen
  int calls = 0, launches = 0, synchronisations = 0;  ///< launches: those that ran, of replays too
  int replays = 0;
  std::string failed;             ///< the call that was made to fail
  cudaError_t last = cudaSuccess; ///< what cudaGetLastError would give
  int current = 0;
  std::map<void*, int> blocks;  ///< and the device of each
  std::set<void*> pinned;
  std::set<cudaStream_t> streams, used;  ///< those that are there, and those that any work went to
  // recordings
  cudaStream_t recording = nullptr;      ///< the stream whose launches are kept
  bool spoilt = false;                   ///< by a call that no recording survives
  int recorded = 0;                      ///< launches kept so far
  std::set<int*> graphs, execs;          ///< each with its number of launches
};
Cudart& cudart();
/// Forgets everything.
inline void reset() { cudart() = Cudart{}; }

}  // namespace fake
