/// One of the objects that cuDNN's graph interface is spoken with.
#pragma once
#include <cudnn.h>

#include <utility>

#include <mgm/core/dtype.hpp>
#include <mgm/vendor/library.hpp>

namespace mgm::inline v0::vendor {

namespace detail {
inline void check(cudnnStatus_t status, char const* call) {
  require<DeviceError>(status == CUDNN_STATUS_SUCCESS, "cudnn: ", call, " failed: ", cudnnGetErrorString(status));
}
inline cudnnDataType_t cudnn_type(Dtype type) {
  return type == Dtype::f32 ? CUDNN_DATA_FLOAT : type == Dtype::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
}
}  // namespace detail

/// One of cuDNN's descriptors: made, told what it is attribute by attribute, and finished.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type) {
    detail::check(cudnnBackendCreateDescriptor(type, &handle_), "cudnnBackendCreateDescriptor");
  }
  CudnnDescriptor(CudnnDescriptor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  CudnnDescriptor& operator=(CudnnDescriptor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~CudnnDescriptor() {
    if (handle_) cudnnBackendDestroyDescriptor(handle_);
  }
  template <class V, std::size_t N>
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, V const (&values)[N]) {
    return set(name, type, values, N);
  }
  template <class V>
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, V const* values, std::size_t count) {
    detail::check(cudnnBackendSetAttribute(handle_, name, type, static_cast<std::int64_t>(count), values), "cudnnBackendSetAttribute");
    return *this;
  }
  CudnnDescriptor& finish() {
    detail::check(cudnnBackendFinalize(handle_), "cudnnBackendFinalize");
    return *this;
  }
  /// The same where cuDNN may say that it has no such thing: false.
  [[nodiscard]] bool try_finish() { return accepted(cudnnBackendFinalize(handle_), "cudnnBackendFinalize"); }
  /// Up to N values of an attribute; how many there are.
  template <class V, std::size_t N>
  [[nodiscard]] std::int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, V (&values)[N]) const {
    std::int64_t count = 0;
    detail::check(cudnnBackendGetAttribute(handle_, name, type, N, &count, values), "cudnnBackendGetAttribute");
    return count;
  }
  [[nodiscard]] cudnnBackendDescriptor_t handle() const { return handle_; }

  /// False for CUDNN_STATUS_NOT_SUPPORTED and its kinds. Throws DeviceError for what else is no success.
  static bool accepted(cudnnStatus_t status, char const* call) {
    if (status / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000) return false;
    detail::check(status, call);
    return true;
  }

 private:
  cudnnBackendDescriptor_t handle_ = nullptr;
};

}  // namespace mgm::inline v0::vendor
