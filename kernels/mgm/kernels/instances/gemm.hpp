/// Matrix products, as programs call them on Cuda.
#pragma once
#include <mgm/kernels/gemm/gemm.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_GEMM_INTO(TEMPLATE, T, TOut)                                                                               \
  TEMPLATE void gemm<T, TOut, Cuda>(simt::Stream<Cuda>, bool, In<T, 2, Cuda>, In<T, 2, Cuda>, Epilogue<T, Cuda> const&, \
                                    Out<TOut, 2, Cuda>, std::type_identity_t<View<float, 3, Cuda>>);
#define MGM_GEMM(TEMPLATE, T) MGM_GEMM_INTO(TEMPLATE, T, T)
#define MGM_GEMM_16(TEMPLATE, T) MGM_GEMM_INTO(TEMPLATE, T, float)

MGM_DECLARE_INSTANCES(MGM_GEMM)
