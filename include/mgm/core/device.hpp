/// Where memory lies and work runs, as types, so that mixing does not compile.
#pragma once
#include <concepts>
#include <string_view>

#include <mgm/core/platform.hpp>

namespace mgm::inline v0 {

/// The processor, with hand-vectorised paths of its own.
struct Cpu {
  static constexpr bool kHost = true;
  static constexpr std::string_view kName = "cpu";
};
/// The CUDA kernels, run by fibers on the processor: portable, and strict about what a GPU would forgive or corrupt silently.
struct Simt {
  static constexpr bool kHost = false;
  static constexpr std::string_view kName = "simt";
};
/// An NVIDIA GPU. Its kernels exist only in what nvcc compiles; other files call them through declarations.
struct Cuda {
  static constexpr bool kHost = false;
  static constexpr std::string_view kName = "cuda";
};

template <class D>
concept Device = requires { { D::kHost } -> std::convertible_to<bool>; };
/// A device that the kernels of `kernels/` run on. What lies in its memory is read and written on the host through a Context only.
template <class D>
concept KernelDevice = Device<D> && !D::kHost;

#if !defined(MGM_DEFAULT_DEVICE)
#  define MGM_DEFAULT_DEVICE Cpu  // the linked CMake target may say otherwise, for all files of a program alike
#endif
using DefaultDevice = MGM_DEFAULT_DEVICE;

}  // namespace mgm::inline v0
