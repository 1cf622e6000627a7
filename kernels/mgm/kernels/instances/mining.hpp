/// Patch info mining, compiled apart.
#pragma once
#include <mgm/kernels/attention/mining.cuh>
#include <mgm/kernels/attention/mining_fused.cuh>
#include <mgm/kernels/attention/mining_resize.cuh>
#include <mgm/kernels/attention/mining_statistics.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_MINING(TEMPLATE, T, Dev)                                                                                                                     \
  TEMPLATE void mining<T, Dev>(simt::Stream<Dev>, In<float, 2, Dev>, MiningGrid, std::span<MiningStage<T, Dev> const>, In<float, 2, Dev>,      \
                                In<float, 2, Dev>, float, In<T, 1, Dev>, In<T, 1, Dev>, Out<T, 2, Dev>,                                         \
                                std::type_identity_t<View<float, 2, Dev>>);                                                                        \
  TEMPLATE void mining_statistics<T, Dev>(simt::Stream<Dev>, std::span<MiningStage<T, Dev> const>, float, Out<float, 2, Dev>, Out<float, 2, Dev>); \
  TEMPLATE MiningChoice choose_mining<T, Dev>(simt::Stream<Dev>, In<float, 2, Dev>, MiningViews, std::span<MiningStage<T, Dev> const>,           \
                                               std::span<MiningReach const>, In<T, 1, Dev>, In<T, 1, Dev>, View<T const, 2, Dev>);               \
  TEMPLATE void mining_fused<T, Dev>(simt::Stream<Dev>, In<float, 2, Dev>, MiningViews, std::span<MiningStage<T, Dev> const>,                   \
                                      std::span<MiningReach const>, float, float, In<T, 1, Dev>, In<T, 1, Dev>, Out<T, 2, Dev>,                  \
                                      std::type_identity_t<View<float, 2, Dev>>);                                                                  \
  TEMPLATE void resize_twice<T, Dev>(simt::Stream<Dev>, In<T, 3, Dev>, Size, Size, Out<T, 3, Dev>);
#define MGM_MINING_16(TEMPLATE, T, Dev)

MGM_DECLARE_INSTANCES(MGM_MINING)
