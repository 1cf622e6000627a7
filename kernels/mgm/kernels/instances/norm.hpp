/// The norms, as programs call them on Cuda.
#pragma once
#include <mgm/kernels/instances/instances.hpp>
#include <mgm/kernels/norm/group_norm.cuh>
#include <mgm/kernels/norm/row_norm.cuh>

#define MGM_NORM(TEMPLATE, T)                                                                                                        \
  TEMPLATE void layer_norm<T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, In<T, 1, Cuda>, In<T, 1, Cuda>, float, Out<T, 2, Cuda>);     \
  TEMPLATE void rms_norm<T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, In<T, 1, Cuda>, float, float, Out<T, 2, Cuda>);             \
  TEMPLATE void group_norm<T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, Size, In<T, 1, Cuda>, In<T, 1, Cuda>, float, bool,           \
                                    View<Moments, 2, Cuda>, Out<T, 2, Cuda>);                                                       \
  TEMPLATE void group_affine<T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, In<T, 2, Cuda>, Size, In<T, 1, Cuda>,                      \
                                      In<T, 1, Cuda>, float, View<Moments, 2, Cuda>, Out<float, 2, Cuda>);
#define MGM_NORM_16(TEMPLATE, T)

MGM_DECLARE_INSTANCES(MGM_NORM)
