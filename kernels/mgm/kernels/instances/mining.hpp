/// Patch info mining, as programs call it on Cuda.
#pragma once
#include <mgm/kernels/attention/mining.cuh>
#include <mgm/kernels/attention/mining_fused.cuh>
#include <mgm/kernels/attention/mining_resize.cuh>
#include <mgm/kernels/attention/mining_statistics.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_MINING(TEMPLATE, T)                                                                                                                     \
  TEMPLATE void mining<T, Cuda>(simt::Stream<Cuda>, In<float, 2, Cuda>, MiningGrid, std::span<MiningStage<T, Cuda> const>, In<float, 2, Cuda>,      \
                                In<float, 2, Cuda>, float, In<T, 1, Cuda>, In<T, 1, Cuda>, Out<T, 2, Cuda>,                                         \
                                std::type_identity_t<View<float, 2, Cuda>>);                                                                        \
  TEMPLATE void mining_statistics<T, Cuda>(simt::Stream<Cuda>, std::span<MiningStage<T, Cuda> const>, float, Out<float, 2, Cuda>, Out<float, 2, Cuda>); \
  TEMPLATE MiningChoice choose_mining<T, Cuda>(simt::Stream<Cuda>, In<float, 2, Cuda>, MiningViews, std::span<MiningStage<T, Cuda> const>,           \
                                               std::span<MiningReach const>, In<T, 1, Cuda>, In<T, 1, Cuda>, View<T const, 2, Cuda>);               \
  TEMPLATE void mining_fused<T, Cuda>(simt::Stream<Cuda>, In<float, 2, Cuda>, MiningViews, std::span<MiningStage<T, Cuda> const>,                   \
                                      std::span<MiningReach const>, float, float, In<T, 1, Cuda>, In<T, 1, Cuda>, Out<T, 2, Cuda>,                  \
                                      std::type_identity_t<View<float, 2, Cuda>>);                                                                  \
  TEMPLATE void resize_twice<T, Cuda>(simt::Stream<Cuda>, In<T, 3, Cuda>, Size, Size, Out<T, 3, Cuda>);
#define MGM_MINING_16(TEMPLATE, T)

MGM_DECLARE_INSTANCES(MGM_MINING)
