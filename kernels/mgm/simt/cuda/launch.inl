/// launch.hpp on the GPU. Nothing here waits for the device.
#pragma once
#include <concepts>
#include <type_traits>

#include <mgm/core/view.hpp>
#include <mgm/simt/cuda/calls.inl>

namespace mgm::inline v0::simt::inline MGM_TWIN {

namespace detail {
/// What a launch may ask for, as the Simt machine checks it; more shared memory than 48 KB has to be asked for by name.
inline void check_limits(LaunchShape const& shape, void const* kernel, int device) {
  constexpr int kThreads = 1024, kSharedUnasked = 48 * 1024;
  require<LimitError>(shape.block >= 1 && shape.block <= kThreads, shape.name, ": a block has 1 to ", kThreads, " threads, found ", shape.block);
  require<LimitError>(shape.shared >= 0, shape.name, ": ", shape.shared, " bytes of shared memory");
  if (shape.shared <= kSharedUnasked) return;
  int most = 0, major = 0, minor = 0;
  MGM_CUDA(shape.name, cudaDeviceGetAttribute, &most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  MGM_CUDA(shape.name, cudaDeviceGetAttribute, &major, cudaDevAttrComputeCapabilityMajor, device);
  MGM_CUDA(shape.name, cudaDeviceGetAttribute, &minor, cudaDevAttrComputeCapabilityMinor, device);
  require<LimitError>(shape.shared <= most, shape.name, ": ", shape.shared, " bytes of shared memory; compute capability ", 10 * major + minor, " has ", most);
  // always all that there is, so that threads which launch one kernel with different sizes do not take it from each other
  MGM_CUDA(shape.name, cudaFuncSetAttribute, kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
}

/// What a launch writes lies on its stream's device, or where every device reaches it.
template <class Arg>
void check_place(char const*, int, Arg const&) {}
template <class T, int R, Device Dev>
  requires(!std::is_const_v<T>)
void check_place(char const* name, int device, View<T, R, Dev> const& v) {
  if (v.data() == nullptr || v.count() == 0) return;
  cudaPointerAttributes attributes{};
  MGM_CUDA(name, cudaPointerGetAttributes, &attributes, v.data());
  require<DeviceError>(attributes.type != cudaMemoryTypeDevice || attributes.device == device, name, ": stream: it belongs to device ", device,
                       ", the output lies on device ", attributes.device);
}

template <class Arg>
  requires requires(Arg const& arg) { arg.outputs([](auto const&) {}); }
void check_place(char const* name, int device, Arg const& arg) {
  arg.outputs([&](auto const& v) { check_place(name, device, v); });
}

/// Converts the arguments to the kernel's parameters, as a call does, and enqueues.
template <class... Params>
cudaError_t enqueue(cudaLaunchConfig_t const& config, void (*kernel)(Params...), std::type_identity_t<Params>... params) {
  void* pointers[] = {const_cast<void*>(static_cast<void const*>(&params))..., nullptr};
  return cudaLaunchKernelExC(&config, reinterpret_cast<void const*>(kernel), pointers);
}
}  // namespace detail

template <KernelDevice Dev, class Kernel, class... Args>
void launch(Stream<Dev> stream, LaunchShape const& shape, Kernel kernel, Args const&... args) {
  static_assert(std::same_as<Dev, Cuda>, "nvcc makes kernels for Cuda; Simt runs in what g++ or clang compile");
  check_grid(shape);
  if (shape.grid.count() == 0 || DryRun::under_way()) return;
  cuda::check_pending(shape.name);
  int device = 0;
  MGM_CUDA(shape.name, cudaStreamGetDevice, stream.handle, &device);
  cuda::OnDevice const scope(shape.name, device);
  detail::check_limits(shape, reinterpret_cast<void const*>(kernel), device);
  (detail::check_place(shape.name, device, args), ...);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.grid.x), static_cast<unsigned>(shape.grid.y), static_cast<unsigned>(shape.grid.z));
  config.blockDim = dim3(static_cast<unsigned>(shape.block));
  config.dynamicSmemBytes = static_cast<std::size_t>(shape.shared);
  config.stream = stream.handle;
  cuda::check(shape.name, "cudaLaunchKernelExC", detail::enqueue(config, kernel, args...));
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
