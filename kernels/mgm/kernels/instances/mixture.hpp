/// The mixture of experts, compiled apart.
#pragma once
#include <mgm/kernels/decode/mixture.cuh>
#include <mgm/kernels/gemm/gemm_grouped.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_MIXTURE(TEMPLATE, T, Dev)                                                                                                        \
  TEMPLATE void mixture_decode<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, View<int const, 2, Dev>, View<float const, 2, Dev>,       \
                                        View<ExpertWeights<T> const, 1, Dev>, Activation, Out<T, 3, Dev>, In<T, 2, Dev>,             \
                                        Out<T, 2, Dev>);                                                                               \
  TEMPLATE void mixture_combine<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, View<int const, 2, Dev>, View<float const, 2, Dev>,      \
                                         In<T, 2, Dev>, Out<T, 2, Dev>);                                                               \
  TEMPLATE void gemm_grouped_general<T, T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, View<int const, 1, Dev>, View<int const, 1, Dev>, \
                                                View<T const* const, 1, Dev>, Epilogue<T, Dev> const&, Out<T, 2, Dev>);
#define MGM_MIXTURE_16(TEMPLATE, T, Dev)                                                                                                      \
  TEMPLATE void gemm_grouped<GemmMmaSmall, T, T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, View<int const, 1, Dev>,                    \
                                                       View<int const, 1, Dev>, View<T const* const, 1, Dev>, Epilogue<T, Dev> const&, \
                                                       Out<T, 2, Dev>);

MGM_DECLARE_INSTANCES(MGM_MIXTURE)
