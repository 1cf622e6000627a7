/// What diffusion models have of their own, compiled apart.
#pragma once
#include <mgm/kernels/diffusion/geglu.cuh>
#include <mgm/kernels/diffusion/scheduler_step.cuh>
#include <mgm/kernels/diffusion/time_embedding.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_DIFFUSION(TEMPLATE, T, Dev)                                                                                                  \
  TEMPLATE void geglu<T, Dev>(simt::Stream<Dev>, In<T, 2, Dev>, In<T, 2, Dev>, In<T, 1, Dev>, Out<T, 2, Dev>);                \
  TEMPLATE void time_embedding<T, Dev>(simt::Stream<Dev>, In<float, 1, Dev>, Out<T, 2, Dev>);                                   \
  TEMPLATE void scheduler_step<T, Dev>(simt::Stream<Dev>, DenoiseStep const&, In<float, 2, Dev>, In<float, 2, Dev>,             \
                                        In<float, 2, Dev>, DenoiseMemory<Dev> const&, Out<T, 2, Dev>);
#define MGM_DIFFUSION_16(TEMPLATE, T, Dev)

MGM_DECLARE_INSTANCES(MGM_DIFFUSION)
