/// Convolutions, patches, and the depthwise convolution with its norm, as programs call them on Cuda.
#pragma once
#include <mgm/kernels/conv/conv_general.cuh>
#include <mgm/kernels/conv/depthwise_norm.cuh>
#include <mgm/kernels/conv/depthwise_norm_tile.cuh>
#include <mgm/kernels/conv/norm_patches.cuh>
#include <mgm/kernels/conv/patches.cuh>
#include <mgm/kernels/conv/unfold.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_CONV_INTO(TEMPLATE, T, TOut)                                                                                               \
  TEMPLATE void conv_general<T, TOut, Cuda>(simt::Stream<Cuda>, std::type_identity_t<MapSource<T, Cuda>> const&, Window const&,        \
                                            In<T, 2, Cuda>, Epilogue<T, Cuda> const&, Out<TOut, 2, Cuda>);
#define MGM_CONV(TEMPLATE, T)                                                                                                          \
  MGM_CONV_INTO(TEMPLATE, T, T)                                                                                                        \
  TEMPLATE void unfold<T, Cuda>(simt::Stream<Cuda>, std::type_identity_t<MapSource<T, Cuda>> const&, Window const&, Size,              \
                                Out<T, 2, Cuda>);                                                                                      \
  TEMPLATE void patches<T, Cuda>(simt::Stream<Cuda>, In<T, 3, Cuda>, Size, Out<T, 2, Cuda>);                                           \
  TEMPLATE void norm_patches<T, Cuda>(simt::Stream<Cuda>, In<T, 3, Cuda>, In<T, 1, Cuda>, In<T, 1, Cuda>, float, Size, Out<T, 2, Cuda>); \
  TEMPLATE void depthwise_conv7_norm<T, Cuda>(simt::Stream<Cuda>, In<T, 3, Cuda>, In<T, 2, Cuda>, In<T, 1, Cuda>, In<T, 1, Cuda>,      \
                                              In<T, 1, Cuda>, float, Out<T, 3, Cuda>);                                                 \
  TEMPLATE void depthwise_conv7_norm_tuned<T, Cuda>(simt::Stream<Cuda>, In<T, 3, Cuda>, In<T, 2, Cuda>, In<T, 1, Cuda>,                \
                                                    In<T, 1, Cuda>, In<T, 1, Cuda>, float, Out<T, 3, Cuda>);
#define MGM_CONV_16(TEMPLATE, T) MGM_CONV_INTO(TEMPLATE, T, float)

MGM_DECLARE_INSTANCES(MGM_CONV)
