/// runtime.hpp, defined. Weak, so that every object of nvcc's may bring the definitions and a program of g++'s finds them once.
#pragma once
#include <cstring>

#include <mgm/simt/cuda/calls.inl>

#define MGM_WEAK __attribute__((weak))

namespace mgm::inline v0::simt {

namespace cuda {

/// Stands for all kernels of this program when we ask whether a device can run them.
template <class Dev>
__global__ void probe_kernel() {}

/// The compute capabilities that nvcc was asked for: "80, 90".
inline std::string built_archs() {
  std::string out;
  for (int const arch : {__CUDA_ARCH_LIST__}) out += text(out.empty() ? "" : ", ", arch / 10);
  return out;
}

/// Throws DeviceError when nothing in this program runs on the current device.
inline void check_code(DeviceInfo const& info) {
  cudaFuncAttributes attributes{};
  cudaError_t const e = cudaFuncGetAttributes(&attributes, reinterpret_cast<void const*>(&probe_kernel<Cuda>));
  if (e == cudaSuccess) return;
  (void)cudaGetLastError();
  require<DeviceError>(e != cudaErrorNoKernelImageForDevice && e != cudaErrorInvalidDeviceFunction, "cuda: ", info.name, " has compute capability ",
                       info.arch, "; this program holds code for ", built_archs(), "; build it with CMAKE_CUDA_ARCHITECTURES=", info.arch);
  require<DeviceError>(e != cudaErrorUnsupportedPtxVersion, "cuda: ", info.name, " has compute capability ", info.arch,
                       " and needs this program's portable code, which a driver for CUDA ", version_text(info.driver), " is too old for; it was built with CUDA ",
                       version_text(CUDART_VERSION));
  check("cuda", "cudaFuncGetAttributes", e);
}

inline DeviceInfo device_info(int device) {
  DeviceInfo info;
  cudaDeviceProp properties{};
  MGM_CUDA("cuda", cudaGetDeviceProperties, &properties, device);
  info.name = properties.name;
  info.arch = 10 * properties.major + properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  info.shared = static_cast<Size>(properties.sharedMemPerBlockOptin);
  info.memory = static_cast<Size>(properties.totalGlobalMem);
  info.l2 = properties.l2CacheSize;
  MGM_CUDA("cuda", cudaDriverGetVersion, &info.driver);
  info.toolkit = CUDART_VERSION;
  require<DeviceError>(properties.memoryPoolsSupported != 0, "cuda: ", info.name, " has no stream-ordered memory (cudaMallocAsync); bring an allocator of your own");
  return info;
}

}  // namespace cuda

MGM_WEAK int device_count(std::string* why) {
  int count = 0;
  cudaError_t const e = cudaGetDeviceCount(&count);
  if (e == cudaSuccess && count > 0) return count;
  std::string const reason = cuda::no_device(e);
  if (why) *why = reason;
  return 0;
}

MGM_WEAK bool is_device_memory(void const* p) {
  if (DryRun::under_way()) return true;
  cuda::check_pending("cuda");
  cudaPointerAttributes attributes{};
  MGM_CUDA("cuda", cudaPointerGetAttributes, &attributes, p);
  return attributes.type != cudaMemoryTypeUnregistered;
}

MGM_WEAK Runtime::Runtime(int device, ::CUstream_st* stream) : device_(device), process_(::getpid()), own_(stream == nullptr), stream_(stream) {
  std::string why;
  int const count = device_count(&why);
  require<DeviceError>(count > 0, "cuda: no device: ", why);
  require<DeviceError>(device >= 0 && device < count, "cuda: device ", device, " was asked for; there are ", count, ", from 0");
  cuda::check_pending("cuda");
  cuda::OnDevice const scope("cuda", device);
  info_ = cuda::device_info(device);
  cuda::check_code(info_);
  if (own_) {
    MGM_CUDA("cuda", cudaStreamCreateWithFlags, &stream_, cudaStreamNonBlocking);
  } else {
    int of = 0;
    MGM_CUDA("cuda", cudaStreamGetDevice, stream, &of);
    require<DeviceError>(of == device, "cuda: the stream belongs to device ", of, ", the context to device ", device);
  }
}

MGM_WEAK Runtime::~Runtime() {
  if (!own_ || process_ != ::getpid()) return;
  if (cudaStreamDestroy(stream_) != cudaSuccess) (void)cudaGetLastError();  // returns at once; what is enqueued still runs
}

MGM_WEAK void Runtime::ready(char const* what) const {
  require<DeviceError>(process_ == ::getpid(), what, ": this process was forked from the one that made the context; CUDA does not survive a fork, make the context after it");
  require<DeviceError>(!recording_, what, ": not while launches are recorded; what a recording reads and writes is in the device's memory before it begins");
  cuda::check_pending(what);
}

MGM_WEAK void* Runtime::allocate(Size bytes) {
  ready("cuda: memory");
  void* block = nullptr;
  cudaError_t const e = cudaMallocAsync(&block, static_cast<std::size_t>(bytes), stream_);
  if (e == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    cuda::OnDevice const scope("cuda: memory", device_);
    std::size_t free = 0, total = 0;
    MGM_CUDA("cuda: memory", cudaMemGetInfo, &free, &total);
    throw MemoryError(text("cuda: memory: ", bytes, " bytes could not be had; ", free, " of ", total, " bytes of ", info_.name,
                           " are free; use a smaller max_positions or a 16-bit dtype"));
  }
  cuda::check("cuda: memory", "cudaMallocAsync", e);
  return block;
}

MGM_WEAK void Runtime::release(void* block) noexcept {
  if (process_ == ::getpid() && cudaFreeAsync(block, stream_) != cudaSuccess) (void)cudaGetLastError();  // a broken device frees nothing
}

MGM_WEAK void Runtime::copy_to_device(void* to, void const* from, Size bytes) {
  ready("cuda: copy to device");
  if (DryRun::under_way()) return;
  MGM_CUDA("cuda: copy to device", cudaMemcpyAsync, to, from, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, stream_);
  // pageable memory has been read when the call returns; what CUDA knows of is read later
  if (is_device_memory(from)) synchronise();
}

MGM_WEAK void Runtime::copy_to_host(void* to, void const* from, Size bytes) {
  ready("cuda: copy to host");
  if (DryRun::under_way()) {
    std::memset(to, 0, static_cast<std::size_t>(bytes));
    return;
  }
  MGM_CUDA("cuda: copy to host", cudaMemcpyAsync, to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost, stream_);
  MGM_CUDA("cuda: copy to host", cudaStreamSynchronize, stream_);
}

MGM_WEAK void Runtime::synchronise() {
  ready("cuda: synchronise");
  MGM_CUDA("cuda: synchronise", cudaStreamSynchronize, stream_);
}

}  // namespace mgm::inline v0::simt

#undef MGM_WEAK
