// The calls that our objects make. Each counts itself; what it returns otherwise is what cudart is documented to return.
#include "fake_cudart.hpp"

#include <cstdlib>
#include <cstring>
#include <iterator>

namespace fake {

Cudart& cudart() {
  static Cudart state;
  return state;
}

namespace {
cudaError_t remember(cudaError_t e) {
  if (e != cudaSuccess) cudart().last = e;
  return e;
}
/// Success, or the failure that was ordered for this call.
cudaError_t called(char const* name) {
  Cudart& c = cudart();
  ++c.calls;
  bool const now = c.calls == c.fail_at;
  if (now) c.failed = name;
  return now || (c.sticky && !c.failed.empty()) ? remember(c.failure) : cudaSuccess;
}
/// The same for a call that no recording survives, such as one that waits.
cudaError_t called_apart(char const* name) {
  if (auto const e = called(name)) return e;
  if (cudart().recording == nullptr) return cudaSuccess;
  cudart().spoilt = true;
  return remember(cudaErrorStreamCaptureUnsupported);
}
cudaError_t no_machine() {
  Cudart const& c = cudart();
  return c.driver < CUDART_VERSION ? cudaErrorInsufficientDriver : c.devices == 0 ? cudaErrorNoDevice : cudaSuccess;
}
}  // namespace
}  // namespace fake

using fake::called, fake::called_apart, fake::cudart, fake::remember;

extern "C" {

cudaError_t cudaDriverGetVersion(int* version) {
  if (auto const e = called("cudaDriverGetVersion")) return e;
  *version = cudart().driver;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (auto const e = called("cudaGetDeviceCount")) return e;
  if (auto const e = fake::no_machine()) return remember(e);
  *count = cudart().devices;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  cudaError_t const e = cudart().last;
  if (!cudart().sticky) cudart().last = cudaSuccess;
  return e;
}
cudaError_t cudaPeekAtLastError() { return fake::no_machine() ? fake::no_machine() : cudart().last; }
char const* cudaGetErrorName(cudaError_t e) {
  switch (e) {
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    default: return "cudaErrorOther";
  }
}
char const* cudaGetErrorString(cudaError_t) { return "words for people"; }
cudaError_t cudaGetDevice(int* device) {
  if (auto const e = called("cudaGetDevice")) return e;
  *device = cudart().current;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (auto const e = called("cudaSetDevice")) return e;
  cudart().current = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  if (auto const e = called("cudaGetDeviceProperties")) return e;
  std::memset(p, 0, sizeof *p);
  std::strcpy(p->name, "Fake GPU");
  p->major = cudart().arch / 10, p->minor = cudart().arch % 10;
  p->multiProcessorCount = 4, p->sharedMemPerBlockOptin = 163 * 1024, p->totalGlobalMem = 1 << 20, p->memoryPoolsSupported = 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  if (auto const e = called("cudaDeviceGetAttribute")) return e;
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? cudart().arch / 10 : attribute == cudaDevAttrComputeCapabilityMinor ? cudart().arch % 10 : 163 * 1024;
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, void const*) {
  if (auto const e = called("cudaFuncGetAttributes")) return e;
  return cudart().has_code ? cudaSuccess : remember(cudaErrorNoKernelImageForDevice);
}
cudaError_t cudaFuncSetAttribute(void const*, cudaFuncAttribute, int) { return called("cudaFuncSetAttribute"); }
// A stream is the address of its device's number.
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  if (auto const e = called("cudaStreamCreateWithFlags")) return e;
  *stream = reinterpret_cast<cudaStream_t>(new int(cudart().current));
  cudart().streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  auto const e = called("cudaStreamDestroy");
  if (cudart().streams.erase(stream) > 0) delete reinterpret_cast<int*>(stream);
  return e;
}
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  if (auto const e = called("cudaStreamGetDevice")) return e;
  *device = stream ? *reinterpret_cast<int*>(stream) : cudart().current;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ++cudart().synchronisations, cudart().used.insert(stream);
  return called_apart("cudaStreamSynchronize");
}
cudaError_t cudaMallocAsync(void** block, std::size_t bytes, cudaStream_t stream) {
  cudart().used.insert(stream);
  if (auto const e = called_apart("cudaMallocAsync")) return e;
  if (bytes > cudart().free_bytes) return remember(cudaErrorMemoryAllocation);
  *block = std::calloc(bytes, 1);
  cudart().blocks.emplace(*block, stream ? *reinterpret_cast<int*>(stream) : cudart().current);
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* block, cudaStream_t stream) {
  cudart().used.insert(stream);
  auto const e = called_apart("cudaFreeAsync");
  if (cudart().blocks.erase(block) > 0) std::free(block);
  return e;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  if (auto const e = called("cudaMemGetInfo")) return e;
  *free = cudart().free_bytes, *total = 1 << 20;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, void const* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  cudart().used.insert(stream);
  if (auto const e = called_apart("cudaMemcpyAsync")) return e;
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, void const* p) {
  if (auto const e = called("cudaPointerGetAttributes")) return e;
  auto const block = cudart().blocks.upper_bound(const_cast<void*>(p));  // blocks of these tests lie apart from other memory
  bool const ours =
      block != cudart().blocks.begin() && static_cast<char const*>(p) - static_cast<char const*>(std::prev(block)->first) < (1 << 16);
  attributes->device = ours ? std::prev(block)->second : 0;
  attributes->type = ours ? cudaMemoryTypeDevice : cudart().pinned.count(const_cast<void*>(p)) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}
