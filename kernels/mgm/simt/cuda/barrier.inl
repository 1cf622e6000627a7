/// barrier.hpp on the GPU.
#pragma once

namespace mgm::inline v0::simt::inline MGM_TWIN {

MGM_DEVICE void sync_block(Site) { __syncthreads(); }
/// The aligned forms: all threads of a warp come from the same line, as the strict machine demands.
MGM_DEVICE void sync_named(int id, int threads, Site) { asm volatile("barrier.sync.aligned %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
MGM_DEVICE void arrive_named(int id, int threads, Site) { asm volatile("barrier.arrive.aligned %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
MGM_DEVICE void sync_warp(unsigned mask, Site) { __syncwarp(mask); }

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
