/// Which element of its operands a lane holds, for the matrix instructions: data for kernels, tiles and probes (PTX ISA, "Matrix Fragments
/// for mma.m16n8k16" and "…m16n8k32"). Element i of a lane lies in register i / (elements a register), from the low end. The portable twin
/// does not read this file: it decodes from host/mma_decode.hpp, so that one error does not hide another.
#pragma once
#include <mgm/core/platform.hpp>

namespace mgm::inline v0::simt {

struct Coord {
  int row = 0, col = 0;
  friend constexpr bool operator==(Coord const&, Coord const&) = default;
};

/// D (16, 8) += A (16, 16)·B (16, 8) of 16-bit elements, two a register.
struct Mma16x8x16 {
  static constexpr int kM = 16, kN = 8, kK = 16, kInA = 8, kInB = 4, kInD = 4;
  MGM_HD static constexpr Coord a(int lane, int i) { return {lane / 4 + 8 * (i / 2 % 2), 2 * (lane % 4) + i % 2 + 8 * (i / 4)}; }
  MGM_HD static constexpr Coord b(int lane, int i) { return {2 * (lane % 4) + i % 2 + 8 * (i / 2), lane / 4}; }
  MGM_HD static constexpr Coord d(int lane, int i) { return {lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2}; }
};
/// D (16, 8) += A (16, 32)·B (32, 8) of 8-bit whole numbers, four a register.
struct Mma16x8x32 {
  static constexpr int kM = 16, kN = 8, kK = 32, kInA = 16, kInB = 8, kInD = 4;
  MGM_HD static constexpr Coord a(int lane, int i) { return {lane / 4 + 8 * (i / 4 % 2), 4 * (lane % 4) + i % 4 + 16 * (i / 8)}; }
  MGM_HD static constexpr Coord b(int lane, int i) { return {4 * (lane % 4) + i % 4 + 16 * (i / 4), lane / 4}; }
  MGM_HD static constexpr Coord d(int lane, int i) { return Mma16x8x16::d(lane, i); }
};

/// ldmatrix: of each 8×8 matrix of 16-bit elements, which row and columns 2i, 2i + 1 a lane's register holds; with .trans row and column
/// change places. The row's address is brought by lane 8·matrix + row.
struct Ldmatrix {
  MGM_HD static constexpr Coord element(int lane, int i, bool turned) {
    return turned ? Coord{2 * (lane % 4) + i, lane / 4} : Coord{lane / 4, 2 * (lane % 4) + i};
  }
};

}  // namespace mgm::inline v0::simt
