/// Launchers that no element type parametrises, compiled apart; listed as MGM_UNTYPED(TEMPLATE) and defined once.
#pragma once
#include <mgm/kernels/decode/route.cuh>
#include <mgm/kernels/decode/sampling.cuh>
#include <mgm/kernels/instances/instances.hpp>
#include <mgm/kernels/pixels/bilinear.cuh>
#include <mgm/kernels/pixels/resize.cuh>

#define MGM_UNTYPED(TEMPLATE, Dev)                                                                                                           \
  TEMPLATE void route<Dev>(simt::Stream<Dev>, In<float, 2, Dev>, View<int, 2, Dev>, Out<float, 2, Dev>);                           \
  TEMPLATE void route_lists<Dev>(simt::Stream<Dev>, View<int const, 2, Dev>, View<int, 1, Dev>, View<int, 1, Dev>,                 \
                                  View<int, 2, Dev>);                                                                                  \
  TEMPLATE void sample<Dev>(simt::Stream<Dev>, In<float, 2, Dev>, SamplingRule const&, View<std::int64_t const, 1, Dev>,            \
                             View<SampledToken, 1, Dev>);                                                                              \
  TEMPLATE void sample_next<Dev>(simt::Stream<Dev>, In<float, 2, Dev>, View<SamplingRule const, 1, Dev>,                            \
                                  View<std::int64_t, 1, Dev>, View<SampledToken, 1, Dev>);                                          \
  TEMPLATE void resize_across<Dev>(simt::Stream<Dev>, View<std::uint8_t const, 3, Dev>, ChannelOrder, ResizeAxis<Dev> const&,       \
                                    ResizeMargin<Dev> const&, View<std::uint8_t, 3, Dev>);                                            \
  TEMPLATE void resize_across<Dev>(simt::Stream<Dev>, View<std::uint8_t const, 3, Dev>, ChannelOrder, ResizeAxis<Dev> const&,       \
                                    ResizeMargin<Dev> const&, View<float const, 2, Dev>, View<float, 3, Dev>);                       \
  TEMPLATE void resize_down<Dev>(simt::Stream<Dev>, View<std::uint8_t const, 3, Dev>, ChannelOrder, ResizeAxis<Dev> const&,         \
                                  ResizeMargin<Dev> const&, View<std::uint8_t, 3, Dev>);                                              \
  TEMPLATE void resize_down<Dev>(simt::Stream<Dev>, View<std::uint8_t const, 3, Dev>, ChannelOrder, ResizeAxis<Dev> const&,         \
                                  ResizeMargin<Dev> const&, View<float const, 2, Dev>, View<float, 3, Dev>);                         \
  TEMPLATE void bilinear<Dev>(simt::Stream<Dev>, In<float, 4, Dev>, int, BilinearAxis<Dev> const&, Out<float, 4, Dev>, int);

/// On Cuda in a .cu, on Simt in a .cpp.
#define MGM_DEFINE_UNTYPED(DEVICE)    \
  namespace mgm::inline v0::kernels { \
  MGM_UNTYPED(template, DEVICE)       \
  }
#if !defined(__CUDACC__)
namespace mgm::inline v0::kernels {
MGM_UNTYPED(extern template, Cuda)
#if defined(MGM_COMPILED_SIMT)
MGM_UNTYPED(extern template, Simt)
#endif
}
#endif
