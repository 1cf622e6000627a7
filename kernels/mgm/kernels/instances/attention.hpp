/// Attention and rotary positions, as programs call them on Cuda.
#pragma once
#include <mgm/kernels/attention/attention.cuh>
#include <mgm/kernels/decode/rope.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_ATTENTION(TEMPLATE, T)                                                                                                 \
  TEMPLATE void attention<T, Cuda>(simt::Stream<Cuda>, bool, In<T, 3, Cuda>, In<T, 3, Cuda>, In<T, 3, Cuda>, float, bool,          \
                                   std::type_identity_t<View<float, 1, Cuda>>, Out<T, 3, Cuda>);                                   \
  TEMPLATE void rope<T, Cuda>(simt::Stream<Cuda>, Out<T, 3, Cuda>, In<float, 3, Cuda>);                                            \
  TEMPLATE void rope_append<T, Cuda>(simt::Stream<Cuda>, Out<T, 3, Cuda>, In<T, 3, Cuda>, In<T, 3, Cuda>, In<float, 3, Cuda>,      \
                                     std::type_identity_t<View<T, 3, Cuda>>, std::type_identity_t<View<T, 3, Cuda>>);
#define MGM_ATTENTION_16(TEMPLATE, T)

MGM_DECLARE_INSTANCES(MGM_ATTENTION)
