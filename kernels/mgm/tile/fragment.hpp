/// Operands of matrix instructions, read from swizzled shared tiles into the registers of a warp. All lanes meet.
#pragma once
#include <mgm/simt/ldmatrix.hpp>
#include <mgm/simt/memory.hpp>
#include <mgm/simt/mma.hpp>
#include <mgm/simt/thread.hpp>

namespace mgm::inline v0::tile {

/// The left operand: (16, 16) of a tile (M, K) at (row, k).
template <class Tile>
MGM_DEVICE void load_left(unsigned (&a)[4], Tile const& from, int row, int k) {
  int const lane = simt::lane_idx();
  simt::ldmatrix<4>(a, from.chunk(row + lane % 16, k / 8 + lane / 16));
}
/// Two right operands, columns n and n + 8 of 16 of K, from a tile (N, K).
template <class Tile>
MGM_DEVICE void load_right(unsigned (&b)[2], unsigned (&c)[2], Tile const& from, int n, int k) {
  int const lane = simt::lane_idx();
  unsigned four[4];
  simt::ldmatrix<4>(four, from.chunk(n + lane % 8 + lane / 16 * 8, k / 8 + lane / 8 % 2));
  b[0] = four[0], b[1] = four[1], c[0] = four[2], c[1] = four[3];
}
/// The same from a tile (K, N).
template <class Tile>
MGM_DEVICE void load_right_turned(unsigned (&b)[2], unsigned (&c)[2], Tile const& from, int n, int k) {
  int const lane = simt::lane_idx();
  unsigned four[4];
  simt::ldmatrix_trans<4>(four, from.chunk(k + lane % 16, n / 8 + lane / 16));
  b[0] = four[0], b[1] = four[1], c[0] = four[2], c[1] = four[3];
}

/// Sums (16, 8·N) to rows of `stride` floats.
template <int N>
MGM_DEVICE void store_sums(float const (&sum)[N][4], float* to, int stride) {
  int const lane = simt::lane_idx();
  MGM_UNROLL for (int j = 0; j < N; ++j)
    MGM_UNROLL for (int h = 0; h < 2; ++h) {
      simt::Coord const c = simt::Mma16x8x16::d(lane, 2 * h);
      simt::store<2>(to + c.row * stride + 8 * j + c.col, simt::Vec<float, 2>{sum[j][2 * h], sum[j][2 * h + 1]});
    }
}

}  // namespace mgm::inline v0::tile
