/// Matrix products, compiled apart.
#pragma once
#include <mgm/kernels/decode/qkv.cuh>
#include <mgm/kernels/gemm/gemm.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_GEMM_INTO(TEMPLATE, T, TOut, Dev)                                                                               \
  TEMPLATE void gemm<T, TOut, Dev>(simt::Stream<Dev>, bool, In<T, 2, Dev>, In<T, 2, Dev>, Epilogue<T, Dev> const&, \
                                    Out<TOut, 2, Dev>, std::type_identity_t<View<float, 3, Dev>>);
#define MGM_GEMM(TEMPLATE, T, Dev)       \
  MGM_GEMM_INTO(TEMPLATE, T, T, Dev)     \
  TEMPLATE void qkv<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, Projection<T, Dev> const&, Projection<T, Dev> const&, Projection<T, Dev> const&);
#define MGM_GEMM_16(TEMPLATE, T, Dev) MGM_GEMM_INTO(TEMPLATE, T, float, Dev)

MGM_DECLARE_INSTANCES(MGM_GEMM)
