/// The recording side of runtime.hpp: stream capture, instantiated as a graph that is launched as one. Weak, as in runtime.inl.
#pragma once
#include <mgm/simt/cuda/calls.inl>

#define MGM_WEAK __attribute__((weak))

namespace mgm::inline v0::simt {

MGM_WEAK void Runtime::begin_recording() {
  ready("cuda: record");
  // relaxed: what other threads of the program do meanwhile, and libraries in this one, is theirs
  MGM_CUDA("cuda: record", cudaStreamBeginCapture, stream_, cudaStreamCaptureModeRelaxed);
  recording_ = true;
}

MGM_WEAK ::CUgraphExec_st* Runtime::end_recording() {
  struct Recorded {
    cudaGraph_t graph = nullptr;
    ~Recorded() {
      if (graph != nullptr && cudaGraphDestroy(graph) != cudaSuccess) (void)cudaGetLastError();
    }
  } recorded;
  recording_ = false;
  MGM_CUDA("cuda: record", cudaStreamEndCapture, stream_, &recorded.graph);  // ends it also where it fails
  cudaGraphExec_t exec = nullptr;
  MGM_CUDA("cuda: record", cudaGraphInstantiate, &exec, recorded.graph, 0);
  return exec;
}

MGM_WEAK void Runtime::drop_recording() noexcept {
  recording_ = false;
  if (process_ != ::getpid()) return;
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(stream_, &graph) != cudaSuccess) (void)cudaGetLastError();
  if (graph != nullptr && cudaGraphDestroy(graph) != cudaSuccess) (void)cudaGetLastError();
}

MGM_WEAK void Runtime::replay(::CUgraphExec_st* graph) {
  ready("cuda: replay");
  MGM_CUDA("cuda: replay", cudaGraphLaunch, graph, stream_);
}

MGM_WEAK void Runtime::discard(::CUgraphExec_st* graph) noexcept {
  if (process_ == ::getpid() && cudaGraphExecDestroy(graph) != cudaSuccess) (void)cudaGetLastError();
}

}  // namespace mgm::inline v0::simt

#undef MGM_WEAK
