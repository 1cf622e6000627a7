/// Products of small matrices held in the registers of a warp. All 32 lanes meet; which element a lane holds is in mma_layout.hpp.
/// Rounding: products are exact. Tensor cores align the terms of one instruction to the largest and truncate; the portable twin adds them
/// to the sum in float, k ascending. The two agree bit for bit where all sums are exact, and otherwise within (K/16 + 1)·18·2⁻²³·Σ|a||b|.
#pragma once
#include <mgm/core/dtype.hpp>
#include <mgm/simt/mma_layout.hpp>
#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// The 16-bit floats: what m16n8k16 multiplies.
template <class T>
concept HalfReal = std::same_as<T, bf16> || std::same_as<T, half>;

/// d += a·b, (16, 8) += (16, 16)·(16, 8), sums in float: mma.m16n8k16, sm_80 and up.
template <HalfReal T>
MGM_DEVICE void mma(float (&d)[4], unsigned const (&a)[4], unsigned const (&b)[2], Site at = Site::here());
/// d += a·b, (16, 8) += (16, 32)·(32, 8), signed bytes, sums of 32 bits that wrap: mma.m16n8k32, sm_80 and up.
MGM_DEVICE void mma_s8(int (&d)[4], unsigned const (&a)[4], unsigned const (&b)[2], Site at = Site::here());

/// d[m][n] += a[m]·b[n] for all m and n: M·N instructions, in one meeting on Simt.
template <HalfReal T, int M, int N>
MGM_DEVICE void mma_outer(float (&d)[M][N][4], unsigned const (&a)[M][4], unsigned const (&b)[N][2], Site at = Site::here());

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/mma.inl>
#else
#  include <mgm/simt/host/mma.inl>
#endif
