/// The mixture of experts, as programs call it on Cuda.
#pragma once
#include <mgm/kernels/decode/mixture.cuh>
#include <mgm/kernels/gemm/gemm_grouped.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_MIXTURE(TEMPLATE, T)                                                                                                        \
  TEMPLATE void mixture_decode<T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, View<int const, 2, Cuda>, View<float const, 2, Cuda>,       \
                                        View<ExpertWeights<T> const, 1, Cuda>, Activation, Out<T, 3, Cuda>, In<T, 2, Cuda>,             \
                                        Out<T, 2, Cuda>);                                                                               \
  TEMPLATE void mixture_combine<T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, View<int const, 2, Cuda>, View<float const, 2, Cuda>,      \
                                         In<T, 2, Cuda>, Out<T, 2, Cuda>);
#define MGM_MIXTURE_16(TEMPLATE, T)                                                                                                      \
  TEMPLATE void gemm_grouped<GemmMmaSmall, T, T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, View<int const, 1, Cuda>,                    \
                                                       View<int const, 1, Cuda>, View<T const* const, 1, Cuda>, Epilogue<T, Cuda> const&, \
                                                       Out<T, 2, Cuda>);

MGM_DECLARE_INSTANCES(MGM_MIXTURE)
