/// Fragments of matrices from shared memory: N = 1, 2 or 4 matrices of 8×8 16-bit elements, one register a lane for each.
/// All 32 lanes meet. Lane 8·j + r brings the address of row r of matrix j, 16 bytes, aligned to them; lanes from 8·N on bring any.
/// Free of bank conflicts where the eight rows of each matrix lie in eight different 16-byte columns of 128.
#pragma once
#include <mgm/simt/mma_layout.hpp>
#include <mgm/simt/platform.hpp>

namespace mgm::inline v0::simt::inline MGM_TWIN {

/// out[j]: elements 2·(lane % 4) and the next of row lane / 4 of matrix j.
template <int N>
MGM_DEVICE void ldmatrix(unsigned (&out)[N], void const* row, Site at = Site::here());
/// out[j]: rows 2·(lane % 4) and the next of column lane / 4 of matrix j.
template <int N>
MGM_DEVICE void ldmatrix_trans(unsigned (&out)[N], void const* row, Site at = Site::here());

}  // namespace mgm::inline v0::simt::inline MGM_TWIN

#if defined(__CUDACC__)
#  include <mgm/simt/cuda/ldmatrix.inl>
#else
#  include <mgm/simt/host/ldmatrix.inl>
#endif
