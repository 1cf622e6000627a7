/// Convolutions, patches, and the depthwise convolution with its norm, compiled apart.
#pragma once
#include <mgm/kernels/conv/conv_general.cuh>
#include <mgm/kernels/conv/depthwise_norm.cuh>
#include <mgm/kernels/conv/depthwise_norm_tile.cuh>
#include <mgm/kernels/conv/norm_patches.cuh>
#include <mgm/kernels/conv/patches.cuh>
#include <mgm/kernels/conv/unfold.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_CONV_INTO(TEMPLATE, T, TOut, Dev)                                                                                               \
  TEMPLATE void conv_general<T, TOut, Dev>(simt::Stream<Dev>, std::type_identity_t<MapSource<T, Dev>> const&, Window const&,        \
                                            In<T, 2, Dev>, Epilogue<T, Dev> const&, Out<TOut, 2, Dev>);
#define MGM_CONV(TEMPLATE, T, Dev)                                                                                                          \
  MGM_CONV_INTO(TEMPLATE, T, T, Dev)                                                                                                        \
  TEMPLATE void unfold<T, Dev>(simt::Stream<Dev>, std::type_identity_t<MapSource<T, Dev>> const&, Window const&, Size,              \
                                Out<T, 2, Dev>);                                                                                      \
  TEMPLATE void patches<T, Dev>(simt::Stream<Dev>, In<T, 3, Dev>, Size, Out<T, 2, Dev>);                                           \
  TEMPLATE void norm_patches<T, Dev>(simt::Stream<Dev>, In<T, 3, Dev>, In<T, 1, Dev>, In<T, 1, Dev>, float, Size, Out<T, 2, Dev>); \
  TEMPLATE void depthwise_conv7_norm<T, Dev>(simt::Stream<Dev>, In<T, 3, Dev>, In<T, 2, Dev>, In<T, 1, Dev>, In<T, 1, Dev>,      \
                                              In<T, 1, Dev>, float, Out<T, 3, Dev>);                                                 \
  TEMPLATE void depthwise_conv7_norm_tuned<T, Dev>(simt::Stream<Dev>, In<T, 3, Dev>, In<T, 2, Dev>, In<T, 1, Dev>,                \
                                                    In<T, 1, Dev>, In<T, 1, Dev>, float, Out<T, 3, Dev>);
#define MGM_CONV_16(TEMPLATE, T, Dev) MGM_CONV_INTO(TEMPLATE, T, float, Dev)

MGM_DECLARE_INSTANCES(MGM_CONV)