cudaError_t cudaLaunchKernelExC(cudaLaunchConfig_t const* config, void const*, void**) {
  cudart().used.insert(config->stream);
  if (auto const e = called("cudaLaunchKernelExC")) return e;
  ++(config->stream != nullptr && config->stream == cudart().recording ? cudart().recorded : cudart().launches);
  return cudaSuccess;
}
// A graph is the address of its number of launches.
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (auto const e = called("cudaStreamBeginCapture")) return e;
  if (cudart().recording != nullptr) return remember(cudaErrorIllegalState);
  cudart().recording = stream, cudart().recorded = 0, cudart().spoilt = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  bool const ours = cudart().recording == stream;
  if (ours) cudart().recording = nullptr;  // whatever comes
  if (auto const e = called("cudaStreamEndCapture")) return e;
  if (!ours) return remember(cudaErrorIllegalState);
  if (cudart().spoilt) return remember(cudaErrorStreamCaptureInvalidated);
  int* const kept = new int(cudart().recorded);
  cudart().graphs.insert(kept);
  *graph = reinterpret_cast<cudaGraph_t>(kept);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (auto const e = called("cudaGraphInstantiate")) return e;
  int* const made = new int(*reinterpret_cast<int*>(graph));
  cudart().execs.insert(made);
  *exec = reinterpret_cast<cudaGraphExec_t>(made);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  auto const e = called("cudaGraphDestroy");
  if (cudart().graphs.erase(reinterpret_cast<int*>(graph)) > 0) delete reinterpret_cast<int*>(graph);
  return e;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  auto const e = called("cudaGraphExecDestroy");
  if (cudart().execs.erase(reinterpret_cast<int*>(exec)) > 0) delete reinterpret_cast<int*>(exec);
  return e;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  cudart().used.insert(stream);
  if (auto const e = called("cudaGraphLaunch")) return e;
  ++cudart().replays, cudart().launches += *reinterpret_cast<int*>(exec);
  return cudaSuccess;
}

// What nvcc's objects call before main and from the stubs of kernels.
void** __cudaRegisterFatBinary(void* fat) { return static_cast<void**>(fat); }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, char const*, char*, char const*, int, uint3*, uint3*, dim3*, dim3*, int*) {}
unsigned __cudaPopCallConfiguration(dim3*, dim3*, std::size_t*, void*) { return 0; }
cudaError_t __cudaGetKernel(cudaKernel_t*, void const*) { return cudaSuccess; }
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, std::size_t, cudaStream_t) { return cudaSuccess; }

}  // extern "C"
