/// Launchers that no element type parametrises, as programs call them on Cuda; listed as MGM_UNTYPED(TEMPLATE) and defined once.
#pragma once
#include <mgm/kernels/decode/route.cuh>
#include <mgm/kernels/decode/sampling.cuh>
#include <mgm/kernels/instances/instances.hpp>
#include <mgm/kernels/pixels/bilinear.cuh>
#include <mgm/kernels/pixels/resize.cuh>

#define MGM_UNTYPED(TEMPLATE)                                                                                                           \
  TEMPLATE void route<Cuda>(simt::Stream<Cuda>, In<float, 2, Cuda>, View<int, 2, Cuda>, Out<float, 2, Cuda>);                           \
  TEMPLATE void route_lists<Cuda>(simt::Stream<Cuda>, View<int const, 2, Cuda>, View<int, 1, Cuda>, View<int, 1, Cuda>,                 \
                                  View<int, 2, Cuda>);                                                                                  \
  TEMPLATE void sample<Cuda>(simt::Stream<Cuda>, In<float, 2, Cuda>, SamplingRule const&, View<std::int64_t const, 1, Cuda>,            \
                             View<SampledToken, 1, Cuda>);                                                                              \
  TEMPLATE void resize_across<Cuda>(simt::Stream<Cuda>, View<std::uint8_t const, 3, Cuda>, ChannelOrder, ResizeAxis<Cuda> const&,       \
                                    ResizeMargin<Cuda> const&, View<std::uint8_t, 3, Cuda>);                                            \
  TEMPLATE void resize_across<Cuda>(simt::Stream<Cuda>, View<std::uint8_t const, 3, Cuda>, ChannelOrder, ResizeAxis<Cuda> const&,       \
                                    ResizeMargin<Cuda> const&, View<float const, 2, Cuda>, View<float, 3, Cuda>);                       \
  TEMPLATE void resize_down<Cuda>(simt::Stream<Cuda>, View<std::uint8_t const, 3, Cuda>, ChannelOrder, ResizeAxis<Cuda> const&,         \
                                  ResizeMargin<Cuda> const&, View<std::uint8_t, 3, Cuda>);                                              \
  TEMPLATE void resize_down<Cuda>(simt::Stream<Cuda>, View<std::uint8_t const, 3, Cuda>, ChannelOrder, ResizeAxis<Cuda> const&,         \
                                  ResizeMargin<Cuda> const&, View<float const, 2, Cuda>, View<float, 3, Cuda>);                         \
  TEMPLATE void bilinear<Cuda>(simt::Stream<Cuda>, In<float, 4, Cuda>, int, BilinearAxis<Cuda> const&, Out<float, 4, Cuda>, int);

#if defined(__CUDACC__)
#  define MGM_DEFINE_UNTYPED              \
    namespace mgm::inline v0::kernels {   \
    MGM_UNTYPED(template)                 \
    }
#else
namespace mgm::inline v0::kernels {
MGM_UNTYPED(extern template)
}
#endif
