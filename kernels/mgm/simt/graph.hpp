/// Launches that are recorded once and sent again as one. What may change from one replay to the next lies in the device's memory; shapes,
/// kernels and arguments stay as they were recorded.
#pragma once
#include <memory>

#include <mgm/simt/machine.hpp>
#include <mgm/simt/runtime.hpp>

namespace mgm::inline v0::simt {

/// What was recorded; copies share it. It borrows the memory that its kernels read and write.
template <KernelDevice Dev>
struct Graph;
/// A cudaGraphExec_t. It goes when the last copy does, and when its replays are done.
template <>
struct Graph<Cuda> {
  std::shared_ptr<::CUgraphExec_st> exec{};
};

#if !defined(__CUDACC__)
/// The launches one by one.
template <>
struct Graph<Simt> {
  std::shared_ptr<host::Recording const> launches{};
};
#endif

}  // namespace mgm::inline v0::simt

#if !defined(__CUDACC__)
#  include <mgm/simt/host/graph.inl>
#endif
