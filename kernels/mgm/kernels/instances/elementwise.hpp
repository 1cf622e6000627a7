/// Small operations between the large ones, compiled apart.
#pragma once
#include <mgm/kernels/elementwise/elementwise.cuh>
#include <mgm/kernels/elementwise/rows.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_ELEMENTWISE(TEMPLATE, T, Dev)                                                                                        \
  TEMPLATE void convert<T, T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, Out<T, 2, Dev>);                                   \
  TEMPLATE void add<T, T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, In<T, 2, Dev>, Out<T, 2, Dev>);                       \
  TEMPLATE void scale<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, float, Out<T, 2, Dev>);                                 \
  TEMPLATE void fill<T, Dev>(simt::Stream<Dev>, float, Out<T, 2, Dev>);                                                  \
  TEMPLATE void gather<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, View<int const, 1, Dev>, Out<T, 2, Dev>);             \
  TEMPLATE void scatter_add<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, View<int const, 1, Dev>, View<float const, 1, Dev>, \
                                     Out<float, 2, Dev>);
#define MGM_ELEMENTWISE_16(TEMPLATE, T, Dev)                                                                   \
  TEMPLATE void convert<T, float, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, Out<float, 2, Dev>);         \
  TEMPLATE void convert<float, T, Dev>(simt::Stream<Dev>, In<float, 2, Dev>, Out<T, 2, Dev>);         \
  TEMPLATE void add<float, T, Dev>(simt::Stream<Dev>, In<float, 2, Dev>, In<T, 2, Dev>, Out<T, 2, Dev>);

MGM_DECLARE_INSTANCES(MGM_ELEMENTWISE)
