/// What diffusion models have of their own, as programs call it on Cuda.
#pragma once
#include <mgm/kernels/diffusion/geglu.cuh>
#include <mgm/kernels/diffusion/scheduler_step.cuh>
#include <mgm/kernels/diffusion/time_embedding.cuh>
#include <mgm/kernels/instances/instances.hpp>

#define MGM_DIFFUSION(TEMPLATE, T)                                                                                                  \
  TEMPLATE void geglu<T, Cuda>(simt::Stream<Cuda>, In<T, 2, Cuda>, In<T, 2, Cuda>, In<T, 1, Cuda>, Out<T, 2, Cuda>);                \
  TEMPLATE void time_embedding<T, Cuda>(simt::Stream<Cuda>, In<float, 1, Cuda>, Out<T, 2, Cuda>);                                   \
  TEMPLATE void scheduler_step<T, Cuda>(simt::Stream<Cuda>, DenoiseStep const&, In<float, 2, Cuda>, In<float, 2, Cuda>,             \
                                        In<float, 2, Cuda>, DenoiseMemory<Cuda> const&, Out<T, 2, Cuda>);
#define MGM_DIFFUSION_16(TEMPLATE, T)

MGM_DECLARE_INSTANCES(MGM_DIFFUSION)
