/// Attention and rotary positions, compiled apart.
#pragma once
#include <mgm/kernels/attention/attention.cuh>
#include <mgm/kernels/decode/rope.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_ATTENTION(TEMPLATE, T, Dev)                                                                                                 \
  TEMPLATE void attention<T, Dev>(simt::Stream<Dev>, bool, In<T, 3, Dev>, In<T, 3, Dev>, In<T, 3, Dev>, float, bool,          \
                                   std::type_identity_t<View<float, 1, Dev>>, Out<T, 3, Dev>,                                   \
                                   std::type_identity_t<View<std::int64_t const, 1, Dev>>);                                       \
  TEMPLATE void rope<T, Dev>(simt::Stream<Dev>, Out<T, 3, Dev>, In<float, 3, Dev>);                                            \
  TEMPLATE void rope_append<T, Dev>(simt::Stream<Dev>, Out<T, 3, Dev>, In<T, 3, Dev>, In<T, 3, Dev>, In<float, 3, Dev>,      \
                                     std::type_identity_t<View<T, 3, Dev>>, std::type_identity_t<View<T, 3, Dev>>);              \
  TEMPLATE void rope_append_at<T, Dev>(simt::Stream<Dev>, Out<T, 3, Dev>, In<T, 3, Dev>, In<T, 3, Dev>, In<float, 3, Dev>,     \
                                        View<std::int64_t const, 1, Dev>, std::type_identity_t<View<T, 3, Dev>>,              \
                                        std::type_identity_t<View<T, 3, Dev>>);
#define MGM_ATTENTION_16(TEMPLATE, T, Dev)

MGM_DECLARE_INSTANCES(MGM_ATTENTION)
