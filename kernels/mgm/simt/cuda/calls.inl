/// Calls to CUDA's runtime library: each is checked, and an error that was there before is never taken for one of ours.
#pragma once
#include <string>

#include <cuda_runtime_api.h>
#include <unistd.h>

#include <mgm/core/error.hpp>

namespace mgm::inline v0::simt::cuda {

/// "cudaErrorInvalidValue (invalid argument)".
inline std::string words(cudaError_t e) { return text(cudaGetErrorName(e), " (", cudaGetErrorString(e), ")"); }
/// "13.0" of 13000.
inline std::string version_text(int version) { return text(version / 1000, ".", version % 1000 / 10); }

/// Whether after this error no call of the process succeeds any more: something that ran on the device broke it.
inline bool is_sticky(cudaError_t e) {
  switch (e) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorCudartUnloading: return true;
    default: return false;
  }
}

/// Why there is no device, in words.
inline std::string no_device(cudaError_t e) {
  int driver = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaGetLastError();  // what is told here is not left behind
  if (driver == 0) return text("no NVIDIA driver is installed; this program was built with CUDA ", version_text(CUDART_VERSION));
  if (e == cudaErrorInsufficientDriver)
    return text("the driver serves CUDA ", version_text(driver), ", this program was built with CUDA ", version_text(CUDART_VERSION),
                "; install a newer driver");
  if (e == cudaSuccess || e == cudaErrorNoDevice)
    return text("the driver (CUDA ", version_text(driver), ") shows no device; CUDA_VISIBLE_DEVICES may hide it");
  return words(e);
}

/// Throws DeviceError for a failed call, and leaves no error behind that the host program would find as its own.
inline void check(std::string_view what, std::string_view call, cudaError_t e) {
  if (e == cudaSuccess) [[likely]]
    return;
  if (e == cudaErrorNoDevice || e == cudaErrorInsufficientDriver) throw DeviceError(text(what, ": no device: ", no_device(e)));
  (void)cudaGetLastError();
  std::string_view const advice = is_sticky(e) ? "; work that was enqueued earlier broke the device, and this process cannot use it any more"
                                  : e == cudaErrorInitializationError ? "; CUDA cannot be used in a process that was forked after it had started"
                                                                      : "";
  throw DeviceError(text(what, ": ", call, " failed: ", words(e), advice));
}
/// Throws DeviceError when an error of an earlier call or launch waits to be read; it stays there for its owner.
inline void check_pending(std::string_view what) {
  cudaError_t const e = cudaPeekAtLastError();
  if (e == cudaSuccess) [[likely]]
    return;
  if (e == cudaErrorNoDevice || e == cudaErrorInsufficientDriver) throw DeviceError(text(what, ": no device: ", no_device(e)));
  throw DeviceError(text(what, ": a CUDA error was pending before this call: ", words(e), "; it comes from a call or kernel that ran earlier, not from this one",
                         is_sticky(e) ? ", and this process cannot use the device any more" : "; read it with cudaGetLastError"));
}
#define MGM_CUDA(what, call, ...) ::mgm::simt::cuda::check(what, #call, call(__VA_ARGS__))

/// Makes a device the thread's current one for a scope.
class OnDevice {
 public:
  explicit OnDevice(std::string_view what, int device) {
    MGM_CUDA(what, cudaGetDevice, &before_);
    if (before_ == device) return;
    MGM_CUDA(what, cudaSetDevice, device);
    changed_ = true;
  }
  OnDevice(OnDevice const&) = delete;
  OnDevice& operator=(OnDevice const&) = delete;
  ~OnDevice() {
    if (changed_ && cudaSetDevice(before_) != cudaSuccess) (void)cudaGetLastError();
  }

 private:
  int before_ = 0;
  bool changed_ = false;
};

}  // namespace mgm::inline v0::simt::cuda
