/// Small operations between the large ones, as programs call them on Cuda.
#pragma once
#include <mgm/kernels/elementwise/elementwise.cuh>
#include <mgm/kernels/elementwise/rows.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_ELEMENTWISE(TEMPLATE, T)                                                                                        \
  TEMPLATE void convert<T, T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, Out<T, 2, Cuda>);                                   \
  TEMPLATE void add<T, T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, In<T, 2, Cuda>, Out<T, 2, Cuda>);                       \
  TEMPLATE void scale<T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, float, Out<T, 2, Cuda>);                                 \
  TEMPLATE void fill<T, Cuda>(simt::Stream<Cuda>, float, Out<T, 2, Cuda>);                                                  \
  TEMPLATE void gather<T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, View<int const, 1, Cuda>, Out<T, 2, Cuda>);             \
  TEMPLATE void scatter_add<T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, View<int const, 1, Cuda>, View<float const, 1, Cuda>, \
                                     Out<float, 2, Cuda>);
#define MGM_ELEMENTWISE_16(TEMPLATE, T)                                                                   \
  TEMPLATE void convert<T, float, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, Out<float, 2, Cuda>);         \
  TEMPLATE void convert<float, T, Cuda>(simt::Stream<Cuda>, In<float, 2, Cuda>, Out<T, 2, Cuda>);         \
  TEMPLATE void add<float, T, Cuda>(simt::Stream<Cuda>, In<float, 2, Cuda>, In<T, 2, Cuda>, Out<T, 2, Cuda>);

MGM_DECLARE_INSTANCES(MGM_ELEMENTWISE)
