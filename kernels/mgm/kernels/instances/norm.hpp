/// The norms, compiled apart.
#pragma once
#include <mgm/kernels/instances/instances.hpp>
#include <mgm/kernels/norm/group_norm.cuh>
#include <mgm/kernels/norm/norm_fold.cuh>
#include <mgm/kernels/norm/row_norm.cuh>

#define MGM_NORM(TEMPLATE, T, Dev)                                                                                                        \
  TEMPLATE void layer_norm<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, In<T, 1, Dev>, In<T, 1, Dev>, float, Out<T, 2, Dev>);     \
  TEMPLATE void rms_norm<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, In<T, 1, Dev>, float, float, Out<T, 2, Dev>);             \
  TEMPLATE void group_norm<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, Size, In<T, 1, Dev>, In<T, 1, Dev>, float, bool,           \
                                    View<Moments, 2, Dev>, Out<T, 2, Dev>);                                                       \
  TEMPLATE void group_affine<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, In<T, 2, Dev>, Size, In<T, 1, Dev>,                      \
                                      In<T, 1, Dev>, float, View<Moments, 2, Dev>, Out<float, 2, Dev>);                          \
  TEMPLATE void row_moments<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, float, View<float, 2, Dev>);                              \
  TEMPLATE void fold_norm<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, In<T, 1, Dev>, In<T, 1, Dev>, In<T, 1, Dev>, Out<T, 2, Dev>, \
                                  View<float, 2, Dev>);
#define MGM_NORM_16(TEMPLATE, T, Dev)

MGM_DECLARE_INSTANCES(MGM_NORM)
